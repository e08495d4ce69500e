//! Everything that does not fit together is refused before a row is read, and a partition when it is read.

use contracts::Code;
use serde_json::{Value, json};

use crate::support::{
    day, forge,
    place::{Place, assert_refusal, quick_config, quick_profile},
};

type Edit = fn(&Place, &mut Value);

/// What a run that resolution refuses may leave: the request, and the receipt that says why.
const LEAVES: &[&str] = &["train_requests/", "run_receipt_fail.json"];

fn set_manifest(request: &mut Value, manifest: Value) {
    request["dataset_manifests"][0] = manifest;
}

fn add_manifest(request: &mut Value, manifest: Value) {
    request["dataset_manifests"].as_array_mut().unwrap().push(manifest);
}

fn same(_: &mut Value) {}

fn constrain(config: &mut Value, name: &str, value: &Value) {
    config["model"] = json!({"family": "gradient_boosting", "n_estimators": 2, name: value});
}

fn with_config(place: &Place, request: &mut Value, edit: impl FnOnce(&mut Value)) {
    let mut config = quick_config(place);
    edit(&mut config);
    *request = place.request_with(config, quick_profile());
}

fn with_profile(place: &Place, request: &mut Value, edit: impl FnOnce(&mut Value)) {
    let mut profile = quick_profile();
    edit(&mut profile);
    *request = place.request_with(quick_config(place), profile);
}

/// A manifest whose column `amount` is of this privacy class.
fn classified(place: &Place, class: &str) -> Value {
    let edit = |value: &mut Value| {
        let columns = value["schema"].as_array_mut().unwrap();
        let column = columns.iter_mut().find(|column| column["name"] == "amount").unwrap();
        column["privacy_class"] = json!(class);
    };
    forge::manifest(place, edit, same)
}

