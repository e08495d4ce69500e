//! The ledger of runs: who asked, who works, what happened, in an order that cannot be rewritten unseen.
//!
//! ```text
//!   submit ──► run (QUEUED) ──► claim ──► Lease ──► advance, begin_publish, heartbeat, release
//!                  │                                      │  each refused once the lease is lost
//!   cancel ────────┴────────── events, chained by hash ◄──┘
//! ```
//!
//! Flows in: requests and what workers report. Flows out: runs and their events. Invariants: one run a run
//! key, whoever asks and however often; at most one live lease a run, and only its holder changes it; the
//! row of a run is the fold of its events; every row is compared with its digest at each read.
//!
//! The state machine (`state`), the chain (`event`) and the rules of leases (`run`) know no SQL; the verbs
//! (`book`) and their statements (`rows`) know no database. SQLite and PostgreSQL only carry out transactions
//! (`database`), so that both keep the same promises by the same code.

mod anchor;
mod book;
mod cells;
mod database;
mod event;
mod postgres;
mod rows;
mod run;
mod signer;
mod sqlite;
mod state;
mod versions;

use std::{path::Path, sync::Arc};

use contracts::{
    Code, Digest, Failure, Result,
    identity::ids::TrainRunId,
    names::{Name, Principal, RequestId},
    time::Timestamp,
    train_request::RequestPayload,
    train_run_key::TrainRunKey,
};
use serde::Serialize;
use serde_json::Value;

use crate::clock::Clock;

pub use anchor::{Anchor, Anchors};
pub use event::{Event, EventKind};
pub use postgres::PostgresLedger;
pub use run::{Holder, LONGEST_LEASE, Lease, Move, Run};
pub use signer::{Founding, Signers};
pub use sqlite::SqliteLedger;
pub use state::{Mode, PUBLISH_RETRIES, Progress, State, Step};

/// A request as it is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The caller's name for the request.
    pub request_id: RequestId,
    /// Digest of everything else in the request.
    pub payload_hash: Digest<RequestPayload>,
    /// The run that the request asks for.
    pub run_id: TrainRunId,
    /// What makes that run the run it is.
    pub run_key: Digest<TrainRunKey>,
    /// The request in canonical bytes.
    pub request: Vec<u8>,
    /// Whether the request allows a PASS to be published.
    pub publish_allowed: bool,
    /// Who asks.
    pub requester: Principal,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The run that was asked for.
    pub run: Run,
    /// Whether this submission made it.
    pub fresh: bool,
}

/// What the whole ledger comes to: kept outside of it, it shows that history was cut off or replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// How many runs there are.
    pub runs: u64,
    /// How many events they have.
    pub events: u64,
    /// Over the id and last hash of each run: the recipe `ledger_head.v1`.
    pub digest: Digest<Head>,
}

/// By what a ledger knows its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// What tells this ledger from every other: the digest of the first signer's row, with the moment at which it came;
    /// none in a factory that is being made.
    pub founding: Option<Digest<Founding>>,
    /// The run that was admitted last.
    pub latest: Option<Run>,
}

/// A ledger of runs. Every write is one durable transaction.
pub trait Ledger: Send + Sync {
    /// Admits a request.
    ///
    /// The same request id with the same payload is the run it made, with another payload
    /// `REQUEST_ID_PAYLOAD_MISMATCH`. Another request id for a run that exists joins it and may widen what
    /// is allowed.
    fn submit(&self, submission: &Submission) -> Result<Admission>;

    /// Admits a request and, where that makes a run, claims it for the worker in the same transaction: nobody else sees it
    /// before. A run that was there is claimed by a claim of its own.
    fn submit_and_claim(
        &self,
        submission: &Submission,
        worker: &Name,
        seconds: u32,
    ) -> Result<(Admission, Option<Lease>)>;

