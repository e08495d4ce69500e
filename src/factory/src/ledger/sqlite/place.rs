//! Whether the files of a ledger that is open still stand where they stood.
//!
//! What is open stays so, also where its file was moved, deleted or replaced, as by bringing back a copy under a worker: who
//! opens the ledger next has another file, and would never see what is acknowledged here. SQLite keeps a log and an index
//! of it beside the ledger, by name, and two that have other ones of those damage the ledger that they share.
//!
//! Flows in: the ledger's path, once a connection has its files. Flows out: nothing, while they are in place.

#![allow(clippy::disallowed_methods, reason = "the ledger's files are looked at here")]

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use contracts::{Code, Failure, Result};

use super::trouble::{beside, unavailable};

/// Where the files of an open ledger stand: itself, SQLite's log, and the index of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place([(PathBuf, Identity); 3]);

/// What tells a file from every other that stands while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Place {
    /// Of a ledger that was opened when its file was this one. Who opens it next goes by the name that it was given, in which
    /// a folder may be a link.
    pub(super) fn of(name: &Path, path: &Path, opened: Identity) -> Result<Self> {
        let stands = |path: PathBuf| identity(&path).map(|found| (path, found));
        let ledger = stands(name.to_owned())?;
        if ledger.1 != opened {
            return Err(replaced(name));
        }
        Ok(Self([ledger, stands(beside(path, "-wal"))?, stands(beside(path, "-shm"))?]))
    }

    /// The ledger's file, by the name that it was given.
    pub(super) fn path(&self) -> &Path {
        let [(path, _), ..] = &self.0;
        path
    }

    /// Whether it is this file's.
    pub(super) fn is_of(&self, file: Identity) -> bool {
        let [(_, own), ..] = &self.0;
        *own == file
    }

    /// Refuses with `LEDGER_UNAVAILABLE` a file that is not there, which may be brought back, or a log that somebody took
    /// away beside it, and with `LEDGER_CORRUPT` one in whose place another stands.
    pub(super) fn require(&self) -> Result<()> {
        for (number, (path, file)) in self.0.iter().enumerate() {
            let found = identity(path)
                .map_err(|failure| if number > 0 && !path.exists() { taken_away(path) } else { failure })?;
            if found != *file {
                return Err(replaced(path));
            }
        }
        Ok(())
    }
}

/// The log of a ledger that is open, gone: who reads the ledger's files in a process that has it open, as to copy them, lets
/// go of the locks that say so, and whoever closes the ledger elsewhere then tidies the log up.
pub(super) fn taken_away(path: &Path) -> Failure {
    let detail = format!("the log of {} was taken away while it was open here", path.display());
    Failure::new(Code::LedgerUnavailable, detail).lasting().with_hint(
        "Open the factory again. Copy a ledger that is open from another process, by SQLite's own backup: \
         docs/reliability.md, Copies.",
    )
}

/// What tells the file at a path from every other.
pub(super) fn identity(path: &Path) -> Result<Identity> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Identity { device: found.dev(), inode: found.ino() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let detail = format!("{} is open here, and not at its place any more", path.display());
            Err(Failure::new(Code::LedgerUnavailable, detail)
                .with_hint("Bring it back to where it was moved from. What was deleted is open here until this process ends."))
        }
        Err(error) => Err(unavailable(&path.display().to_string(), error)),
    }
}

fn replaced(path: &Path) -> Failure {
    let detail = format!("{} is another file than the one that is open here", path.display());
    Failure::new(Code::LedgerCorrupt, detail).with_hint(
        "It was replaced while it was open. Open the factory again, once the ledger that belongs to its objects is in place: \
         docs/reliability.md, Copies.",
    )
}
