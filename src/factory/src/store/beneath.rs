//! Names beneath a folder.
//!
//! Flows in: a folder that is open, and the segments of keys. Flows out: descriptors of what stands there. Invariant:
//! nothing outside the folder is reached, since each segment is opened beneath the one before without following links.

use std::{io, os::fd::OwnedFd};

use contracts::{Code, Failure, Result, names::ObjectKey};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags},
    io::Errno,
};

use super::Listing;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Not blocking, so that opening a pipe that someone left in the store returns at once.
pub(super) const OBJECT: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folders of a key, joined, and the name in the last.
pub(super) fn split(key: &ObjectKey) -> (&str, &str) {
    key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()))
}

pub(super) fn segments(folders: &str) -> impl Iterator<Item = &str> {
    folders.split('/').filter(|segment| !segment.is_empty())
}

pub(super) fn duplicate(folder: &OwnedFd, key: &ObjectKey) -> Result<OwnedFd> {
    folder.try_clone().map_err(|error| trouble(&error, "open the folder of", Some(key)))
}

pub(super) fn open_folder(
    parent: &OwnedFd,
    segment: &str,
    key: Option<&ObjectKey>,
) -> Result<Option<OwnedFd>> {
    match rustix::fs::openat(parent, segment, FOLDER, Mode::empty()) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => match (kind(parent, segment, key)?, key) {
            (Some(FileType::RegularFile), Some(key)) => Err(overlapping(key)),
            (Some(FileType::Symlink), Some(key)) => Err(foreign(key)),
            _ => Err(trouble(&error.into(), "open a folder of", key)),
        },
    }
}

pub(super) fn open_or_create(parent: &OwnedFd, segment: &str, key: Option<&ObjectKey>) -> Result<OwnedFd> {
    if let Some(folder) = open_folder(parent, segment, key)? {
        return Ok(folder);
    }
    match rustix::fs::mkdirat(parent, segment, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(trouble(&error.into(), "create a folder of", key)),
    }
    open_folder(parent, segment, key)?.ok_or_else(|| trouble(&Errno::NOENT.into(), "open a folder of", key))
}

/// Adds what stands below a folder, and says whether anything does; `parent` holds the folder, whose key is `prefix`. A
/// folder further below that cannot be looked into is one that readers are kept out of, and does not hide the others.
pub(super) fn walk(parent: &OwnedFd, prefix: &ObjectKey, found: &mut Listing) -> Result<bool> {
    let trouble = |error: Errno| trouble(&error.into(), "list", Some(prefix));
    let Some(folder) = open_folder(parent, split(prefix).1, Some(prefix))? else { return Ok(false) };
    let mut is_filled = false;
    for entry in Dir::read_from(&folder).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        is_filled = true;
        // What has a name that no key can have was not put here.
        let Some(key) = name.to_str().ok().and_then(|name| prefix.join(name).ok()) else {
            found.unnamed += 1;
            continue;
        };
        match kind(&folder, split(&key).1, Some(&key))? {
            Some(FileType::RegularFile) => found.keys.push(key),
            Some(FileType::Directory) => match walk(&folder, &key, found) {
                Ok(true) => {}
                Ok(false) => found.empty.push(key),
                Err(failure) => found.refused.push((key, failure)),
            },
            Some(_) => {
                let failure = foreign(&key);
                found.refused.push((key, failure));
            }
            None => {}
        }
    }
    Ok(is_filled)
}

/// What stands under a name, links not followed; `None` where there is nothing.
pub(super) fn kind(folder: &OwnedFd, name: &str, key: Option<&ObjectKey>) -> Result<Option<FileType>> {
    absent(rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))
        .map(|stat| stat.map(|stat| FileType::from_raw_mode(stat.st_mode)))
        .map_err(|error| trouble(&error.into(), "look at", key))
}

pub(super) fn absent<T>(result: rustix::io::Result<T>) -> rustix::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn foreign(key: &ObjectKey) -> Failure {
    Failure::new(Code::StoreCorrupt, format!("a link or special file stands on the way to {key}"))
}

pub(super) fn overlapping(key: &ObjectKey) -> Failure {
    Failure::new(Code::StoreKeyInvalid, format!("{key} is above or below another object"))
        .with_hint("An object and a prefix of objects cannot share a key.")
}

/// The failure of a system call; a full disk is one of resources.
pub(crate) fn trouble(error: &io::Error, doing: &str, key: Option<&ObjectKey>) -> Failure {
    let code = match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::FBIG | Errno::DQUOT | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => {
            Code::ResourceExhausted
        }
        _ => Code::StoreUnavailable,
    };
    let what = key.map(|key| format!(" {key}")).unwrap_or_default();
    Failure::new(code, format!("could not {doing}{what}: {error}"))
}
