//! The ledger in one SQLite file.
//!
//! ```text
//!   write: mutex ──► lock file ──► BEGIN IMMEDIATE ──► read, decide in Rust, write ──► COMMIT (fsync)
//! ```
//!
//! Flows in and out: what `Ledger` says. Invariants: a write is one transaction that survives a power cut
//! once it is acknowledged; writers of all processes take the lock file in turn, and none waits for ever for one
//! that was stopped; time is read once the lock is held, so that the order
//! of times is the order of writes on one clock. Where the file or its folder cannot be written to, such as in
//! an auditor's copy, the ledger can be read all the same. What is open serves the process that opened it, and no fork, and
//! only while it stands where it stood.

#![allow(clippy::disallowed_methods, reason = "the ledger's file is opened here, and nothing else is")]

mod at_work;
mod link;
mod lock;
mod log;
mod place;
mod reader;
mod schema;
mod trouble;
mod whole;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use contracts::{Code, Failure, Result, time::Timestamp};
use rusqlite::{
    Connection, OpenFlags, Row, ToSql, TransactionBehavior, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};
use rustix::fs::Access;

use self::{
    at_work::AtWork,
    link::{Link, keeping, let_go_of_inherited, require_one_log},
    lock::{Held, Kept, lock_file, private_files},
    place::{Place, identity},
    trouble::{beside, of_room, trouble, unavailable},
    whole::{Whole, require_unbroken},
};
use super::{
    Absent,
    database::{Backend, Cell, Columns, Query, Transaction, Unreadable},
    versions,
};
use crate::{
    clock::Clock,
    failpoint::{Failpoint, hit},
    store::create_durably,
};

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX.union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

/// A ledger in one SQLite file, shared by any number of processes on one machine.
pub struct SqliteLedger {
    path: PathBuf,
    /// What writing takes, and who writes reads by too; none where it can only be read.
    writer: Option<Arc<Link>>,
    clock: Arc<dyn Clock>,
}

impl SqliteLedger {
    /// Opens the ledger in this file, creating it or bringing it up to date, with the clock that leases and
    /// events go by.
    pub fn open(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_at(path.as_ref(), Absent::Make, clock)
    }

    /// Does so, but makes none unless it is to.
    pub(super) fn open_at(path: &Path, absent: Absent, clock: Arc<dyn Clock>) -> Result<Self> {
        let name = path.display().to_string();
        let path = std::path::absolute(path).map_err(|error| unavailable(&name, error))?;
        if path.is_symlink() {
            // Its log would stand beside the link, where those who name the file itself do not look.
            let detail = format!("the ledger {name} is a link");
            return Err(Failure::new(Code::LedgerUnavailable, detail).with_hint("Name the file.").lasting());
        }
        if absent == Absent::Refuse && !path.is_file() {
            return Err(versions::none());
        }
        let at_work = AtWork::begin()?;
        let_go_of_inherited(&at_work);
        let writer = match files(&path) {
            Ok(file) => {
                let begun = begin(&path, &file, absent, &at_work);
                Some(begun.map_err(|failure| of_room(&path, failure))?)
            }
            Err(error) if is_read_only(&error) && path.is_file() => {
                reader::read(&path, |connection| schema::require_current(connection)).map(|()| None)?
            }
            Err(error) if error.kind() == io::ErrorKind::TooManyLinks => return Err(linked(&name)),
            Err(error) => return Err(unavailable(&name, error)),
        };
        Ok(Self { path, writer, clock })
    }

    fn writer(&self) -> Result<&Link> {
        self.writer.as_deref().ok_or_else(|| {
            let detail = format!("the ledger {} can only be read here", self.path.display());
            Failure::new(Code::LedgerUnavailable, detail).lasting()
        })
    }
}

/// Opens a ledger to write to, by the name that it was given and its file, and brings it up to date.
fn begin(name: &Path, path: &Path, absent: Absent, at_work: &AtWork) -> Result<Arc<Link>> {
    let held = Held::wait(path)?;
    require_one_log(path)?;
    require_file_of_log(path)?;
    let whole = Whole::require(path, at_work)?;
    let known = keeping(path);
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | FLAGS).map_err(trouble)?;
    let file = identity(path)?;
    schema::missing(&connection, absent)?;
    configure(&connection)?;
    schema::migrate(&mut connection, schema::MIGRATIONS)?;
    let kept = known.map_or_else(|| Kept::of(path).map(Arc::new), Ok)?;
    let place = Place::of(name, path, file)?;
    let link = Link::of(connection, whole, kept, place);
    // Whoever opens it next here finds the link.
    drop(held);
    Ok(link)
}

/// Refuses an empty file beside a log that is none: SQLite would take the log, which is all there is, for rubbish.
fn require_file_of_log(path: &Path) -> Result<()> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    if length(path) > 0 || length(&beside(path, "-wal")) == 0 {
        return Ok(());
    }
    let detail = format!("{} is empty, and the log beside it is not", path.display());
    Err(Failure::new(Code::LedgerCorrupt, detail).with_hint(
        "Bring back the file that the log belongs to, or take the log away: docs/reliability.md, Copies.",
    ))
}

