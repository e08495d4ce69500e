//! What serves a scope, and what does not: other features, damage, and a history that was tampered with.

use std::{fs, sync::Arc};

use contracts::{
    Code, Failure,
    bundle::ModelBundle,
    identity::ids::BundleId,
    lifecycle_event::RegistryLifecycleEvent,
    names::{ColumnName, Name},
    resolution::ResolutionOutcome,
};
use factory::{bundle, keys::Keys, ledger::Anchor, registry::EmbeddedRegistry, registry::Registry};
use serde_json::{Value, json};

use crate::support::{
    forge,
    place::{assert_refusal, quick_config, quick_profile},
    shelf::Shelf,
};

/// The tenant's own bundle, then that of all tenants, then the named fallback, then nothing.
#[test]
fn a_scope_resolves_from_narrow_to_wide_and_then_closes() {
    use ResolutionOutcome::{FailClosed, Resolved, SafeFallback};
    let shelf = Shelf::new();
    let some = |kind: &str| Some(kind.to_owned());
    let nothing = Code::NoActiveBundle;
    assert_eq!(shelf.resolve("tenant", None), (FailClosed, None, vec![nothing, nothing]));
    let unseen = (FailClosed, None, vec![nothing, nothing, Code::ApprovalMissing]);
    assert_eq!(shelf.resolve("tenant", Some("strict")), unseen, "a fallback is approved where it has to be");
    shelf.act("approve", "strict", "bob").unwrap();
    assert_eq!(
        shelf.resolve("tenant", Some("strict")),
        (SafeFallback, some("strict"), vec![nothing, nothing])
    );
    let other = (FailClosed, None, vec![nothing, Code::BundleIncompatible]);
    assert_eq!(shelf.resolve("first", Some("tenant")), other, "another tenant's bundle stands in for nobody");
    shelf.act("promote", "first", "bob").unwrap();
    assert_eq!(shelf.resolve("tenant", Some("strict")), (Resolved, some("first"), vec![nothing]));
    assert_eq!(shelf.resolve("first", None), (Resolved, some("first"), vec![]));
    shelf.act("promote", "tenant", "bob").unwrap();
    assert_eq!(shelf.resolve("tenant", None), (Resolved, some("tenant"), vec![]));
    assert_eq!(
        shelf.resolve("first", None),
        (Resolved, some("first"), vec![]),
        "a tenant's bundle is its own"
    );
    shelf.act("retire", "first", "bob").unwrap();
    assert_eq!(shelf.resolve("first", None), (FailClosed, None, vec![nothing]), "the scope is closed");
    let retired = shelf.resolve("first", Some("first"));
    assert_eq!(retired, (FailClosed, None, vec![nothing, Code::BundleRetired]));
    shelf.act("promote", "second", "bob").unwrap();
    assert_eq!(shelf.resolve("first", None), (Resolved, some("second"), vec![]));
}

#[test]
fn a_resolution_names_the_event_that_proves_it() {
    let shelf = Shelf::new();
    shelf.act("promote", "first", "bob").unwrap();
    shelf.act("approve", "second", "bob").unwrap();
    let registry = shelf.place.registry();
    let resolution = registry.resolve(shelf.scope("first"), None, None).unwrap();
    let history = registry.history(shelf.scope("first")).unwrap();
    assert_eq!(resolution.generation, Some(3));
    assert_eq!(resolution.event, history.digest_at(3));
    assert_eq!(resolution.event, history.events()[3].previous);
    assert_eq!(resolution.bundle, Some(history.events()[2].bundle.clone()));
}

#[test]
fn a_bundle_that_needs_other_features_does_not_serve() {
    let shelf = Shelf::new();
    shelf.act("promote", "first", "bob").unwrap();
    shelf.act("promote", "tenant", "bob").unwrap();
    shelf.act("approve", "strict", "bob").unwrap();
    let names = |count: usize| -> Vec<ColumnName> {
        let columns = shelf.bundles["first"].input_schema.iter().rev();
        columns.take(count).map(|column| column.name.clone()).collect()
    };
    let resolve = |fallback: Option<&BundleId>, names: &[ColumnName]| {
        shelf.place.registry().resolve(shelf.scope("tenant"), fallback, Some(names)).unwrap()
    };
    assert_eq!(resolve(None, &names(6)).outcome, ResolutionOutcome::Resolved);
    let closed = resolve(Some(shelf.id("strict")), &names(5));
    assert_eq!(closed.outcome, ResolutionOutcome::FailClosed);
    assert_eq!(closed.reason_codes, [Code::BundleIncompatible, Code::BundleIncompatible]);
}

