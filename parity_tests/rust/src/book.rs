//! Counts of one plugin name in one process.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::latency::Latency;
use crate::side::{Act, Side};
use crate::signal::Signal;

/// What became of a comparison; the numbers are those of `lane.Verdict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Match,
    Accepted,
    Divergent,
    /// Not compared: no stratum is reached by it.
    None,
}

impl Verdict {
    pub(crate) fn of(number: u8) -> Self {
        match number {
            0 => Self::Match,
            1 => Self::Accepted,
            2 => Self::Divergent,
            _ => Self::None,
        }
    }
}

/// A cell of the input space; `strata.Stratum` has it in words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stratum {
    pub(crate) signal: Signal,
    /// 0 = no chain, 1 = after one failure, 2 = after more.
    pub(crate) position: usize,
    pub(crate) overridden: bool,
    pub(crate) text_path: bool,
    pub(crate) act: Act,
}

const SIGNALS: usize = 10;
const POSITIONS: usize = 3;
const ACTS: usize = 3;
const VERDICTS: usize = 3;
const CELLS: usize = SIGNALS * POSITIONS * 2 * 2 * ACTS * VERDICTS;

/// See `_native.pyi`.
#[pyclass(frozen, module = "retry_parity._native")]
pub(crate) struct Book {
    strata: Box<[AtomicU64]>,
    decisions: [[AtomicU64; ACTS]; 2],
    outcomes: [[AtomicU64; ACTS]; 2],
    matches: AtomicU64,
    fallbacks: AtomicU64,
    sampled_out: AtomicU64,
    latency: [Py<Latency>; 2],
}

/// Signal, position, override, text check, outcome and verdict, as numbers, and how often.
type Row = (usize, usize, bool, bool, usize, usize, u64);

#[pymethods]
impl Book {
    #[new]
    #[pyo3(signature = (reference, candidate, /))]
    fn new(reference: Py<Latency>, candidate: Py<Latency>) -> Self {
        Self {
            strata: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            decisions: Default::default(),
            outcomes: Default::default(),
            matches: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            sampled_out: AtomicU64::new(0),
            latency: [reference, candidate],
        }
    }

    #[getter]
    fn matches(&self) -> u64 {
        self.matches.load(Ordering::Relaxed)
    }

    #[getter]
    fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }

    #[getter]
    fn sampled_out(&self) -> u64 {
        self.sampled_out.load(Ordering::Relaxed)
    }

    #[getter]
    fn decisions(&self) -> [[u64; ACTS]; 2] {
        read(&self.decisions)
    }

    #[getter]
    fn outcomes(&self) -> [[u64; ACTS]; 2] {
        read(&self.outcomes)
    }

    fn clear(&self) {
        let counts = self
            .strata
            .iter()
            .chain(self.decisions.iter().flatten())
            .chain(self.outcomes.iter().flatten())
            .chain([&self.matches, &self.fallbacks, &self.sampled_out]);
        for count in counts {
            count.store(0, Ordering::Relaxed);
        }
    }

    fn strata(&self) -> Vec<Row> {
        let rows = self.strata.iter().enumerate().map(|(cell, count)| {
            let verdict = cell % VERDICTS;
            let cell = cell / VERDICTS;
            let act = cell % ACTS;
            let cell = cell / ACTS;
            (
                cell / 4 / POSITIONS,
                cell / 4 % POSITIONS,
                cell / 2 % 2 == 1,
                cell % 2 == 1,
                act,
                verdict,
                count.load(Ordering::Relaxed),
            )
        });
        rows.filter(|row| row.6 > 0).collect()
    }
}

impl Book {
    /// Counts what a caller got, and from whom.
    pub(crate) fn decided(&self, side: Side, act: Act) {
        add(&self.decisions, side, act);
    }

    /// Counts what a side did, and how long it took.
    pub(crate) fn acted(&self, side: Side, act: Act, duration_ns: u64) {
        add(&self.outcomes, side, act);
        if let Some(latency) = self.latency.get(side.index()) {
            latency.get().add(duration_ns);
        }
    }

    /// Counts a call on which both sides agree and that no judge has to see.
    pub(crate) fn matched(&self) {
        self.matches.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer of the hybrid in place of the candidate's.
    pub(crate) fn fell_back(&self) {
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that was left out of the comparison by its share.
    pub(crate) fn left_out(&self) {
        self.sampled_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a comparison in its stratum.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "each digit is below its base, so the sum is below CELLS"
    )]
    pub(crate) fn compared(&self, stratum: &Stratum, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Match => 0,
            Verdict::Accepted => 1,
            Verdict::Divergent => 2,
            Verdict::None => return,
        };
        let cell = stratum.signal.index() * POSITIONS + stratum.position;
        let cell = cell * 4 + usize::from(stratum.overridden) * 2 + usize::from(stratum.text_path);
        let cell = (cell * ACTS + stratum.act.index()) * VERDICTS + verdict;
        if let Some(count) = self.strata.get(cell) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn add(counts: &[[AtomicU64; ACTS]; 2], side: Side, act: Act) {
    if let Some(count) = counts
        .get(side.index())
        .and_then(|side| side.get(act.index()))
    {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn read(counts: &[[AtomicU64; ACTS]; 2]) -> [[u64; ACTS]; 2] {
    counts
        .each_ref()
        .map(|side| side.each_ref().map(|count| count.load(Ordering::Relaxed)))
}
