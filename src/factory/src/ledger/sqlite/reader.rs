//! Reading a ledger whose file cannot be written to, also beside those who reach it by another way and write.
//!
//! Beside a file that nobody has open there is no log, and SQLite could not make the files that it reads a log with: then the
//! file is all there is, and is read as one that does not change. Who may change it is another process; so a connection
//! serves one read, and a read in whose course the file changed is repeated. Where a log stands SQLite locks what it reads.
//!
//! Flows in: the ledger's path. Flows out: what a query finds. Invariant: what is given was read of one moment.

#![allow(clippy::disallowed_methods, reason = "the ledger's files are looked at here")]

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use contracts::{Code, Failure, Result};
use rusqlite::{Connection, OpenFlags};

use super::{
    FLAGS,
    at_work::AtWork,
    trouble::{beside, trouble, unavailable},
    whole::Whole,
};
use crate::clock::Stop;

/// How often a read is begun, beside writers who come and go.
const READS: u32 = 30;

/// Waited before another.
const PAUSE_SECONDS: f64 = 0.01;

/// Reads what stands, again where it changed meanwhile.
pub(super) fn read<T>(path: &Path, mut query: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
    let mut troubled = None;
    for round in 0..READS {
        if round > 0 {
            Stop::default().wait(PAUSE_SECONDS);
        }
        let before = Seen::of(path)?;
        let found = once(path, before.log.is_some(), &mut query);
        let is_settled = before == Seen::of(path)?;
        match found {
            Ok(found) if is_settled || before.log.is_some() => return Ok(found),
            Err(failure) if is_settled && !is_passing(&failure) => return Err(failure),
            Ok(_) => {}
            Err(failure) => troubled = Some(failure),
        }
    }
    Err(restless(path, troubled))
}

fn once<T>(path: &Path, log_stands: bool, query: &mut impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
    let at_work = AtWork::begin()?;
    let _whole = Whole::require(path, &at_work)?;
    query(&mut connection(path, log_stands)?)
}

fn connection(path: &Path, log_stands: bool) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | FLAGS;
    if log_stands {
        return Connection::open_with_flags(path, flags).map_err(trouble);
    }
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let url = format!("file:{escaped}?immutable=1");
    Connection::open_with_flags(url, flags | OpenFlags::SQLITE_OPEN_URI).map_err(trouble)
}

/// What the ledger's file and its log are told by; each write changes some of it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    file: Vec<i64>,
    log: Option<Vec<i64>>,
}

impl Seen {
    fn of(path: &Path) -> Result<Self> {
        let told = |path: &Path| {
            fs::symlink_metadata(path).map(|found| {
                let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
                [&[found.dev() as i64, found.ino() as i64, found.size() as i64], &times[..]].concat()
            })
        };
        let failed = |error| unavailable(&path.display().to_string(), error);
        let log = match told(&beside(path, "-wal")) {
            Ok(log) => Some(log),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { file: told(path).map_err(failed)?, log })
    }
}

/// Whether it may be of those who come and go: a log without the files that it is read with, or what is locked.
fn is_passing(failure: &Failure) -> bool {
    failure.code == Code::LedgerUnavailable && failure.retryable()
}

fn restless(path: &Path, troubled: Option<Failure>) -> Failure {
    let last = troubled.map(|failure| format!(" ({})", failure.detail)).unwrap_or_default();
    let detail = format!(
        "the ledger {} can only be read here, and could not be at rest: others write to it, or left a log that is read with \
         files that cannot be made here{last}",
        path.display()
    );
    Failure::new(Code::LedgerUnavailable, detail)
        .with_hint("Try again, or open it where it can be written to.")
}