/// A wider scope's bundle does not stand in for one that is damaged: only the caller's explicit fallback does.
#[test]
fn a_damaged_active_bundle_closes_its_scope() {
    type Where = fn(&ModelBundle) -> String;
    let damage: [(&str, Code, Where); 3] = [
        ("model", Code::EvidenceDigestMismatch, |bundle| bundle.model.uri.to_string()),
        ("receipt", Code::EvidenceDigestMismatch, |bundle| bundle.gate_receipt.uri.to_string()),
        ("lost model", Code::EvidenceUnresolved, |bundle| bundle.model.uri.to_string()),
    ];
    for (name, code, uri) in damage {
        let shelf = Shelf::new();
        shelf.act("promote", "first", "bob").unwrap();
        shelf.act("promote", "tenant", "bob").unwrap();
        let path = shelf.place.path(&uri(&shelf.bundles["tenant"]));
        if code == Code::EvidenceUnresolved { fs::remove_file(path) } else { fs::write(path, b"other") }
            .unwrap();
        assert_eq!(
            shelf.resolve("tenant", None),
            (ResolutionOutcome::FailClosed, None, vec![code]),
            "{name}"
        );
        let fallback = (ResolutionOutcome::SafeFallback, Some("first".to_owned()), vec![code]);
        assert_eq!(shelf.resolve("tenant", Some("first")), fallback, "{name}");
    }
}

/// A scope whose event names a bundle with another model, run or verdict than its receipt's: nothing serves.
#[test]
fn a_bundle_without_a_pass_of_its_own_does_not_serve() {
    let shelf = Shelf::new();
    let mut profile = quick_profile();
    profile["criteria"][0]["threshold"] = json!(1.5);
    let mut request = shelf.place.request_with(quick_config(&shelf.place), profile);
    request["request_id"] = json!("request-failed");
    let run = shelf.place.carry_out(request).run_id;
    let failed = shelf.place.evidence(&run);
    shelf.act("promote", "first", "bob").unwrap();
    let uri = "registry/scopes/prod/card/primary/global/events/00000003.json";
    let good = shelf.place.registry().history(shelf.scope("first")).unwrap().events()[2].bundle.clone();
    let second = &shelf.bundles["second"];
    for (name, edits) in [
        ("another model", vec![("model", forge::put_bytes(&shelf.place, "platform-1/mf/forged", b"other"))]),
        ("another run", vec![("train_run_id", json!(second.train_run_id))]),
        (
            "a FAIL",
            vec![
                ("model", json!(failed.model)),
                ("train_run_id", json!(run)),
                ("eval_report", json!(failed.eval_report)),
                ("gate_receipt", json!(failed.gate_receipt)),
                ("publish_eligibility", json!(failed.publish_eligibility)),
            ],
        ),
    ] {
        let forged = forge::bundle(&shelf.place, &good, |bundle| {
            for (field, value) in edits {
                bundle[field] = value;
            }
        });
        // Whoever can do all that holds the key and writes to the ledger: even so, nothing without a PASS serves.
        forge::in_place::<RegistryLifecycleEvent>(&shelf.place, uri, true, |event| {
            event["bundle"] = json!(forged);
        });
        forge::anchor_anew(&shelf.place);
        let closed = (ResolutionOutcome::FailClosed, None, vec![Code::GateDecisionMismatch]);
        assert_eq!(shelf.resolve("first", None), closed, "{name}");
        finds_it(&shelf, name);
    }
}

fn finds_it(shelf: &Shelf, name: &str) {
    assert!(!shelf.place.factory.fsck().unwrap().findings.is_empty(), "{name}");
}

type Edit = fn(&mut Value);

fn event(sequence: u32) -> String {
    format!("registry/scopes/prod/card/primary/global/events/{sequence:08}.json")
}

