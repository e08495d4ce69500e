//! The connection that a process has to a ledger's file, and what becomes of it in a fork.
//!
//! SQLite remembers for a whole process which locks it has on a file. A fork inherits that memory and none of the locks: a
//! connection that it opened beside an inherited one would hold no lock that others see, and whoever closes the ledger
//! elsewhere would take the log away under it, with all that the fork commits from then on. So what is inherited serves
//! nobody, and is let go of before anything is opened.
//!
//! SQLite also has locks within a process, for memory that all connections share. A fork inherits those that other threads
//! held in that moment, and nobody ever gives them back there: then it has to leave SQLite alone, for good.
//!
//! And it shares the index of a file's log among all connections of a process: one that is opened beside a connection whose
//! log was taken away would write by an index of what is gone.
//!
//! Invariant: letting go changes nothing outside of this process. A connection looks at its file as it is closed only to
//! tidy the log up, which it is told to leave to others, as is every one whose files are not in place any more or which may
//! not be the last; the lock of the lock file is its opener's until that gives it back.

use std::{
    fs::File,
    mem,
    path::Path,
    process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use contracts::{Code, Failure, Result};
use rusqlite::{Connection, config::DbConfig};

use super::{
    Held,
    place::{Place, identity, taken_away},
    whole::Whole,
};
use crate::opener::Opener;

/// The process that works with SQLite, above [`THREADS`], and how many of its threads do: a fork finds both as they were in
/// the moment of the fork.
static AT_WORK: AtomicU64 = AtomicU64::new(0);

/// The bits of [`AT_WORK`] that count threads.
const THREADS: u64 = u32::MAX as u64;

/// A thread's work with SQLite: whoever opens, uses or closes a connection has one meanwhile.
pub(super) struct AtWork(());

impl AtWork {
    /// Begins it; refuses in a process that was forked while another thread was at work.
    pub(super) fn begin() -> Result<Self> {
        let this = u64::from(process::id()) << THREADS.count_ones();
        let one_more = |before: u64| match (before & !THREADS == this, before & THREADS) {
            (true, _) => Some(before + 1),
            (false, 0) => Some(this + 1),
            (false, _) => None,
        };
        let begun = AT_WORK.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        begun.map(|_| Self(())).map_err(|_| at_work())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Every link of this process, and those that it inherited.
static LINKS: Mutex<Vec<Weak<Link>>> = Mutex::new(Vec::new());

fn links() -> MutexGuard<'static, Vec<Weak<Link>>> {
    LINKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is open of a ledger; none once a fork let go of it.
pub(super) struct Link {
    opener: Opener,
    place: Place,
    open: Mutex<Option<(Connection, File, Whole)>>,
}

impl Link {
    /// Of a connection to what is whole, the place of its files, and the lock file beside them.
    pub(super) fn of(connection: Connection, whole: Whole, place: Place, lock: File) -> Arc<Self> {
        let opener = Opener::this_process();
        let link = Arc::new(Self { opener, place, open: Mutex::new(Some((connection, lock, whole))) });
        let mut links = links();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        link
    }

    /// Works with the connection while no other thread does.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Connection, &File) -> Result<T>) -> Result<T> {
        self.opener.require(Code::LedgerUnavailable, "ledger")?;
        let _at_work = AtWork::begin()?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((connection, lock, _)) = &mut *open else {
            return Err(Failure::new(Code::InternalError, "a ledger that this process let go of"));
        };
        work(connection, lock)
    }

    /// Refuses files that were moved or replaced since they were opened.
    pub(super) fn require_in_place(&self) -> Result<()> {
        self.place.require()
    }

    /// Closes what this process inherited.
    fn let_go(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((connection, ..)) = open.take() {
            leave(connection);
        }
    }

    /// Closes what this process opened. Where it is the last, SQLite moves the log into the file: nobody may write in the
    /// meantime, and a log that is not the file's any more would undo what others wrote since.
    fn close(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some((connection, lock, _whole)) = open.take() else { return };
        match Held::at_once(&lock) {
            Some(_held) if self.place.require().is_ok() => drop(connection),
            // Who writes just now has it open too.
            _ => leave(connection),
        }
    }
}

/// Closes a connection that leaves the log to others.
fn leave(connection: Connection) {
    if connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).is_err() {
        mem::forget(connection);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        match AtWork::begin() {
            Ok(_at_work) if self.opener.is_this_process() => self.close(),
            Ok(_at_work) => self.let_go(),
            // Whatever it was in the middle of is another process's to end.
            Err(_) => mem::forget(self.open.get_mut().map(Option::take)),
        }
    }
}

/// Refuses to open a file beside a link of this process that has another log of it.
pub(super) fn require_one_log(path: &Path) -> Result<()> {
    let Ok(file) = identity(path) else { return Ok(()) };
    let stale = |link: &Arc<Link>| link.place.is_of(file) && link.place.require().is_err();
    if links().iter().filter_map(Weak::upgrade).any(|link| stale(&link)) {
        return Err(taken_away(path));
    }
    Ok(())
}

/// Lets go of every link that this process inherited.
pub(super) fn let_go_of_inherited(_: &AtWork) {
    let mut links = links();
    let inherited = |link: &Arc<Link>| !link.opener.is_this_process();
    links.iter().filter_map(Weak::upgrade).filter(inherited).for_each(|link| link.let_go());
    links.retain(|link| link.upgrade().is_some_and(|link| !inherited(&link)));
}

fn at_work() -> Failure {
    let detail = "the process that forked this one was at work with a ledger at that moment";
    Failure::new(Code::LedgerUnavailable, detail)
        .with_hint("Fork while no other thread is at work, or start processes by spawn or forkserver.")
        .lasting()
}
