//! A small factory on simulated payments, shared by the tests of the line.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    clippy::disallowed_methods,
    clippy::new_without_default,
    clippy::must_use_candidate,
    reason = "shared by test binaries, each of which uses its own part; tests damage files behind the store"
)]

pub mod away;
pub mod forge;
pub mod place;
pub mod shelf;

use std::{path::Path, sync::Arc};

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use contracts::{
    Checked, Reference,
    dataset_manifest::DatasetManifest,
    governance_profile::GovernanceProfile,
    names::{Name, PlatformRunId},
    run_config::RunConfig,
    train_request::TrainBuildRequest,
    training_config::TrainingConfig,
};
use factory::{
    Factory, Place,
    dataset::{Built, DatasetSpec, Source, Sources},
    store::Location,
};
use kernels::{
    Rng,
    progress::Silent,
    simulate::{self, Payments, Scale},
};
use serde_json::{Value, json};

pub fn platform() -> PlatformRunId {
    PlatformRunId::new("platform-1").unwrap()
}

pub fn worker() -> Name {
    Name::new("worker-1").unwrap()
}

pub fn reason(text: &str) -> contracts::reason::Reason {
    text.parse().unwrap()
}

/// What the requests here are for.
pub fn run_config() -> RunConfig {
    let name = |text: &str| Name::new(text).unwrap();
    RunConfig {
        platform_run_id: platform(),
        policy_revision: name("p1"),
        config_revision: name("c1"),
        code_release_id: name("model_factory-0.1.0"),
    }
}

pub fn payments() -> Payments {
    simulate::payments(Scale { customers: 200, terminals: 60, days: 60 }, Rng::from_u64(7)).unwrap()
}

pub fn events(payments: &Payments) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("event_id", Arc::new(Int64Array::from(payments.event_id.clone())) as ArrayRef),
        ("time", Arc::new(TimestampNanosecondArray::from(payments.time.clone()).with_timezone("UTC"))),
        ("customer", Arc::new(Int64Array::from(payments.customer.clone()))),
        ("terminal", Arc::new(Int64Array::from(payments.terminal.clone()))),
        ("amount", Arc::new(Float64Array::from(payments.amount.clone()))),
    ])
    .unwrap()
}

pub fn labels(payments: &Payments) -> RecordBatch {
    let times = |values: &[i64]| {
        Arc::new(TimestampNanosecondArray::from(values.to_vec()).with_timezone("UTC")) as ArrayRef
    };
    RecordBatch::try_from_iter([
        ("event_id", Arc::new(Int64Array::from(payments.labels.event_id.clone())) as ArrayRef),
        ("fraud", Arc::new(BooleanArray::from(payments.labels.fraud.clone()))),
        ("effective_time", times(&payments.labels.effective_time)),
        ("observed_time", times(&payments.labels.observed_time)),
    ])
    .unwrap()
}

/// Nanoseconds of the first midnight and a day.
pub fn day(payments: &Payments, day: i64) -> String {
    const DAY: i64 = 86_400_000_000_000;
    let first = payments.time[0].div_euclid(DAY);
    contracts::time::Timestamp::from_nanoseconds((first + day) * DAY).to_string()
}

pub fn spec(payments: &Payments) -> Value {
    let window = |name: &str,
                  entity: &str,
                  window: &str,
                  delay: &str,
                  aggregate: &str,
                  column: Option<&str>| {
        json!({"name": name, "definition": {"kind": "window", "entity": entity, "window": window, "delay": delay, "aggregate": aggregate, "column": column}})
    };
    json!({
        "platform_run_id": "platform-1",
        "event_id": "event_id",
        "event_time": "time",
        "labels": {
            "family": "card_fraud", "event_id": "event_id", "value": "fraud", "effective_time": "effective_time",
            "observed_time": "observed_time", "label_asof_utc": day(payments, 75), "maturity_days": 7
        },
        "feature_definition_set": {"feature_set_id": "cards", "feature_set_version": "1"},
        "features": [
            {"name": "amount", "definition": {"kind": "column", "column": "amount"}},
            window("customer_count_7d", "customer", "7d", "0d", "count", None),
            window("customer_mean_7d", "customer", "7d", "0d", "mean", Some("amount")),
            window("terminal_count_14d", "terminal", "14d", "7d", "count", None),
            window("terminal_risk_14d", "terminal", "14d", "7d", "rate", None),
            {"name": "weekend", "definition": {"kind": "weekend"}}
        ],
        "config_revision": "1"
    })
}

