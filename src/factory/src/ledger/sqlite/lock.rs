//! The locks that others see: who writes, and that the ledger is open here.
//!
//! Writers of all processes take the lock file in turn. It is opened for each of them anew: a lock belongs to what was opened,
//! which a fork shares, and would outlive a writer that died while a fork of it lived on.
//!
//! SQLite tells other processes by locks of the process that a ledger is open, and whoever closes the ledger as the last tidies
//! its log up. A process loses these locks, by a rule of POSIX, with the first descriptor of the file that anything in it
//! closes: a copy of the ledger made there, or a connection by another SQLite. Locks of an open file description stay, so the
//! ledger is held by two of those besides.

#![allow(clippy::disallowed_methods, reason = "the ledger's files are locked here")]

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use contracts::{Code, Failure, Result};
use rustix::fs::FlockOperation;

use super::trouble::{beside, unavailable};
use crate::clock::Stopwatch;

/// Seconds that a writer waits while nobody writes anything: each of the others takes a moment, and one that was stopped in the
/// middle may take for ever.
const PATIENCE_SECONDS: f64 = 10.0;
/// Between two looks at a lock that somebody holds: at first, and at most.
const LOOK: [Duration; 2] = [Duration::from_micros(50), Duration::from_millis(2)];

/// The lock file, held until this goes away.
pub(super) struct Held(File);

impl Held {
    /// Waits for whoever writes; `LEDGER_UNAVAILABLE` refuses one that does not end.
    pub(super) fn wait(ledger: &Path) -> Result<Self> {
        let lock = lock_file(ledger).map_err(|error| unavailable("file's lock", error))?;
        let mut waited = Stopwatch::start();
        let mut seen = Written::last(ledger);
        let [mut look, longest] = LOOK;
        while !taken(&lock).map_err(|error| unavailable("file's lock", error))? {
            if waited.seconds() > PATIENCE_SECONDS {
                // On a disk that is slow to flush many others may have had their turn.
                let now = Written::last(ledger);
                if now == seen {
                    return Err(held(ledger));
                }
                (waited, seen) = (Stopwatch::start(), now);
            }
            thread::sleep(look);
            look = longest.min(look * 2);
        }
        Ok(Self(lock))
    }

    /// Does not wait: none where somebody else holds it.
    pub(super) fn at_once(ledger: &Path) -> Option<Self> {
        let lock = lock_file(ledger).ok()?;
        taken(&lock).ok()?.then_some(Self(lock))
    }
}

impl Drop for Held {
    /// Also where a fork in the meantime shares what was opened.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn taken(lock: &File) -> io::Result<bool> {
    let now = || rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive);
    match rustix::io::retry_on_intr(now) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn held(ledger: &Path) -> Failure {
    let lock = beside(ledger, LOCK);
    let detail =
        format!("somebody has held {} for {PATIENCE_SECONDS} seconds and wrote nothing", lock.display());
    Failure::new(Code::LedgerUnavailable, detail)
        .with_hint("A process that was stopped in the middle of a write holds it until it goes on or ends; lslocks tells which.")
}

/// When something was written to the log last, by whomever, and how long the log is.
#[derive(PartialEq, Eq)]
struct Written(Option<(SystemTime, u64)>);

impl Written {
    fn last(ledger: &Path) -> Self {
        let log = fs::symlink_metadata(beside(ledger, "-wal"));
        Self(log.ok().and_then(|log| Some((log.modified().ok()?, log.len()))))
    }
}

/// What the lock file's name adds to the ledger's.
const LOCK: &str = ".lock";

/// The lock file, which is made where there is none.
pub(super) fn lock_file(ledger: &Path) -> io::Result<File> {
    private_files().create(true).truncate(false).open(beside(ledger, LOCK))
}

/// How files of the ledger are opened: for nobody else, and never by a link.
pub(super) fn private_files() -> OpenOptions {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(no_follow);
    options
}

/// Says to every process that the ledger is open in this one.
///
/// What it is opened by has to stay open as long as any connection of this process to the same file, which it would take
/// the locks from.
pub(super) struct Kept([File; 2]);

impl Kept {
    /// Of a ledger to which a connection has read.
    pub(super) fn of(ledger: &Path) -> Result<Self> {
        let index = beside(ledger, "-shm");
        let kept = |path: &Path, bytes| {
            let file = File::open(path)?;
            share(&file, Some(bytes)).map(|()| file)
        };
        let both = kept(ledger, SHARED).and_then(|file| Ok([file, kept(&index, ALIVE)?]));
        both.map(Self).map_err(|error| unavailable(&ledger.display().to_string(), error))
    }

    /// The first bytes of the log's index; none where there are not as many.
    pub(super) fn index(&self, bytes: usize) -> Option<Vec<u8>> {
        let [_, index] = &self.0;
        let mut read = vec![0; bytes];
        index.read_exact_at(&mut read, 0).ok().map(|()| read)
    }

    /// Says so no more, in no process: what a fork has of it is the same.
    pub(super) fn give_back(&self) {
        for file in &self.0 {
            // Then it is given back when the file is closed.
            let _ = share(file, None);
        }
    }
}

/// The bytes of the ledger's file that a reader of SQLite locks: who has all of them to itself tidies up. First and length.
const SHARED: (i64, i64) = (0x4000_0002, 510);
/// The byte of the log's index that says that it is in use: who finds it free begins the index anew.
const ALIVE: (i64, i64) = (128, 1);

/// Has a lock on these bytes that others may have too, or on none any more.
#[cfg(target_os = "linux")]
fn share(file: &File, bytes: Option<(i64, i64)>) -> io::Result<()> {
    use nix::{
        fcntl::{FcntlArg, fcntl},
        libc::{F_RDLCK, F_UNLCK, SEEK_SET, flock},
    };
    let (kind, (first, length)) = bytes.map_or((F_UNLCK, (0, 0)), |bytes| (F_RDLCK, bytes));
    let lock =
        flock { l_type: kind as i16, l_whence: SEEK_SET as i16, l_start: first, l_len: length, l_pid: 0 };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map(drop).map_err(Into::into)
}

/// Elsewhere SQLite's own locks have to do.
#[cfg(not(target_os = "linux"))]
fn share(_: &File, _: Option<(i64, i64)>) -> io::Result<()> {
    Ok(())
}
