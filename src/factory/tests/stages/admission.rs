//! The door: who may ask, for what, by which references; and which run a request is.

use contracts::Code;
use factory::ledger::State;
use kernels::progress::Silent;
use serde_json::{Value, json};

use crate::support::{
    Bench, forge,
    place::{Place, assert_refusal, quick_config, quick_profile},
    worker,
};

type Edit = fn(&Place, &mut Value);

/// Points a reference of the request somewhere else.
fn moved(request: &mut Value, field: &str, uri: &str) {
    request[field]["uri"] = json!(uri);
}

fn with_profile(place: &Place, request: &mut Value, edit: impl FnOnce(&mut Value)) {
    let mut profile = quick_profile();
    edit(&mut profile);
    *request = place.request_with(quick_config(place), profile);
}

const OTHER_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
const NOWHERE: &str = "platform-1/mf/nowhere.json";

#[rustfmt::skip]
const REFUSED: &[(&str, Code, &str, Edit)] = &[
    ("a stranger", Code::RequesterNotAllowed, "request a run", |place, request| {
        with_profile(place, request, |profile| profile["roles"]["request"] = json!({"only": ["bob"]}));
    }),
    ("one who may not publish", Code::PublishNotAllowed, "publication", |place, request| {
        with_profile(place, request, |profile| profile["roles"]["publish"] = json!({"only": ["bob"]}));
    }),
    ("a correction of no run", Code::RequestInvalid, "/supersedes", |_, request| {
        request["supersedes"] = json!(format!("tr_{}", "0".repeat(32)));
    }),
    ("a manifest outside ofs", Code::OwnershipBoundaryViolation, "/dataset_manifests/0/uri", |_, request| {
        request["dataset_manifests"][0]["uri"] = json!("platform-1/mf/manifest.json");
    }),
    ("a manifest of the registry", Code::OwnershipBoundaryViolation, "/dataset_manifests/0/uri", |_, request| {
        request["dataset_manifests"][0]["uri"] = json!("registry/ofs/manifest.json");
    }),
    ("a config of another run", Code::OwnershipBoundaryViolation, "/training_config/uri", |_, request| {
        moved(request, "training_config", "platform-2/mf/config.json");
    }),
    ("a config among the data", Code::OwnershipBoundaryViolation, "/training_config/uri", |_, request| {
        moved(request, "training_config", "platform-1/ofs/config.json");
    }),
    ("a profile of another run", Code::OwnershipBoundaryViolation, "/governance_profile/uri", |_, request| {
        moved(request, "governance_profile", "platform-2/mf/profile.json");
    }),
    ("a profile of the registry", Code::OwnershipBoundaryViolation, "/governance_profile/uri", |_, request| {
        moved(request, "governance_profile", "registry/mf/profile.json");
    }),
    ("no config there", Code::TrainingConfigUnresolved, NOWHERE, |_, request| moved(request, "training_config", NOWHERE)),
    ("no profile there", Code::GovernanceProfileUnresolved, NOWHERE, |_, request| moved(request, "governance_profile", NOWHERE)),
    ("another config", Code::TrainingConfigDigestMismatch, "training_configs/", |_, request| {
        request["training_config"]["digest"] = json!(OTHER_DIGEST);
    }),
    ("another profile", Code::GovernanceProfileDigestMismatch, "governance_profiles/", |_, request| {
        request["governance_profile"]["digest"] = json!(OTHER_DIGEST);
    }),
    ("a config that is none", Code::TrainingConfigInvalid, "/split", |place, request| {
        request["training_config"] = forge::put(place, "platform-1/mf/forged", &json!({}));
    }),
    ("a config without its defaults", Code::TrainingConfigInvalid, "canonical", |place, request| {
        request["training_config"] = forge::put(place, "platform-1/mf/forged", &quick_config(place));
    }),
    ("a profile that is none", Code::GovernanceProfileInvalid, "/criteria", |place, request| {
        request["governance_profile"] = forge::put(place, "platform-1/mf/forged", &json!({}));
    }),
    ("a profile in other bytes", Code::GovernanceProfileInvalid, "canonical", |place, request| {
        request["governance_profile"] = forge::put(place, "platform-1/mf/forged", &quick_profile());
    }),
];

