//! The inbox: jobs that are answered once, those that are left, and what becomes of both later.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{Arc, Mutex},
};

use contracts::{
    Checked, Code,
    job::{JobInvocation, JobOutcome},
    names::Name,
    run_config::RunConfig,
};
use factory::{Factory, jobs::Taken, ledger::State, line::Line, store::Put};
use serde_json::{Value, json};

use crate::support::{
    Bench,
    away::{AwayStore, InterruptedStore},
    place::{Place, quick_config, quick_profile},
    run_config,
};

pub(super) const JOBS: &str = "platform-1/mf/job_requests";
pub(super) const INVOCATIONS: &str = "platform-1/mf/job_invocations";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A job as a scheduler without this library writes it.
pub(super) fn job(request: &Value) -> Value {
    json!({
        "schema_version": "model_factory.job_request.v1",
        "run_config_digest": run_config().digest().unwrap(),
        "train_request": request,
    })
}

/// Puts an object into the inbox, whatever it is.
pub(super) fn drop_in(place: &Place, name: &str, bytes: &[u8]) {
    place.put(&format!("{JOBS}/{name}.json"), bytes);
}

/// One look at the inbox: what became of each job, by its name.
pub(super) fn look(factory: &Factory) -> Vec<(String, Taken)> {
    let mut seen = Vec::new();
    factory
        .line()
        .take_up(&run_config(), |job, taken| {
            seen.push((job.as_str().rsplit('/').next().unwrap().to_owned(), taken));
            true
        })
        .unwrap();
    seen
}

pub(super) fn answer(taken: &Taken) -> &Checked<JobInvocation> {
    match taken {
        Taken::Answered(receipt) => receipt,
        Taken::Left(failure) => panic!("left: {failure}"),
    }
}

#[test]
fn a_job_is_admitted_once_and_its_receipt_names_the_run() {
    let place = Place::new();
    let request = Bench::checked(place.quick());
    let line = place.factory.line();
    let posted = line.post(&name("job-1"), &run_config(), &request).unwrap();
    assert_eq!(line.post(&name("job-1"), &run_config(), &request).unwrap(), posted);

    let seen = look(&place.factory);
    assert_eq!(seen.len(), 1);
    let receipt = answer(&seen[0].1);
    assert_eq!((receipt.outcome, &receipt.job), (JobOutcome::Admitted, &posted));
    let run = place.run(receipt.train_run_id.as_ref().unwrap());
    assert_eq!(run.progress.state, State::Queued);
    assert_eq!(look(&place.factory).len(), 0);
    let stored = place.store().get(&format!("{INVOCATIONS}/job-1.json").parse().unwrap()).unwrap().unwrap();
    assert_eq!(stored, receipt.bytes());
    place.keys().verify(&posted.uri, &**receipt).unwrap();
}

/// A worker that died before the receipt stood answers again, with the same run.
#[test]
fn a_job_whose_receipt_could_not_be_written_is_answered_again() {
    let place = Place::new();
    drop_in(&place, "job-1", job(&place.quick()).to_string().as_bytes());
    let away = place.with(|line| {
        let store = AwayStore::new(&line.store, "job_invocations", Code::StoreUnavailable, 1);
        Line { store, ..line }
    });
    let failure = away.line().take_up(&run_config(), |_, _| true).unwrap_err();
    let receipt = look(&place.factory);
    let run = answer(&receipt[0].1).train_run_id.clone().unwrap();
    assert_eq!(failure.code, Code::StoreUnavailable);
    assert!(failure.detail.starts_with(&format!("{JOBS}/job-1.json, which is {run}: ")), "{failure}");
    assert_eq!(place.run(&run).progress.publish_attempts, 0);
    assert_eq!(place.ledger().runs(None, 10).unwrap().len(), 1);
}

type Edit = fn(&Place, &mut Value);

#[rustfmt::skip]
const QUARANTINED: &[(&str, Code, Edit)] = &[
    ("no object", Code::JobRequestInvalid, |_, job| *job = json!([])),
    ("an unknown field", Code::JobRequestInvalid, |_, job| job["priority"] = json!(1)),
    ("no request", Code::RequestInvalid, |_, job| job["train_request"] = json!(null)),
    ("a request id of another form", Code::RequestIdInvalid, |_, job| job["train_request"]["request_id"] = json!("x")),
    ("no data", Code::ManifestRefMissing, |_, job| job["train_request"]["dataset_manifests"] = json!([])),
    ("another platform run", Code::RunScopeInvalid, |_, job| job["train_request"]["platform_run_id"] = json!("platform-2")),
    ("a way out of the store", Code::RunScopeInvalid, |_, job| job["train_request"]["platform_run_id"] = json!("../up")),
    ("another policy revision", Code::RunConfigMismatch, |_, job| job["train_request"]["policy_revision"] = json!("p2")),
    ("another config revision", Code::RunConfigMismatch, |_, job| job["train_request"]["config_revision"] = json!("c2")),
    ("another release", Code::RunConfigMismatch, |_, job| job["train_request"]["code_release_id"] = json!("other-1")),
    ("a stranger", Code::RequesterNotAllowed, |place, job| {
        let mut profile = quick_profile();
        profile["roles"]["request"] = json!({"only": ["bob"]});
        job["train_request"] = place.request_with(quick_config(place), profile);
    }),
];

