//! Refuses a ledger whose log was damaged, before SQLite takes what is left of it for all.
//!
//! Flows in: the ledger's path. Flows out: that this process has it open from then on. Invariant: a process that has the ledger
//! open does not look again, since closing the index would let go of its locks on it (a rule of POSIX); and nothing is said of
//! files that changed meanwhile, such as under another program.

#![allow(clippy::disallowed_methods, reason = "the log and its index are looked at here")]

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use contracts::{Code, Failure, Result};

use super::{
    at_work::AtWork,
    lock::Kept,
    log::{INDEX_BYTES, Loss, loss},
    place::{Identity, identity},
    private_files,
    trouble::{beside, unavailable},
};
use crate::opener::Opener;

/// How often what changed meanwhile is looked at again.
const LOOKS: u32 = 5;

/// Read at once.
const CHUNK: usize = 1 << 16;

/// The ledgers that connections of this process, and those that it inherited, are on.
static OPEN: Mutex<Vec<(Opener, Identity)>> = Mutex::new(Vec::new());

fn open() -> MutexGuard<'static, Vec<(Opener, Identity)>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That this process has a connection to a ledger, or is about to; outlives the connection.
pub(super) struct Whole(Opener, Identity);

impl Whole {
    /// Refuses with `LEDGER_CORRUPT` a log of which something is lost, unless this process has the ledger open already.
    pub(super) fn require(path: &Path, _: &AtWork) -> Result<Self> {
        let (this, file) = (Opener::this_process(), identity(path)?);
        let mut open = open();
        if !open.contains(&(this, file)) {
            look(path).map_err(|error| failed(path, error))?.map_or(Ok(()), Err)?;
        }
        open.push((this, file));
        Ok(Self(this, file))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // In a fork whose parent was at work nobody knows what else was in the midst of something.
        let Ok(_at_work) = AtWork::begin() else { return };
        let mut open = open();
        if let Some(place) = open.iter().position(|entry| *entry == (self.0, self.1)) {
            open.swap_remove(place);
        }
    }
}

/// Refuses with `LEDGER_CORRUPT` a log that was damaged while the ledger is open: who has it open goes by the index, and
/// would lose commits only as the last of them is killed. The index is read by what is open already, and nobody's lock is let
/// go of.
pub(super) fn require_unbroken(path: &Path, kept: &Kept) -> Result<()> {
    let read = || {
        let index = kept.index(INDEX_BYTES);
        log(path).and_then(|log| loss(index.as_deref(), log)).map_err(|error| failed(path, error))
    };
    let Some(found) = read()? else { return Ok(()) };
    match read()? {
        // Who writes in the meantime breaks the chain for a moment, and never twice at one place.
        Some(again) if again.start() == found.start() => Err(damaged(path, again)),
        _ => Ok(()),
    }
}

/// Finds what is lost of a log. The index is read before the log and after it: who writes changes it.
fn look(path: &Path) -> io::Result<Option<Failure>> {
    for _ in 0..LOOKS {
        let index = index(path);
        match loss(index.as_deref(), log(path)?)? {
            None => return Ok(None),
            Some(loss) if self::index(path) == index => return Ok(Some(damaged(path, loss))),
            Some(_) => {}
        }
    }
    Ok(None)
}

fn log(path: &Path) -> io::Result<Option<BufReader<File>>> {
    Ok(beginning(&beside(path, "-wal"))?.map(|log| BufReader::with_capacity(CHUNK, log)))
}

/// The first bytes of the index; none where they cannot be read, which is not the log's fault.
fn index(path: &Path) -> Option<Vec<u8>> {
    let file = beginning(&beside(path, "-shm")).ok()??;
    let mut bytes = Vec::with_capacity(INDEX_BYTES);
    file.take(INDEX_BYTES as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Opens a file to be read; none where there is none.
fn beginning(path: &Path) -> io::Result<Option<File>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    match private_files().write(false).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(path: &Path, error: io::Error) -> Failure {
    unavailable(&path.display().to_string(), error)
}

fn damaged(path: &Path, loss: Loss) -> Failure {
    let log = beside(path, "-wal");
    let log = log.display();
    let detail = match loss {
        Loss::All(held) => {
            format!("the log {log} is gone, or no log any more: it held {held} pages that are nowhere else")
        }
        Loss::End(whole, held) => {
            format!("the log {log} was damaged or cut short: {whole} of {held} pages are whole")
        }
        Loss::Midst(whole) => {
            format!("the log {log} was damaged: {whole} pages are whole, and commits stand behind them")
        }
    };
    Failure::new(Code::LedgerCorrupt, detail).with_hint(
        "Bring back the ledger, its log and the log's index, and the objects, of one moment: docs/reliability.md, Copies. Nothing \
         was changed. Beside a ledger that was brought back without a log, take away the log and the index of what stood there.",
    )
}
