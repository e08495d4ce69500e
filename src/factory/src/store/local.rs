//! The object store on a local file system.
//!
//! ```text
//!   bytes ──► .staging/pid-n (exclusive) ──► fsync ──► link to the key, never replacing ──► fsync of each folder
//! ```
//!
//! Flows in: an object under a key. Flows out: the whole object. Invariants: an object gets its name only
//! when its bytes are durable; an acknowledged object has a durable name, whoever gave it; nothing outside
//! the root is reached, since each segment is opened beneath the one before without following links.
//! Objects are private to the user (0600): they can hold personal data.

#![allow(clippy::disallowed_methods, reason = "the store is who touches files")]

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use contracts::{Code, Failure, Result, names::ObjectKey};
use rustix::{
    fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::{Put, Store};
use crate::failpoint::{Failpoint, hit};

/// Begins with a dot, so it is no segment of any key.
const STAGING: &str = ".staging";
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Not blocking, so that opening a pipe that someone left in the store returns at once.
const OBJECT: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Makes names in the staging folder distinct within the process; the process id does so between processes.
static STAGED: AtomicU64 = AtomicU64::new(0);

/// An object store in a folder.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    folder: OwnedFd,
    staging: OwnedFd,
}

impl LocalStore {
    /// Opens the store in this folder, creating it if it is not there. A relative path is taken from the
    /// present working directory, once.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let trouble = |error: io::Error| trouble(&error, "open the store's folder", None);
        let root = std::path::absolute(root).map_err(trouble)?;
        create_durably(&root).map_err(trouble)?;
        let root = fs::canonicalize(root).map_err(trouble)?;
        let folder = File::open(&root).map_err(trouble)?.into();
        let staging = open_or_create(&folder, STAGING, None)?;
        Ok(Self { root, folder, staging })
    }

    /// The absolute path of the store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes what crashed writers left in the staging folder and returns how many files that were.
    ///
    /// A living writer holds a lock on its file, and such a file is left alone.
    pub fn collect_staging(&self) -> Result<usize> {
        let trouble = |error: Errno| trouble(&error.into(), "collect the staging folder", None);
        let mut removed = 0;
        for entry in Dir::read_from(&self.staging).map_err(trouble)? {
            let entry = entry.map_err(trouble)?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let Some(file) =
                absent(rustix::fs::openat(&self.staging, name, OBJECT, Mode::empty())).map_err(trouble)?
            else {
                continue;
            };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            // Another collector may have removed the file, and a writer reused its name, before the lock.
            let held = rustix::fs::fstat(&file).map_err(trouble)?;
            let named = absent(rustix::fs::statat(&self.staging, name, AtFlags::SYMLINK_NOFOLLOW))
                .map_err(trouble)?;
            if named.is_some_and(|named| named.st_ino == held.st_ino) {
                rustix::fs::unlinkat(&self.staging, name, AtFlags::empty()).map_err(trouble)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The folder of a key, or `None` where there is none.
    fn folder_of(&self, key: &ObjectKey) -> Result<Option<OwnedFd>> {
        let mut folder = duplicate(&self.folder, key)?;
        for segment in segments(split(key).0) {
            match open_folder(&folder, segment, Some(key))? {
                Some(next) => folder = next,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }

    /// The folders of a key from the root down, created where they are not there.
    fn create_folders(&self, key: &ObjectKey) -> Result<Vec<OwnedFd>> {
        let mut folders = vec![duplicate(&self.folder, key)?];
        for segment in segments(split(key).0) {
            let parent = folders.last().unwrap_or(&self.folder);
            let next = open_or_create(parent, segment, Some(key))?;
            folders.push(next);
        }
        Ok(folders)
    }

    /// A new temporary file that only this writer knows and holds locked.
    fn stage(&self, key: &ObjectKey) -> Result<Staged<'_>> {
        let trouble = |error: Errno| trouble(&error.into(), "stage", Some(key));
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = format!("{}-{}", process::id(), STAGED.fetch_add(1, Ordering::Relaxed));
            let file = match rustix::fs::openat(&self.staging, &name, flags, Mode::RUSR | Mode::WUSR) {
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
                return Ok(Staged { staging: self.staging.as_fd(), file: file.into(), name });
            }
        }
    }

    /// Writes the bytes durably and gives them their name.
    fn create(&self, key: &ObjectKey, folder: &OwnedFd, bytes: &[u8]) -> Result<Put> {
        hit(Failpoint::StoreBeforeWrite)?;
        let mut staged = self.stage(key)?;
        staged.file.write_all(bytes).map_err(|error| trouble(&error, "write", Some(key)))?;
        hit(Failpoint::StoreAfterWrite)?;
        staged.file.sync_all().map_err(|error| trouble(&error, "sync", Some(key)))?;
        hit(Failpoint::StoreBeforeLink)?;
        match rustix::fs::linkat(&self.staging, &staged.name, folder, split(key).1, AtFlags::empty()) {
            Ok(()) => Ok(Put::Created),
            Err(Errno::EXIST) => Ok(Put::Exists),
            Err(error) => Err(trouble(&error.into(), "name", Some(key))),
        }
    }
}

impl Store for LocalStore {
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        let folders = self.create_folders(key)?;
        let folder = folders.last().unwrap_or(&self.folder);
        let name = split(key).1;
        let put = match kind(folder, name, Some(key))? {
            None => self.create(key, folder, bytes)?,
            Some(_) => Put::Exists,
        };
        match kind(folder, name, Some(key))? {
            Some(FileType::RegularFile) => {}
            Some(FileType::Directory) => return Err(overlapping(key)),
            _ => return Err(foreign(key)),
        }
        hit(Failpoint::StoreAfterLink)?;
        // Also where another writer was first: it may die before it syncs what this caller relies on.
        for folder in folders.iter().rev() {
            rustix::fs::fsync(folder)
                .map_err(|error| trouble(&error.into(), "sync the folders of", Some(key)))?;
        }
        Ok(put)
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        let Some(folder) = self.folder_of(key)? else { return Ok(None) };
        let file = match rustix::fs::openat(&folder, split(key).1, OBJECT, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NXIO) => return Err(foreign(key)),
            Err(error) => return Err(trouble(&error.into(), "open", Some(key))),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| trouble(&error.into(), "look at", Some(key)))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Ok(None),
            _ => return Err(foreign(key)),
        }
        let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or_default());
        File::from(file).read_to_end(&mut bytes).map_err(|error| trouble(&error, "read", Some(key)))?;
        Ok(Some(bytes))
    }

    fn list(&self, prefix: &ObjectKey) -> Result<Vec<ObjectKey>> {
        let mut keys = Vec::new();
        match self.folder_of(prefix)? {
            Some(parent) if kind(&parent, split(prefix).1, Some(prefix))? == Some(FileType::Directory) => {
                walk(&parent, prefix, &mut keys)?;
            }
            _ => {}
        }
        keys.sort_unstable();
        Ok(keys)
    }
}

