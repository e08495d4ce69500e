//! A registry with some bundles in it.

use std::{collections::BTreeMap, sync::OnceLock};

use contracts::{
    Code, Result, bundle::ModelBundle, identity::ids::BundleId, lifecycle_event::RegistryLifecycleEvent,
    resolution::ResolutionOutcome, scope::TargetScope,
};
use factory::store;
use serde_json::json;

use super::place::{Files, Place, act, quick_config, quick_profile};

const KINDS: [&str; 4] = ["first", "second", "strict", "tenant"];

/// A place with four published bundles: two of one scope, one whose profile asks for four eyes, one of a tenant.
pub struct Shelf {
    pub place: Place,
    pub bundles: BTreeMap<String, contracts::Checked<ModelBundle>>,
}

impl Shelf {
    pub fn new() -> Self {
        static SHELF: OnceLock<(Files, Vec<String>)> = OnceLock::new();
        let (files, runs) = SHELF.get_or_init(|| {
            let place = Place::new();
            let runs = KINDS.iter().map(|kind| published(&place, kind, kind)).collect();
            assert_eq!(place.factory.fsck().unwrap().findings, []);
            (place.close(), runs)
        });
        let place = Place::of(files, Place::new().bench.manifest);
        let bundle = |run: &String| {
            let reference = place.evidence(&run.parse().unwrap()).bundle.unwrap();
            store::read_document(place.store(), &reference).unwrap()
        };
        let bundles = KINDS.iter().zip(runs).map(|(kind, run)| ((*kind).to_owned(), bundle(run))).collect();
        Self { place, bundles }
    }

    pub fn id(&self, kind: &str) -> &BundleId {
        &self.bundles[kind].bundle_id
    }

    pub fn scope(&self, kind: &str) -> &TargetScope {
        &self.bundles[kind].target_scope
    }

    pub fn act(&self, verb: &str, kind: &str, actor: &str) -> Result<RegistryLifecycleEvent> {
        let (registry, scope, id) = (self.place.registry(), self.scope(kind), self.id(kind));
        match verb {
            "approve" => registry.approve(scope, id, &act(actor)),
            "promote" => registry.promote(scope, id, &act(actor)),
            "retire" => registry.retire(scope, id, &act(actor)),
            _ => registry.roll_back(scope, &act(actor)),
        }
    }

    pub fn resolve(
        &self,
        kind: &str,
        fallback: Option<&str>,
    ) -> (ResolutionOutcome, Option<String>, Vec<Code>) {
        let fallback = fallback.map(|kind| self.id(kind));
        let resolution = self.place.registry().resolve(self.scope(kind), fallback, None).unwrap();
        let found = resolution.bundle_id.map(|id| {
            let (kind, _) = self.bundles.iter().find(|(_, bundle)| bundle.bundle_id == id).unwrap();
            kind.clone()
        });
        (resolution.outcome, found, resolution.reason_codes)
    }

    pub fn sound(&self) {
        assert_eq!(self.place.factory.fsck().unwrap().findings, []);
    }
}

/// The run of a published bundle of this kind, another one for each revision.
pub fn published(place: &Place, kind: &str, revision: &str) -> String {
    let mut config = quick_config(place);
    config["revision"] = json!(revision);
    let mut profile = quick_profile();
    profile["roles"]["promote"] = json!({"only": ["carol", "dave", "bob"]});
    if kind == "strict" {
        profile["four_eyes"] = json!(true);
        profile["roles"]["approve"] = json!({"only": ["alice", "bob"]});
    }
    let mut request = place.request_with(config, profile);
    request["request_id"] = json!(format!("request-{revision}"));
    match kind {
        "strict" => request["target_scope"]["bundle_slot"] = json!("strict"),
        "tenant" => request["target_scope"]["tenant_id"] = json!("acme"),
        _ => {}
    }
    place.carry_out(request).run_id.to_string()
}
