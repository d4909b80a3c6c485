//! Who takes part in a call, and why nobody else does.

use crate::asking::Call;
use crate::identity::{Identity, Names};
use crate::open::Known;
use crate::side::{Mode, Side};

/// Who takes part in a call.
pub(crate) struct Plan<'py> {
    pub(crate) decider: Side,
    pub(crate) compares: bool,
    pub(crate) names: Option<Names<'py>>,
    pub(crate) identity: Option<Identity>,
    pub(crate) chain: Option<Known>,
    pub(crate) reason: Reason,
}

/// Why a call is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is, or nobody wants it to be.
    None,
    Unseen,
    SampledOut,
    /// Its content may be there for the first reader only.
    ReadOnce,
    TimeLimit,
    TooLarge,
    NotLoaded,
    HybridNotLoaded,
    /// The candidate was too slow too often.
    Resting,
}

impl Reason {
    pub(crate) fn word(self) -> Option<&'static str> {
        match self {
            Self::None | Self::SampledOut => None,
            Self::Unseen => Some("chain-began-unseen"),
            Self::ReadOnce => Some("content-read-once"),
            Self::TimeLimit => Some("over-time-limit"),
            Self::TooLarge => Some("too-large"),
            Self::NotLoaded => Some("candidate-not-loaded"),
            Self::HybridNotLoaded => Some("hybrid-not-loaded"),
            Self::Resting => Some("candidate-rests"),
        }
    }
}

impl<'py> Plan<'py> {
    /// Reads what ties the call to its chain; what cannot be read belongs to none.
    pub(crate) fn find(&mut self, call: &Call<'_, 'py>) {
        self.names = Names::read(call.payload, call.context).ok().flatten();
        self.identity = self.names.as_ref().and_then(|names| names.identity().ok());
    }

    /// Goes on with a chain as it began.
    pub(crate) fn go_on(&mut self, chain: Known, mode: Mode) {
        self.decider = chain.owner;
        // Under legacy no candidate runs but where it has to decide to the end.
        self.compares = chain.is_whole && (mode != Mode::Legacy || chain.owner == Side::Candidate);
        if !self.compares {
            self.reason = match mode {
                Mode::Legacy => Reason::None,
                Mode::Shadow | Mode::Canary => Reason::Unseen,
                Mode::Rust => Reason::SampledOut,
            };
        }
    }

    /// Leaves the candidate alone, unless nobody else knows how far the chain is.
    pub(crate) fn spare_candidate(&mut self) {
        let is_its_own = self
            .chain
            .is_some_and(|chain| chain.owner == Side::Candidate && !chain.is_whole);
        if is_its_own || (self.decider == Side::Reference && !self.compares) {
            return;
        }
        self.decider = Side::Reference;
        self.compares = false;
        self.reason = Reason::Resting;
    }

    /// The names that were read, or are read now.
    pub(crate) fn names<'a>(
        &'a self,
        call: &Call<'_, 'py>,
        read: &'a mut Option<Names<'py>>,
    ) -> Option<&'a Names<'py>> {
        if self.names.is_some() {
            return self.names.as_ref();
        }
        if read.is_none() {
            *read = Names::read(call.payload, call.context).ok().flatten();
        }
        read.as_ref()
    }
}
