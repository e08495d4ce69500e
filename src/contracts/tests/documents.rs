//! The door: what a document may be, and what a refusal says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects")]

use contracts::{
    Checked, Code, Failure, bundle,
    governance_profile::GovernanceProfile,
    identity::{ids::BundleId, written::read_toml},
    model_config::ModelConfig,
    train_request::TrainBuildRequest,
    train_run_key::TrainRunKey,
    training_config::TrainingConfig,
};
use serde_json::{Value, json};

fn request() -> Value {
    let pinned = |uri: &str| json!({"uri": uri, "digest": format!("sha256:{}", "ab".repeat(32))});
    json!({
        "schema_version": "model_factory.train_request.v1",
        "request_id": "req-00000001",
        "intent_kind": "baseline_train",
        "platform_run_id": "platform-1",
        "dataset_manifests": [pinned("platform-1/ofs/manifests/a.json")],
        "training_config": pinned("platform-1/mf/configs/c.json"),
        "governance_profile": pinned("platform-1/mf/profiles/p.json"),
        "requester_principal": "alice",
        "target_scope": {"environment": "prod", "mode": "card", "bundle_slot": "primary"},
        "policy_revision": "p1",
        "config_revision": "c1",
        "code_release_id": "release-1"
    })
}

fn config() -> Value {
    json!({
        "schema_version": "model_factory.training_config.v1",
        "config_id": "baseline",
        "revision": "1",
        "model": {"family": "gradient_boosting"},
        "feature_definition_set": {"feature_set_id": "cards", "feature_set_version": "1"},
        "label": {"family": "card_fraud"},
        "split": {
            "strategy": "time",
            "train": {"start": "2018-07-25T00:00:00Z", "end": "2018-08-01T00:00:00Z"},
            "test": {"start": "2018-08-08T00:00:00Z", "end": "2018-08-15T00:00:00Z"},
            "gap": "7d"
        },
        "seed_policy": {"base_seed": 1}
    })
}

fn parse(value: &Value) -> Result<Checked<TrainBuildRequest>, Failure> {
    Checked::parse(value.to_string().as_bytes())
}

fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), new);
    value
}

fn without(mut value: Value, key: &str) -> Value {
    value.as_object_mut().unwrap().remove(key);
    value
}

/// The door may know a document by its very bytes: that never shows in what it says.
#[test]
fn what_came_through_before_is_the_same_and_lets_nothing_else_through() {
    let value = with(request(), "/request_id", json!("req-known"));
    let first = parse(&value).unwrap();
    let again = Checked::<TrainBuildRequest>::parse(first.bytes()).unwrap();
    assert_eq!((&again, again.digest()), (&first, first.digest()));
    assert_eq!(Checked::new(first.clone().into_inner()).unwrap(), first);
    // The same content in other bytes is the same document, in its canonical bytes.
    let spaced = [first.bytes(), b"\n"].concat();
    assert_eq!(Checked::<TrainBuildRequest>::parse(&spaced).unwrap().bytes(), first.bytes());
    // The same bytes are no document of another kind, and one that was taken apart and changed is checked anew.
    let failure = Checked::<TrainingConfig>::parse(first.bytes()).unwrap_err();
    assert_eq!(failure.code, Code::TrainingConfigInvalid);
    let mut changed = first.clone().into_inner();
    changed.dataset_manifests.clear();
    assert!(Checked::new(changed).is_err());
    for _ in 0..2 {
        let broken = with(value.clone(), "/request_id", json!(""));
        assert!(parse(&broken).is_err());
    }
}

#[test]
fn a_good_request_is_taken_and_canonical() {
    let checked = parse(&request()).unwrap();
    assert_eq!(Checked::<TrainBuildRequest>::parse(checked.bytes()).unwrap(), checked);
    assert!(!checked.publish_allowed);
}

