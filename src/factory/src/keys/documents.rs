//! Documents that carry a signature, as the store holds them.
//!
//! Flows in: documents to be signed, and the keys under which they stand. Flows out: documents whose signature counts
//! here. Invariant: the same content is signed once; whoever comes later takes what stands.

use contracts::{Checked, Failure, Reference, Result, names::ObjectKey, signature::Signed};

use super::Keys;
use crate::store::{self, Batch, Store};

/// A document as it is to stand under its key: as it stands there already, where a trusted key signed the same
/// content before, such as that of a worker that died; otherwise signed here.
///
/// Refuses with `SIGNATURE_INVALID` where the same content stands there without the signature of a key that is trusted
/// here. That says nothing of the content: another machine may trust who signed it.
pub(crate) fn standing_or_signed<D: Signed>(
    store: &dyn Store,
    keys: &Keys,
    key: &ObjectKey,
    document: D,
) -> Result<Checked<D>> {
    let signed = keys.sign(document)?;
    let Some(bytes) = store.get(key)? else { return Ok(signed) };
    match Checked::<D>::parse(&bytes) {
        Ok(standing) if standing.bytes() == bytes && standing.message()? == signed.message()? => {
            keys.verify(key, &*standing).map(|()| standing)
        }
        // Something else stands there, which the write will say.
        _ => Ok(signed),
    }
}

/// Writes a batch with signed documents of the kind `D`, each of which [`standing_or_signed`] gives.
///
/// Another worker may sign the same content under another key between look and write: what stands then is looked at
/// once more before the violation counts.
pub(crate) fn write_signed<D: Signed, T>(
    store: &dyn Store,
    fill: impl Fn(&mut Batch) -> Result<T>,
) -> Result<T> {
    let write = || {
        let mut batch = Batch::default();
        let filled = fill(&mut batch)?;
        batch.write(store).map(|()| filled)
    };
    write().or_else(|failure: Failure| if failure.code == D::VIOLATION { write() } else { Err(failure) })
}

/// The document that a reference pins, checked, and signed by a trusted key.
pub(crate) fn read_signed<D: Signed>(
    store: &dyn Store,
    keys: &Keys,
    reference: &Reference<D>,
) -> Result<Checked<D>> {
    let document = store::read_document(store, reference)?;
    keys.verify(&reference.uri, &*document)?;
    Ok(document)
}

/// The document under a key that no reference pins: in its canonical bytes, and signed by a trusted key; none where
/// there is none.
pub(crate) fn find_signed<D: Signed>(
    store: &dyn Store,
    keys: &Keys,
    key: &ObjectKey,
) -> Result<Option<Checked<D>>> {
    let found = store::find_document::<D>(store, key)?;
    found.iter().try_for_each(|document| keys.verify(key, &**document))?;
    Ok(found)
}
