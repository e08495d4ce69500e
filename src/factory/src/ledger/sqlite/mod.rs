//! The ledger in one SQLite file.
//!
//! ```text
//!   write: mutex ──► lock file ──► BEGIN IMMEDIATE ──► read, decide in Rust, write ──► COMMIT (fsync)
//! ```
//!
//! Flows in and out: what `Ledger` says. Invariants: a write is one transaction that survives a power cut
//! once it is acknowledged; writers of all processes wait in the kernel's queue for the lock file, since
//! SQLite's own waiting is unfair and fails under load; time is read once the lock is held, so that the order
//! of times is the order of writes on one clock.

#![allow(clippy::disallowed_methods, reason = "the ledger's file is opened here, and nothing else is")]

mod anchors;
mod rows;
mod schema;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use contracts::{Code, Failure, Result, identity::ids::TrainRunId, names::Name, time::Timestamp};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::FlockOperation;
use serde_json::Value;

use super::{
    Admission, Head, Ledger, Submission,
    event::Event,
    run::{Lease, Move, RequestRow, Run, corrupt},
    state::State,
};
use crate::{
    clock::Clock,
    failpoint::{Failpoint, hit},
    store::create_durably,
};

/// A ledger in one SQLite file, shared by any number of processes on one machine.
pub struct SqliteLedger {
    connection: Mutex<Connection>,
    lock: File,
    clock: Arc<dyn Clock>,
}

impl SqliteLedger {
    /// Opens the ledger in this file, creating it or bringing it up to date, with the clock that leases and
    /// events go by.
    pub fn open(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = prepare(path.as_ref()).map_err(unavailable)?;
        let lock = private_file(&path.with_added_extension("lock")).map_err(unavailable)?;
        let held = Held::wait(&lock)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(trouble)?;
        configure(&connection)?;
        schema::migrate(&mut connection, schema::MIGRATIONS)?;
        drop(held);
        Ok(Self { connection: Mutex::new(connection), lock, clock })
    }

    /// Carries out one durable transaction.
    fn write<T>(&self, change: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<T>) -> Result<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let held = Held::wait(&self.lock)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(trouble)?;
        let outcome = change(&transaction, self.clock.now())?;
        hit(Failpoint::LedgerBeforeCommit)?;
        transaction.commit().map_err(trouble)?;
        drop(held);
        hit(Failpoint::LedgerAfterCommit)?;
        Ok(outcome)
    }

    /// Reads from one moment of the ledger.
    fn read<T>(&self, query: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction().map_err(trouble)?;
        query(&transaction)
    }
}

impl Ledger for SqliteLedger {
    fn submit(&self, submission: &Submission) -> Result<Admission> {
        submission.check()?;
        self.write(|transaction, now| {
            if let Some(request) = rows::request(transaction, &submission.request_id)? {
                return again(transaction, submission, &request);
            }
            let known = rows::run(transaction, &submission.run_id)?;
            let fresh = known.is_none();
            let (run, event) = match known {
                None => Run::admit(submission, now)?,
                Some(before) => before.join(submission, now)?,
            };
            if fresh {
                rows::insert_run(transaction, &run)?;
            } else {
                rows::update_run(transaction, &run, run.progress.epoch)?;
            }
            rows::insert_event(transaction, &event)?;
            rows::insert_request(transaction, &RequestRow::new(submission, &event))?;
            Ok(Admission { run, fresh })
        })
    }

    fn claim(&self, worker: &Name, seconds: u32, only: Option<&TrainRunId>) -> Result<Option<Lease>> {
        self.write(|transaction, now| {
            let claimed = match only {
                None => rows::first_waiting(transaction, |run| Lease::take_due(run, worker, seconds, now))?,
                Some(id) => Lease::take(&require_run(transaction, id)?, worker, seconds, now)?,
            };
            let Some((lease, event)) = claimed else { return Ok(None) };
            rows::update_run(transaction, lease.run(), lease.epoch() - 1)?;
            rows::insert_event(transaction, &event)?;
            Ok(Some(lease))
        })
    }

    fn heartbeat(&self, lease: &Lease) -> Result<Timestamp> {
        self.write(|transaction, now| {
            let before = require_run(transaction, lease.run_id())?;
            before.require_held(lease, now)?;
            let holder = lease.renewed(now);
            let expires_at = holder.expires_at;
            rows::update_run(transaction, &Run { holder: Some(holder), ..before }, lease.epoch())?;
            Ok(expires_at)
        })
    }

    fn report(&self, lease: &Lease, moves: &[Move]) -> Result<Run> {
        self.write(|transaction, now| {
            let mut run = require_run(transaction, lease.run_id())?;
            for moved in moves {
                let (after, event) = run.after_report(lease, moved, now)?;
                rows::insert_event(transaction, &event)?;
                run = after;
            }
            rows::update_run(transaction, &run, lease.epoch())?;
            Ok(run)
        })
    }

