//! The promises of a ledger, tried on each database that can hold one.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests look behind the ledger")]

use std::{
    env,
    path::PathBuf,
    process::{Child, Command},
    sync::{Arc, Barrier, OnceLock},
    thread,
};

use contracts::{Code, Digest, Result, identity::ids::TrainRunId, names::Name, time::Timestamp};
use rusqlite::Connection;
use serde_json::json;

use super::{database::Backend, *};
use crate::{
    clock::{Clock, FixedClock},
    failpoint::{self, Failpoint},
};

#[allow(unreachable_pub, reason = "shared with the tests outside of the crate")]
#[path = "../../../tests/support/postgres.rs"]
pub(super) mod server;

/// Makes a test of each function for each database: it is given a bench with an empty ledger.
macro_rules! on_each_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            use crate::ledger::tests::Bench;
            $(#[test] fn $name() { super::$name(&Bench::sqlite()); })*
        }

        mod postgres {
            use crate::ledger::tests::Bench;
            $(#[test] fn $name() {
                if let Some(bench) = Bench::postgres() {
                    super::$name(&bench);
                }
            })*
        }
    };
}

mod anchors;
mod claims;
mod digests;
mod leases;
mod signers;
mod submissions;
mod tampering;

const CHILD_PLACE: &str = "MODEL_FACTORY_TEST_LEDGER";

/// A ledger with a clock that stands still.
pub(super) struct Bench {
    pub(super) clock: Arc<FixedClock>,
    pub(super) ledger: Arc<dyn AnchoredLedger>,
    pub(super) place: Place,
}

/// Where the ledger of a bench is, and a way to its tables that no rule guards.
pub(super) enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(Box<server::Connection>, server::Database),
}

impl Bench {
    pub(super) fn sqlite() -> Self {
        Self::of(Place::Sqlite(tempfile::tempdir().unwrap()))
    }

    pub(super) fn postgres() -> Option<Self> {
        static TEMPLATE: OnceLock<server::Database> = OnceLock::new();
        let server = server::server()?;
        let template = TEMPLATE.get_or_init(|| {
            let database = server.database(None);
            PostgresLedger::open(&database.url()).unwrap();
            database
        });
        let database = server.database(Some(&template.name));
        Some(Self::of(Place::Postgres(Box::new(behind(&database)), database)))
    }

    fn of(place: Place) -> Self {
        let clock = Arc::new(FixedClock::new(Timestamp::from_nanoseconds(1_000_000_000_000)));
        let ledger = open(&place.name(), &clock);
        Self { clock, ledger, place }
    }

    /// Another, empty, on the same kind of database.
    pub(super) fn another(&self) -> Self {
        match self.place {
            Place::Sqlite(_) => Self::sqlite(),
            Place::Postgres(..) => Self::postgres().unwrap(),
        }
    }

    /// The same ledger over a connection of its own.
    pub(super) fn open(&self) -> Arc<dyn AnchoredLedger> {
        open(&self.place.name(), &self.clock)
    }

    pub(super) fn submit(&self, number: u64, publish_allowed: bool) -> Run {
        self.ledger.submit(&submission(number, &format!("request-{number}"), publish_allowed)).unwrap().run
    }

    pub(super) fn claim(&self) -> Lease {
        self.ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap()
    }

    pub(super) fn advance(&self, lease: &Lease, to: State) -> Result<Run> {
        self.ledger.advance(lease, to, None, json!({}))
    }

    /// A run that passed and is held by the lease.
    pub(super) fn passed(&self, number: u64, publish_allowed: bool) -> Lease {
        self.submit(number, publish_allowed);
        let lease = self.claim();
        self.advance(&lease, State::EvalReady).unwrap();
        self.advance(&lease, State::Pass).unwrap();
        lease
    }

    /// Changes the tables behind the ledger's back, foreign keys or not.
    pub(super) fn edit(&self, sql: &str) {
        match &self.place {
            Place::Sqlite(folder) => raw(folder).execute_batch(sql).unwrap(),
            Place::Postgres(raw, _) => raw.batch(sql),
        }
    }

    /// Puts a run's row in by itself, or replaces the one that is at this epoch.
    pub(super) fn put(&self, run: &Run, epoch: Option<u64>) -> Result<()> {
        self.write(|transaction| match epoch {
            None => rows::insert_run(transaction, run),
            Some(epoch) => rows::update_run(transaction, run, epoch),
        })
    }

    /// Carries out a write that is none of the ledger's verbs.
    pub(super) fn write(
        &self,
        change: impl FnMut(&mut dyn database::Transaction) -> Result<()>,
    ) -> Result<()> {
        let name = self.place.name();
        match self.place {
            Place::Sqlite(_) => SqliteLedger::open(name, self.clock.clone())?.write(change),
            Place::Postgres(..) => PostgresLedger::open(&name)?.write(change),
        }
    }
}

impl Place {
    /// The path or the URL.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Sqlite(folder) => path(folder).to_str().unwrap().to_owned(),
            Self::Postgres(_, database) => database.url(),
        }
    }
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("ledger.sqlite")
}

fn raw(folder: &tempfile::TempDir) -> Connection {
    let connection = Connection::open(path(folder)).unwrap();
    connection.pragma_update(None, "foreign_keys", "OFF").unwrap();
    connection
}

/// A connection of the owner that looks at the ledger's tables and heeds no foreign key.
fn behind(database: &server::Database) -> server::Connection {
    let connection = server::Connection::to(&database.url());
    connection.batch("SET session_replication_role = replica; SET search_path = model_factory");
    connection
}

pub(super) fn open(place: &str, clock: &Arc<FixedClock>) -> Arc<dyn AnchoredLedger> {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    if place.starts_with("postgresql://") {
        Arc::new(PostgresLedger::open_by(place, clock).unwrap())
    } else {
        Arc::new(SqliteLedger::open(place, clock).unwrap())
    }
}

pub(super) fn worker(name: &str) -> Name {
    Name::new(name).unwrap()
}

pub(super) fn submission(number: u64, request_id: &str, publish_allowed: bool) -> Submission {
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
