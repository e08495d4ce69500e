//! Which ledger a store has: its objects name it.
//!
//! Another ledger would give their runs other histories, and no receipt of those would fit the ones that stand; other objects
//! would get what the ledger takes for published here. Flows in: a store and a ledger. Flows out: nothing, where they belong
//! together. Invariant: what a store names, it names for good.

use contracts::{Checked, Code, Failure, Result, names::ObjectKey, train_request::TrainBuildRequest};

use crate::{
    layout,
    ledger::Ledger,
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
    let Some(founding) = ledger.founding()? else { return Ok(()) };
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

/// Refuses with `SOURCE_UNREADABLE` another ledger than the one that is [`named`] and, where none is, objects that are not
/// those of the ledger's runs.
pub(crate) fn check(named: Option<&[u8]>, store: &dyn Store, ledger: &dyn Ledger) -> Result<()> {
    let Some(named) = named else { return check_objects(store, ledger) };
    let own = ledger.founding()?.map(|founding| founding.to_string());
    if own.is_some_and(|own| own.as_bytes() == named) {
        return Ok(());
    }
    let expected = "the ledger that these objects name in registry/ledger";
    Err(Failure::at(Code::SourceUnreadable, "ledger", expected, "another one, or one that was emptied")
        .with_hint("Name the ledger that belongs to these objects, or bring it back from where it was moved or copied to."))
}

/// Refuses objects without what the ledger's latest run asked for, which stands before the ledger knows of it: what would be
/// published there, the ledger would take for published here.
fn check_objects(store: &dyn Store, ledger: &dyn Ledger) -> Result<()> {
    let Some(run) = ledger.runs(None, 1)?.pop() else { return Ok(()) };
    let request = Checked::<TrainBuildRequest>::parse(&run.request)?;
    if store
        .size(&layout::by_content(&request.platform_run_id, "train_requests", &request.digest())?)?
        .is_some()
    {
        return Ok(());
    }
    let expected = "the objects that belong to the ledger";
    Err(Failure::at(Code::SourceUnreadable, "root", expected, "others, or none").with_hint(
        "Name the root that the factory was made with, or the ledger that belongs to these objects.",
    ))
}