/// Without the key no event can be edited, the newest included; with it, none that another one follows or that the
/// ledger anchors.
#[test]
fn a_history_that_was_edited_or_moved_is_refused() {
    let edits: [(&str, u32, Edit); 4] = [
        ("another actor", 2, |event| event["actor"] = json!("mallory")),
        ("the newest event", 3, |event| event["actor"] = json!("mallory")),
        ("another scope", 3, |event| event["target_scope"]["mode"] = json!("wire")),
        ("another place", 3, |event| event["sequence"] = json!(4)),
    ];
    for (name, sequence, edit) in edits {
        for (with_key, code) in [(false, Code::SignatureInvalid), (true, Code::EvidenceDigestMismatch)] {
            let shelf = Shelf::new();
            shelf.act("promote", "first", "bob").unwrap();
            forge::in_place::<RegistryLifecycleEvent>(&shelf.place, &event(sequence), with_key, edit);
            refuses_all(&shelf, name, code);
        }
    }
    let shelf = Shelf::new();
    let path = shelf.place.path(&event(1));
    let spaced = [fs::read(&path).unwrap(), b" ".to_vec()].concat();
    fs::write(path, spaced).unwrap();
    refuses_all(&shelf, "other bytes", Code::EvidenceDigestMismatch);
}

#[test]
fn a_history_that_was_cut_is_refused() {
    for cut in [&[1][..], &[3], &[2, 3], &[1, 2, 3]] {
        let shelf = Shelf::new();
        shelf.act("promote", "first", "bob").unwrap();
        for sequence in cut {
            fs::remove_file(shelf.place.path(&event(*sequence))).unwrap();
        }
        refuses_all(&shelf, "cut", Code::EvidenceUnresolved);
        assert_eq!(shelf.place.registry().scopes().unwrap().len(), 3, "a history that is gone is missed");
    }
}

/// An event of a stranger's registry is well signed, and by nobody who counts here.
#[test]
fn an_event_of_a_stranger_is_refused() {
    let shelf = Shelf::new();
    shelf.act("promote", "first", "bob").unwrap();
    let history = shelf.place.registry().history(shelf.scope("first")).unwrap();
    let promoted = history.events()[2].clone();
    let stranger = Keys::from_secret(&[8; 32]);
    let forged = RegistryLifecycleEvent {
        sequence: 4,
        previous: history.head(),
        bundle: shelf.place.registry().find(shelf.id("second")).unwrap(),
        bundle_id: shelf.id("second").clone(),
        bundle_version: shelf.bundles["second"].bundle_version.clone(),
        ..promoted
    };
    let forged = stranger.sign(forged).unwrap();
    shelf.place.put(&event(4), forged.bytes());
    refuses_all(&shelf, "a stranger", Code::SignatureInvalid);
}

/// A writer that died between an event and its anchor: the event counts, and the next writer anchors it.
#[test]
fn an_event_that_was_not_anchored_counts() {
    let shelf = Shelf::new();
    let scope = shelf.scope("first");
    let before = shelf.place.anchors().anchor(scope).unwrap().unwrap();
    shelf.act("promote", "first", "bob").unwrap();
    forge::lift_anchors(&shelf.place);
    shelf.place.anchors().raise(scope, before).unwrap();
    assert_eq!(shelf.resolve("first", None).1.as_deref(), Some("first"));
    assert_eq!(shelf.act("promote", "first", "bob").unwrap_err().code, Code::InvalidTransition);
    let history = shelf.place.registry().history(scope).unwrap();
    let anchor = Anchor { sequence: 3, event: history.head().unwrap() };
    assert_eq!(shelf.place.anchors().anchor(scope).unwrap(), Some(anchor));
    shelf.sound();
}

/// Without its anchor, a history of more than the one event that a dying writer leaves may have been cut short.
#[test]
fn a_history_without_its_anchor_is_refused() {
    let shelf = Shelf::new();
    shelf.act("promote", "first", "bob").unwrap();
    shelf.act("retire", "first", "bob").unwrap();
    fs::remove_file(shelf.place.path(&event(4))).unwrap();
    forge::lift_anchors(&shelf.place);
    refuses_all(&shelf, "cut short", Code::LedgerCorrupt);
}