/// Adds the keys below a folder; `parent` holds the folder, whose key is `prefix`.
fn walk(parent: &OwnedFd, prefix: &ObjectKey, keys: &mut Vec<ObjectKey>) -> Result<()> {
    let trouble = |error: Errno| trouble(&error.into(), "list", Some(prefix));
    let Some(folder) = open_folder(parent, split(prefix).1, Some(prefix))? else { return Ok(()) };
    for entry in Dir::read_from(&folder).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        // What has a name that no key can have was not put here.
        let Some(key) = entry.file_name().to_str().ok().and_then(|name| prefix.join(name).ok()) else {
            continue;
        };
        match kind(&folder, split(&key).1, Some(&key))? {
            Some(FileType::RegularFile) => keys.push(key),
            Some(FileType::Directory) => walk(&folder, &key, keys)?,
            Some(_) => return Err(foreign(&key)),
            None => {}
        }
    }
    Ok(())
}

/// A temporary file; its name goes away with it, unless the process dies first.
struct Staged<'a> {
    staging: BorrowedFd<'a>,
    file: File,
    name: String,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // What stays is collected later; the put is decided either way.
        let _ = rustix::fs::unlinkat(self.staging, &self.name, AtFlags::empty());
    }
}

/// The folders of a key, joined, and the name in the last.
fn split(key: &ObjectKey) -> (&str, &str) {
    key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()))
}

fn segments(folders: &str) -> impl Iterator<Item = &str> {
    folders.split('/').filter(|segment| !segment.is_empty())
}

fn duplicate(folder: &OwnedFd, key: &ObjectKey) -> Result<OwnedFd> {
    folder.try_clone().map_err(|error| trouble(&error, "open the folder of", Some(key)))
}

fn open_folder(parent: &OwnedFd, segment: &str, key: Option<&ObjectKey>) -> Result<Option<OwnedFd>> {
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

fn open_or_create(parent: &OwnedFd, segment: &str, key: Option<&ObjectKey>) -> Result<OwnedFd> {
    if let Some(folder) = open_folder(parent, segment, key)? {
        return Ok(folder);
    }
    match rustix::fs::mkdirat(parent, segment, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(trouble(&error.into(), "create a folder of", key)),
    }
    open_folder(parent, segment, key)?.ok_or_else(|| trouble(&Errno::NOENT.into(), "open a folder of", key))
}

/// What stands under a name, links not followed; `None` where there is nothing.
fn kind(folder: &OwnedFd, name: &str, key: Option<&ObjectKey>) -> Result<Option<FileType>> {
    absent(rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))
        .map(|stat| stat.map(|stat| FileType::from_raw_mode(stat.st_mode)))
        .map_err(|error| trouble(&error.into(), "look at", key))
}

fn absent<T>(result: rustix::io::Result<T>) -> rustix::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a folder and those above it so that they survive a power cut.
pub(crate) fn create_durably(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(path)?;
    missing.iter().filter_map(|folder| folder.parent()).try_for_each(|parent| File::open(parent)?.sync_all())
}

fn foreign(key: &ObjectKey) -> Failure {
    Failure::new(Code::StoreCorrupt, format!("a link or special file stands on the way to {key}"))
}

fn overlapping(key: &ObjectKey) -> Failure {
    Failure::new(Code::StoreKeyInvalid, format!("{key} is above or below another object"))
        .with_hint("An object and a prefix of objects cannot share a key.")
}

fn trouble(error: &io::Error, doing: &str, key: Option<&ObjectKey>) -> Failure {
    let code = match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::FBIG | Errno::DQUOT | Errno::NOMEM) => Code::ResourceExhausted,
        _ => Code::StoreUnavailable,
    };
    let what = key.map(|key| format!(" {key}")).unwrap_or_default();
    Failure::new(code, format!("could not {doing}{what}: {error}"))
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
