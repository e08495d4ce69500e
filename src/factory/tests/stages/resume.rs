//! A worker killed at any point: another one takes the run over, and what comes out is what would have come out.
//!
//! The test binary starts itself as the worker that dies.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
};

use contracts::{Code, Reference, dataset_manifest::DatasetManifest, identity::ids::TrainRunId, names::Name};
use factory::{
    Factory,
    clock::{Clock, FixedClock},
    failpoint::{self, Failpoint},
    ledger::{Mode, Run, State},
    store,
};
use kernels::progress::Silent;
use serde_json::json;

use crate::support::{
    Bench, payments,
    place::{Files, Place, line, today},
    worker,
};

const ROOT: &str = "MODEL_FACTORY_TEST_ROOT";
const MANIFEST: &str = "MODEL_FACTORY_TEST_MANIFEST";

/// The worker that dies, or meets an error: asks for the run and carries it out in the folder it is given.
#[test]
#[ignore = "started by the other tests, in a folder of their own"]
fn the_worker() {
    let (Ok(root), Ok(manifest)) = (env::var(ROOT), env::var(MANIFEST)) else { return };
    let clock = Arc::new(FixedClock::new(today()));
    let manifest: Reference<DatasetManifest> = serde_json::from_str(&manifest).unwrap();
    let bench =
        Bench { factory: Factory::of(line(Path::new(&root), &clock)), payments: payments(), manifest };
    if let Err(failure) = train(&bench) {
        std::fs::write(Path::new(&root).join("failure"), failure.code.as_str()).unwrap();
    }
}

fn train(bench: &Bench) -> contracts::Result<TrainRunId> {
    let config = crate::support::place::quick_config(bench);
    let request = bench.request_with(config, crate::support::place::quick_profile());
    bench.factory.line().train(Bench::checked(request), &worker(), &Silent)
}

fn die_at(place: &Place, fault: &str) -> bool {
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "resume::the_worker", "--ignored", "--test-threads=1"])
        .env(ROOT, place.root())
        .env(MANIFEST, json!(place.manifest).to_string())
        .env(failpoint::VARIABLE, fault)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.success()
}

/// What an undisturbed run leaves, without the requests, what a clock measured and what names the ledger's events.
fn built(place: &Place) -> Files {
    let mut objects = place.objects();
    objects.retain(|path, _| {
        let path = path.to_str().unwrap();
        !["train_requests", "measurements", "run_receipt", "/events/"].iter().any(|part| path.contains(part))
    });
    objects
}

fn failure(place: &Place) -> String {
    std::fs::read_to_string(place.root().join("failure")).unwrap()
}

fn undisturbed() -> &'static (Files, TrainRunId) {
    static UNDISTURBED: OnceLock<(Files, TrainRunId)> = OnceLock::new();
    UNDISTURBED.get_or_init(|| {
        let place = Place::new();
        let run = train(&place).unwrap();
        assert_eq!(place.run(&run).progress.state, State::Published);
        (built(&place), run)
    })
}

/// Carries on what a dead worker left, once its lease is over, and compares.
fn carry_on(place: &Place, fault: &str) -> u64 {
    let (expected, run) = undisturbed();
    // Whatever the dead one had not done yet is nobody's damage.
    assert_eq!(place.factory.fsck().unwrap().findings, [], "{fault}: before it is carried on");
    let now = place.clock.now();
    let is_held = |row: &Run| row.holder.as_ref().is_some_and(|holder| now < holder.expires_at);
    if place.ledger().runs(None, 1).unwrap().first().is_some_and(is_held) {
        let other = Name::new("worker-2").unwrap();
        assert!(place.factory.work(&other, None, &Silent).unwrap().is_none(), "{fault}: the lease holds");
    }
    place.clock.advance(31);
    let again = train(place).unwrap();
    assert_eq!(again, *run, "{fault}");
    while place.factory.work(&worker(), None, &Silent).unwrap().is_some() {}
    let row = place.run(run);
    assert_eq!(row.progress.state, State::Published, "{fault}");
    let begun = if fault.ends_with("=error") { 2 } else { 1 };
    assert!(row.progress.publish_attempts <= begun, "{fault}: a crash spends no retry");
    collect(place);
    assert_eq!(place.factory.fsck().unwrap().findings, [], "{fault}");
    let found = built(place);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{fault}");
    assert!(found == *expected, "{fault}: other bytes");
    for state in ["pass", "published"] {
        let receipt = format!("platform-1/mf/train_runs/{run}/run_receipt_{state}.json");
        assert!(place.path(&receipt).exists(), "{fault}: no receipt of {state}");
    }
    let bundle = store::read_document(place.store(), &place.evidence(run).bundle.unwrap()).unwrap();
    assert_eq!(place.registry().history(&bundle.target_scope).unwrap().events().len(), 1, "{fault}");
    row.progress.full_attempts
}

