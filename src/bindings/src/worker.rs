//! A worker that serves until it is told to stop, and tells Python what it does.
//!
//! ```text
//!   calling thread   waits without the interpreter ──► every 50 ms: signals; news: tell(kind, JSON)
//!                                                          │ an exception            ▲
//!                                                          ▼ stops everything        │
//!   working threads  ────────── runs, jobs ──────────────────────────────────────────┘
//! ```
//!
//! Who is interrupted is still told what becomes of the runs at hand; a listener that failed is left alone.

use std::{
    num::NonZeroU16,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
};

use contracts::{error_response::ErrorResponse, names::Name};
use factory::{
    Place,
    clock::Stop,
    store::Location,
    worker::{News, Worker},
};
use pyo3::{exceptions::PyException, prelude::*};
use serde_json::json;

use crate::{
    failure::Result,
    json::{json, request},
    parsed::Parsed,
    progress::{GLANCE, Watched, defect},
    threads::{Threads, at_hand},
};

/// A worker for the factory at a place, which it opens once it serves.
#[pyclass(frozen, module = "model_factory._native", name = "Worker")]
pub(crate) struct PyWorker {
    place: Place,
    worker: Worker,
    stop: Arc<Stop>,
}

#[pymethods]
impl PyWorker {
    /// A worker of this name, for the jobs of a run configuration.
    #[new]
    #[pyo3(signature = (root, name, config, lanes, *, ledger = None, keys = None, threads = None))]
    fn new(
        root: PathBuf,
        name: Parsed<Name>,
        config: &str,
        lanes: NonZeroU16,
        ledger: Option<PathBuf>,
        keys: Option<PathBuf>,
        threads: Threads,
    ) -> Result<Self> {
        let place = Place { root: Location::parse(&root)?, ledger, keys };
        let worker = Worker { name: name.0, config: request(config)?, lanes, threads };
        Ok(Self { place, worker, stop: Arc::default() })
    }

    /// Serves until it is told to stop; `tell` is called with what happened, and stops everything by raising. The first
    /// exception is raised once all have stopped.
    fn serve(&self, py: Python<'_>, tell: Py<PyAny>) -> Result<()> {
        let (finished, raised) = py.detach(|| self.serve_detached(&tell));
        match raised {
            Some(error) => Err(error.into()),
            None => Ok(finished?),
        }
    }

    /// Asks it to finish what it holds and claim nothing more.
    fn stop(&self) {
        self.stop.ask();
    }
}

impl PyWorker {
    fn serve_detached(&self, tell: &Py<PyAny>) -> (contracts::Result<()>, Option<PyErr>) {
        let watched = Watched::default();
        let (send, news) = channel();
        thread::scope(|scope| {
            let serving = scope.spawn(|| self.work(&watched, send));
            let mut raised: Option<PyErr> = None;
            let mut listener = Some(tell);
            loop {
                // Before the news, so that none is lost by them.
                let signals = Python::attach(|py| if raised.is_none() { py.check_signals() } else { Ok(()) });
                match signals.and_then(|()| next(&news, listener)) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        if Python::attach(|py| error.is_instance_of::<PyException>(py)) {
                            listener = None;
                        }
                        raised.get_or_insert(error);
                        watched.interrupt();
                        self.stop.ask();
                    }
                }
            }
            (serving.join().unwrap_or_else(|_| Err(defect())), raised)
        })
    }

    /// The sender goes away with this call, which is how the other side learns that it is over.
    fn work(&self, watched: &Watched, news: Sender<News>) -> contracts::Result<()> {
        // Made here or before a fork, it serves in this process.
        let worker = Worker { threads: at_hand(self.worker.threads), ..self.worker.clone() };
        let serve = || worker.serve_at(&self.place, &self.stop, watched, &news);
        catch_unwind(AssertUnwindSafe(serve)).unwrap_or_else(|_| Err(defect()))
    }
}

/// Waits a moment for news and tells it; gives whether there may be more.
fn next(news: &Receiver<News>, listener: Option<&Py<PyAny>>) -> PyResult<bool> {
    let news = match news.recv_timeout(GLANCE) {
        Ok(news) => news,
        Err(RecvTimeoutError::Timeout) => return Ok(true),
        Err(RecvTimeoutError::Disconnected) => return Ok(false),
    };
    if let Some(tell) = listener {
        let (kind, text) = told(&news).map_err(crate::failure::Error::Refused)?;
        Python::attach(|py| tell.call1(py, (kind, text)).map(drop))?;
    }
    Ok(true)
}

/// What happened, as a kind and a JSON object.
fn told(news: &News) -> contracts::Result<(&'static str, String)> {
    Ok(match news {
        News::Job(key, invocation) => ("job", json(&json!({ "job": key, "invocation": ***invocation }))?),
        News::Run(worked) => {
            let failure = worked.failure.as_ref().map(ErrorResponse::from);
            let state = worked.run.as_ref().map(|run| run.progress.state);
            ("run", json(&json!({ "train_run_id": worked.run_id, "state": state, "failure": failure }))?)
        }
        News::Trouble(failure) => ("trouble", json(&ErrorResponse::from(failure))?),
    })
}
