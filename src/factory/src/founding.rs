//! Whether a ledger and objects belong together: the objects name their ledger, and hold what its latest run asked for.
//!
//! Another ledger would give their runs other histories, and no receipt of those would fit the ones that stand; other objects
//! would get what the ledger takes for published here. Flows in: a store and a ledger. Flows out: nothing, where they belong
//! together. Invariants: what a store names, it names for good; what a run asked for stands before the ledger knows of it, so
//! that of objects which are emptied, older than their ledger or another root's beside it the latest run tells.

use contracts::{Checked, Code, Digest, Failure, Result, names::ObjectKey, train_request::TrainBuildRequest};

use crate::{
    layout,
    ledger::{Founding, Ledger, Marks, Run},
    store::{Put, Store},
};

/// The object that names the ledger.
fn key() -> Result<ObjectKey> {
    ObjectKey::new("registry/ledger")
}

/// What names the ledger here; nothing where no factory was made yet.
pub(crate) fn named(store: &dyn Store) -> Result<Option<Vec<u8>>> {
    store.get(&key()?)
}

/// Names the ledger, once it has a first signer.
pub(crate) fn make(store: &dyn Store, ledger: &dyn Ledger) -> Result<()> {
    let Some(founding) = ledger.marks()?.founding else { return Ok(()) };
    match store.put_if_absent(&key()?, founding.to_string().as_bytes())? {
        Put::Created => Ok(()),
        // Somebody else made the same factory at the same time, or one with another ledger.
        Put::Exists => check(named(store)?.as_deref(), store, ledger),
    }
}

/// Whether these objects are of a factory that was made, whose ledger nothing [`named`] any more, or yet.
pub(crate) fn is_made(store: &dyn Store) -> Result<bool> {
    store.list(&ObjectKey::new("registry")?).map(|found| !found.keys.is_empty())
}

/// Refuses with `SOURCE_UNREADABLE` to open another ledger than the one that is [`named`] and, where none is, objects that
/// are not those of the ledger's runs. Objects that are older than their ledger can be opened, for who looks at what is left.
pub(crate) fn check(named: Option<&[u8]>, store: &dyn Store, ledger: &dyn Ledger) -> Result<()> {
    let Marks { founding, latest } = ledger.marks()?;
    match named {
        None => match asked_for_and_gone(store, latest.as_ref())? {
            None => Ok(()),
            Some(_) => Err(Failure::at(
                Code::SourceUnreadable,
                "root",
                "the objects that belong to the ledger",
                "others, or none",
            )
            .with_hint(
                "Name the root that the factory was made with, or the ledger that belongs to these objects.",
            )),
        },
        Some(named) if is_name_of(named, founding) => Ok(()),
        Some(_) => {
            let expected = "the ledger that these objects name in registry/ledger";
            let found = "another one, or one that was emptied";
            Err(Failure::at(Code::SourceUnreadable, "ledger", expected, found).with_hint(
                "Name the ledger that belongs to these objects, or bring it back from where it was moved or copied to.",
            ))
        }
    }
}

/// Refuses with `STORE_CORRUPT` to go on with objects that are not the ledger's, or not any more, before anything is
/// acknowledged there.
pub(crate) fn require(store: &dyn Store, ledger: &dyn Ledger) -> Result<()> {
    // Read before the objects are looked at: what they do not hold then, they lost.
    let Marks { founding, latest } = ledger.marks()?;
    let is_own = match named(store)? {
        Some(named) => is_name_of(&named, founding),
        // Made before stores named their ledger: of such a one its runs tell.
        None => founding.is_none() || latest.is_some(),
    };
    if !is_own {
        let expected = "the name of the ledger that is open here";
        return Err(others(&key()?, expected, "another, or nothing"));
    }
    match asked_for_and_gone(store, latest.as_ref())? {
        None => Ok(()),
        Some(request) => Err(others(&request, "what the ledger's latest run asked for", "nothing")),
    }
}

fn is_name_of(named: &[u8], founding: Option<Digest<Founding>>) -> bool {
    founding.is_some_and(|founding| founding.to_string().as_bytes() == named)
}

/// Where the request of a run is to stand; none where it does.
fn asked_for_and_gone(store: &dyn Store, run: Option<&Run>) -> Result<Option<ObjectKey>> {
    let Some(run) = run else { return Ok(None) };
    let request = Checked::<TrainBuildRequest>::parse(&run.request)?;
    let key = layout::by_content(&request.platform_run_id, "train_requests", &request.digest())?;
    Ok(if store.size(&key)?.is_none() { Some(key) } else { None })
}

fn others(key: &ObjectKey, expected: &str, found: &str) -> Failure {
    Failure::at(Code::StoreCorrupt, key.as_str(), expected, found).with_hint(
        "The objects were emptied, are older than their ledger, or belong to another. Name the root that its runs were made \
         in, or bring back the objects of the ledger's moment, or its copy of theirs: docs/reliability.md, Copies.",
    )
}
