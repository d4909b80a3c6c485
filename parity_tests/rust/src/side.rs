//! The two sides of a comparison, and what each of them can do.

/// Who decides, or is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The hybrid.
    Reference,
    /// The Rust core, or what a drill puts in its place.
    Candidate,
}

impl Side {
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Reference => 0,
            Self::Candidate => 1,
        }
    }

    /// The name that an operator knows the side by.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Reference => "legacy",
            Self::Candidate => "rust",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Reference => Self::Candidate,
            Self::Candidate => Self::Reference,
        }
    }
}

/// What a side did with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Retry,
    NoRetry,
    Raised,
}

impl Act {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::NoRetry => "no retry",
            Self::Raised => "raised",
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Retry => 0,
            Self::NoRetry => 1,
            Self::Raised => 2,
        }
    }
}

/// Who decides new chains, and who else runs; DESIGN.md, "The flag".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Legacy,
    Shadow,
    Canary,
    Rust,
}

impl Mode {
    /// The mode of a number, in the order of `Implementation`.
    pub(crate) fn of(number: u8) -> Option<Self> {
        [Self::Legacy, Self::Shadow, Self::Canary, Self::Rust]
            .get(usize::from(number))
            .copied()
    }
}
