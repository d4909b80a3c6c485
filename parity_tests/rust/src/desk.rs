//! One call: who decides it, who runs beside, and which answer the caller gets.
//!
//! INVARIANT: the caller gets an answer, or the exception, of the side that decides. Where that is
//! the candidate and it fails, or differs from the hybrid without an explanation, the hybrid's
//! answer stands; where there is none, the call is not retried.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};
use pyo3::{PyTraverseError, PyVisit, intern};

use retry_models::Fields;

use crate::agreement::{Answer, odd_delay_of};
use crate::asking::{
    Call, Deed, Hook, Inside, ask, dismiss, guarded, internal_errors, passes_through,
};
use crate::book::{Book, Stratum, Verdict};
use crate::clock::{now_ns, now_s};
use crate::identity::{BUCKETS, Names};
use crate::memories::Memories;
use crate::open::{self, Change, Step};
use crate::plan::{Plan, Reason};
use crate::setting::Setting;
use crate::side::{Act, Mode, Side};
use crate::signal::{Facts, Signal, is_read_alike_again, signal_of, text_length};
use crate::switch::{Switch, buckets, known};
use crate::usable::Usable;

static PAYLOAD: Fields = Fields::new(&["result"]);

/// Characters of text in a result that is judged. The ledger's predicates walk over them.
const MOST_JUDGED: usize = 262_144;

/// Tools whose settings are kept; with more of them, all are asked for again.
const MOST_SETTINGS: usize = 4096;

/// See `_native.pyi`.
#[pyclass(frozen, module = "retry_parity._native")]
pub(crate) struct Desk {
    lane: Py<PyAny>,
    switch: Py<Switch>,
    book: Py<Book>,
    answer_class: Py<PyType>,
    mode: Mode,
    canary_share: u64,
    compare_share: u64,
    time_limit_ns: u64,
    judge_all: bool,
    memories: Memories,
    sides: [OnceLock<Option<Hook>>; 2],
    /// What the candidate's answers have to be, once it is loaded.
    usable: OnceLock<Usable>,
    settings: Py<PyDict>,
    /// Settings asked for, so that their number stays bounded.
    asked: AtomicUsize,
}

#[pymethods]
impl Desk {
    #[new]
    #[pyo3(signature = (lane, switch, book, answer_class, remembered, *, mode, canary_percent,
                        compare_percent, time_limit_ns, judge_all))]
    #[expect(
        clippy::too_many_arguments,
        reason = "what one plugin object is made of, from the one place that has it"
    )]
    fn new(
        py: Python<'_>,
        lane: Py<PyAny>,
        switch: Py<Switch>,
        book: Py<Book>,
        answer_class: Py<PyType>,
        remembered: Vec<Py<PyAny>>,
        mode: u8,
        canary_percent: f64,
        compare_percent: f64,
        time_limit_ns: u64,
        judge_all: bool,
    ) -> PyResult<Self> {
        Ok(Self {
            lane,
            switch,
            book,
            answer_class,
            mode: known(mode)?,
            canary_share: buckets(canary_percent)?,
            compare_share: buckets(compare_percent)?,
            time_limit_ns,
            judge_all,
            memories: Memories::new(remembered),
            sides: [OnceLock::new(), OnceLock::new()],
            usable: OnceLock::new(),
            settings: PyDict::new(py).unbind(),
            asked: AtomicUsize::new(0),
        })
    }

    /// The mode in force, as a number.
    #[getter]
    fn mode(&self) -> u8 {
        match self.switch.get().mode(self.mode) {
            Mode::Legacy => 0,
            Mode::Shadow => 1,
            Mode::Canary => 2,
            Mode::Rust => 3,
        }
    }

    /// A lane and its desk hold each other; the collector has to see it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.lane)?;
        for hook in self.sides.iter().filter_map(|side| side.get()?.as_ref()) {
            visit.call(&hook.function)?;
        }
        Ok(())
    }

    #[pyo3(signature = (payload, context, extensions, /))]
    pub(crate) fn decide<'py>(
        &self,
        payload: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        extensions: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let call = Call {
            payload,
            context,
            extensions,
        };
        let Some(_inside) = Inside::enter() else {
            return self.decide_within(&call);
        };
        let mut plan = self.plan(&call);
        if !self.is_loaded(payload.py(), plan.decider) {
            plan.reason = match plan.decider {
                Side::Reference => Reason::HybridNotLoaded,
                Side::Candidate => Reason::NotLoaded,
            };
            plan.decider = plan.decider.other();
            plan.compares = false;
        }
        if plan.compares && self.is_used_up_by_the_first(&call)? {
            plan.reason = Reason::ReadOnce;
            plan.compares = false;
        }
        let mut deeds = [None, None];
        let [ours, theirs] = &mut deeds;
        self.look_at_payload(intern!(payload.py(), "before_call"), &call)?;
        if (plan.compares || plan.decider == Side::Reference)
            && let Some(hook) = self.hook(payload.py(), Side::Reference)
        {
            *ours = Some(self.run(Side::Reference, hook, &call)?);
        }
        match ours {
            Some(ours) if plan.compares && ours.duration_ns > self.time_limit_ns => {
                // What took long once must not take twice as long: the answer that is there stands.
                plan.decider = Side::Reference;
                plan.compares = false;
                plan.reason = Reason::TimeLimit;
            }
            None if plan.compares => {
                plan.compares = false;
                plan.reason = Reason::HybridNotLoaded;
            }
            _ => {}
        }
        let mut errors = 0;
        if plan.compares || plan.decider == Side::Candidate {
            self.look_at_payload(intern!(payload.py(), "between_sides"), &call)?;
            // Only now that the candidate is loaded is there anything to count.
            if let Some(hook) = self.hook(payload.py(), Side::Candidate) {
                let before = internal_errors(payload.py(), hook);
                *theirs = Some(self.run(Side::Candidate, hook, &call)?);
                errors = internal_errors(payload.py(), hook).saturating_sub(before);
            } else {
                plan.compares = false;
                plan.reason = Reason::NotLoaded;
            }
        }
        self.settle(&call, &plan, deeds, errors)
    }
}