#[test]
fn each_field_has_its_code() {
    let cases = [
        (with(request(), "/request_id", json!("short")), Code::RequestIdInvalid),
        (with(request(), "/intent_kind", json!("just_because")), Code::IntentKindUnsupported),
        (with(request(), "/platform_run_id", json!("../up")), Code::RunScopeInvalid),
        (with(request(), "/target_scope", json!({"environment": "prod"})), Code::TargetScopeInvalid),
        (with(request(), "/dataset_manifests", json!([])), Code::ManifestRefMissing),
        (
            with(request(), "/dataset_manifests", json!([{"uri": "platform-1/ofs/a"}])),
            Code::ManifestRefMissing,
        ),
        (without(request(), "training_config"), Code::TrainingConfigMissing),
        (without(request(), "governance_profile"), Code::GovernanceProfileMissing),
        (without(request(), "requester_principal"), Code::RequesterMissing),
        (with(request(), "/surprise", json!(1)), Code::RequestInvalid),
        (with(without(request(), "requester_principal"), "/request_id", json!("x")), Code::RequestInvalid),
        (with(request(), "/schema_version", json!("model_factory.train_request.v2")), Code::RequestInvalid),
        (json!([]), Code::RequestInvalid),
    ];
    for (value, code) in cases {
        assert_eq!(parse(&value).unwrap_err().code, code, "{value}");
    }
}

