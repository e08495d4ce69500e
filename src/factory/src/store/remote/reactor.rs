//! Waiting for the network, from any thread.
//!
//! Flows in: work that waits. Flows out: its result, on the thread that asked. Invariant: the caller's thread, be it
//! a worker of the kernels or Python's, runs the work itself and one thread beside it watches the connections; neither
//! is ever waited for when the store is closed.

use std::future::Future;

use contracts::{Code, Failure, Result};
use tokio::runtime::{Builder, Runtime};

use crate::opener::Opener;

/// The thread that watches a store's connections.
pub(super) struct Reactor {
    /// Taken when it is closed.
    runtime: Option<Runtime>,
    /// The process that has the thread.
    opener: Opener,
}

impl Reactor {
    /// Starts the thread.
    pub(super) fn start() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("model-factory-store")
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::new(
                    Code::ResourceExhausted,
                    format!("could not start the thread of a store: {error}"),
                )
            })?;
        Ok(Self { runtime: Some(runtime), opener: Opener::this_process() })
    }

    /// Carries out the work, in which no code of a caller may run: it could wait in turn.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.opener.require(Code::StoreUnavailable, "store")?;
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(Failure::new(Code::InternalError, "a store that is closed")),
        }
    }
}

#[cfg(test)]
impl Reactor {
    /// What a fork of the process that started it has.
    pub(super) const fn of_another_process(mut self) -> Self {
        self.opener = Opener::another_process();
        self
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        // Without waiting: in a fork the thread never comes.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
