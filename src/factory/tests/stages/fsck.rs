//! Every promise, broken once: the check-up names which, where, and by what code.

use std::{
    fs,
    sync::{Arc, Mutex, atomic::AtomicUsize},
};

use contracts::{
    Code, identity::ids::TrainRunId, job::JobInvocation, lifecycle_event::RegistryLifecycleEvent,
    run_receipt::RunReceipt,
};
use factory::{fsck::Checkup, ledger::State, line::Line, store};
use kernels::progress::Silent;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    Bench,
    away::{Answer, InterruptedStore, StrangeRegistry},
    forge,
    place::{Place, act},
    run_config, worker,
};

/// A place with a published bundle that serves.
fn serving() -> (Place, TrainRunId) {
    let place = Place::new();
    let run = place.carry_out(place.quick());
    assert_eq!(run.progress.state, State::Published);
    let bundle = store::read_document(place.store(), &place.evidence(&run.run_id).bundle.unwrap()).unwrap();
    place.registry().promote(&bundle.target_scope, &bundle.bundle_id, &act("carol")).unwrap();
    let checkup = place.factory.fsck().unwrap();
    assert_eq!((checkup.runs, checkup.bundles, checkup.scopes), (1, 1, 1));
    assert_eq!(checkup.findings, []);
    (place, run.run_id)
}

fn finds(checkup: &Checkup, invariant: &str, code: Code, subject: &str) {
    let found = checkup.findings.iter().any(|finding| {
        finding.invariant == invariant && finding.code == code && finding.subject.contains(subject)
    });
    assert!(found, "{invariant} {code} {subject}: {checkup:?}");
}

fn only_key(place: &Place, folder: &str) -> String {
    let found: Vec<_> = place.objects().into_keys().filter(|path| path.starts_with(folder)).collect();
    found[0].to_str().unwrap().to_owned()
}

fn ledger(place: &Place) -> Connection {
    Connection::open(place.root().join("ledger.sqlite")).unwrap()
}

type Break = fn(&Place, &TrainRunId);

fn own(run: &TrainRunId, name: &str) -> String {
    format!("platform-1/mf/train_runs/{run}/{name}")
}

fn event(place: &Place, sequence: u32, with_key: bool, edit: impl FnOnce(&mut Value)) {
    let uri = format!("{SCOPE}/{sequence:08}.json");
    forge::in_place::<RegistryLifecycleEvent>(place, &uri, with_key, edit);
    if with_key {
        forge::anchor_anew(place);
    }
}

fn receipt(place: &Place, run: &TrainRunId, state: &str, with_key: bool, edit: impl FnOnce(&mut Value)) {
    let uri = own(run, &format!("run_receipt_{state}.json"));
    forge::in_place::<RunReceipt>(place, &uri, with_key, edit);
}

/// Takes a receipt away when nobody looks after it any more.
fn lose_receipt(place: &Place, run: &TrainRunId, state: &str) {
    fs::remove_file(place.path(&own(run, &format!("run_receipt_{state}.json")))).unwrap();
    place.clock.advance(601);
}

/// Answers a job that is none.
fn answer_a_job(place: &Place) {
    place.put("platform-1/mf/job_requests/job.json", b"{}");
    place.factory.line().take_up(&run_config(), |_, _| true).unwrap();
}

const SCOPE: &str = "registry/scopes/prod/card/primary/global/events";

