//! What is wrong with a ledger's file, as a failure.
//!
//! Whatever the system refuses SQLite is a "disk I/O error", and the reason stays with it. The disk knows whether it is room
//! that is missing: it is asked for some once more, in a file without a name beside the ledger's.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use contracts::{Code, Failure};
use rusqlite::ErrorCode;

use crate::store;

/// Bytes that the disk is asked for: more than SQLite asks for at a time, which is 32 KiB.
const ROOM: usize = 1 << 16;

/// The failure of a system call on a file of the ledger.
#[allow(clippy::needless_pass_by_value, reason = "stands in map_err")]
pub(super) fn unavailable(name: &str, error: io::Error) -> Failure {
    let code = if is_of_room(&error) { Code::ResourceExhausted } else { Code::LedgerUnavailable };
    Failure::new(code, format!("could not open the ledger {name}: {error}"))
}

/// The failure of a statement.
#[allow(clippy::needless_pass_by_value, reason = "stands in map_err")]
pub(super) fn trouble(error: rusqlite::Error) -> Failure {
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

/// The failure of a ledger in this file, as one of room where there is none beside it.
pub(super) fn of_room(path: &Path, failure: Failure) -> Failure {
    if failure.code != Code::LedgerUnavailable || !failure.retryable() {
        return failure;
    }
    match ask_for_room(path) {
        Err(error) if is_of_room(&error) => {
            let detail = format!("no room for the ledger {}: {error} ({})", path.display(), failure.detail);
            Failure::new(Code::ResourceExhausted, detail)
        }
        _ => failure,
    }
}

/// Writes where none of the ledger's files has grown to, since how long a file may be is limited too.
fn ask_for_room(path: &Path) -> io::Result<()> {
    let length = ["", "-wal", "-shm"]
        .iter()
        .filter_map(|end| fs::metadata(beside(path, end)).ok())
        .map(|file| file.len())
        .max();
    let file = tempfile::tempfile_in(path.parent().unwrap_or(path))?;
    file.write_all_at(&vec![0; ROOM], length.unwrap_or_default())
}

/// A file that SQLite keeps beside the ledger's.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn is_of_room(error: &io::Error) -> bool {
    store::trouble(error, "write", None).code == Code::ResourceExhausted
}
