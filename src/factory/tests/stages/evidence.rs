//! Evidence that was changed, cut, swapped or lost stops the run; other bytes under a key are never replaced.

use std::{path::Path, sync::Mutex};

use contracts::{
    Artifact, Code, Reference,
    artifacts::{ModelArtifact, Partition},
    bundle::ModelBundle,
    dataset_manifest::DatasetManifest,
    eval_report::EvalReport,
    execution_record::ExecutionRecord,
    gate_receipt::{GateReceipt, PublishEligibility},
    governance_profile::GovernanceProfile,
    identity::ids::TrainRunId,
    lifecycle_event::RegistryLifecycleEvent,
    measurements::Measurements,
    names::{ObjectKey, Principal},
    publication::BundlePublication,
    resolution::BundleResolution,
    resolved_plan::ResolvedTrainPlan,
    run_receipt::RunReceipt,
    train_request::TrainBuildRequest,
    training_config::TrainingConfig,
};
use factory::{
    Factory,
    dataset::{DatasetSpec, Source, Sources},
    ledger::State,
    line::Line,
    store, verify,
};
use kernels::progress::Silent;
use serde_json::{Value, json};

use crate::support::{
    Bench,
    away::{AwayStore, CountingStore, Stopping},
    events, forge, labels, opened,
    place::{Place, assert_refusal, folder, quick_config, quick_profile},
    spec, worker,
};

fn alice() -> Principal {
    Principal::new("alice").unwrap()
}

/// Where each piece of a run's evidence stands, by its name in the ledger.
fn uri(place: &Place, run: &TrainRunId, name: &str) -> String {
    let evidence = serde_json::to_value(place.evidence(run)).unwrap();
    evidence[name]["uri"].as_str().unwrap().to_owned()
}

/// Everything that a bundle rests on is read whole and once, whoever judges it.
#[test]
fn verifying_reads_each_byte_once() {
    let (place, run) = Place::passed();
    let line = place.factory.line();
    let store = CountingStore { inner: line.store.clone(), read: Mutex::default() };
    let bundle = place.evidence(&run).bundle.unwrap();
    let verified = verify::verify(&store, &line.keys, &bundle, &Silent).unwrap();
    let read = store.read.into_inner().unwrap();
    for (key, bytes) in &read {
        assert_eq!(*bytes, std::fs::metadata(place.path(key.as_str())).unwrap().len(), "{key}");
    }
    assert_eq!(read.len() as u64, verified.objects);
    let data = |key: &&ObjectKey| Path::new(key.as_str()).extension().is_none_or(|kind| kind != "json");
    assert_eq!(read.keys().filter(data).map(|key| read[key]).sum::<u64>(), verified.bytes);
}