impl Backend for SqliteLedger {
    fn write<T>(&self, mut change: impl FnMut(&mut dyn Transaction) -> Result<T>) -> Result<T> {
        let writer = self.writer()?;
        let written = writer.with(|connection| {
            // Nothing is made where the ledger is not, and nobody moved it while others were waited for.
            writer.require_in_place()?;
            let held = Held::wait(writer.path())?;
            writer.require_in_place()?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(trouble)?;
            let mut open = Open { transaction, clock: &*self.clock };
            let outcome = change(&mut open)?;
            hit(Failpoint::LedgerBeforeCommit)?;
            open.transaction.commit().map_err(trouble)?;
            // Somebody without this lock, such as another program, may have taken the log away since.
            writer.require_in_place()?;
            drop(held);
            hit(Failpoint::LedgerAfterCommit)?;
            Ok(outcome)
        });
        written.map_err(|failure| of_room(&self.path, failure))
    }

    fn read<T>(&self, mut query: impl FnMut(&mut dyn Transaction) -> Result<T>) -> Result<T> {
        let mut read = |connection: &mut Connection| {
            let transaction = connection.transaction().map_err(trouble)?;
            query(&mut Open { transaction, clock: &*self.clock })
        };
        let found = match &self.writer {
            Some(writer) => writer.with(|connection| {
                writer.require_in_place()?;
                read(connection)
            }),
            None => reader::read(&self.path, read),
        };
        found.map_err(|failure| of_room(&self.path, failure))
    }
}

/// A transaction that is open. A write's holds the lock file, so that no row needs a lock of its own.
struct Open<'a> {
    transaction: rusqlite::Transaction<'a>,
    clock: &'a dyn Clock,
}

impl Open<'_> {
    /// Carries a statement out, and says how many rows it touched.
    fn execute(&self, sql: &str, parameters: &[Cell]) -> Result<usize> {
        let mut statement = self.transaction.prepare_cached(sql).map_err(trouble)?;
        statement.execute(params_from_iter(parameters)).map_err(trouble)
    }
}

impl Transaction for Open<'_> {
    fn now(&mut self) -> Result<Timestamp> {
        Ok(self.clock.now())
    }

    fn select(
        &mut self,
        queries: &[Query<'_>],
        take: &mut dyn FnMut(usize, &dyn Columns) -> Result<()>,
    ) -> Result<()> {
        for (place, query) in queries.iter().enumerate() {
            let mut statement = self.transaction.prepare_cached(query.sql).map_err(trouble)?;
            let mut rows = statement.query(params_from_iter(query.parameters)).map_err(trouble)?;
            while let Some(row) = rows.next().map_err(trouble)? {
                take(place, row)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, sql: &'static str, parameters: &[Cell]) -> Result<()> {
        self.execute(sql, parameters).map(drop)
    }

    fn update(&mut self, sql: &'static str, parameters: &[Cell], otherwise: Failure) -> Result<()> {
        if self.execute(sql, parameters)? == 0 { Err(otherwise) } else { Ok(()) }
    }

    fn check(&mut self) -> Result<()> {
        let path = self.transaction.path().map(Path::new);
        if let Some((path, kept)) = path.and_then(|path| Some((path, keeping(path)?))) {
            require_unbroken(path, &kept)?;
        }
        let check: String =
            self.transaction.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(trouble)?;
        if check == "ok" {
            Ok(())
        } else {
            Err(Failure::new(Code::LedgerCorrupt, "the ledger's file is damaged"))
        }
    }
}

impl Columns for Row<'_> {
    fn text(&self, place: usize) -> Result<Option<&str>, Unreadable> {
        let cell = self.get_ref(place).map_err(|_| Unreadable)?;
        cell.as_str_or_null().map_err(|_| Unreadable)
    }

    fn integer(&self, place: usize) -> Result<Option<i64>, Unreadable> {
        self.get(place).map_err(|_| Unreadable)
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// The file, whose folder is made durably with it, and the lock file; SQLite would create it readable for others.
fn files(path: &Path) -> io::Result<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::IsADirectory.into());
    };
    create_durably(folder)?;
    let folder = folder.canonicalize()?;
    let path = folder.join(name);
    match private_files().create_new(true).open(&path) {
        // Not opened: a process that closes a file lets go of every lock that it has on it, also of those of a connection
        // that it opened before.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            rustix::fs::access(&path, Access::READ_OK | Access::WRITE_OK)?;
            let found = fs::symlink_metadata(&path)?;
            if found.is_file() && found.nlink() > 1 {
                // Each name would have a log of its own, of which those who name another know nothing.
                return Err(io::ErrorKind::TooManyLinks.into());
            }
        }
        made => drop(made?),
    }
    lock_file(&path)?;
    File::open(folder)?.sync_all()?;
    Ok(path)
}

fn linked(name: &str) -> Failure {
    let detail = format!("the ledger {name} is one file under several names (hard links)");
    Failure::new(Code::LedgerUnavailable, detail)
        .with_hint(
            "Let it have one name: close it, and take the others away. A copy is made by SQLite's own backup: \
             docs/reliability.md, Copies.",
        )
        .lasting()
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
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

#[cfg(test)]
mod tests;
