//! The object store on a local file system.
//!
//! ```text
//!   bytes ──► .staging/pid-n (exclusive) ──► fsync ──► link to the key, never replacing ──► fsync of folders
//!                                              └─ all files of a put at once                   └─ all at once
//! ```
//!
//! Flows in: objects under keys. Flows out: the whole object. Invariants: an object gets its name only
//! when its bytes are durable; an acknowledged object has a durable name, whoever gave it; nothing outside
//! the root is reached, since each segment is opened beneath the one before without following links.
//! Objects are private to the user (0600): they can hold personal data.
//!
//! A draft is such a temporary file before its key is known.
//!
//! A put waits for the disk twice, however many objects it has. The folder of an object is synced each time, since
//! the object's name is new in it. The folders above are synced when this store first meets the folder below, and
//! not again: a folder is made once, under a name that it keeps, so a parent that was synced with that name in it
//! holds it for good. What another process made counts as met only once this one has synced it, since the other may
//! have died before it did.

#![allow(clippy::disallowed_methods, reason = "the store is who touches files")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use contracts::{Code, Failure, Result, names::ObjectKey};
use rustix::{
    fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::{
    Listing, Object, Put, Store,
    draft::{Draft, Kept},
    private,
};
use crate::failpoint::{Failpoint, hit};

/// Begins with a dot, so it is no segment of any key.
const STAGING: &str = ".staging";
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Not blocking, so that opening a pipe that someone left in the store returns at once.
const OBJECT: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Bytes read at a time: few enough to stay in a core's cache until they are used.
const PIECE_BYTES: usize = 1 << 18;

/// Threads that wait for the disk at the same time, at the most.
const MOST_AT_ONCE: usize = 16;

/// Makes names in the staging folder distinct within the process; the process id does so between processes.
static STAGED: AtomicU64 = AtomicU64::new(0);

/// An object store in a folder.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    folder: OwnedFd,
    /// Made by the first put: who only reads may do so in a folder that cannot be written to.
    staging: OnceLock<OwnedFd>,
    /// Folders whose name in the folder above this store has synced.
    lasting: Mutex<BTreeSet<FolderId>>,
}

/// Device and inode of a folder: the same for every descriptor of it.
type FolderId = (u64, u64);

/// Where an object goes: its folder with those above it, from the root down, and its name in the last.
struct Place<'a> {
    key: &'a ObjectKey,
    above: Vec<OwnedFd>,
    folder: OwnedFd,
    name: &'a str,
}