#[test]
fn what_must_not_run_is_quarantined_with_its_code_and_the_next_is_served() {
    let place = Place::new();
    drop_in(&place, "a-torn", b"{\"schema_version\": \"model_f");
    for (index, (_, _, edit)) in QUARANTINED.iter().enumerate() {
        let mut bad = job(&place.quick());
        edit(&place, &mut bad);
        drop_in(&place, &format!("b-{index:02}"), bad.to_string().as_bytes());
    }
    drop_in(&place, "c-good", job(&place.quick()).to_string().as_bytes());

    let seen = look(&place.factory);
    assert_eq!(seen.len(), QUARANTINED.len() + 2);
    let codes: Vec<_> = seen[..seen.len() - 1]
        .iter()
        .map(|(_, taken)| {
            let receipt = answer(taken);
            assert_eq!((receipt.outcome, &receipt.train_run_id), (JobOutcome::Quarantined, &None));
            receipt.failure.as_ref().unwrap().code
        })
        .collect();
    let expected: Vec<_> =
        [Code::JobRequestInvalid].into_iter().chain(QUARANTINED.iter().map(|(_, code, _)| *code)).collect();
    assert_eq!(codes, expected);
    assert_eq!(answer(&seen.last().unwrap().1).outcome, JobOutcome::Admitted);
    // A second look finds them answered; the jobs themselves stay as evidence.
    assert_eq!(look(&place.factory).len(), 0);
    assert_eq!(place.store().list(&JOBS.parse().unwrap()).unwrap().keys.len(), seen.len());
    assert_eq!(place.ledger().runs(None, 10).unwrap().len(), 1);
}

/// What is damaged or away says nothing of the job, which is answered once that is put right.
#[test]
fn a_job_is_not_answered_for_what_is_not_its_fault() {
    let place = Place::new();
    let request = place.quick();
    drop_in(&place, "a", job(&request).to_string().as_bytes());
    let config = place.path(request["training_config"]["uri"].as_str().unwrap());
    let aside = place.root().join("aside");
    fs::rename(&config, &aside).unwrap();
    symlink(&aside, &config).unwrap();
    let left = |seen: &[(String, Taken)]| match seen {
        [(_, Taken::Left(failure))] if failure.detail.starts_with(&format!("{JOBS}/a.json: ")) => {
            failure.code
        }
        _ => panic!("{seen:?}"),
    };
    assert_eq!(left(&look(&place.factory)), Code::StoreCorrupt);
    fs::rename(&aside, &config).unwrap();
    for code in [Code::LedgerCorrupt, Code::LedgerUnavailable] {
        let damaged =
            place.with(|line| Line { store: AwayStore::new(&line.store, "train_requests", code, 1), ..line });
        assert_eq!(left(&look(&damaged)), code);
    }
    assert_eq!(answer(&look(&place.factory)[0].1).outcome, JobOutcome::Admitted);
}

#[test]
fn an_answered_job_may_be_cleared_away_and_its_name_stays_used() {
    let place = Place::new();
    let line = place.factory.line();
    let request = Bench::checked(place.quick());
    let posted = line.post(&name("job-1"), &run_config(), &request).unwrap();
    drop_in(&place, "torn", b"{");
    assert_eq!(look(&place.factory).len(), 2);
    for file in ["job-1", "torn"] {
        fs::remove_file(place.path(&format!("{JOBS}/{file}.json"))).unwrap();
    }
    assert_eq!(place.factory.fsck().unwrap().findings, []);
    // The same job is one; another under the name would never be looked at.
    let mut other = place.quick();
    other["requester_principal"] = json!("bob");
    let other = Bench::checked(other);
    let failure = line.post(&name("job-1"), &run_config(), &other).unwrap_err();
    assert_eq!(failure.code, Code::JobRequestImmutabilityViolation);
    assert!(failure.detail.contains(posted.uri.as_str()), "{failure}");
    assert_eq!(line.post(&name("job-1"), &run_config(), &request).unwrap(), posted);
    assert_eq!(look(&place.factory).len(), 0);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
    // Who puts another there behind the library is found out.
    fs::write(place.path(posted.uri.as_str()), b"other").unwrap();
    assert_eq!(look(&place.factory).len(), 0);
    let found = place.factory.fsck().unwrap().findings;
    assert_eq!(found.len(), 1);
    let subject = format!("{INVOCATIONS}/job-1.json");
    assert_eq!((&found[0].subject, found[0].code), (&subject, Code::EvidenceDigestMismatch));
}