#[test]
fn what_may_not_be_asked_is_refused_and_leaves_nothing_behind() {
    for (name, code, place_named, edit) in REFUSED {
        let place = Place::new();
        let mut request = place.quick();
        edit(&place, &mut request);
        let failure = place.refusal(request, &[]);
        assert_refusal(name, &failure, *code, place_named);
        assert!(place.ledger().runs(None, 10).unwrap().is_empty(), "{name}");
    }
}

#[test]
fn one_run_however_it_is_asked_for() {
    let place = Place::new();
    let request = place.quick();
    let first = place.factory.submit(Bench::checked(request.clone())).unwrap();
    assert!(first.fresh);
    let mut others = vec![request.clone()];
    let text = request.to_string();
    let fields: Vec<_> = request.as_object().unwrap().iter().rev().collect();
    let reversed: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    let reversed = format!("{{ {} }}", reversed.join(",\n"));
    assert_ne!(reversed, text);
    others.push(serde_json::from_str(&reversed).unwrap());
    let mut by_bob = request.clone();
    by_bob["requester_principal"] = json!("bob");
    by_bob["request_id"] = json!("request-2");
    others.push(by_bob);
    let mut unpublished = request;
    unpublished["publish_allowed"] = json!(false);
    unpublished["request_id"] = json!("request-3");
    others.push(unpublished);
    for other in others {
        let again = place.factory.submit(Bench::checked(other)).unwrap();
        assert!(!again.fresh);
        assert_eq!(again.run.run_id, first.run.run_id);
        assert!(again.run.progress.publish_allowed, "what was allowed once stays allowed");
    }
    assert_eq!(place.ledger().runs(None, 10).unwrap().len(), 1);
    let run = place.factory.work(&worker(), None, &Silent).unwrap().unwrap();
    assert_eq!((run.progress.state, run.progress.full_attempts), (State::Published, 1));
}

/// The order of manifests names the same data.
#[test]
fn manifests_in_another_order_are_the_same_run() {
    let place = Place::new();
    let mut request = place.quick();
    let second = forge::manifest(&place, |_| {}, |value| value["provenance"]["config_revision"] = json!("2"));
    let first = request["dataset_manifests"][0].clone();
    request["dataset_manifests"] = json!([first, second]);
    let run = place.factory.submit(Bench::checked(request.clone())).unwrap().run;
    request["dataset_manifests"] = json!([second, first]);
    let again = place.factory.submit(Bench::checked(request.clone())).unwrap();
    assert!(!again.fresh, "the same request id has the same payload");
    assert_eq!(again.run.run_id, run.run_id);
    request["request_id"] = json!("request-2");
    let other = place.factory.submit(Bench::checked(request)).unwrap();
    assert!(!other.fresh, "the same data is the same run");
}

#[test]
fn a_request_id_means_one_request() {
    let place = Place::new();
    let request = place.quick();
    place.factory.submit(Bench::checked(request.clone())).unwrap();
    for edit in [
        |request: &mut Value| request["intent_kind"] = json!("candidate_eval"),
        |request: &mut Value| request["target_scope"]["tenant_id"] = json!("acme"),
        |request: &mut Value| request["publish_allowed"] = json!(false),
        |request: &mut Value| request["code_release_id"] = json!("model_factory-0.1.1"),
    ] {
        let mut other = request.clone();
        edit(&mut other);
        let failure = place.refusal(other, &["train_requests/"]);
        assert_refusal("reused", &failure, Code::RequestIdPayloadMismatch, "request-1");
    }
    assert_eq!(place.ledger().runs(None, 10).unwrap().len(), 1);
}

/// What a run is does not leave anything out that changes what is built, and takes nothing in that does not.
#[test]
fn a_run_is_what_it_builds() {
    let place = Place::new();
    let request = place.quick();
    let run = |value: &Value| {
        let admitted = factory::admission::admit(place.store(), Bench::checked(value.clone())).unwrap();
        admitted.run().clone()
    };
    let base = run(&request);
    for (field, value, same) in [
        ("request_id", json!("request-9"), true),
        ("requester_principal", json!("bob"), true),
        ("publish_allowed", json!(false), true),
        ("intent_kind", json!("regression_check"), false),
        ("code_release_id", json!("model_factory-9"), false),
        (
            "target_scope",
            json!({"environment": "prod", "mode": "card", "bundle_slot": "primary", "tenant_id": "acme"}),
            false,
        ),
        ("target_scope", json!({"environment": "test", "mode": "card", "bundle_slot": "primary"}), false),
    ] {
        let mut other = request.clone();
        other[field] = value;
        assert_eq!(run(&other) == base, same, "{field}");
    }
}