impl LocalStore {
    /// Opens the store in this folder, creating it if it is not there. A relative path is taken from the
    /// present working directory, once.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let doing = format!("open the store's folder {}", root.as_ref().display());
        let trouble = |error: io::Error| trouble(&error, &doing, None);
        let root = std::path::absolute(root).map_err(trouble)?;
        create_durably(&root).map_err(trouble)?;
        let root = fs::canonicalize(root).map_err(trouble)?;
        let folder = File::open(&root).map_err(trouble)?.into();
        Ok(Self { root, folder, staging: OnceLock::new(), lasting: Mutex::default() })
    }

    /// Whether this folder is there to hold a store.
    pub fn is_at(root: &Path) -> bool {
        root.is_dir()
    }

    /// The absolute path of the store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes what crashed writers left in the staging folder and returns how many files that were.
    ///
    /// A living writer holds a lock on its file, and such a file is left alone; so is all in a folder that cannot be
    /// written to.
    pub fn collect_staging(&self) -> Result<usize> {
        let trouble = |error: Errno| trouble(&error.into(), "collect the staging folder", None);
        let Some(staging) = open_folder(&self.folder, STAGING, None)? else { return Ok(0) };
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
            let named =
                absent(rustix::fs::statat(&staging, name, AtFlags::SYMLINK_NOFOLLOW)).map_err(trouble)?;
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

    /// The object's file with its size; none where there is no object.
    fn open_object(&self, key: &ObjectKey) -> Result<Option<(File, u64)>> {
        let Some(folder) = self.folder_of(key)? else { return Ok(None) };
        let file = match rustix::fs::openat(&folder, split(key).1, OBJECT, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NXIO) => return Err(foreign(key)),
            Err(error) => return Err(trouble(&error.into(), "open", Some(key))),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| trouble(&error.into(), "look at", Some(key)))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Some((file.into(), stat.st_size.cast_unsigned()))),
            FileType::Directory => Ok(None),
            _ => Err(foreign(key)),
        }
    }

    /// The place of a key, its folders created where they are not there.
    fn place<'a>(&self, key: &'a ObjectKey) -> Result<Place<'a>> {
        let (folders, name) = split(key);
        let mut place = Place { key, above: Vec::new(), folder: duplicate(&self.folder, key)?, name };
        for segment in segments(folders) {
            let next = open_or_create(&place.folder, segment, Some(key))?;
            place.above.push(std::mem::replace(&mut place.folder, next));
        }
        Ok(place)
    }

    /// The folders that have to be synced so that these places last, and those that last once they are.
    fn unsynced<'a>(
        &self,
        places: &'a [Place<'_>],
    ) -> Result<(BTreeMap<FolderId, &'a OwnedFd>, Vec<FolderId>)> {
        let lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut due, mut met) = (BTreeMap::new(), Vec::new());
        for Place { key, above, folder, .. } in places {
            let mut below = identity(folder, key)?;
            due.insert(below, folder);
            for parent in above.iter().rev() {
                let id = identity(parent, key)?;
                if !lasting.contains(&below) {
                    due.insert(id, parent);
                    met.push(below);
                }
                below = id;
            }
        }
        Ok((due, met))
    }

    /// Makes the names of these places durable. Also where another writer gave them: it may die before it syncs what
    /// this caller relies on.
    fn sync_names(&self, places: &[Place<'_>]) -> Result<()> {
        let (due, met) = self.unsynced(places)?;
        let due: Vec<_> = due.into_values().collect();
        let key = places.first().map(|place| place.key);
        at_once(&due, |folder| rustix::fs::fsync(folder).map_err(Into::into))
            .map_err(|error| trouble(&error, "sync the folders of", key))?;
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner).extend(met);
        Ok(())
    }

    fn staging(&self) -> Result<&OwnedFd> {
        if let Some(staging) = self.staging.get() {
            return Ok(staging);
        }
        let opened = open_or_create(&self.folder, STAGING, None)?;
        Ok(self.staging.get_or_init(|| opened))
    }

    /// A new temporary file that only this writer knows and holds locked.
    fn stage(&self, key: Option<&ObjectKey>) -> Result<Staged<'_>> {
        let trouble = |error: Errno| trouble(&error.into(), "stage", key);
        let staging = self.staging()?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = format!("{}-{}", process::id(), STAGED.fetch_add(1, Ordering::Relaxed));
            let file = match rustix::fs::openat(staging, &name, flags, Mode::RUSR | Mode::WUSR) {
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
                return Ok(Staged { staging: staging.as_fd(), file: file.into(), name });
            }
        }
    }

    /// Writes an object to a temporary file, not yet durably; none where its name is taken.
    fn write(&self, place: &Place<'_>, bytes: &[u8]) -> Result<Option<Staged<'_>>> {
        if kind(&place.folder, place.name, Some(place.key))?.is_some() {
            return Ok(None);
        }
        hit(Failpoint::StoreBeforeWrite)?;
        let mut staged = self.stage(Some(place.key))?;
        staged.file.write_all(bytes).map_err(|error| trouble(&error, "write", Some(place.key)))?;
        hit(Failpoint::StoreAfterWrite)?;
        Ok(Some(staged))
    }
}

impl Place<'_> {
    /// Gives a durable temporary file its name, unless that is taken.
    fn name(&self, staged: Option<Staged<'_>>) -> Result<Put> {
        let put = match staged {
            None => Put::Exists,
            Some(staged) => {
                hit(Failpoint::StoreBeforeLink)?;
                let flags = AtFlags::empty();
                match rustix::fs::linkat(staged.staging, &staged.name, &self.folder, self.name, flags) {
                    Ok(()) => Put::Created,
                    Err(Errno::EXIST) => Put::Exists,
                    Err(error) => return Err(trouble(&error.into(), "name", Some(self.key))),
                }
            }
        };
        match kind(&self.folder, self.name, Some(self.key))? {
            Some(FileType::RegularFile) => {}
            Some(FileType::Directory) => return Err(overlapping(self.key)),
            _ => return Err(foreign(self.key)),
        }
        hit(Failpoint::StoreAfterLink)?;
        Ok(put)
    }
}

