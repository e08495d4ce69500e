//! Which ledger a store has: its objects name it.
//!
//! Another ledger would give their runs other histories, and no receipt of those would fit the ones that stand. Flows in: a
//! store and a ledger. Flows out: nothing, where they belong together. Invariant: what a store names, it names for good.

use contracts::{Code, Failure, Result, names::ObjectKey};

use crate::{
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
        Put::Exists => check(named(store)?.as_deref(), ledger),
    }
}

/// Refuses with `SOURCE_UNREADABLE` another ledger than the one that is [`named`]; any goes where none is.
pub(crate) fn check(named: Option<&[u8]>, ledger: &dyn Ledger) -> Result<()> {
    let Some(named) = named else { return Ok(()) };
    let own = ledger.founding()?.map(|founding| founding.to_string());
    if own.is_some_and(|own| own.as_bytes() == named) {
        return Ok(());
    }
    let expected = "the ledger that these objects name in registry/ledger";
    Err(Failure::at(Code::SourceUnreadable, "ledger", expected, "another one, or one that was emptied")
        .with_hint("Name the ledger that belongs to these objects, or bring it back from where it was moved or copied to."))
}