fn damage(place: &Place, uri: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = place.path(uri);
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

type Change = fn(&Place, &str);

const CHANGES: [(&str, Code, Change); 4] = [
    ("cut", Code::EvidenceDigestMismatch, |place, uri| {
        damage(place, uri, |bytes| bytes.truncate(bytes.len() / 2));
    }),
    ("emptied", Code::EvidenceDigestMismatch, |place, uri| damage(place, uri, Vec::clear)),
    ("lengthened", Code::EvidenceDigestMismatch, |place, uri| damage(place, uri, |bytes| bytes.push(b' '))),
    ("lost", Code::EvidenceUnresolved, |place, uri| std::fs::remove_file(place.path(uri)).unwrap()),
];

#[test]
fn evidence_changed_after_the_gate_is_never_published() {
    for name in ["plan", "model", "execution_record", "eval_report", "gate_receipt", "publish_eligibility"] {
        for (change, code, apply) in CHANGES {
            let (place, run) = Place::passed();
            let uri = uri(&place, &run, name);
            let whole = std::fs::read(place.path(&uri)).unwrap();
            apply(&place, &uri);
            let failure = place.factory.publish(&run, &alice(), &worker(), &Silent).unwrap_err();
            assert_refusal(&format!("{name} {change}"), &failure, code, &uri);
            assert!(!failure.retryable(), "{name} {change}: it was there");
            assert!(
                place.store().list(&ObjectKey::new("registry/bundles").unwrap()).unwrap().keys.is_empty()
            );
            assert_eq!(place.run(&run).progress.state, State::PublishPending, "{name} {change}");
            let findings = place.factory.fsck().unwrap().findings;
            assert!(
                findings.iter().any(|finding| finding.code == code && finding.subject == run.to_string())
            );
            // The gate's verdict stands: what was damaged is put back, and no attempt was spent.
            std::fs::write(place.path(&uri), &whole).unwrap();
            let row = place.factory.publish_retry(&run, &worker(), &Silent).unwrap();
            assert_eq!((row.progress.state, row.progress.publish_attempts), (State::Published, 1));
        }
    }
}

/// The bundle is written by whoever publishes: other bytes in its place are a conflict, which is final.
#[test]
fn a_bundle_that_was_changed_is_not_published() {
    let (place, run) = Place::passed();
    let uri = uri(&place, &run, "bundle");
    damage(&place, &uri, |bytes| bytes.push(b' '));
    let failure = place.factory.publish(&run, &alice(), &worker(), &Silent).unwrap_err();
    assert_refusal("bundle", &failure, Code::ModelBundleImmutabilityViolation, &uri);
    assert_eq!(place.run(&run).progress.state, State::Fail);
    assert!(place.store().list(&ObjectKey::new("registry/bundles").unwrap()).unwrap().keys.is_empty());
}

/// A run that was evaluated and not yet judged, because the store went away.
fn evaluated() -> (Place, TrainRunId) {
    let place = Place::new();
    let admission = place.factory.submit(Bench::checked(place.quick())).unwrap();
    let run = admission.run.run_id;
    let away = place.with(|line| Line {
        store: AwayStore::new(&line.store, "gate_receipt", Code::StoreUnavailable, 1),
        ..line
    });
    let failure = away.work(&worker(), Some(&run), &Silent).unwrap_err();
    assert_eq!(failure.code, Code::StoreUnavailable);
    assert_eq!(place.run(&run).progress.state, State::Queued, "an outage is no FAIL");
    (place, run)
}

#[test]
fn a_run_that_lost_its_store_goes_on_without_training_again() {
    let (place, run) = evaluated();
    let model = place.path(&uri(&place, &run, "model"));
    let written = std::fs::metadata(&model).unwrap().modified().unwrap();
    let row = place.factory.work(&worker(), Some(&run), &Silent).unwrap().unwrap();
    assert_eq!(row.progress.state, State::Published);
    assert_eq!(std::fs::metadata(&model).unwrap().modified().unwrap(), written);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

/// The report with every ROC AUC set to 0.
fn useless(bytes: &mut Vec<u8>) {
    let mut report: Value = serde_json::from_slice(bytes).unwrap();
    for split in report["splits"].as_array_mut().unwrap() {
        split["metrics"]["roc_auc"]["value"] = json!(0.0);
    }
    *bytes = serde_json::to_vec(&report).unwrap();
}

/// What an earlier attempt at this design let through: each was passed by the gate.
#[test]
fn evidence_changed_before_the_gate_is_never_judged() {
    type Tamper = fn(&Place, &TrainRunId);
    let cases: [(&str, Code, Tamper); 5] = [
        ("a report of AUC 0", Code::EvidenceDigestMismatch, |place, run| {
            damage(place, &uri(place, run, "eval_report"), useless);
        }),
        ("an empty model", Code::EvidenceDigestMismatch, |place, run| {
            damage(place, &uri(place, run, "model"), Vec::clear);
        }),
        ("a swapped profile", Code::GovernanceProfileDigestMismatch, |place, run| {
            let plan = place.evidence(run).plan.unwrap();
            let plan = store::read_document(place.store(), &plan).unwrap();
            let easy = place.request_with(quick_config(place), easy_profile());
            let easy =
                std::fs::read(place.path(easy["governance_profile"]["uri"].as_str().unwrap())).unwrap();
            std::fs::write(place.path(plan.governance_profile_ref.uri.as_str()), easy).unwrap();
        }),
        ("a lost profile", Code::GovernanceProfileUnresolved, |place, run| {
            let plan = place.evidence(run).plan.unwrap();
            let plan = store::read_document(place.store(), &plan).unwrap();
            std::fs::remove_file(place.path(plan.governance_profile_ref.uri.as_str())).unwrap();
        }),
        ("a record of other rows", Code::EvidenceDigestMismatch, |place, run| {
            damage(place, &uri(place, run, "execution_record"), |bytes| bytes.push(b'\n'));
        }),
    ];
    for (name, code, change) in cases {
        let (place, run) = evaluated();
        change(&place, &run);
        let failure = place.factory.work(&worker(), Some(&run), &Silent).unwrap_err();
        assert_refusal(name, &failure, code, "platform-1/mf/");
        assert_eq!(place.run(&run).progress.state, State::Queued, "{name}: nothing was judged");
        let objects = place.objects();
        let wrong = ["gate_receipt", "bundle", "registry/scopes"];
        assert!(!objects.keys().any(|key| wrong.iter().any(|part| key.to_str().unwrap().contains(part))));
    }
}

fn easy_profile() -> Value {
    let mut profile = quick_profile();
    profile["criteria"][0]["threshold"] = json!(0.0);
    profile
}

/// Other bytes stand under a run's keys before the run writes them.
#[test]
fn a_run_never_replaces_other_bytes() {
    for (name, code, reaches) in [
        ("plan", Code::ResolvedPlanImmutabilityViolation, State::Fail),
        ("model", Code::ModelArtifactImmutabilityViolation, State::Fail),
        ("execution_record", Code::ExecutionRecordImmutabilityViolation, State::Fail),
        ("eval_report", Code::EvalReportImmutabilityViolation, State::Fail),
        ("gate_receipt", Code::GateReceiptImmutabilityViolation, State::Fail),
        ("publish_eligibility", Code::PublishEligibilityImmutabilityViolation, State::Fail),
        ("bundle", Code::ModelBundleImmutabilityViolation, State::Fail),
        // Nothing is done with a run that has a receipt which its ledger does not know of.
        ("run_receipt_pass", Code::LedgerCorrupt, State::Queued),
    ] {
        let (passed, run) = Place::passed();
        let uri = match name {
            "run_receipt_pass" => format!("platform-1/mf/train_runs/{run}/run_receipt_pass.json"),
            name => uri(&passed, &run, name),
        };
        let place = Place::new();
        place.put(&uri, b"other");
        let mut request = place.quick();
        request["publish_allowed"] = json!(false);
        place.factory.submit(Bench::checked(request)).unwrap();
        let failure = place.factory.work(&worker(), Some(&run), &Silent).unwrap_err();
        assert_refusal(name, &failure, code, &uri);
        assert_eq!(std::fs::read(place.path(&uri)).unwrap(), b"other");
        assert_eq!(place.run(&run).progress.state, reaches, "{name}");
        assert!(
            !place.path(&format!("platform-1/mf/train_runs/{run}/bundle.json")).exists() || name == "bundle"
        );
    }
}

#[test]
fn documents_that_people_store_never_replace_other_bytes() {
    let place = Place::new();
    let request = place.quick();
    let admitted = Bench::checked(request.clone());
    let empty = folder();
    let factory = opened(empty.path());
    let other = |uri: &str| {
        factory.line().store.put_if_absent(&ObjectKey::new(uri).unwrap(), b"other").unwrap();
    };
    other(request["training_config"]["uri"].as_str().unwrap());
    other(request["governance_profile"]["uri"].as_str().unwrap());
    let platform = crate::support::platform();
    let config = contracts::Checked::from_value(quick_config(&place)).unwrap();
    let failure = factory.put_training_config(&platform, &config).unwrap_err();
    assert_refusal("config", &failure, Code::TrainingConfigImmutabilityViolation, "training_configs/");
    let profile = contracts::Checked::from_value(quick_profile()).unwrap();
    let failure = factory.put_governance_profile(&platform, &profile).unwrap_err();
    assert_refusal("profile", &failure, Code::GovernanceProfileImmutabilityViolation, "governance_profiles/");

    let key = format!("platform-1/mf/train_requests/{}.json", admitted.digest().hex());
    place.put(&key, b"other");
    let failure = place.factory.submit(admitted).unwrap_err();
    assert_refusal("request", &failure, Code::TrainRequestImmutabilityViolation, &key);

    let build = |factory: &Factory| {
        let spec: DatasetSpec = serde_json::from_value(spec(&place.payments)).unwrap();
        let events = Source::Batches(vec![events(&place.payments)]);
        let labels = Source::Batches(vec![labels(&place.payments)]);
        factory.build_dataset(&spec, Sources { events, labels }, &Silent)
    };
    let manifest = forge::value_of(&place, &place.manifest);
    other(place.manifest.uri.as_str());
    let failure = build(&factory).unwrap_err();
    assert_refusal("manifest", &failure, Code::DatasetManifestImmutabilityViolation, "ofs/manifests/");
    let partition = manifest["partitions"][0]["uri"].as_str().unwrap();
    let path = empty.path().join("objects").join(partition);
    std::fs::write(path, b"other").unwrap();
    let failure = build(&factory).unwrap_err();
    assert_refusal("partition", &failure, Code::PartitionImmutabilityViolation, partition);
}

/// Each kind of artifact says by its own codes that it is taken, away, or changed.
fn says_its_codes<T: Artifact>(violation: Code) {
    let folder = folder();
    let store = store::LocalStore::open(folder.path()).unwrap();
    let key = ObjectKey::new("a/b").unwrap();
    let code = |result: contracts::Result<Vec<u8>>| result.unwrap_err().code;
    let reference: Reference<T> = store::write_once(&store, &key, b"one").unwrap();
    assert_eq!(store::write_once::<T>(&store, &key, b"two").unwrap_err().code, violation);
    std::fs::write(folder.path().join("a/b"), b"two").unwrap();
    assert_eq!(code(store::read(&store, &reference)), T::MISMATCH, "{}", T::NAME);
    std::fs::remove_file(folder.path().join("a/b")).unwrap();
    assert_eq!(code(store::read(&store, &reference)), T::UNRESOLVED, "{}", T::NAME);
}

#[test]
fn every_kind_of_artifact_says_its_own_codes() {
    says_its_codes::<Partition>(Code::PartitionImmutabilityViolation);
    says_its_codes::<DatasetManifest>(Code::DatasetManifestImmutabilityViolation);
    says_its_codes::<TrainingConfig>(Code::TrainingConfigImmutabilityViolation);
    says_its_codes::<GovernanceProfile>(Code::GovernanceProfileImmutabilityViolation);
    says_its_codes::<TrainBuildRequest>(Code::TrainRequestImmutabilityViolation);
    says_its_codes::<ResolvedTrainPlan>(Code::ResolvedPlanImmutabilityViolation);
    says_its_codes::<ExecutionRecord>(Code::ExecutionRecordImmutabilityViolation);
    says_its_codes::<ModelArtifact>(Code::ModelArtifactImmutabilityViolation);
    says_its_codes::<EvalReport>(Code::EvalReportImmutabilityViolation);
    says_its_codes::<Measurements>(Code::MeasurementsImmutabilityViolation);
    says_its_codes::<GateReceipt>(Code::GateReceiptImmutabilityViolation);
    says_its_codes::<PublishEligibility>(Code::PublishEligibilityImmutabilityViolation);
    says_its_codes::<ModelBundle>(Code::ModelBundleImmutabilityViolation);
    says_its_codes::<BundlePublication>(Code::PublicationImmutabilityViolation);
    says_its_codes::<RegistryLifecycleEvent>(Code::LifecycleEventImmutabilityViolation);
    says_its_codes::<RunReceipt>(Code::RunReceiptImmutabilityViolation);
    // An answer that nobody stores: storing one is a defect.
    says_its_codes::<BundleResolution>(Code::InternalError);
}

/// What a clock measured may differ each time: it is no evidence, and the first one stands.
#[test]
fn other_measurements_are_no_violation() {
    let (_, run) = Place::passed();
    let place = Place::new();
    let uri = format!("platform-1/mf/train_runs/{run}/measurements.json");
    place.put(&uri, b"other");
    assert_eq!(place.carry_out(place.quick()).progress.state, State::Published);
    assert_eq!(std::fs::read(place.path(&uri)).unwrap(), b"other");
}

#[test]
fn fits_that_cannot_be_are_refused_and_leave_no_model() {
    let leaves = ["train_requests/", "resolved_train_plan/", "run_receipt_fail.json"];
    let logistic = |max_iter: u32| json!({"family": "logistic_regression", "max_iter": max_iter});
    let place = Place::new();
    let mut config = quick_config(&place);
    config["model"] = logistic(1);
    config["features"] = json!(["amount", "customer_count_7d", "weekend"]);
    let failure = place.refusal(place.request_with(config.clone(), quick_profile()), &leaves);
    assert_refusal("one step", &failure, Code::TrainingDiverged, "converge");
    config["model"] = logistic(100);
    config["features"] = json!(["amount", "customer_mean_7d"]);
    let mut request = place.request_with(config, quick_profile());
    request["request_id"] = json!("request-2");
    let rows = forge::rows(&place);
    let amount: &arrow_array::Float64Array = forge::column(&rows, "customer_mean_7d");
    let holes: arrow_array::Float64Array =
        amount.iter().enumerate().map(|(row, value)| value.filter(|_| row % 7 != 0)).collect();
    let rows = forge::with_column(&rows, "customer_mean_7d", std::sync::Arc::new(holes));
    request["dataset_manifests"][0] = forge::dataset(&place, &rows);
    let failure = place.refusal(request, &leaves);
    assert_refusal("missing values", &failure, Code::NonFiniteInput, "finite");
}

#[test]
fn work_that_is_stopped_from_outside_can_be_carried_on() {
    let place = Place::new();
    let run = place.factory.submit(Bench::checked(place.quick())).unwrap().run.run_id;
    let failure = place.factory.work(&worker(), None, &Stopping).unwrap_err();
    assert_eq!(failure.code, Code::Interrupted);
    assert_eq!(place.run(&run).progress.state, State::Queued);
    let row = place.factory.work(&worker(), Some(&run), &Silent).unwrap().unwrap();
    assert_eq!(row.progress.state, State::Published);
}

#[test]
fn a_full_disk_is_said_by_its_code_and_is_no_end() {
    let place = Place::new();
    let run = place.factory.submit(Bench::checked(place.quick())).unwrap().run.run_id;
    let full = place.with(|line| Line {
        store: AwayStore::new(&line.store, "model.safetensors", Code::ResourceExhausted, 1),
        ..line
    });
    assert_eq!(full.work(&worker(), None, &Silent).unwrap_err().code, Code::ResourceExhausted);
    assert_eq!(place.run(&run).progress.state, State::Queued);
    place.factory.work(&worker(), Some(&run), &Silent).unwrap().unwrap();
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}
