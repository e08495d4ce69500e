#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests look behind the ledger")]

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::{Child, Command},
    sync::Barrier,
    thread,
};

use contracts::Digest;
use serde_json::json;

use super::*;
use crate::{
    clock::FixedClock,
    failpoint,
    ledger::{Anchors, EventKind, LONGEST_LEASE, Mode, PUBLISH_RETRIES},
};

mod anchors;
mod files;
mod leases;
mod submissions;
mod tampering;

const CHILD_PATH: &str = "MODEL_FACTORY_TEST_LEDGER";

struct Bench {
    folder: tempfile::TempDir,
    clock: Arc<FixedClock>,
    ledger: SqliteLedger,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FixedClock::new(Timestamp::from_nanoseconds(1_000_000_000_000)));
        let ledger = open(&folder.path().join("ledger.sqlite"), &clock).unwrap();
        Self { folder, clock, ledger }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.sqlite")
    }

    fn submit(&self, number: u64, publish_allowed: bool) -> Run {
        self.ledger.submit(&submission(number, &format!("request-{number}"), publish_allowed)).unwrap().run
    }

    fn claim(&self) -> Lease {
        self.ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap()
    }

    fn advance(&self, lease: &Lease, to: State) -> Result<Run> {
        self.ledger.advance(lease, to, None, json!({}))
    }

    /// A run that passed and is held by the lease.
    fn passed(&self, number: u64, publish_allowed: bool) -> Lease {
        self.submit(number, publish_allowed);
        let lease = self.claim();
        self.advance(&lease, State::EvalReady).unwrap();
        self.advance(&lease, State::Pass).unwrap();
        lease
    }

    fn raw(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.pragma_update(None, "foreign_keys", "OFF").unwrap();
        connection
    }
}

fn open(path: &Path, clock: &Arc<FixedClock>) -> Result<SqliteLedger> {
    SqliteLedger::open(path, Arc::clone(clock) as Arc<dyn Clock>)
}

fn worker(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn submission(number: u64, request_id: &str, publish_allowed: bool) -> Submission {
    Submission {
        request_id: request_id.parse().unwrap(),
        payload_hash: Digest::of(format!("{number} {publish_allowed}").as_bytes()),
        run_id: TrainRunId::new(format!("tr_{number:032x}")).unwrap(),
        run_key: Digest::of(&number.to_be_bytes()),
        request: format!("{{\"number\":{number}}}").into_bytes(),
        publish_allowed,
        requester: "team/ada".parse().unwrap(),
    }
}

fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}