#[test]
fn a_bundle_that_a_stranger_signed_does_not_serve() {
    let shelf = Shelf::new();
    shelf.act("promote", "first", "bob").unwrap();
    let keys = Arc::new(Keys::from_secret(&[8; 32]));
    let line = shelf.place.factory.line();
    let store = Arc::clone(&line.store);
    let bundle = shelf.place.registry().find(shelf.id("first")).unwrap();
    assert_eq!(bundle::load(&*store, &keys, &bundle).unwrap_err().code, Code::SignatureInvalid);
    let ours = line.keys.signer().unwrap();
    let reader = Keys::from_secret(&[8; 32]).trusting(ours);
    bundle::load(&*store, &reader, &bundle).unwrap();
    let registry = EmbeddedRegistry::new(store, shelf.place.clock.clone(), keys, shelf.place.anchors());
    let failure = registry.resolve(shelf.scope("first"), None, None).unwrap_err();
    assert_refusal("a stranger's", &failure, Code::SignatureInvalid, "trusted");
}

fn refuses_all(shelf: &Shelf, name: &str, code: Code) {
    let failures: [Failure; 3] = [
        shelf.act("promote", "second", "bob").unwrap_err(),
        shelf.act("roll back", "second", "bob").unwrap_err(),
        shelf.place.registry().resolve(shelf.scope("first"), None, None).unwrap_err(),
    ];
    for failure in failures {
        assert_refusal(name, &failure, code, "prod");
    }
    finds_it(shelf, name);
}

#[test]
fn a_publication_that_names_another_bundle_is_refused() {
    let shelf = Shelf::new();
    let record = |kind: &str| {
        let bundle = &shelf.bundles[kind];
        shelf.place.path(&format!("registry/bundles/{}/{}.json", bundle.bundle_id, bundle.bundle_version))
    };
    fs::copy(record("second"), record("first")).unwrap();
    let failure = shelf.place.registry().find(shelf.id("first")).unwrap_err();
    assert_refusal("swapped", &failure, Code::EvidenceDigestMismatch, shelf.id("first").as_str());
    assert!(!shelf.place.factory.fsck().unwrap().findings.is_empty());
}

/// The record decides which bytes a version has: an ACTIVE bundle that it does not name serves no more.
#[test]
fn a_bundle_whose_publication_was_replaced_does_not_serve() {
    let shelf = Shelf::new();
    shelf.act("promote", "first", "bob").unwrap();
    let bundle = &shelf.bundles["first"];
    let path =
        shelf.place.path(&format!("registry/bundles/{}/{}.json", bundle.bundle_id, bundle.bundle_version));
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["bundle"]["uri"] = json!("platform-1/mf/other");
    fs::write(path, contracts::identity::canonical::to_bytes(&record).unwrap()).unwrap();
    let closed = (ResolutionOutcome::FailClosed, None, vec![Code::EvidenceDigestMismatch]);
    assert_eq!(shelf.resolve("first", None), closed);
    finds_it(&shelf, "replaced");
}

/// A history that was signed for one scope is none of another.
#[test]
fn a_history_of_another_scope_is_refused() {
    let shelf = Shelf::new();
    shelf.act("promote", "first", "bob").unwrap();
    for sequence in 1..=3 {
        let bytes = fs::read(shelf.place.path(&event(sequence))).unwrap();
        shelf.place.put(&event(sequence).replace("primary", "other"), &bytes);
    }
    let other = contracts::scope::TargetScope {
        bundle_slot: Name::new("other").unwrap(),
        ..shelf.scope("first").clone()
    };
    let failure = shelf.place.registry().resolve(&other, None, None).unwrap_err();
    assert_refusal("copied", &failure, Code::EvidenceDigestMismatch, "prod/card/other");
    finds_it(&shelf, "copied");
}

#[test]
fn scopes_are_listed_with_their_tenants() {
    let shelf = Shelf::new();
    let mut scopes = shelf.place.registry().scopes().unwrap();
    scopes.sort();
    let mut expected =
        vec![shelf.scope("first").clone(), shelf.scope("strict").clone(), shelf.scope("tenant").clone()];
    expected.sort();
    assert_eq!(scopes, expected);
    assert_eq!(shelf.scope("tenant").tenant_id, Some(Name::new("acme").unwrap()));
}