#[rustfmt::skip]
const REFUSED: &[(&str, Code, &str, Edit)] = &[
    ("no manifest there", Code::ManifestUnresolved, "platform-1/ofs/nowhere.json", |_, request| {
        request["dataset_manifests"][0]["uri"] = json!("platform-1/ofs/nowhere.json");
    }),
    ("another manifest", Code::ManifestDigestMismatch, "platform-1/ofs/manifests/", |_, request| {
        request["dataset_manifests"][0]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    }),
    ("a manifest that is none", Code::ManifestInvalid, "/partitions", |place, request| {
        set_manifest(request, forge::put(place, "platform-1/ofs/forged", &json!({})));
    }),
    ("a fingerprint of other data", Code::ManifestInvalid, "/dataset_fingerprint", |place, request| {
        set_manifest(request, forge::manifest(place, same, |value| value["label_basis"]["maturity_days"] = json!(3)));
    }),
    ("partitions of another run", Code::OwnershipBoundaryViolation, "/partitions/0/uri", |place, request| {
        set_manifest(request, forge::manifest(place, |value| value["partitions"][0]["uri"] = json!("platform-2/ofs/rows"), same));
    }),
    ("partitions among models", Code::OwnershipBoundaryViolation, "/partitions/0/uri", |place, request| {
        set_manifest(request, forge::manifest(place, |value| value["partitions"][0]["uri"] = json!("platform-1/mf/rows"), same));
    }),
    ("no pass proof", Code::PassProofMissing, "/pass_proof", |place, request| {
        set_manifest(request, forge::manifest(place, same, |value| value["pass_proof"] = json!(null)));
    }),
    ("the pass proof of other data", Code::PassProofMissing, "/pass_proof", |place, request| {
        set_manifest(request, forge::manifest(place, same, |value| {
            value["pass_proof"]["dataset_fingerprint"] = json!(format!("sha256:{}", "0".repeat(64)));
        }));
    }),
    ("another feature set", Code::FeatureSchemaIncompatible, "/feature_definition_set", |place, request| {
        with_config(place, request, |config| config["feature_definition_set"]["feature_set_id"] = json!("shops"));
    }),
    ("another version of the feature set", Code::FeatureSchemaIncompatible, "/feature_definition_set", |place, request| {
        with_config(place, request, |config| config["feature_definition_set"]["feature_set_version"] = json!("2"));
    }),
    ("a feature that is not there", Code::FeatureSchemaIncompatible, "colour", |place, request| {
        with_config(place, request, |config| config["features"] = json!(["amount", "colour"]));
    }),
    ("a label as a feature", Code::FeatureSchemaIncompatible, "label", |place, request| {
        with_config(place, request, |config| config["features"] = json!(["amount", "label"]));
    }),
    ("a capacity of no entity", Code::FeatureSchemaIncompatible, "amount", |place, request| {
        with_config(place, request, |config| config["evaluation"]["capacity"]["entity"] = json!("amount"));
    }),
    ("known positives of no entity", Code::FeatureSchemaIncompatible, "colour", |place, request| {
        with_config(place, request, |config| config["evaluation"]["known_positives"]["entity"] = json!("colour"));
    }),
    ("disjoint in no entity", Code::FeatureSchemaIncompatible, "colour", |place, request| {
        with_config(place, request, |config| config["split"]["entity_disjoint"] = json!("colour"));
    }),
    ("a slice of no column", Code::FeatureSchemaIncompatible, "colour", |place, request| {
        with_config(place, request, |config| config["evaluation"]["slices"][0]["column"] = json!("colour"));
    }),
    ("a direction of no feature", Code::FeatureSchemaIncompatible, "/model/monotonic_cst/colour", |place, request| {
        with_config(place, request, |config| constrain(config, "monotonic_cst", &json!({"amount": 1, "colour": -1})));
    }),
    ("a direction of a feature that is left out", Code::FeatureSchemaIncompatible, "/model/monotonic_cst/amount", |place, request| {
        with_config(place, request, |config| {
            config["features"] = json!(["weekend"]);
            constrain(config, "monotonic_cst", &json!({"amount": 1}));
        });
    }),
    ("a group of no features", Code::FeatureSchemaIncompatible, "/model/interaction_cst/0/1", |place, request| {
        with_config(place, request, |config| constrain(config, "interaction_cst", &json!([["amount", "colour"]])));
    }),
    ("categories of no feature", Code::FeatureSchemaIncompatible, "/model/categorical_features/0", |place, request| {
        with_config(place, request, |config| constrain(config, "categorical_features", &json!(["colour"])));
    }),
    ("another label", Code::LabelRuleMismatch, "/label/family", |place, request| {
        with_config(place, request, |config| config["label"]["family"] = json!("chargeback"));
    }),
    ("other positive values", Code::LabelRuleMismatch, "/label/positive_values", |place, request| {
        with_config(place, request, |config| config["label"]["positive_values"] = json!([2]));
    }),
    ("a sensitive feature", Code::PrivacyClassRefused, "amount", |place, request| {
        with_profile(place, request, |profile| profile["privacy_classes_refused"] = json!(["sensitive"]));
        set_manifest(request, classified(place, "sensitive"));
    }),
    ("data from before", Code::DatasetWindowRefused, "/time_window", |place, request| {
        let window = json!({"start": day(&place.payments, 1), "end": day(&place.payments, 90)});
        with_profile(place, request, |profile| profile["dataset_window"] = window);
    }),
    ("data from after", Code::DatasetWindowRefused, "/time_window", |place, request| {
        let window = json!({"start": day(&place.payments, -1), "end": day(&place.payments, 59)});
        with_profile(place, request, |profile| profile["dataset_window"] = window);
    }),
    ("a test window beyond the cut", Code::AsOfInconsistent, "/split/test", |place, request| {
        let end = day(&place.payments, 76);
        with_config(place, request, |config| config["split"]["test"]["end"] = json!(end));
    }),
    ("manifests of other columns", Code::FeatureSchemaIncompatible, "/dataset_manifests", |place, request| {
        add_manifest(request, classified(place, "personal"));
    }),
    ("manifests of other feature definitions", Code::FeatureSchemaIncompatible, "/dataset_manifests", |place, request| {
        let twin = |value: &mut Value| {
            let feature = &mut value["feature_definition_set"]["features"][1];
            feature["definition"]["window"] = json!("8d");
            let other = json!({"name": feature["name"], "definition": feature["definition"]});
            let other: contracts::feature::Feature = serde_json::from_value(other).unwrap();
            *feature = serde_json::to_value(other.pin().unwrap()).unwrap();
        };
        add_manifest(request, forge::manifest(place, twin, same));
    }),
    ("manifests of another cut", Code::AsOfInconsistent, "/dataset_manifests", |place, request| {
        let cut = day(&place.payments, 74);
        add_manifest(request, forge::manifest(place, |value| value["label_basis"]["label_asof_utc"] = json!(cut), same));
    }),
    ("manifests of another maturity", Code::LabelRuleMismatch, "/dataset_manifests", |place, request| {
        add_manifest(request, forge::manifest(place, |value| value["label_basis"]["maturity_days"] = json!(3), same));
    }),
];