#[test]
fn all_problems_are_reported_at_once_by_place_and_shape() {
    let bad = with(
        with(with(request(), "/request_id", json!("secret!")), "/publish_allowed", json!("yes")),
        "/extra",
        json!(1),
    );
    let failure = parse(&bad).unwrap_err();
    let mut pointers: Vec<_> = failure.problems.iter().map(|problem| problem.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/extra", "/publish_allowed", "/request_id"]);
    assert!(!failure.to_string().contains("secret"), "{failure}");
}

#[test]
fn a_wrong_hyper_parameter_is_found_inside_its_family() {
    for (pointer, value) in
        [("/model/learning_rate", json!(2.0)), ("/model/max_bins", json!(1)), ("/model/trees", json!(1))]
    {
        let failure = Checked::<TrainingConfig>::from_value(with(config(), pointer, value)).unwrap_err();
        assert_eq!(failure.code, Code::TrainingConfigInvalid);
        assert_eq!(failure.problems.len(), 1, "{failure}");
        assert_eq!(failure.problems[0].pointer, pointer, "{failure}");
    }
    let failure =
        Checked::<TrainingConfig>::from_value(with(config(), "/model/family", json!("magic"))).unwrap_err();
    assert!(failure.problems[0].pointer.starts_with("/model"), "{failure}");
}

#[test]
fn checks_beyond_the_schema_are_made() {
    let cases = [
        ("/split/train", json!({"start": "2018-08-01T00:00:00Z", "end": "2018-07-25T00:00:00Z"})),
        ("/features", json!(["a", "a"])),
        ("/model", json!({"family": "gradient_boosting", "early_stopping_rounds": 5})),
        ("/evaluation", json!({"slices": [{"column": "a", "edges": [2.0, 1.0]}]})),
        ("/evaluation", json!({"top_k": [5, 5]})),
    ];
    for (pointer, value) in cases {
        let failure = Checked::<TrainingConfig>::from_value(with(config(), pointer, value)).unwrap_err();
        assert_eq!(failure.code, Code::TrainingConfigInvalid, "{pointer}");
    }
}

#[test]
fn toml_and_json_are_one_document() {
    let toml = r#"
        schema_version = "model_factory.training_config.v1"
        config_id = "baseline"
        revision = "1"
        [model]
        family = "gradient_boosting"
        [feature_definition_set]
        feature_set_id = "cards"
        feature_set_version = "1"
        [label]
        family = "card_fraud"
        [split]
        strategy = "time"
        train = { start = "2018-07-25T00:00:00Z", end = "2018-08-01T00:00:00Z" }
        test = { start = "2018-08-08T00:00:00Z", end = "2018-08-15T00:00:00Z" }
        gap = "7d"
        [seed_policy]
        base_seed = 1
    "#;
    let from_toml = Checked::<TrainingConfig>::from_value(read_toml(toml.as_bytes()).unwrap()).unwrap();
    assert_eq!(from_toml.digest(), Checked::<TrainingConfig>::from_value(config()).unwrap().digest());
}

#[test]
fn written_out_defaults_change_no_digest() {
    let spelled = with(
        config(),
        "/model",
        json!({
            "family": "gradient_boosting", "learning_rate": 0.1, "max_bins": 255,
            "grow_policy": "leaf_wise", "monotonic_cst": null, "interaction_cst": null
        }),
    );
    let (plain, spelled) = (
        Checked::<TrainingConfig>::from_value(config()).unwrap(),
        Checked::<TrainingConfig>::from_value(spelled).unwrap(),
    );
    assert_eq!(plain.digest(), spelled.digest());
}

#[test]
fn groups_are_sets_and_directions_three() {
    let digest = |interactions: Value| {
        let model = json!({"family": "gradient_boosting", "interaction_cst": interactions});
        Checked::<TrainingConfig>::from_value(with(config(), "/model", model)).unwrap().digest()
    };
    assert_eq!(digest(json!([["a", "b"], ["c"]])), digest(json!([["c"], ["b", "a"]])));
    assert_ne!(digest(json!([["a", "b"], ["c"]])), digest(json!("pairwise")));
    let refused = [
        ("/model/monotonic_cst/a", json!({"monotonic_cst": {"a": 2, "b": -1}})),
        ("/model/interaction_cst/1", json!({"interaction_cst": [["a"], []]})),
        ("/model/interaction_cst/0", json!({"interaction_cst": [["a", "a"]]})),
        ("/model/grow_policy", json!({"grow_policy": "breadth_first"})),
    ];
    for (pointer, mut model) in refused {
        model["family"] = json!("gradient_boosting");
        let failure = Checked::<TrainingConfig>::from_value(with(config(), "/model", model)).unwrap_err();
        assert_eq!(failure.code, Code::TrainingConfigInvalid);
        let pointers: Vec<_> = failure.problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{failure}");
    }
}

#[test]
fn a_profile_names_only_metrics_that_a_report_can_hold() {
    let profile = |metric: &str| {
        Checked::<GovernanceProfile>::from_value(json!({
            "schema_version": "model_factory.governance_profile.v1",
            "profile_id": "default",
            "revision": "1",
            "criteria": [{"name": "one", "metric": metric, "comparison": "at_least", "threshold": 0.5}],
            "roles": {"request": "anyone", "publish": "anyone", "approve": {"only": ["bob"]}, "promote": "anyone"}
        }))
    };
    assert!(profile("average_precision").is_ok());
    assert!(profile("recall_at_fpr_0.01").is_ok());
    for bad in ["accuracy", "recall_at_fpr_", "recall_at_fpr_nan", "recall_at_fpr_x"] {
        assert_eq!(profile(bad).unwrap_err().code, Code::GovernanceProfileInvalid, "{bad}");
    }
}

#[test]
fn payload_hash_ignores_the_request_id_and_the_order_of_references_and_keys() {
    let two = json!([
        {"uri": "platform-1/ofs/manifests/a.json", "digest": format!("sha256:{}", "ab".repeat(32))},
        {"uri": "platform-1/ofs/manifests/b.json", "digest": format!("sha256:{}", "cd".repeat(32))}
    ]);
    let mut turned = two.clone();
    turned.as_array_mut().unwrap().reverse();
    let first = parse(&with(request(), "/dataset_manifests", two)).unwrap().payload_hash().unwrap();
    let again = with(with(request(), "/dataset_manifests", turned), "/request_id", json!("req-00000002"));
    assert_eq!(parse(&again).unwrap().payload_hash().unwrap(), first);
    let other = with(request(), "/policy_revision", json!("p2"));
    assert_ne!(parse(&other).unwrap().payload_hash().unwrap(), first);
}

/// Golden vectors, computed by an independent implementation of the recipes: an id that changes here changes
/// for everyone who stored one.
#[test]
fn golden_ids() {
    let request = parse(&request()).unwrap();
    let config = Checked::<TrainingConfig>::from_value(config()).unwrap();
    let key = TrainRunKey::of(&request, &config);
    let bundle_id = BundleId::new(format!("mb_{}", "0".repeat(32))).unwrap();
    let golden = [
        (
            "payload",
            request.payload_hash().unwrap().to_string(),
            "sha256:7619b260df785606e65e76f56dcf86f8b17686a7976245d0c78951ca1e614c9b",
        ),
        ("run", key.id().unwrap().to_string(), "tr_67f845d9df12cb0af6ddbba204da5949"),
        (
            "seed",
            key.stage_seed("train", 1).unwrap().to_string(),
            "sha256:16918e9cfbb95aa8cba51739d0f32a28e0e1a313a7afae6c86a2dc59131b5a72",
        ),
        (
            "version",
            bundle::bundle_version(&bundle_id, &request.policy_revision, &request.config_revision)
                .unwrap()
                .to_string(),
            "v1-cfe52aedc4ca",
        ),
    ];
    for (what, found, expected) in golden {
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn everything_in_the_run_key_matters_and_nothing_else() {
    let config = Checked::<TrainingConfig>::from_value(config()).unwrap();
    let key = |value: &Value| TrainRunKey::of(&parse(value).unwrap(), &config).id().unwrap();
    let base = key(&request());
    let digest = json!({"uri": "platform-1/x/y", "digest": format!("sha256:{}", "00".repeat(32))});
    for (pointer, value) in [
        ("/intent_kind", json!("candidate_eval")),
        ("/platform_run_id", json!("platform-2")),
        ("/dataset_manifests", json!([digest])),
        ("/training_config", digest.clone()),
        ("/governance_profile", digest.clone()),
        ("/target_scope/tenant_id", json!("tenant-1")),
        ("/code_release_id", json!("release-2")),
    ] {
        assert_ne!(key(&with(request(), pointer, value)), base, "{pointer}");
    }
    for (pointer, value) in [
        ("/request_id", json!("req-00000009")),
        ("/requester_principal", json!("bob")),
        ("/publish_allowed", json!(true)),
    ] {
        assert_eq!(key(&with(request(), pointer, value)), base, "{pointer}");
    }
}

/// Each place of a document that was refused.
fn places(failure: &Failure) -> Vec<&str> {
    failure.problems.iter().map(|problem| problem.pointer.as_str()).collect()
}

#[test]
fn a_moment_that_no_calendar_has_is_refused_at_its_place() {
    for wrong in ["2024-02-30T00:00:00Z", "2024-01-01T24:00:00Z", "9999-01-01T00:00:00Z", "2024-01-01"] {
        let mut document = config();
        document["split"]["test"]["end"] = json!(wrong);
        document["split"]["train"]["start"] = json!(wrong);
        let failure = Checked::<TrainingConfig>::from_value(document).unwrap_err();
        let mut found = places(&failure);
        found.sort_unstable();
        assert_eq!(found, ["/split/test/end", "/split/train/start"], "{wrong}");
        assert!(failure.problems.iter().all(|problem| problem.expected.starts_with("RFC 3339")));
        assert!(!failure.to_string().contains(wrong));
    }
}

#[test]
fn what_the_schema_lets_through_is_refused_at_its_place_and_without_its_value() {
    let mut document = config();
    document["split"]["gap"] = json!("99999999999999999999d");
    let failure = Checked::<TrainingConfig>::from_value(document).unwrap_err();
    assert!(places(&failure)[0].starts_with("/split"), "{failure}");
    assert!(!failure.to_string().contains("9999"), "{failure}");
}

#[test]
fn ten_point_zero_is_ten() {
    let read = |number: &str| {
        ModelConfig::read(format!(r#"{{"family": "random_forest", "n_estimators": {number}}}"#).as_bytes())
    };
    assert_eq!(read("10.0").unwrap(), read("10").unwrap());
    assert_eq!(read("1e1").unwrap(), read("10").unwrap());
    assert_eq!(places(&read("10.5").unwrap_err()), ["/n_estimators"]);
}

#[test]
fn categorical_features_are_named_once_among_those_used() {
    let with_categories = |names: Value| with(config(), "/model/categorical_features", names);
    let parsed = |value: Value| Checked::<TrainingConfig>::from_value(value);
    assert!(parsed(with_categories(json!(["channel", "country"]))).is_ok());
    let used =
        with(with_categories(json!(["channel", "country"])), "/features", json!(["amount", "country"]));
    for (value, pointer) in [
        (used, "/model/categorical_features/0"),
        (with_categories(json!(["channel", "channel"])), "/model/categorical_features/1"),
        (with_categories(json!(["\u{e9}t\u{e9}"])), "/model/categorical_features/0"),
        (with_categories(json!([3])), "/model/categorical_features/0"),
    ] {
        let failure = parsed(value).unwrap_err();
        assert_eq!(failure.code, Code::TrainingConfigInvalid, "{failure}");
        assert_eq!(failure.problems[0].pointer, pointer, "{failure}");
    }
    // Where there are none the document has the bytes, and so the digest, that it had before there were any.
    let none = parsed(with_categories(json!([]))).unwrap();
    assert_eq!(none.bytes(), parsed(config()).unwrap().bytes());
    assert!(!String::from_utf8_lossy(none.bytes()).contains("categorical"));
}
