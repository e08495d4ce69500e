//! How the line tells what it is doing.

use kernels::Progress;

/// A step of the line, as progress and measurements name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Building a dataset.
    Build,
    /// Reading and pinning everything.
    Resolve,
    /// Looking for leakage.
    Guard,
    /// Fitting.
    Train,
    /// Scoring and measuring.
    Evaluate,
    /// Judging.
    Gate,
    /// Publishing.
    Publish,
    /// Comparing what a bundle rests on with its digests.
    Verify,
    /// Fitting a bundle's model again.
    Rebuild,
}

impl Stage {
    /// The name of the stage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Resolve => "resolve",
            Self::Guard => "guard",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Gate => "gate",
            Self::Publish => "publish",
            Self::Verify => "verify",
            Self::Rebuild => "rebuild",
        }
    }
}

/// Follows the line from stage to stage, and the steps within each.
pub trait Watch: Progress {
    /// A stage begins.
    fn stage(&self, stage: Stage);
}

impl Watch for kernels::progress::Silent {
    fn stage(&self, _: Stage) {}
}
