//! What only the process that opened it can use.
//!
//! A fork has a copy of its parent's memory, and neither the threads nor the locks: a connection would be two processes'
//! at once, and what a thread of the parent was to answer is never answered. Invariant: such a thing is refused at once in
//! any other process than its opener's, and what the fork opens anew serves it.

use std::process;

use contracts::{Code, Failure, Result};

/// The process that opened something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opener(u32);

impl Opener {
    /// This process.
    pub(crate) fn this_process() -> Self {
        Self(process::id())
    }

    /// Whether this process is the opener, rather than a fork of it.
    pub(crate) fn is_this_process(self) -> bool {
        self == Self::this_process()
    }

    /// Refuses to use what another process opened.
    pub(crate) fn require(self, code: Code, what: &str) -> Result<()> {
        if self.is_this_process() {
            return Ok(());
        }
        let detail = format!("the {what} was opened by the process that forked this one");
        Err(Failure::new(code, detail).with_hint("Open the factory again in each process.").lasting())
    }

    /// A process that forked this one.
    #[cfg(test)]
    pub(crate) const fn another_process() -> Self {
        Self(0)
    }
}
