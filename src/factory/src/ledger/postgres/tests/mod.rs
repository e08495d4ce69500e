//! What PostgreSQL alone can do to a ledger.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests look behind the ledger")]

use contracts::time::Timestamp;

use super::*;
use crate::ledger::{
    Ledger, Move, Run, State,
    database::Lock,
    rows,
    tests::{
        Bench, Place,
        server::{Connection, Database, PASSWORD, Server, server},
        submission, worker,
    },
};

mod outages;
mod proxy;
mod schema;
mod statements;
mod ways;

fn raw(bench: &Bench) -> &Connection {
    match &bench.place {
        Place::Postgres(raw, _) => raw,
        Place::Sqlite(_) => panic!("a bench of another database"),
    }
}

fn database(bench: &Bench) -> &Database {
    match &bench.place {
        Place::Postgres(_, database) => database,
        Place::Sqlite(_) => panic!("a bench of another database"),
    }
}

fn refused(url: &str) -> Failure {
    PostgresLedger::open(url).err().unwrap()
}
