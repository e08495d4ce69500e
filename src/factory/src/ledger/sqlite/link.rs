//! The connection that a process has to a ledger's file, and what becomes of it in a fork.
//!
//! SQLite remembers for a whole process which locks it has on a file. A fork inherits that memory and none of the locks: a
//! connection that it opened beside an inherited one would hold no lock that others see, and whoever closes the ledger
//! elsewhere would take the log away under it, with all that the fork commits from then on. So what is inherited serves
//! nobody, and is let go of before anything is opened.
//!
//! And it shares the index of a file's log among all connections of a process: one that is opened beside a connection whose
//! log was taken away would write by an index of what is gone. So that one is closed first.
//!
//! Invariant: letting go changes nothing outside of this process. A connection looks at its file as it is closed only to
//! tidy the log up, which it is told to leave to others, as is every one whose files are not in place any more or which may
//! not be the last.

use std::{
    mem,
    path::Path,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak},
};

use contracts::{Code, Result};
use rusqlite::{Connection, config::DbConfig};

use super::{
    at_work::AtWork,
    lock::{Held, Kept},
    place::{Place, identity, taken_away},
    whole::{Whole, require_unbroken},
};
use crate::opener::Opener;

/// What this process, or the one that it is a fork of, has open.
struct Entry {
    place: Place,
    kept: Weak<Kept>,
    link: Weak<Link>,
}

/// Every link, from when it has its connection until that is closed.
static LINKS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

fn links() -> MutexGuard<'static, Vec<Entry>> {
    LINKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those that somebody has. What drops the last of them closes it, and no other link can be looked at meanwhile.
fn living(wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Link>> {
    links().iter().filter(|entry| wanted(entry)).filter_map(|entry| entry.link.upgrade()).collect()
}

/// A connection to what is whole, and what says that there is one.
struct Open {
    connection: Connection,
    kept: Arc<Kept>,
    whole: Whole,
}

/// What is open of a ledger; none once it was let go of.
pub(super) struct Link {
    opener: Opener,
    place: Place,
    open: Mutex<Option<Open>>,
}

impl Link {
    /// Of a connection to what is whole, what it is kept by, and the place of its files.
    pub(super) fn of(connection: Connection, whole: Whole, kept: Arc<Kept>, place: Place) -> Arc<Self> {
        Arc::new_cyclic(|link| {
            let (link, kept_by) = (link.clone(), Arc::downgrade(&kept));
            links().push(Entry { place: place.clone(), kept: kept_by, link });
            let open = Mutex::new(Some(Open { connection, kept, whole }));
            Self { opener: Opener::this_process(), place, open }
        })
    }

    /// The ledger's file.
    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Works with the connection while no other thread does.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        self.opener.require(Code::LedgerUnavailable, "ledger")?;
        let _at_work = AtWork::begin()?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *open {
            Some(open) => work(&mut open.connection),
            None => Err(taken_away(self.path())),
        }
    }

    /// Refuses files that were moved or replaced since they were opened.
    pub(super) fn require_in_place(&self) -> Result<()> {
        self.place.require()
    }

    /// Closes what it has open, and leaves the log to others; `false` while another thread works with it.
    fn let_go(&self) -> bool {
        let mut open = match self.open.try_lock() {
            Ok(open) => open,
            Err(TryLockError::Poisoned(open)) => open.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if let Some(Open { connection, kept, whole: _whole }) = open.take() {
            leave(connection);
            forget(kept);
        }
        true
    }

    /// Closes what this process opened. What may be the last has SQLite move the log into the file: nobody may write in the
    /// meantime, and a log that is not the file's any more would undo what others wrote since. One that was damaged would
    /// damage the file, and is left as it is. Where this process has another connection to it, there is nothing to look at.
    fn close(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(Open { connection, kept, whole: _whole }) = open.take() else { return };
        let in_place = || self.place.require().is_ok();
        let held = if in_place() { Held::at_once(self.path()) } else { None };
        let is_last = Arc::strong_count(&kept) == 1;
        if held.is_some() && is_last && in_place() && require_unbroken(self.path(), &kept).is_ok() {
            kept.give_back();
            drop(connection);
        } else {
            // Who writes just now has it open too.
            leave(connection);
        }
        forget(kept);
    }
}

/// Closes a connection that leaves the log to others.
fn leave(connection: Connection) {
    if connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).is_err() {
        mem::forget(connection);
    }
}

/// Closes what it is kept by, unless others have it: nobody looks for it meanwhile, to open another connection.
fn forget(kept: Arc<Kept>) {
    let _links = links();
    drop(kept);
}

impl Drop for Link {
    fn drop(&mut self) {
        let Ok(_at_work) = AtWork::begin() else {
            // Whatever it was in the middle of is another process's to end, and what that had locked stays so here.
            return mem::forget(self.open.get_mut().map(Option::take));
        };
        if self.opener.is_this_process() {
            self.close();
        } else {
            self.let_go();
        }
        links().retain(|entry| !ptr::eq(entry.link.as_ptr(), self));
    }
}

/// Lets go of every link of this process that has another log of this file; refuses while one is at work or being closed.
pub(super) fn require_one_log(path: &Path) -> Result<()> {
    let Ok(file) = identity(path) else { return Ok(()) };
    let stale = |entry: &Entry| entry.place.is_of(file) && entry.place.require().is_err();
    for link in living(stale) {
        if !link.let_go() {
            return Err(taken_away(path));
        }
    }
    if links().iter().any(|entry| entry.link.strong_count() == 0 && stale(entry)) {
        return Err(taken_away(path));
    }
    Ok(())
}

/// What says already that this file is open here.
pub(super) fn keeping(path: &Path) -> Option<Arc<Kept>> {
    let file = identity(path).ok()?;
    links().iter().filter(|entry| entry.place.is_of(file)).find_map(|entry| entry.kept.upgrade())
}

/// Lets go of every link that this process inherited.
pub(super) fn let_go_of_inherited(_: &AtWork) {
    for link in living(|_| true) {
        if !link.opener.is_this_process() {
            link.let_go();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests take files away")]

    use std::fs;

    use super::*;
    use crate::ledger::sqlite::trouble::beside;

    /// Until its connection is closed it shares the index of its log with every other of the process.
    #[test]
    fn a_link_that_is_being_closed_is_still_one_to_another_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("ledger.sqlite");
        for end in ["", "-wal", "-shm"] {
            fs::write(beside(&path, end), end).unwrap();
        }
        let place = Place::of(&path, &path, identity(&path).unwrap()).unwrap();
        links().push(Entry { place: place.clone(), kept: Weak::new(), link: Weak::new() });
        require_one_log(&path).unwrap();
        fs::remove_file(beside(&path, "-wal")).unwrap();
        assert_eq!(require_one_log(&path).unwrap_err().code, Code::LedgerUnavailable);
        links().retain(|entry| entry.place != place);
        require_one_log(&path).unwrap();
    }
}