#[rustfmt::skip]
const BREAKS: &[(&str, &str, Code, &str, Break)] = &[
    ("a lost report", "I1", Code::EvidenceUnresolved, "tr_", |place, run| {
        fs::remove_file(place.path(&own(run, "eval_report.json"))).unwrap();
    }),
    ("a changed model", "I1", Code::EvidenceDigestMismatch, "tr_", |place, run| {
        fs::write(place.path(&own(run, "model.safetensors")), b"other").unwrap();
    }),
    ("a published run whose history is gone", "I1", Code::EvidenceUnresolved, "tr_", |place, _| {
        fs::remove_dir_all(place.path("registry/scopes")).unwrap();
    }),
    ("a published run that no scope knows", "I1", Code::BundleNotFound, "tr_", |place, _| {
        fs::remove_dir_all(place.path("registry/scopes")).unwrap();
        forge::lift_anchors(place);
    }),
    ("a changed request", "I1", Code::EvidenceDigestMismatch, "tr_", |place, _| {
        fs::write(place.path(&only_key(place, "platform-1/mf/train_requests")), b"other").unwrap();
    }),
    ("another request that changed", "I1", Code::EvidenceDigestMismatch, "train_requests/0", |place, _| {
        place.put(&format!("platform-1/mf/train_requests/{}.json", "0".repeat(64)), b"other");
    }),
    ("an answered job that changed", "I1", Code::EvidenceDigestMismatch, "job_invocations/job", |place, _| {
        answer_a_job(place);
        fs::write(place.path("platform-1/mf/job_requests/job.json"), b"other").unwrap();
    }),
    ("an answered job that is a link", "I1", Code::StoreCorrupt, "job_invocations/job", |place, _| {
        answer_a_job(place);
        let job = place.path("platform-1/mf/job_requests/job.json");
        fs::rename(&job, place.root().join("aside")).unwrap();
        std::os::unix::fs::symlink(place.root().join("aside"), job).unwrap();
    }),
    ("a job's receipt that nobody signed", "I1", Code::SignatureInvalid, "job_invocations/job", |place, _| {
        answer_a_job(place);
        forge::in_place::<JobInvocation>(place, "platform-1/mf/job_invocations/job.json", false, |receipt| {
            receipt["failure"]["detail"] = json!("something else");
        });
    }),
    ("a lost config", "I1", Code::TrainingConfigUnresolved, "tr_", |place, _| {
        fs::remove_file(place.path(&only_key(place, "platform-1/mf/training_configs"))).unwrap();
    }),
    ("a changed profile", "I1", Code::GovernanceProfileDigestMismatch, "tr_", |place, _| {
        fs::write(place.path(&only_key(place, "platform-1/mf/governance_profiles")), b"other").unwrap();
    }),
    ("a link among the objects", "I1", Code::StoreCorrupt, "platform-1/mf/link", |place, _| {
        std::os::unix::fs::symlink(place.path(place.manifest.uri.as_str()), place.path("platform-1/mf/link")).unwrap();
    }),
    ("a folder of requests that is a link", "I1", Code::StoreCorrupt, "platform-1/mf/train_requests", |place, _| {
        let folder = place.path("platform-1/mf/train_requests");
        fs::rename(&folder, place.root().join("aside")).unwrap();
        std::os::unix::fs::symlink(place.root().join("aside"), folder).unwrap();
    }),
    ("a link among the publications", "I2", Code::StoreCorrupt, "registry/bundles/link", |place, _| {
        let record = place.path(&only_key(place, "registry/bundles"));
        std::os::unix::fs::symlink(record, place.path("registry/bundles/link")).unwrap();
    }),
    ("a link for the registry", "I2", Code::StoreCorrupt, "registry/bundles", |place, _| {
        fs::rename(place.path("registry"), place.root().join("aside")).unwrap();
        std::os::unix::fs::symlink(place.root().join("aside"), place.path("registry")).unwrap();
    }),
    ("a link among the histories", "I6", Code::StoreCorrupt, "registry", |place, _| {
        let event = place.path(&format!("{SCOPE}/00000001.json"));
        std::os::unix::fs::symlink(event, place.path("registry/scopes/link")).unwrap();
    }),
    ("a link after the last event", "I1", Code::StoreCorrupt, "tr_", |place, _| {
        let event = place.path(&format!("{SCOPE}/00000002.json"));
        std::os::unix::fs::symlink(event, place.path(&format!("{SCOPE}/00000003.json"))).unwrap();
    }),
    ("a link beside a publication", "I6", Code::StoreCorrupt, "prod/card/primary", |place, _| {
        let record = place.path(&only_key(place, "registry/bundles"));
        std::os::unix::fs::symlink(&record, record.with_file_name("v9")).unwrap();
    }),
    ("lost measurements", "I1", Code::EvidenceUnresolved, "tr_", |place, run| {
        fs::remove_file(place.path(&own(run, "measurements.json"))).unwrap();
    }),
    ("measurements in other bytes", "I1", Code::EvidenceDigestMismatch, "tr_", |place, run| {
        let path = place.path(&own(run, "measurements.json"));
        let spaced = [fs::read(&path).unwrap(), b" ".to_vec()].concat();
        fs::write(path, spaced).unwrap();
    }),
    ("a publication under another key", "I2", Code::EvidenceDigestMismatch, "v1-000000000000", |place, _| {
        let key = only_key(place, "registry/bundles");
        let moved = format!("{}/v1-000000000000.json", key.rsplit_once('/').unwrap().0);
        fs::rename(place.path(&key), place.path(&moved)).unwrap();
    }),
    ("a publication in other bytes", "I2", Code::EvidenceDigestMismatch, "registry/bundles", |place, _| {
        let path = place.path(&only_key(place, "registry/bundles"));
        let spaced = [fs::read(&path).unwrap(), b" ".to_vec()].concat();
        fs::write(path, spaced).unwrap();
    }),
    ("a published bundle whose data changed", "I2", Code::PartitionDigestMismatch, "registry/bundles", |place, _| {
        fs::write(place.path(&only_key(place, "platform-1/ofs/partitions")), b"other").unwrap();
    }),
    ("a published bundle of a run that the ledger does not know", "I2", Code::RunNotFound, "registry/bundles", |place, _| {
        ledger(place).execute_batch("DELETE FROM requests; DELETE FROM events; DELETE FROM runs;").unwrap();
    }),
    ("a history that the ledger does not anchor", "I6", Code::LedgerCorrupt, "prod/card/primary", |place, _| {
        forge::lift_anchors(place);
    }),
    ("an event that names another bundle", "I6", Code::EvidenceInvalid, "prod/card/primary", |place, _| {
        event(place, 2, true, |event| event["bundle"]["uri"] = json!("platform-1/mf/other"));
    }),
    ("an event of a bundle that is not published", "I6", Code::BundleNotFound, "prod/card/primary", |place, _| {
        event(place, 2, true, |event| event["bundle_id"] = json!(format!("mb_{}", "0".repeat(32))));
    }),
    ("a publication that nobody might allow", "I6", Code::EvidenceDigestMismatch, "prod/card/primary", |place, _| {
        event(place, 1, true, |event| event["actor"] = json!("mallory"));
    }),
    ("a promotion that nobody approved", "I6", Code::InvalidTransition, "prod/card/primary", |place, _| {
        event(place, 2, true, |event| {
            event["kind"] = json!("BUNDLE_PUBLISHED");
            event["requester"] = json!("alice");
        });
    }),
    ("an event by one who may not", "I6", Code::ActorNotAllowed, "prod/card/primary", |place, _| {
        event(place, 2, true, |event| event["kind"] = json!("BUNDLE_APPROVED"));
    }),
    ("a history with an edited event", "I6", Code::SignatureInvalid, "prod/card/primary", |place, _| {
        event(place, 1, false, |event| event["actor"] = json!("mallory"));
    }),
    ("a lost receipt", "I7", Code::EvidenceUnresolved, "tr_", |place, run| {
        lose_receipt(place, run, "published");
    }),
    ("a lost receipt of the PASS before", "I7", Code::EvidenceUnresolved, "tr_", |place, run| {
        lose_receipt(place, run, "pass");
    }),
    ("an edited receipt", "I7", Code::SignatureInvalid, "tr_", |place, run| {
        receipt(place, run, "pass", false, |receipt| receipt["ledger_events"] = json!(1));
    }),
    ("a receipt of another history", "I7", Code::LedgerCorrupt, "tr_", |place, run| {
        let head = format!("sha256:{}", "0".repeat(64));
        receipt(place, run, "published", true, |receipt| receipt["ledger_head"] = json!(head));
    }),
    ("a receipt of a later history", "I7", Code::LedgerCorrupt, "tr_", |place, run| {
        receipt(place, run, "published", true, |receipt| receipt["ledger_events"] = json!(99));
    }),
    ("a receipt of other evidence", "I7", Code::LedgerCorrupt, "tr_", |place, run| {
        receipt(place, run, "pass", true, |receipt| receipt["evidence"]["model"] = json!(null));
    }),
    ("an edited anchor", "I7", Code::LedgerCorrupt, "ledger", |place, _| {
        ledger(place).execute("UPDATE anchors SET sequence = 1", []).unwrap();
    }),
    ("an edited row of the ledger", "I7", Code::LedgerCorrupt, "ledger", |place, _| {
        ledger(place).execute("UPDATE runs SET full_attempts = 7", []).unwrap();
    }),
    ("an edited event of the ledger", "I7", Code::LedgerCorrupt, "ledger", |place, _| {
        ledger(place).execute("UPDATE events SET reason = 'PASS' WHERE sequence = 2", []).unwrap();
    }),
];

