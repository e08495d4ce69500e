//! The publish handshake: the registry decides, and what it decided is read back.

use contracts::{Code, Failure, Reference, Result, names::Principal, publication::BundlePublication};

use crate::{
    bundle::Publishable,
    registry::{Act, Registry},
    store::{self, Store},
};

/// Publishes a bundle and reads the record back.
///
/// Sent again after a lost answer it finds its own record and succeeds. Refuses with `PUBLISH_CONFLICT` where
/// another bundle holds the id and version.
pub fn publish(
    store: &dyn Store,
    registry: &dyn Registry,
    bundle: &Publishable,
    requester: &Principal,
    act: &Act,
) -> Result<Reference<BundlePublication>> {
    let publication = registry.publish(bundle, requester, act)?;
    let record = store::read_document(store, &publication.record)?;
    if record.bundle != *bundle.reference() {
        return Err(Failure::new(
            Code::PublishConflict,
            "the registry holds another bundle under this id and version",
        ));
    }
    Ok(publication.record)
}
