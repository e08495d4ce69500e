//! Names that survive a power cut.
//!
//! The folder of an object is synced each time, since the object's name is new in it. The folders above are synced when
//! this store first meets the folder below, and not again: a folder is made once, under a name that it keeps, so a parent
//! that was synced with that name in it holds it for good. What another process made counts as met only once this one has
//! synced it, since the other may have died before it did.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
};

use contracts::{Result, names::ObjectKey};

use super::Place;
use crate::store::beneath::trouble;

/// Threads that wait for the disk at the same time, at the most.
pub(super) const MOST_AT_ONCE: usize = 16;

/// Folders whose name in the folder above a store has synced.
#[derive(Debug, Default)]
pub(super) struct Lasting(Mutex<BTreeSet<FolderId>>);

/// Device and inode of a folder: the same for every descriptor of it.
pub(super) type FolderId = (u64, u64);

impl Lasting {
    /// The folders that have to be synced so that these places last, and those that last once they are.
    pub(super) fn unsynced<'a>(
        &self,
        places: &'a [Place<'_>],
    ) -> Result<(BTreeMap<FolderId, &'a OwnedFd>, Vec<FolderId>)> {
        let lasting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    pub(super) fn sync(&self, places: &[Place<'_>]) -> Result<()> {
        let (due, met) = self.unsynced(places)?;
        let due: Vec<_> = due.into_values().collect();
        let key = places.first().map(|place| place.key);
        at_once(&due, |folder| rustix::fs::fsync(folder).map_err(Into::into))
            .map_err(|error| trouble(&error, "sync the folders of", key))?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(met);
        Ok(())
    }
}

/// Does the same to each at the same time: whoever waits for the disk waits together with the others.
pub(super) fn at_once<T: Sync>(items: &[T], wait: impl Fn(&T) -> io::Result<()> + Sync) -> io::Result<()> {
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

/// Creates a folder and those above it so that they survive a power cut.
pub(crate) fn create_durably(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(path)?;
    missing.iter().filter_map(|folder| folder.parent()).try_for_each(|parent| File::open(parent)?.sync_all())
}