impl Desk {
    /// Answers a call that a payload makes while it is being read: by the side that decides, with
    /// nothing compared or counted, which would make each such call several of the next depth.
    fn decide_within<'py>(&self, call: &Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let py = call.payload.py();
        let decider = self.plan(call).decider;
        let hook = self.hook(py, decider).map(|hook| (decider, hook));
        let other = || {
            self.hook(py, decider.other())
                .map(|hook| (decider.other(), hook))
        };
        if let Some((side, hook)) = hook.or_else(other) {
            let deed = self.run(side, hook, call)?;
            if side == Side::Reference || !deed.is_nonsense {
                return deed.outcome;
            }
        }
        self.lane.bind(py).call_method0(intern!(py, "no_retry"))
    }

    /// Says who takes part in a call.
    fn plan<'py>(&self, call: &Call<'_, 'py>) -> Plan<'py> {
        let py = call.payload.py();
        let switch = self.switch.get();
        let mode = switch.mode(self.mode);
        let samples = mode == Mode::Rust && (1..BUCKETS).contains(&self.compare_share);
        let any_open = !open::is_empty();
        let mut plan = Plan {
            decider: Side::Reference,
            compares: mode != Mode::Legacy,
            names: None,
            identity: None,
            chain: None,
            reason: Reason::None,
        };
        if any_open || samples || mode == Mode::Canary {
            plan.find(call);
        }
        if any_open
            && let Some(identity) = plan.identity
            && let Ok(now_s) = now_s(py)
        {
            plan.chain = open::look_up(identity, now_s);
        }
        if let Some(chain) = plan.chain {
            plan.go_on(chain, mode);
        } else if !switch.is_tripped() {
            match mode {
                Mode::Legacy | Mode::Shadow => {}
                Mode::Canary => {
                    let share = switch.canary_share(self.canary_share);
                    if plan.identity.is_some_and(|id| id.is_in_canary(share)) {
                        plan.decider = Side::Candidate;
                    }
                }
                Mode::Rust => {
                    plan.decider = Side::Candidate;
                    plan.compares = self.compare_share >= BUCKETS
                        || plan
                            .identity
                            .is_some_and(|id| id.is_sampled(self.compare_share));
                    if !plan.compares {
                        plan.reason = Reason::SampledOut;
                    }
                }
            }
        }
        if switch.is_resting() && self.candidate_rests(py) {
            plan.spare_candidate();
        }
        plan
    }

    /// Whether the candidate's rest goes on; where nobody can say, it does.
    fn candidate_rests(&self, py: Python<'_>) -> bool {
        let lane = self.lane.bind(py);
        lane.call_method0(intern!(py, "candidate_rests"))
            .and_then(|rests| rests.is_truthy())
            .unwrap_or(true)
    }

    /// Whether the side that is asked second may find less than the first: only text checks read
    /// what can be used up.
    fn is_used_up_by_the_first(&self, call: &Call<'_, '_>) -> PyResult<bool> {
        if !self
            .setting(call)
            .is_some_and(|setting| setting.get().text_path)
        {
            return Ok(false);
        }
        let py = call.payload.py();
        let again = PAYLOAD
            .of(call.payload)
            .get(intern!(py, "result"))
            .and_then(|result| is_read_alike_again(&result));
        // A result that cannot be read is for the sides to say.
        Ok(guarded(py, again)? == Some(false))
    }

    /// Loads a side if need be; whether there is one.
    fn is_loaded(&self, py: Python<'_>, side: Side) -> bool {
        self.hook(py, side).is_some()
    }

    fn hook(&self, py: Python<'_>, side: Side) -> Option<&Hook> {
        let slot = self.sides.get(side.index())?;
        if let Some(hook) = slot.get() {
            return hook.as_ref();
        }
        // What was interrupted is tried again at the next call.
        let loaded = self.load(py, side).ok()?;
        // Another thread may have been faster; its hook is as good.
        let _ = slot.set(loaded);
        slot.get().and_then(Option::as_ref)
    }

    fn load(&self, py: Python<'_>, side: Side) -> PyResult<Option<Hook>> {
        let lane = self.lane.bind(py);
        let method = match side {
            Side::Reference => intern!(py, "load_reference"),
            Side::Candidate => intern!(py, "load_candidate"),
        };
        let loaded = lane.call_method0(method)?;
        if loaded.is_none() {
            return Ok(None);
        }
        if side == Side::Reference {
            let stores = lane.call_method0(intern!(py, "hybrid_stores"))?.extract()?;
            self.memories.meet(stores);
        } else {
            // Another thread may have been faster; its bounds are the same.
            let _ = self.usable.set(Usable::by(lane));
        }
        let (function, takes_extensions, internal_errors) = loaded.extract()?;
        Ok(Some(Hook {
            function,
            takes_extensions,
            internal_errors,
        }))
    }

    /// Asks a side.
    ///
    /// # Errors
    ///
    /// What ends the process or the task, and no evidence of a side.
    fn run<'py>(&self, side: Side, hook: &Hook, call: &Call<'_, 'py>) -> PyResult<Deed<'py>> {
        let py = call.payload.py();
        let begun = now_ns();
        let outcome = ask(hook, call);
        let duration_ns = now_ns().saturating_sub(begun);
        let deed = match outcome {
            Ok(answer) => {
                let read = Answer::read(&answer, self.answer_class.bind(py));
                let delay_ms = read
                    .as_ref()
                    .map_or_else(|| odd_delay_of(&answer), |read| read.delay_ms.max(0));
                if read.is_none() {
                    dismiss(&answer);
                }
                Deed {
                    act: if delay_ms > 0 {
                        Act::Retry
                    } else {
                        Act::NoRetry
                    },
                    is_nonsense: side == Side::Candidate && !self.is_usable(py, read.as_ref()),
                    outcome: Ok(answer),
                    answer: read,
                    delay_ms,
                    duration_ns,
                }
            }
            Err(error) if side == Side::Reference && passes_through(&error, py) => {
                return Err(error);
            }
            Err(error) => Deed {
                outcome: Err(error),
                answer: None,
                act: Act::Raised,
                delay_ms: 0,
                duration_ns,
                is_nonsense: true,
            },
        };
        self.book.get().acted(side, deed.act, duration_ns);
        Ok(deed)
    }

    fn is_usable(&self, py: Python<'_>, answer: Option<&Answer<'_>>) -> bool {
        answer.is_some_and(|answer| {
            self.usable
                .get()
                .is_none_or(|usable| usable.holds(answer, py))
        })
    }

    /// Lets the lane see a payload before each side does, where it wants to.
    fn look_at_payload(&self, moment: &Bound<'_, PyString>, call: &Call<'_, '_>) -> PyResult<()> {
        if self.judge_all {
            let lane = self.lane.bind(moment.py());
            guarded(moment.py(), lane.call_method1(moment, (call.payload,)))?;
        }
        Ok(())
    }

    /// Compares, notes what becomes of the chain, and gives what the caller gets.
    fn settle<'py>(
        &self,
        call: &Call<'_, 'py>,
        plan: &Plan<'py>,
        deeds: [Option<Deed<'py>>; 2],
        internal_errors: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = call.payload.py();
        let [ours, theirs] = deeds;
        let mut verdict = Verdict::None;
        let mut reason = plan.reason;
        let mut counted = None;
        match (&ours, &theirs) {
            (Some(ours), Some(theirs)) => {
                counted = self.agree(call, plan, ours, theirs, internal_errors);
                verdict = if counted.is_some() {
                    self.book.get().matched();
                    Verdict::Match
                } else if !self.judge_all && is_too_large(call) {
                    reason = Reason::TooLarge;
                    // Nothing is compared, but that it failed or took long shows without. Where the
                    // hybrid has failed too, it is no reason to trust the candidate less.
                    self.look_at_lone(call, theirs, internal_errors, ours.outcome.is_ok())?;
                    Verdict::None
                } else {
                    self.judge(call, ours, theirs, internal_errors)?
                };
                self.count_stratum(call, plan, ours, verdict)?;
            }
            (_, Some(theirs)) => self.look_at_lone(call, theirs, internal_errors, true)?,
            _ => {}
        }
        self.note_reason(call, reason, ours.as_ref())?;
        // Where both were asked, only what is known to be right may stand in for the hybrid's.
        let is_right = matches!(verdict, Verdict::Match | Verdict::Accepted);
        let trouble = !is_right || theirs.as_ref().is_some_and(|theirs| theirs.is_nonsense);
        let mut owner = plan.decider;
        let answers = ours.as_ref().is_some_and(|ours| ours.outcome.is_ok());
        if owner == Side::Candidate && trouble && answers {
            owner = Side::Reference;
            self.book.get().fell_back();
        }
        let (decided, other) = match owner {
            Side::Reference => (&ours, &theirs),
            Side::Candidate => (&theirs, &ours),
        };
        let act = decided.as_ref().map_or(Act::NoRetry, |deed| deed.act);
        let unusable = decided.as_ref().is_none_or(|deed| deed.is_nonsense);
        let act = if owner == Side::Candidate && unusable {
            Act::NoRetry
        } else {
            act
        };
        self.book.get().decided(owner, act);
        let failures = self.failures_after(call, plan, owner, act, counted);
        // Whether a candidate that failed has counted the call is not known: the rest of the chain
        // would only show the same failure again.
        let failed = theirs
            .as_ref()
            .is_some_and(|theirs| theirs.is_nonsense || internal_errors > 0);
        let seen = (other.is_some() && (is_right || !failed), other.is_some());
        if let Some(failures) = failures {
            let told = [&ours, &theirs].map(|deed| deed.as_ref().map(Deed::told));
            note_chain(call, plan, owner, seen, failures, told)?;
        }
        match (owner, ours, theirs) {
            (Side::Reference, Some(ours), _) => ours.outcome,
            (Side::Candidate, _, Some(theirs)) if !theirs.is_nonsense => theirs.outcome,
            _ => self.lane.bind(py).call_method0(intern!(py, "no_retry")),
        }
    }

    /// Whether the two certainly agree and no judge has to see the call.
    ///
    /// Returns the hybrid's count after the call where that is so.
    fn agree(
        &self,
        call: &Call<'_, '_>,
        plan: &Plan<'_>,
        ours: &Deed<'_>,
        theirs: &Deed<'_>,
        internal_errors: u64,
    ) -> Option<u32> {
        let is_slow = theirs.duration_ns > self.time_limit_ns;
        if self.judge_all || internal_errors > 0 || is_slow {
            return None;
        }
        let py = call.payload.py();
        let (ours, theirs) = (ours.answer.as_ref()?, theirs.answer.as_ref()?);
        if !ours.is_like(theirs) || ours.delay_ms < 0 || theirs.delay_ms < 0 {
            return None;
        }
        let retries = ours.delay_ms > 0;
        if retries != (theirs.delay_ms > 0) {
            return None;
        }
        let mut read = None;
        if retries || self.memories.is_anything_remembered(py)? {
            let names = plan.names(call, &mut read)?;
            if self.memories.is_remembered(names, retries).unwrap_or(true) {
                return None;
            }
        }
        let counted = if retries {
            let setting = self.setting(call)?;
            let names = plan.names(call, &mut read)?;
            self.memories.counted_for(py, setting.get(), names)?
        } else if self.memories.is_anything_live(py)? {
            self.memories.counted(py, plan.names(call, &mut read)?)?
        } else {
            0
        };
        if !retries {
            // A failure for which the hybrid drew 0 looks like a success, but is counted.
            return (counted == 0).then_some(0);
        }
        if ours.delay_ms != theirs.delay_ms {
            let setting = self.setting(call)?;
            let ceiling = setting.get().ceiling_ms(counted);
            let is_legal = |delay_ms: i64| u64::try_from(delay_ms).is_ok_and(|ms| ms <= ceiling);
            if !setting.get().jitter || !is_legal(ours.delay_ms) || !is_legal(theirs.delay_ms) {
                return None;
            }
        }
        let before = plan.chain.map_or(0, |chain| chain.failures);
        (counted > 0 && counted == before.saturating_add(1)).then_some(counted)
    }

    /// What is known of the call's tool; `None` where its config raises at every call.
    fn setting<'py>(&self, call: &Call<'_, 'py>) -> Option<Bound<'py, Setting>> {
        static PAYLOAD: Fields = Fields::new(&["name"]);
        let py = call.payload.py();
        let tool = PAYLOAD.of(call.payload).get(intern!(py, "name")).ok()?;
        let tool = tool.cast_into_exact::<PyString>().ok()?;
        let settings = self.settings.bind(py);
        if let Some(known) = settings.get_item(&tool).ok()? {
            return known.cast_into().ok();
        }
        let lane = self.lane.bind(py);
        let setting = lane.call_method1(intern!(py, "setting"), (&tool,)).ok()?;
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MOST_SETTINGS {
            settings.clear();
            self.asked.store(0, Ordering::Relaxed);
        }
        settings.set_item(&tool, &setting).ok()?;
        setting.cast_into().ok()
    }

    fn judge(
        &self,
        call: &Call<'_, '_>,
        ours: &Deed<'_>,
        theirs: &Deed<'_>,
        internal_errors: u64,
    ) -> PyResult<Verdict> {
        let py = call.payload.py();
        let value = |deed: &Deed<'_>| match &deed.outcome {
            Ok(answer) => answer.clone().unbind(),
            Err(error) => error.clone_ref(py).into_value(py).into_any(),
        };
        let judged = self.lane.bind(py).call_method1(
            intern!(py, "judge"),
            (
                call.payload,
                call.context,
                call.extensions,
                (value(ours), ours.act == Act::Raised, ours.duration_ns),
                (value(theirs), theirs.act == Act::Raised, theirs.duration_ns),
                internal_errors,
            ),
        );
        guarded(py, judged.and_then(|verdict| verdict.extract::<u8>()))
            .map(|verdict| verdict.map_or(Verdict::None, Verdict::of))
    }

    /// Tells of what is wrong with a candidate that is not compared.
    fn look_at_lone(
        &self,
        call: &Call<'_, '_>,
        theirs: &Deed<'_>,
        internal_errors: u64,
        is_trouble: bool,
    ) -> PyResult<()> {
        let py = call.payload.py();
        let is_slow = theirs.duration_ns > self.time_limit_ns;
        let kind = match &theirs.outcome {
            Err(_) => "raised",
            Ok(_) if internal_errors > 0 => "internal",
            Ok(_) if theirs.is_nonsense => "nonsense",
            Ok(_) if is_slow => "slow",
            Ok(_) => return Ok(()),
        };
        let error = theirs
            .outcome
            .as_ref()
            .err()
            .map(|error| error.clone_ref(py).into_value(py));
        let noted = self.lane.bind(py).call_method1(
            intern!(py, "candidate_failed"),
            (kind, error, is_slow, is_trouble),
        );
        guarded(py, noted).map(|_| ())
    }

    fn note_reason(
        &self,
        call: &Call<'_, '_>,
        reason: Reason,
        ours: Option<&Deed<'_>>,
    ) -> PyResult<()> {
        let py = call.payload.py();
        if reason == Reason::SampledOut {
            self.book.get().left_out();
        }
        let Some(reason) = reason.word() else {
            return Ok(());
        };
        let ours = ours.map(|ours| match &ours.outcome {
            Ok(answer) => (answer.clone().unbind(), false, ours.duration_ns),
            Err(error) => (
                error.clone_ref(py).into_value(py).into_any(),
                true,
                ours.duration_ns,
            ),
        });
        let noted = self.lane.bind(py).call_method1(
            intern!(py, "not_compared"),
            (reason, call.payload, call.context, call.extensions, ours),
        );
        guarded(py, noted).map(|_| ())
    }

    fn count_stratum(
        &self,
        call: &Call<'_, '_>,
        plan: &Plan<'_>,
        ours: &Deed<'_>,
        verdict: Verdict,
    ) -> PyResult<()> {
        let Some(setting) = self.setting(call) else {
            return Ok(());
        };
        let setting = setting.get();
        let py = call.payload.py();
        let signal = match PAYLOAD.of(call.payload).get(intern!(py, "result")) {
            Ok(result) => {
                guarded(py, signal_of(&result, &setting.retryable))?.unwrap_or(Signal::Unreadable)
            }
            Err(_) => Signal::Unreadable,
        };
        let before = plan.chain.map_or(0, |chain| chain.failures);
        let stratum = Stratum {
            signal,
            position: usize::try_from(before.min(2)).unwrap_or(2),
            overridden: setting.overridden,
            text_path: setting.text_path,
            act: ours.act,
        };
        self.book.get().compared(&stratum, verdict);
        Ok(())
    }

    /// The owner's count after the call; `None` where the call has left the chain as it was.
    fn failures_after(
        &self,
        call: &Call<'_, '_>,
        plan: &Plan<'_>,
        owner: Side,
        act: Act,
        counted: Option<u32>,
    ) -> Option<u32> {
        let before = plan.chain.map_or(0, |chain| chain.failures);
        match act {
            Act::Retry => Some(counted.unwrap_or_else(|| before.saturating_add(1))),
            // What raises counts nothing.
            Act::Raised => None,
            // A failure for which the hybrid drew 0 goes on, although nobody is told to retry.
            Act::NoRetry
                if owner == Side::Reference
                    && counted.is_none()
                    && self.is_still_counted(call, plan) =>
            {
                Some(before.saturating_add(1))
            }
            Act::NoRetry => plan.chain.map(|_| 0),
        }
    }

    fn is_still_counted(&self, call: &Call<'_, '_>, plan: &Plan<'_>) -> bool {
        let py = call.payload.py();
        if self.memories.is_anything_live(py) != Some(true) {
            return false;
        }
        let mut read = None;
        plan.names(call, &mut read)
            .and_then(|names| self.memories.counted(py, names))
            .is_some_and(|count| count > 0)
    }
}

