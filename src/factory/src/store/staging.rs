//! Files that have no key yet.
//!
//! They hold an object on its way to its key, or a draft whose key is not known before its last byte.
//!
//! A writer knows its own by an exclusive name and holds it locked until it has its key or is given up. Invariant: what a
//! writer that died left is nobody's, and is told from what a living one holds by that lock.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use contracts::{Result, names::ObjectKey};
use rustix::{
    fs::{AtFlags, Dir, FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::beneath::{OBJECT, absent, open_folder, open_or_create, trouble};

/// Begins with a dot, so it is no segment of any key.
pub(super) const STAGING: &str = ".staging";

/// Makes names in the staging folder distinct within the process; the process id does so between processes.
pub(super) static STAGED: AtomicU64 = AtomicU64::new(0);

/// The folder of what has no key yet, made by the first put: who only reads may do so in a store that cannot be written to.
#[derive(Debug, Default)]
pub(super) struct Staging(OnceLock<OwnedFd>);

impl Staging {
    /// The folder in that of a store.
    pub(super) fn of(&self, store: &OwnedFd) -> Result<&OwnedFd> {
        if let Some(folder) = self.0.get() {
            return Ok(folder);
        }
        let opened = open_or_create(store, STAGING, None)?;
        Ok(self.0.get_or_init(|| opened))
    }
}

/// A temporary file; its name goes away with it, unless the process dies first.
#[derive(Debug)]
pub(super) struct Staged<'a> {
    pub(super) folder: BorrowedFd<'a>,
    pub(super) file: File,
    pub(super) name: String,
}

impl<'a> Staged<'a> {
    /// A new temporary file that only this writer knows and holds locked; failures name the key, where it has one.
    pub(super) fn new(folder: &'a OwnedFd, key: Option<&ObjectKey>) -> Result<Self> {
        let trouble = |error: Errno| trouble(&error.into(), "stage", key);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = format!("{}-{}", process::id(), STAGED.fetch_add(1, Ordering::Relaxed));
            let file = match rustix::fs::openat(folder, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => file,
                // Left by a former process with this id, or of one in another container.
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(trouble(error)),
            };
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => continue,
                Err(error) => return Err(trouble(error)),
            }
            // A collector may have come between creation and lock.
            if rustix::fs::fstat(&file).map_err(trouble)?.st_nlink > 0 {
                return Ok(Self { folder: folder.as_fd(), file: file.into(), name });
            }
        }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // What stays is collected later; the put is decided either way.
        let _ = rustix::fs::unlinkat(self.folder, &self.name, AtFlags::empty());
    }
}

/// Removes what writers that died left in the staging folder of a store, and returns how many files that were.
pub(super) fn collect(store: &OwnedFd) -> Result<usize> {
    let trouble = |error: Errno| trouble(&error.into(), "collect the staging folder", None);
    let Some(staging) = open_folder(store, STAGING, None)? else { return Ok(0) };
    let mut removed = 0;
    for entry in Dir::read_from(&staging).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let Some(file) =
            absent(rustix::fs::openat(&staging, name, OBJECT, Mode::empty())).map_err(trouble)?
        else {
            continue;
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        // Another collector may have removed the file, and a writer reused its name, before the lock.
        let held = rustix::fs::fstat(&file).map_err(trouble)?;
        let named = absent(rustix::fs::statat(&staging, name, AtFlags::SYMLINK_NOFOLLOW)).map_err(trouble)?;
        if named.is_some_and(|named| named.st_ino == held.st_ino) {
            match rustix::fs::unlinkat(&staging, name, AtFlags::empty()) {
                Ok(()) => removed += 1,
                Err(Errno::ROFS | Errno::ACCESS) => {}
                Err(error) => return Err(trouble(error)),
            }
        }
    }
    Ok(removed)
}