    fn cancel(&self, id: &TrainRunId, detail: Value) -> Result<Run> {
        self.write(|transaction, now| {
            let before = require_run(transaction, id)?;
            if before.reason == Some(Code::RunCancelled) {
                return Ok(before);
            }
            let (run, event) = before.cancelled(detail, now)?;
            rows::update_run(transaction, &run, before.progress.epoch)?;
            rows::insert_event(transaction, &event)?;
            Ok(run)
        })
    }

    fn run(&self, id: &TrainRunId) -> Result<Run> {
        self.read(|transaction| require_run(transaction, id))
    }

    fn runs(&self, state: Option<State>, limit: u32) -> Result<Vec<Run>> {
        self.read(|transaction| rows::latest(transaction, state, limit))
    }

    fn at_rest_since(&self, moment: Timestamp) -> Result<Vec<Run>> {
        self.read(|transaction| rows::at_rest_since(transaction, moment))
    }

    fn events(&self, id: &TrainRunId) -> Result<Vec<Event>> {
        self.read(|transaction| {
            let run = require_run(transaction, id)?;
            let events = rows::events(transaction, id)?;
            run.verify(&events, &rows::requests(transaction, id)?)?;
            Ok(events)
        })
    }

    fn verify(&self) -> Result<Head> {
        self.read(|transaction| {
            let check: String =
                transaction.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(trouble)?;
            if check != "ok" {
                return Err(Failure::new(Code::LedgerCorrupt, "the ledger's file is damaged"));
            }
            let mut heads = Vec::new();
            let mut count = 0;
            for run in rows::all_runs(transaction)? {
                let events = rows::events(transaction, &run.run_id)?;
                run.verify(&events, &rows::requests(transaction, &run.run_id)?)?;
                count += run.events;
                heads.push((run.run_id, run.head));
            }
            anchors::verify(transaction)?;
            match rows::orphan(transaction)? {
                None => Head::over(&heads, count),
                Some(run) => Err(corrupt(&run, "it has events or requests but no row")),
            }
        })
    }
}

/// The answer to a request id that was used before.
fn again(transaction: &Transaction<'_>, submission: &Submission, request: &RequestRow) -> Result<Admission> {
    if request.payload_hash != submission.payload_hash.to_string() {
        let detail = format!("{} was sent before with another content", submission.request_id);
        return Err(Failure::new(Code::RequestIdPayloadMismatch, detail));
    }
    let run = request
        .run_id
        .parse()
        .ok()
        .map_or(Ok(None), |id| rows::run(transaction, &id))?
        .ok_or_else(|| corrupt(&request.run_id, "a request names it, and it is not there"))?;
    Ok(Admission { run, fresh: false })
}

fn require_run(connection: &Connection, id: &TrainRunId) -> Result<Run> {
    rows::run(connection, id)?
        .ok_or_else(|| Failure::new(Code::RunNotFound, format!("{id} is not in the ledger")))
}

/// Creates the file and its folder durably; SQLite would create it readable for others.
fn prepare(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::IsADirectory.into());
    };
    create_durably(folder)?;
    let folder = folder.canonicalize()?;
    let path = folder.join(name);
    private_file(&path)?;
    File::open(folder)?.sync_all()?;
    Ok(path)
}

fn private_file(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow)
        .open(path)
}

fn configure(connection: &Connection) -> Result<()> {
    connection.busy_timeout(Duration::from_mins(1)).map_err(trouble)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(trouble)?;
    if mode != "wal" {
        return Err(Failure::new(Code::LedgerUnavailable, "the file system cannot hold a write-ahead log"));
    }
    for (name, value) in [("synchronous", "FULL"), ("foreign_keys", "ON"), ("trusted_schema", "OFF")] {
        connection.pragma_update(None, name, value).map_err(trouble)?;
    }
    Ok(())
}

/// The lock file, held until this goes away.
struct Held<'a>(&'a File);

impl<'a> Held<'a> {
    fn wait(lock: &'a File) -> Result<Self> {
        rustix::io::retry_on_intr(|| rustix::fs::flock(lock, FlockOperation::LockExclusive))
            .map_err(|error| unavailable(error.into()))?;
        Ok(Self(lock))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // The kernel gives the lock back with the file in any case.
        let _ = rustix::fs::flock(self.0, FlockOperation::Unlock);
    }
}

#[allow(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn unavailable(error: io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory => {
            Code::ResourceExhausted
        }
        _ => Code::LedgerUnavailable,
    };
    Failure::new(code, format!("could not open the ledger: {error}"))
}

#[allow(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn trouble(error: rusqlite::Error) -> Failure {
    let code = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::OutOfMemory) => Code::ResourceExhausted,
        // A constraint holds rows together that this code writes: only an edited ledger breaks one.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation) => {
            Code::LedgerCorrupt
        }
        _ => Code::LedgerUnavailable,
    };
    let detail = match error.sqlite_error() {
        Some(error) => error.to_string(),
        None => "the ledger gave an answer of another form".to_owned(),
    };
    Failure::new(code, detail)
}

#[cfg(test)]
mod tests;