#[test]
fn each_broken_promise_is_found_and_named() {
    for (name, invariant, code, subject, break_it) in BREAKS {
        let (place, run) = serving();
        break_it(&place, &run);
        let before = place.objects();
        let checkup = place.factory.fsck().unwrap_or_else(|failure| panic!("{name}: {failure}"));
        finds(&checkup, invariant, *code, subject);
        assert_eq!(before, place.objects(), "{name}: a check-up changes nothing");
    }
}

#[test]
fn a_ledger_that_is_damaged_does_not_hide_what_else_is() {
    let (place, _) = serving();
    ledger(&place).execute("UPDATE runs SET full_attempts = 7", []).unwrap();
    fs::write(place.path(&only_key(&place, "platform-1/ofs/partitions")), b"other").unwrap();
    let checkup = place.factory.fsck().unwrap();
    finds(&checkup, "I7", Code::LedgerCorrupt, "ledger");
    finds(&checkup, "I2", Code::PartitionDigestMismatch, "registry/bundles");
}

fn receipts(place: &Place, run: &TrainRunId) -> Vec<bool> {
    let there = |state| place.path(&own(run, &format!("run_receipt_{state}.json"))).exists();
    ["pass", "published"].map(there).into()
}

/// A check-up beside a worker that lives looks between the ledger's last word and the receipts that follow it.
#[test]
fn a_receipt_that_its_worker_is_about_to_write_is_not_missed() {
    let place = Place::new();
    let run = place.factory.submit(Bench::checked(place.quick())).unwrap().run.run_id;
    let seen = Arc::new(Mutex::new(None));
    let look = {
        let (factory, run, seen) = (place.factory.clone(), run.clone(), Arc::clone(&seen));
        move || {
            let state = factory.line().ledger.run(&run).unwrap().progress.state;
            *seen.lock().unwrap() = Some((state, factory.fsck().unwrap().findings));
        }
    };
    let interrupted = place.with(|line| {
        let (inner, first) = (Arc::clone(&line.store), Mutex::new(Some(Box::new(look) as Box<_>)));
        Line { store: Arc::new(InterruptedStore { inner, part: "run_receipt", first }), ..line }
    });
    interrupted.work(&worker(), Some(&run), &Silent).unwrap();
    assert_eq!(seen.lock().unwrap().take(), Some((State::Published, vec![])));
    assert_eq!(receipts(&place, &run), [true, true]);
}

