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
//! A folder that was moved or replaced since it was opened serves nobody: what it were given nobody would find at its place.
//! Objects are private to the user (0600): they can hold personal data.
//!
//! A put waits for the disk twice, however many objects it has: for their bytes (`staging`), and for their names, which
//! `lasting` knows to be durable. `beneath` reaches what has a name.

#![allow(clippy::disallowed_methods, reason = "the store is who touches files")]

mod lasting;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use contracts::{Code, Failure, Result, names::ObjectKey};
use rustix::{
    fs::{AtFlags, FileType, Mode},
    io::Errno,
};

pub(crate) use self::lasting::create_durably;
use self::lasting::{FolderId, Lasting, at_once};
use super::{
    Listing, Object, Put, Store,
    beneath::{
        OBJECT, duplicate, foreign, kind, open_folder, open_or_create, overlapping, segments, split, trouble,
        walk,
    },
    draft::{Draft, Kept},
    private,
    staging::{self, STAGING, Staged, Staging},
};
use crate::failpoint::{Failpoint, hit};

/// Bytes read at a time: few enough to stay in a core's cache until they are used.
const PIECE_BYTES: usize = 1 << 18;

/// An object store in a folder.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    folder: OwnedFd,
    identity: FolderId,
    staging: Staging,
    lasting: Lasting,
}

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
        let folder = File::open(&root).map_err(trouble)?;
        let identity = folder.metadata().map(|found| (found.dev(), found.ino())).map_err(trouble)?;
        Ok(Self {
            root,
            folder: folder.into(),
            identity,
            staging: Staging::default(),
            lasting: Lasting::default(),
        })
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
        staging::collect(&self.folder)
    }

    /// Refuses with `STORE_UNAVAILABLE` where the folder is not at its place any more, to which it may be brought back, and
    /// with `STORE_CORRUPT` where another stands there.
    fn require_in_place(&self) -> Result<()> {
        let root = self.root.display();
        match fs::metadata(&self.root) {
            Ok(found) if (found.dev(), found.ino()) == self.identity => Ok(()),
            Ok(_) => {
                let detail = format!("{root} is another folder than the one that is open here");
                Err(Failure::new(Code::StoreCorrupt, detail).with_hint(
                    "It was replaced while it was open. Open the factory again, once the objects that belong to its ledger are \
                     in place: docs/reliability.md, Copies.",
                ))
            }
            Err(error) => Err(trouble(&error, &format!("look at the store's folder {root}"), None)
                .with_hint("Bring it back to where it was moved from.")),
        }
    }

    /// The folder of a key, or `None` where there is none.
    fn folder_of(&self, key: &ObjectKey) -> Result<Option<OwnedFd>> {
        self.require_in_place()?;
        let mut folder = duplicate(&self.folder, key)?;
        for segment in segments(split(key).0) {
            match open_folder(&folder, segment, Some(key))? {
                Some(next) => folder = next,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }

    /// Adds what stands below a prefix.
    fn walk_from(&self, prefix: &ObjectKey, found: &mut Listing) -> Result<()> {
        let Some(parent) = self.folder_of(prefix)? else { return Ok(()) };
        match kind(&parent, split(prefix).1, Some(prefix))? {
            Some(FileType::Directory) => walk(&parent, prefix, found).map(drop),
            Some(FileType::RegularFile) | None => Ok(()),
            Some(_) => Err(foreign(prefix)),
        }
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

    fn stage(&self, key: Option<&ObjectKey>) -> Result<Staged<'_>> {
        Staged::new(self.staging.of(&self.folder)?, key)
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
                match rustix::fs::linkat(staged.folder, &staged.name, &self.folder, self.name, flags) {
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
        self.lasting.sync(&places)?;
        self.require_in_place()?;
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
        self.lasting.sync(&[place])?;
        self.require_in_place()?;
        Ok(put)
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        self.get_past(key, &mut |_| {})
    }

    fn get_past(&self, key: &ObjectKey, see: &mut dyn FnMut(&[u8])) -> Result<Option<Vec<u8>>> {
        let Some((file, size)) = self.open_object(key)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        loop {
            let piece = bytes.len();
            let mut next = (&file).take(PIECE_BYTES as u64);
            next.read_to_end(&mut bytes).map_err(|error| trouble(&error, "read", Some(key)))?;
            if bytes.len() == piece {
                return Ok(Some(bytes));
            }
            see(&bytes[piece..]);
        }
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

    fn size(&self, key: &ObjectKey) -> Result<Option<u64>> {
        self.open_object(key).map(|found| found.map(|(_, size)| size))
    }

    fn list(&self, prefix: &ObjectKey) -> Result<Listing> {
        self.require_in_place()?;
        let mut found = Listing::default();
        match self.walk_from(prefix, &mut found) {
            // The way to it leads elsewhere, or through an object.
            Err(failure) if matches!(failure.code, Code::StoreCorrupt | Code::StoreKeyInvalid) => {
                found.refused.push((prefix.clone(), failure));
            }
            walked => walked?,
        }
        found.sort();
        Ok(found)
    }

    fn scratch(&self) -> Result<File> {
        self.staging.of(&self.folder)?;
        private(tempfile::tempfile_in(self.root.join(STAGING)))
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