#[test]
fn a_job_for_another_configuration_or_for_later_is_left() {
    let place = Place::new();
    let mut other = job(&place.quick());
    let theirs = RunConfig { config_revision: name("c2"), ..run_config() };
    other["run_config_digest"] = json!(theirs.digest().unwrap());
    other["train_request"]["config_revision"] = json!("c2");
    drop_in(&place, "a-other", other.to_string().as_bytes());
    let mut early = job(&place.quick());
    early["train_request"]["training_config"]["uri"] = json!("platform-1/mf/training_configs/later.json");
    drop_in(&place, "b-early", early.to_string().as_bytes());

    for _ in 0..2 {
        let left: Vec<_> = look(&place.factory)
            .into_iter()
            .map(|(name, taken)| match taken {
                Taken::Left(failure) => (name, failure.code),
                Taken::Answered(_) => panic!("{name} was answered"),
            })
            .collect();
        let expected = [
            ("a-other.json".to_owned(), Code::RunConfigMismatch),
            ("b-early.json".to_owned(), Code::TrainingConfigUnresolved),
        ];
        assert_eq!(left, expected);
    }
    let mut seen = Vec::new();
    place
        .factory
        .line()
        .take_up(&theirs, |_, taken| {
            seen.push(taken);
            false
        })
        .unwrap();
    assert_eq!(answer(&seen[0]).outcome, JobOutcome::Admitted);
}

#[test]
fn a_name_that_is_taken_and_a_request_of_others_are_refused_at_the_post() {
    let place = Place::new();
    let line = place.factory.line();
    line.post(&name("job-1"), &run_config(), &Bench::checked(place.quick())).unwrap();
    let mut other = place.quick();
    other["requester_principal"] = json!("bob");
    let failure = line.post(&name("job-1"), &run_config(), &Bench::checked(other.clone())).unwrap_err();
    assert_eq!(failure.code, Code::JobRequestImmutabilityViolation);
    other["policy_revision"] = json!("p2");
    let failure = line.post(&name("job-2"), &run_config(), &Bench::checked(other)).unwrap_err();
    assert_eq!(failure.code, Code::RunConfigMismatch);
    assert!(
        failure.detail.starts_with(&format!("{JOBS}/job-2.json: /train_request/policy_revision")),
        "{failure}"
    );
    let request = Bench::checked(place.quick());
    let failure = line.post(&name(&"n".repeat(124)), &run_config(), &request).unwrap_err();
    assert_eq!(failure.code, Code::StoreKeyInvalid);
    assert!(failure.detail.contains("a job's name"), "{failure}");
    line.post(&name(&"n".repeat(123)), &run_config(), &request).unwrap();
}

/// Two workers can say different things of one job, such as those of two releases: the first word stands.
#[test]
fn another_workers_answer_stands() {
    let place = Place::new();
    drop_in(&place, "job-1", b"{}");
    let receipt = answer(&look(&place.factory)[0].1).clone();
    let elsewhere = Place::new();
    drop_in(&elsewhere, "job-1", job(&elsewhere.quick()).to_string().as_bytes());
    let late = elsewhere.with(|line| {
        let key = format!("{INVOCATIONS}/job-1.json").parse().unwrap();
        let first = Box::new({
            let store = line.store.clone();
            let bytes = receipt.bytes().to_vec();
            move || assert_eq!(store.put_if_absent(&key, &bytes).unwrap(), Put::Created)
        });
        let store = Arc::new(InterruptedStore {
            inner: line.store.clone(),
            part: "job_invocations",
            first: Mutex::new(Some(first)),
        });
        Line { store, ..line }
    });
    let mut codes = Vec::new();
    late.line()
        .take_up(&run_config(), |_, taken| {
            codes.push(match taken {
                Taken::Left(failure) => failure.code,
                Taken::Answered(_) => panic!("two answers"),
            });
            true
        })
        .unwrap();
    assert_eq!(codes, [Code::JobInvocationImmutabilityViolation]);
}