/// Who died before the receipts stood is followed by others, who look back for ten minutes; then only who asks for the run
/// writes them.
#[test]
fn a_receipt_that_a_dead_worker_owes_is_missed_once_nobody_looks_for_it() {
    let (place, run) = serving();
    let lose = || {
        for state in ["pass", "published"] {
            fs::remove_file(place.path(&own(&run, &format!("run_receipt_{state}.json")))).unwrap();
        }
    };
    lose();
    place.clock.advance(600);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
    assert!(place.factory.work(&worker(), None, &Silent).unwrap().is_none());
    assert_eq!(receipts(&place, &run), [true, true]);
    lose();
    place.clock.advance(1);
    finds(&place.factory.fsck().unwrap(), "I7", Code::EvidenceUnresolved, run.as_str());
    // A clock that differs from the ledger's by that much shows nothing.
    place.clock.set(place.run(&run).updated_at);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
    place.clock.advance(601);
    assert!(place.factory.work(&worker(), Some(&run), &Silent).unwrap().is_none());
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

/// While a run can be published its receipts come with that, however long it takes; once its retries are used up nobody
/// comes, although it is `PUBLISH_PENDING` all the same.
#[test]
fn a_receipt_is_missed_only_of_a_run_that_nobody_carries_on() {
    let place = Place::new();
    let run = place.factory.submit(Bench::checked(place.quick())).unwrap().run.run_id;
    let away = place.with(|line| {
        let answer = Answer::Away(AtomicUsize::new(usize::MAX));
        Line { registry: Arc::new(StrangeRegistry { inner: Arc::clone(&line.registry), answer }), ..line }
    });
    let missing = || {
        let path = place.path(&own(&run, "run_receipt_pass.json"));
        fs::remove_file(path).unwrap();
        place.clock.advance(24 * 3_600);
        let row = place.run(&run);
        assert_eq!(row.progress.state, State::PublishPending);
        place.factory.fsck().unwrap()
    };
    while place.run(&run).rests_until().is_some() || place.run(&run).progress.state == State::Queued {
        away.work(&worker(), Some(&run), &Silent).unwrap_err();
        if place.run(&run).rests_until().is_some() {
            assert_eq!(missing().findings, []);
        }
    }
    finds(&missing(), "I7", Code::EvidenceUnresolved, run.as_str());
}