/// What a killed writer staged is no object, and is collected.
fn collect(place: &Place) {
    store::LocalStore::open(place.root().join("objects")).unwrap().collect_staging().unwrap();
}

/// The points of the run, with how often a worker starts on the whole line if the first one dies there.
const POINTS: [(Failpoint, u64); 10] = [
    (Failpoint::AfterSubmit, 2),
    (Failpoint::AfterClaim, 2),
    (Failpoint::AfterPlan, 2),
    (Failpoint::AfterEvaluation, 2),
    (Failpoint::AfterVerdict, 2),
    (Failpoint::AfterBundle, 2),
    (Failpoint::AfterReceiptRun, 1),
    (Failpoint::AfterIntent, 1),
    (Failpoint::AfterPublication, 1),
    (Failpoint::AfterPublishedEvent, 1),
];

#[test]
fn a_worker_killed_at_any_point_of_the_line_changes_nothing() {
    for (point, attempts) in POINTS {
        let fault = format!("{}=kill", point.as_str());
        let place = Place::new();
        assert!(!die_at(&place, &fault), "{fault}: the worker lives");
        assert_eq!(carry_on(&place, &fault), attempts, "{fault}");
    }
}

/// Every commit of the ledger, before it and after it, and every write of the store.
#[test]
fn a_worker_killed_at_any_write_changes_nothing() {
    let mut counts = Vec::new();
    for (point, last) in [
        (Failpoint::LedgerBeforeCommit, 5),
        (Failpoint::LedgerAfterCommit, 5),
        (Failpoint::StoreBeforeLink, 15),
        (Failpoint::StoreAfterLink, 15),
    ] {
        let mut count = 0;
        loop {
            let fault = format!("{}:{}=kill", point.as_str(), count + 1);
            let place = Place::new();
            if die_at(&place, &fault) {
                break;
            }
            carry_on(&place, &fault);
            count += 1;
        }
        counts.push((point.as_str(), count, last));
    }
    assert!(counts.iter().all(|(_, count, least)| count >= least), "fewer writes than there are: {counts:?}");
}

/// A step that fails is tried again by whoever comes next: no outage is an end.
#[test]
fn an_error_at_any_point_of_the_line_is_no_end() {
    for (point, _) in POINTS {
        let fault = format!("{}=error", point.as_str());
        let place = Place::new();
        assert!(die_at(&place, &fault), "{fault}: the worker lives");
        assert_eq!(failure(&place), "STORE_UNAVAILABLE", "{fault}");
        if let Some(row) = place.ledger().runs(None, 1).unwrap().first() {
            assert_ne!(row.progress.state, State::Fail, "{fault}");
            assert_eq!(row.reason.filter(|code| *code != Code::StoreUnavailable), None, "{fault}");
        }
        carry_on(&place, &fault);
    }
}

/// The ledger took a step, and its answer was lost: what the worker meets is told, and no step is taken twice.
#[test]
fn an_answer_of_the_ledger_that_is_lost_is_no_end() {
    for commit in 1.. {
        let fault = format!("{}:{commit}=error", Failpoint::LedgerAfterCommit.as_str());
        let place = Place::new();
        assert!(die_at(&place, &fault), "{fault}: the worker lives");
        if !place.root().join("failure").exists() {
            assert!(commit > 5, "fewer commits than there are: {commit}");
            break;
        }
        assert_eq!(failure(&place), "STORE_UNAVAILABLE", "{fault}");
        carry_on(&place, &fault);
    }
}

/// The ledger says PASS and that publishing began, in one breath; what a PASS has earned waits for whoever carries on.
#[test]
fn a_publisher_that_died_leaves_a_receipt_to_its_successor_however_late() {
    let place = Place::new();
    assert!(!die_at(&place, "after_intent=kill"));
    let (_, run) = undisturbed();
    assert_eq!(place.run(run).progress.work(), Mode::PublishOnly);
    assert!(place.factory.receipt(run).unwrap().is_none());
    place.clock.advance(24 * 3_600);
    carry_on(&place, "after_intent=kill");
}

/// Another request for the run arrives while it is evaluated and not judged, and then the worker dies.
#[test]
fn a_request_that_joins_does_not_hide_what_was_evaluated() {
    let place = Place::new();
    assert!(!die_at(&place, "after_verdict=kill"));
    let (_, run) = undisturbed();
    assert_eq!(place.run(run).progress.state, State::EvalReady);
    let mut request = place.quick();
    request["request_id"] = json!("request-2");
    place.factory.submit(Bench::checked(request)).unwrap();
    assert_eq!(carry_on(&place, "joined"), 2);
}