/// Notes what the call did to its chain.
fn note_chain(
    call: &Call<'_, '_>,
    plan: &Plan<'_>,
    owner: Side,
    (both, other_has_seen): (bool, bool),
    failures: u32,
    [reference, candidate]: [Option<(Act, i64)>; 2],
) -> PyResult<()> {
    let py = call.payload.py();
    let identity = match plan.identity {
        Some(identity) => Some(identity),
        None => Names::read(call.payload, call.context)
            .ok()
            .flatten()
            .and_then(|names| names.identity().ok()),
    };
    let (Some(identity), Ok(now_s)) = (identity, now_s(py)) else {
        return Ok(());
    };
    let facts = match PAYLOAD.of(call.payload).get(intern!(py, "result")) {
        Ok(result) if failures > 0 => guarded(py, Facts::of(&result))?.unwrap_or_default(),
        _ => Facts::default(),
    };
    open::note(
        identity,
        &Change {
            owner,
            both,
            other_has_seen,
            failures,
            now_s,
            step: Step {
                at_s: now_s,
                facts,
                decider: owner,
                reference,
                candidate,
            },
        },
    );
    Ok(())
}

/// Whether judging the call would read more text than an event loop should wait for.
fn is_too_large(call: &Call<'_, '_>) -> bool {
    let py = call.payload.py();
    let result = PAYLOAD.of(call.payload).get(intern!(py, "result"));
    result.is_ok_and(|result| text_length(&result, MOST_JUDGED) > MOST_JUDGED)
}