#[test]
fn what_does_not_fit_together_is_refused_before_a_plan_is_written() {
    for (name, code, place_named, edit) in REFUSED {
        let place = Place::new();
        let mut request = place.quick();
        edit(&place, &mut request);
        let failure = place.refusal(request, LEAVES);
        assert_refusal(name, &failure, *code, place_named);
    }
}

#[test]
fn a_class_that_is_not_refused_is_welcome() {
    let place = Place::new();
    let mut request = place.quick();
    let mut profile = quick_profile();
    profile["privacy_classes_refused"] = json!(["sensitive"]);
    let window = json!({"start": day(&place.payments, 0), "end": day(&place.payments, 60)});
    profile["dataset_window"] = window;
    with_profile(&place, &mut request, |value| *value = profile);
    set_manifest(&mut request, classified(&place, "personal"));
    assert_eq!(place.carry_out(request).progress.state, factory::ledger::State::Published);
}

#[rustfmt::skip]
const WRONG_PARTITIONS: &[(&str, Code, &str, Edit)] = &[
    ("no partition there", Code::PartitionUnresolved, "platform-1/ofs/nowhere", |place, request| {
        set_manifest(request, forge::manifest(place, |value| value["partitions"][0]["uri"] = json!("platform-1/ofs/nowhere"), same));
    }),
    ("a changed partition", Code::PartitionDigestMismatch, "platform-1/ofs/partitions/", |place, _| {
        let manifest = forge::value_of(place, &place.manifest);
        let path = place.path(manifest["partitions"][0]["uri"].as_str().unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }),
    ("a partition that is no Parquet", Code::PartitionInvalid, "platform-1/ofs/forged/", |place, request| {
        let reference = forge::put_bytes(place, "platform-1/ofs/forged", b"not Parquet");
        set_manifest(request, forge::manifest(place, |value| {
            let entry = &mut value["partitions"][0];
            entry["uri"] = reference["uri"].clone();
            entry["digest"] = reference["digest"].clone();
            entry["bytes"] = json!(11);
        }, same));
    }),
    ("a partition of more rows", Code::PartitionInvalid, "rows", |place, request| {
        set_manifest(request, forge::manifest(place, |value| {
            for place in ["/partitions/0/rows", "/label_basis/censored"] {
                let count = value.pointer_mut(place).unwrap();
                *count = json!(count.as_u64().unwrap() + 1);
            }
        }, same));
    }),
    ("a partition of more bytes", Code::PartitionInvalid, "bytes", |place, request| {
        set_manifest(request, forge::manifest(place, |value| value["partitions"][0]["bytes"] = json!(7), same));
    }),
];

#[test]
fn a_partition_that_is_not_what_the_manifest_says_stops_the_run() {
    for (name, code, place_named, edit) in WRONG_PARTITIONS {
        let place = Place::new();
        let mut request = place.quick();
        edit(&place, &mut request);
        let failure =
            place.refusal(request, &["train_requests/", "run_receipt_fail.json", "resolved_train_plan/"]);
        assert_refusal(name, &failure, *code, place_named);
    }
}

/// A partition that was damaged and put back: the run that it stopped goes on when it is sent to work again.
#[test]
fn damage_that_was_put_right_is_no_failure() {
    let place = Place::new();
    let manifest = forge::value_of(&place, &place.manifest);
    let uri = manifest["partitions"][0]["uri"].as_str().unwrap().to_owned();
    let bytes = std::fs::read(place.path(&uri)).unwrap();
    std::fs::write(place.path(&uri), b"other").unwrap();
    let request = place.quick();
    let leaves = ["train_requests/", "resolved_train_plan/"];
    assert_eq!(place.refusal(request.clone(), &leaves).code, Code::PartitionDigestMismatch);
    std::fs::write(place.path(&uri), &bytes).unwrap();
    assert_eq!(place.carry_out(request).progress.state, factory::ledger::State::Published);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

/// What is not there yet may come: the run waits, and goes on when it is sent to work again.
#[test]
fn an_input_that_comes_late_is_no_failure() {
    let place = Place::new();
    let uri = place.manifest.uri.to_string();
    let bytes = std::fs::read(place.path(&uri)).unwrap();
    std::fs::remove_file(place.path(&uri)).unwrap();
    let request = place.quick();
    assert_eq!(place.refusal(request.clone(), LEAVES).code, Code::ManifestUnresolved);
    place.put(&uri, &bytes);
    let run = place.carry_out(request);
    assert_eq!((run.progress.state, run.progress.full_attempts), (factory::ledger::State::Published, 2));
}