    /// Takes the run that has waited longest, or only the given one, for so many seconds, [`LONGEST_LEASE`] at the most;
    /// `None` where nothing is to be done. A run that something kept from succeeding rests before it is taken again,
    /// longer each time, unless it is the given one.
    ///
    /// A given run whose publish retries are used up is `PUBLISH_RETRY_EXHAUSTED`.
    fn claim(&self, worker: &Name, seconds: u32, only: Option<&TrainRunId>) -> Result<Option<Lease>>;

    /// Holds the run for the lease's seconds from now on, and says until when.
    fn heartbeat(&self, lease: &Lease) -> Result<Timestamp>;

    /// Reports what became of the run, move after move: all of them or, where one is refused, none.
    fn report(&self, lease: &Lease, moves: &[Move]) -> Result<Run>;

    /// Reports what the run reached.
    fn advance(&self, lease: &Lease, to: State, reason: Option<Code>, detail: Value) -> Result<Run> {
        self.report(lease, &[Move::to(to, reason, detail)])
    }

    /// Starts the handshake with the registry.
    fn begin_publish(&self, lease: &Lease) -> Result<Run> {
        self.report(lease, &[Move::begin_publish()])
    }

    /// Gives the run back, so that anyone can claim it at once.
    fn release(&self, lease: &Lease) -> Result<Run> {
        self.report(lease, &[Move::release()])
    }

    /// Stops a run for good, whoever holds it: FAIL with `RUN_CANCELLED`. Its holder's lease is lost.
    ///
    /// Refuses with `INVALID_TRANSITION` a run that was judged already; one that was cancelled stays as it is.
    fn cancel(&self, id: &TrainRunId, detail: Value) -> Result<Run>;

    /// Lets a pending publication be tried as often as a new one, beginning at once.
    ///
    /// Refuses with `INVALID_TRANSITION` a run that is not `PUBLISH_PENDING`; one that has every retry stays as it is.
    fn allow_retries(&self, id: &TrainRunId, detail: Value) -> Result<Run>;

    /// A run; `RUN_NOT_FOUND` where there is none.
    fn run(&self, id: &TrainRunId) -> Result<Run>;

    /// The runs in a state, or in any, at most so many, latest admission first.
    fn runs(&self, state: Option<State>, limit: u32) -> Result<Vec<Run>>;

    /// The runs that earned a receipt, as far as something happened on them within so many seconds before the latest
    /// such event, in the order in which it did.
    fn lately_at_rest(&self, seconds: u32) -> Result<Vec<Run>>;

    /// The events of a run from the first.
    fn events(&self, id: &TrainRunId) -> Result<Vec<Event>>;

    /// What shows whether objects are those of this ledger.
    fn marks(&self) -> Result<Marks>;

    /// Computes every hash, digest and fold again; `LEDGER_CORRUPT` names the first run that is wrong.
    fn verify(&self) -> Result<Head>;
}

/// A ledger that holds the registry's anchors and knows the factory's signers too.
pub trait AnchoredLedger: Ledger + Anchors + Signers {}

impl<T: Ledger + Anchors + Signers> AnchoredLedger for T {}

/// What becomes of a place that holds no ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// One is made.
    Make,
    /// It is refused with `SOURCE_UNREADABLE`.
    Refuse,
}

/// Opens the ledger at a place: a `postgresql://` URL or the path of a SQLite file. An older one is brought up to date.
///
/// SQLite goes by the clock; PostgreSQL serves many machines, and goes by the database's own.
pub fn open(place: &Path, absent: Absent, clock: Arc<dyn Clock>) -> Result<Arc<dyn AnchoredLedger>> {
    match place.to_str().and_then(|url| Some((url, url.split_once("://")?.0))) {
        None => Ok(Arc::new(SqliteLedger::open_at(place, absent, clock)?)),
        Some((url, "postgresql" | "postgres")) => Ok(Arc::new(PostgresLedger::open_at(url, absent)?)),
        Some(_) => {
            let expected = "a postgresql:// URL or the path of a file";
            Err(Failure::at(Code::ParameterInvalid, "ledger", expected, "another URL (not shown)"))
        }
    }
}

#[cfg(test)]
mod tests;