impl Store for LocalStore {
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        let puts = self.put_all_if_absent(&[Object { key, bytes }])?;
        puts.first().copied().ok_or_else(|| Failure::new(Code::InternalError, "a put without an answer"))
    }

    fn put_all_if_absent(&self, objects: &[Object<'_>]) -> Result<Vec<Put>> {
        let places = objects.iter().map(|object| self.place(object.key)).collect::<Result<Vec<_>>>()?;
        let staged = places
            .iter()
            .zip(objects)
            .map(|(place, object)| self.write(place, object.bytes))
            .collect::<Result<Vec<_>>>()?;
        let files: Vec<_> = staged.iter().flatten().map(|staged| &staged.file).collect();
        at_once(&files, |file| file.sync_all())
            .map_err(|error| trouble(&error, "sync", objects.first().map(|object| object.key)))?;
        let puts =
            places.iter().zip(staged).map(|(place, staged)| place.name(staged)).collect::<Result<_>>()?;
        self.sync_names(&places)?;
        Ok(puts)
    }

    fn draft(&self) -> Result<Draft<'_>> {
        hit(Failpoint::StoreBeforeWrite)?;
        Ok(Draft(Kept::File(self.stage(None)?)))
    }

    fn put_draft_if_absent(&self, key: &ObjectKey, draft: Draft<'_>) -> Result<Put> {
        let staged = match draft.0 {
            Kept::Memory(bytes) => return self.put_if_absent(key, &bytes),
            Kept::File(staged) => staged,
        };
        hit(Failpoint::StoreAfterWrite)?;
        let place = self.place(key)?;
        staged.file.sync_all().map_err(|error| trouble(&error, "sync", Some(key)))?;
        let put = place.name(Some(staged))?;
        self.sync_names(&[place])?;
        Ok(put)
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        let Some((mut file, size)) = self.open_object(key)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        file.read_to_end(&mut bytes).map_err(|error| trouble(&error, "read", Some(key)))?;
        Ok(Some(bytes))
    }

    fn pass(&self, key: &ObjectKey, take: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let Some((mut file, _)) = self.open_object(key)? else { return Ok(false) };
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(true),
                Ok(length) => take(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(trouble(&error, "read", Some(key))),
            }
        }
    }

    fn list(&self, prefix: &ObjectKey) -> Result<Listing> {
        let mut found = Listing::default();
        let Some(parent) = self.folder_of(prefix)? else { return Ok(found) };
        match kind(&parent, split(prefix).1, Some(prefix))? {
            Some(FileType::Directory) => walk(&parent, prefix, &mut found)?,
            Some(FileType::RegularFile) | None => {}
            Some(_) => return Err(foreign(prefix)),
        }
        found.keys.sort_unstable();
        found.refused.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }

    fn scratch(&self) -> Result<File> {
        self.staging()?;
        private(tempfile::tempfile_in(self.root.join(STAGING)))
    }
}

/// Adds what stands below a folder; `parent` holds the folder, whose key is `prefix`. A folder further below that cannot
/// be looked into is one that readers are kept out of, and does not hide the others.
fn walk(parent: &OwnedFd, prefix: &ObjectKey, found: &mut Listing) -> Result<()> {
    let trouble = |error: Errno| trouble(&error.into(), "list", Some(prefix));
    let Some(folder) = open_folder(parent, split(prefix).1, Some(prefix))? else { return Ok(()) };
    for entry in Dir::read_from(&folder).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        // What has a name that no key can have was not put here.
        let Some(key) = name.to_str().ok().and_then(|name| prefix.join(name).ok()) else {
            found.unnamed += 1;
            continue;
        };
        let refusal = match kind(&folder, split(&key).1, Some(&key))? {
            Some(FileType::RegularFile) => {
                found.keys.push(key);
                continue;
            }
            Some(FileType::Directory) => walk(&folder, &key, found).err(),
            Some(_) => Some(foreign(&key)),
            None => None,
        };
        found.refused.extend(refusal.map(|failure| (key, failure)));
    }
    Ok(())
}

/// A temporary file; its name goes away with it, unless the process dies first.
#[derive(Debug)]
pub(super) struct Staged<'a> {
    staging: BorrowedFd<'a>,
    pub(super) file: File,
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

/// Does the same to each at the same time: whoever waits for the disk waits together with the others.
fn at_once<T: Sync>(items: &[T], wait: impl Fn(&T) -> io::Result<()> + Sync) -> io::Result<()> {
    for items in items.chunks(MOST_AT_ONCE) {
        let Some((first, others)) = items.split_first() else { continue };
        thread::scope(|scope| {
            let wait = &wait;
            let begin = |item| thread::Builder::new().spawn_scoped(scope, move || wait(item));
            let begun = others.iter().map(begin).collect::<io::Result<Vec<_>>>()?;
            let own = wait(first);
            let ended = begun
                .into_iter()
                .map(|other| other.join().unwrap_or_else(|_| Err(io::Error::other("a thread ended early"))));
            ended.fold(own, Result::and)
        })?;
    }
    Ok(())
}

fn identity(folder: &OwnedFd, key: &ObjectKey) -> Result<FolderId> {
    let stat = rustix::fs::fstat(folder).map_err(|error| trouble(&error.into(), "look at", Some(key)))?;
    Ok((stat.st_dev, stat.st_ino))
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

/// The failure of a system call; a full disk is one of resources.
pub(crate) fn trouble(error: &io::Error, doing: &str, key: Option<&ObjectKey>) -> Failure {
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