pub fn config(payments: &Payments) -> Value {
    json!({
        "schema_version": "model_factory.training_config.v1",
        "config_id": "test",
        "revision": "1",
        "model": {"family": "gradient_boosting", "n_estimators": 20},
        "feature_definition_set": {"feature_set_id": "cards", "feature_set_version": "1"},
        "label": {"family": "card_fraud"},
        "split": {
            "strategy": "time",
            "train": {"start": day(payments, 10), "end": day(payments, 35)},
            "test": {"start": day(payments, 42), "end": day(payments, 60)},
            "gap": "7d"
        },
        "seed_policy": {"base_seed": 1},
        "evaluation": {
            "capacity": {"entity": "customer", "k": 10},
            "known_positives": {"entity": "customer", "delay_days": 7},
            "slices": [{"column": "amount", "edges": [50.0]}],
            "bootstrap": {"replicates": 50}
        }
    })
}

pub fn profile(threshold: f64) -> Value {
    json!({
        "schema_version": "model_factory.governance_profile.v1",
        "profile_id": "test",
        "revision": "1",
        "criteria": [
            {"name": "ranks", "metric": "roc_auc", "comparison": "at_least", "threshold": threshold},
            {"name": "ranks_surely", "metric": "average_precision", "comparison": "at_least", "threshold": 0.01, "judged_on": "lower_bound"}
        ],
        "roles": {"request": "anyone", "publish": {"only": ["alice", "bob"]}, "approve": {"only": ["bob"]}, "promote": "anyone"}
    })
}

/// The factory in a folder.
pub fn opened(root: &Path) -> Factory {
    Factory::make(&Place { root: Location::Folder(root.into()), ledger: None, keys: None }).unwrap()
}

/// Builds the dataset.
pub fn build(factory: &Factory, payments: &Payments) -> contracts::Result<Built> {
    let spec: DatasetSpec = serde_json::from_value(spec(payments)).unwrap();
    let sources = Sources {
        events: Source::Batches(vec![events(payments)]),
        labels: Source::Batches(vec![labels(payments)]),
    };
    factory.build_dataset(&spec, sources, &Silent)
}

/// A factory with a dataset, ready for requests.
pub struct Bench {
    pub factory: Factory,
    pub payments: Payments,
    pub manifest: Reference<DatasetManifest>,
}

impl Bench {
    pub fn new(root: &Path) -> Self {
        let factory = opened(root);
        let payments = payments();
        let built = build(&factory, &payments).unwrap();
        Self { factory, payments, manifest: built.reference }
    }

    pub fn request_with(&self, config: Value, profile: Value) -> Value {
        let config: Checked<TrainingConfig> = Checked::from_value(config).unwrap();
        let profile: Checked<GovernanceProfile> = Checked::from_value(profile).unwrap();
        json!({
            "schema_version": "model_factory.train_request.v1",
            "request_id": "request-1",
            "intent_kind": "baseline_train",
            "platform_run_id": "platform-1",
            "dataset_manifests": [self.manifest],
            "training_config": self.factory.put_training_config(&platform(), &config).unwrap(),
            "governance_profile": self.factory.put_governance_profile(&platform(), &profile).unwrap(),
            "requester_principal": "alice",
            "target_scope": {"environment": "prod", "mode": "card", "bundle_slot": "primary"},
            "policy_revision": "p1",
            "config_revision": "c1",
            "code_release_id": "model_factory-0.1.0",
            "publish_allowed": true
        })
    }

    pub fn request(&self, threshold: f64) -> Value {
        self.request_with(config(&self.payments), profile(threshold))
    }

    pub fn checked(request: Value) -> Checked<TrainBuildRequest> {
        Checked::from_value(request).unwrap()
    }
}
