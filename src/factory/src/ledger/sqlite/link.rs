//! The connection that a process has to a ledger's file, and what becomes of it in a fork.
//!
//! SQLite remembers for a whole process which locks it has on a file. A fork inherits that memory and none of the locks: a
//! connection that it opened beside an inherited one would hold no lock that others see, and whoever closes the ledger
//! elsewhere would take the log away under it, with all that the fork commits from then on. So what is inherited serves
//! nobody, and is let go of before anything is opened.
//!
//! Invariant: letting go changes nothing outside of this process. A connection looks at its file as it is closed only to
//! tidy the log up, which it is told to leave to others; the lock of the lock file is its opener's until that gives it back.

use std::{
    fs::File,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak},
};

use contracts::{Code, Failure, Result};
use rusqlite::{Connection, config::DbConfig};

use crate::opener::Opener;

/// Every link of this process, and those that it inherited.
static LINKS: Mutex<Vec<Weak<Link>>> = Mutex::new(Vec::new());

fn links() -> MutexGuard<'static, Vec<Weak<Link>>> {
    LINKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is open of a ledger; none once a fork let go of it.
pub(super) struct Link {
    opener: Opener,
    open: Mutex<Option<(Connection, File)>>,
}

impl Link {
    /// Of a connection and the lock file beside it.
    pub(super) fn of(connection: Connection, lock: File) -> Arc<Self> {
        let opener = Opener::this_process();
        let link = Arc::new(Self { opener, open: Mutex::new(Some((connection, lock))) });
        let mut links = links();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        link
    }

    /// Works with the connection while no other thread does.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Connection, &File) -> Result<T>) -> Result<T> {
        self.opener.require(Code::LedgerUnavailable, "ledger")?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((connection, lock)) = &mut *open else {
            return Err(Failure::new(Code::InternalError, "a ledger that this process let go of"));
        };
        work(connection, lock)
    }

    /// Closes what this process inherited; refuses where a thread of its opener was at work with it.
    fn let_go(&self) -> Result<()> {
        let mut open = match self.open.try_lock() {
            Ok(open) => open,
            Err(TryLockError::Poisoned(open)) => open.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(at_work()),
        };
        if let Some((connection, _)) = open.take()
            && connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).is_err()
        {
            mem::forget(connection);
        }
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.opener.is_this_process() && self.let_go().is_err() {
            // In the middle of a transaction that is another process's to end.
            mem::forget(self.open.get_mut().map(Option::take));
        }
    }
}

/// Lets go of every link that this process inherited.
pub(super) fn let_go_of_inherited() -> Result<()> {
    let mut links = links();
    let inherited = |link: &Arc<Link>| !link.opener.is_this_process();
    links.iter().filter_map(Weak::upgrade).filter(inherited).try_for_each(|link| link.let_go())?;
    links.retain(|link| link.upgrade().is_some_and(|link| !inherited(&link)));
    Ok(())
}

fn at_work() -> Failure {
    let detail = "the process that forked this one was at work with a ledger at that moment";
    Failure::new(Code::LedgerUnavailable, detail)
        .with_hint("Fork while no other thread is at work, or start processes by spawn or forkserver.")
        .lasting()
}
