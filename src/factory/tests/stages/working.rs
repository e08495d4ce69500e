//! Workers that serve: jobs from the inbox, several runs at a time, a graceful stop, and runs that somebody cancels.

use std::{
    num::NonZeroU16,
    sync::{Mutex, mpsc},
    thread,
};

use contracts::{
    Checked, Code, Failure, Result,
    job::{JobInvocation, JobOutcome},
    names::{Name, Principal},
    run_config::RunConfig,
    run_receipt::RunOutcome,
};
use factory::{
    Factory,
    clock::Stop,
    jobs::Taken,
    ledger::{EventKind, State},
    store::Location,
    watch::{Stage, Watch},
    worker::{News, Worker},
};
use kernels::{Progress, progress::Silent};
use serde_json::{Value, json};

use crate::support::{
    Bench,
    away::AwayStore,
    place::{Place, quick_config, quick_profile},
    run_config, worker,
};

const JOBS: &str = "platform-1/mf/job_requests";
const INVOCATIONS: &str = "platform-1/mf/job_invocations";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A job as a scheduler without this library writes it.
fn job(request: &Value) -> Value {
    json!({
        "schema_version": "model_factory.job_request.v1",
        "run_config_digest": run_config().digest().unwrap(),
        "train_request": request,
    })
}

/// Puts an object into the inbox, whatever it is.
fn drop_in(place: &Place, name: &str, bytes: &[u8]) {
    place.put(&format!("{JOBS}/{name}.json"), bytes);
}

/// One look at the inbox: what became of each job, by its name.
fn look(factory: &Factory) -> Vec<(String, Taken)> {
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

fn answer(taken: &Taken) -> &Checked<JobInvocation> {
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
        factory::line::Line { store, ..line }
    });
    let failure = away.line().take_up(&run_config(), |_, _| true).unwrap_err();
    assert_eq!(failure.code, Code::StoreUnavailable);
    let receipt = look(&place.factory);
    let run = answer(&receipt[0].1).train_run_id.clone().unwrap();
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
    assert_eq!(place.store().list(&JOBS.parse().unwrap()).unwrap().len(), seen.len());
    assert_eq!(place.ledger().runs(None, 10).unwrap().len(), 1);
}

#[test]
fn a_link_among_the_jobs_keeps_them_waiting_and_stops_nobody() {
    let place = Place::new();
    drop_in(&place, "a", job(&place.quick()).to_string().as_bytes());
    let link = place.path(&format!("{JOBS}/b.json"));
    std::os::unix::fs::symlink("/nowhere", &link).unwrap();
    for _ in 0..2 {
        let seen = look(&place.factory);
        assert!(matches!(&seen[..], [(_, Taken::Left(failure))] if failure.code == Code::StoreCorrupt));
    }
    std::fs::remove_file(&link).unwrap();
    answer(&look(&place.factory)[0].1);
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
    place.put(&format!("{JOBS}/folder/deeper.json"), b"no job");

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
            move || assert_eq!(store.put_if_absent(&key, &bytes).unwrap(), factory::store::Put::Created)
        });
        let store = std::sync::Arc::new(crate::support::away::InterruptedStore {
            inner: line.store.clone(),
            part: "job_invocations",
            first: Mutex::new(Some(first)),
        });
        factory::line::Line { store, ..line }
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

/// Serves until `enough` says so of what was told; gives all of it.
fn serve(factory: &Factory, lanes: u16, enough: impl Fn(&[News]) -> bool) -> (Vec<News>, Result<()>) {
    told(lanes, enough, |worker, stop, news| worker.serve(factory.line(), stop, &Silent, &news))
}

/// The same of whatever a worker is let do.
fn told(
    lanes: u16,
    enough: impl Fn(&[News]) -> bool,
    work: impl FnOnce(&Worker, &Stop, mpsc::Sender<News>) -> Result<()> + Send,
) -> (Vec<News>, Result<()>) {
    let worker = Worker {
        name: worker(),
        config: run_config(),
        lanes: NonZeroU16::new(lanes).unwrap(),
        threads: None,
    };
    let stop = Stop::default();
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        let (worker, stop) = (&worker, &stop);
        let serving = scope.spawn(move || work(worker, stop, send));
        let mut news = Vec::new();
        while let Ok(each) = receive.recv() {
            news.push(each);
            if enough(&news) {
                stop.ask();
            }
        }
        (news, serving.join().unwrap())
    })
}

fn ended(news: &[News]) -> usize {
    news.iter().filter(|each| matches!(each, News::Run(..))).count()
}

#[test]
fn a_worker_takes_up_jobs_and_carries_out_several_runs_until_it_is_stopped() {
    let place = Place::new();
    let seeded = |seed: u64| {
        let mut config = quick_config(&place);
        config["seed_policy"]["base_seed"] = json!(seed);
        let mut request = place.request_with(config, quick_profile());
        request["request_id"] = json!(format!("request-{seed}"));
        request
    };
    drop_in(&place, "bad", b"not JSON");
    for seed in 1..=3 {
        drop_in(&place, &format!("job-{seed}"), job(&seeded(seed)).to_string().as_bytes());
    }
    // One whose data is not there: it fails for now, and keeps nobody from the others.
    let mut early = seeded(4);
    early["dataset_manifests"][0]["uri"] = json!("platform-1/ofs/manifests/later.json");
    let early = place.factory.submit(Bench::checked(early)).unwrap().run.run_id;

    let (news, outcome) = serve(&place.factory, 2, |news| ended(news) == 4);
    outcome.unwrap();
    let published = place.ledger().runs(Some(State::Published), 10).unwrap();
    assert_eq!(published.len(), 3);
    assert!(published.iter().all(|run| run.progress.full_attempts == 1));
    let failures: Vec<_> = news
        .iter()
        .filter_map(|each| match each {
            News::Run(id, Err(failure)) => Some((id, failure.code)),
            _ => None,
        })
        .collect();
    assert_eq!(failures, [(&early, Code::ManifestUnresolved)]);
    assert_eq!(place.run(&early).progress.state, State::Queued);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

#[test]
fn what_waiting_cannot_mend_ends_a_worker() {
    let place = Place::new();
    place.factory.submit(Bench::checked(place.quick())).unwrap();
    // Somebody edits the run behind the ledger.
    let raw = rusqlite::Connection::open(place.root().join("ledger.sqlite")).unwrap();
    assert_eq!(raw.execute("UPDATE runs SET publish_allowed = 1 - publish_allowed", []).unwrap(), 1);
    let (_, outcome) = serve(&place.factory, 1, |_| false);
    assert_eq!(outcome.unwrap_err().code, Code::LedgerCorrupt);
}

#[test]
fn a_worker_waits_for_a_place_that_is_away_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let serve_at = |ledger: &str| {
        let root = Location::Folder(folder.path().join("factory"));
        let place = factory::Place { root, ledger: Some(ledger.into()), keys: None };
        let twice = |news: &[News]| news.len() == 2;
        told(1, twice, |worker, stop, news| worker.serve_at(&place, stop, &Silent, &news))
    };
    // Nobody listens at port 1.
    let (news, outcome) = serve_at("postgresql://ada@127.0.0.1:1/runs");
    outcome.unwrap();
    assert_eq!(news.len(), 2);
    let is_away =
        |each: &News| matches!(each, News::Trouble(failure) if failure.code == Code::LedgerUnavailable);
    assert!(news.iter().all(is_away));
    let (news, outcome) = serve_at("mysql://ada@127.0.0.1/runs");
    assert!(news.is_empty());
    assert_eq!(outcome.unwrap_err().code, Code::ParameterInvalid);
}

/// Cancels the run as soon as it is trained on.
struct Cancelling<'a> {
    place: &'a Place,
    asked: Mutex<bool>,
}

impl Progress for Cancelling<'_> {
    fn step(&self, _: u64, _: u64) -> Result<(), Failure> {
        Ok(())
    }
}

impl Watch for Cancelling<'_> {
    fn stage(&self, stage: Stage) {
        let mut asked = self.asked.lock().unwrap();
        if stage == Stage::Evaluate && !*asked {
            *asked = true;
            let run = &self.place.ledger().runs(None, 1).unwrap()[0].run_id;
            let line = self.place.factory.line();
            line.cancel(run, &Principal::new("alice").unwrap(), "asked by mistake").unwrap();
        }
    }
}

#[test]
fn a_run_that_is_carried_out_can_be_cancelled_and_what_its_worker_did_counts_for_nothing() {
    let place = Place::new();
    let run = place.factory.submit(Bench::checked(place.quick())).unwrap().run.run_id;
    let watch = Cancelling { place: &place, asked: Mutex::new(false) };
    let failure = place.factory.work(&worker(), Some(&run), &watch).unwrap_err();
    assert_eq!((failure.code, &*failure.detail), (Code::RunCancelled, "alice stopped it: asked by mistake"));
    let row = place.run(&run);
    assert_eq!((row.progress.state, row.reason), (State::Fail, Some(Code::RunCancelled)));
    let receipt = place.factory.receipt(&run).unwrap().unwrap();
    assert_eq!((receipt.outcome, receipt.code), (RunOutcome::Fail, Some(Code::RunCancelled)));
    let last = place.ledger().events(&run).unwrap().pop().unwrap();
    assert_eq!((last.kind, last.detail["reason"].as_str()), (EventKind::Cancelled, Some("asked by mistake")));
    assert!(place.factory.work(&worker(), None, &Silent).unwrap().is_none());
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

#[test]
fn who_may_not_ask_for_runs_may_not_cancel_them() {
    let place = Place::new();
    let mut profile = quick_profile();
    profile["roles"]["request"] = json!({"only": ["alice"]});
    let request = place.request_with(quick_config(&place), profile);
    let run = place.factory.submit(Bench::checked(request)).unwrap().run.run_id;
    let cancel = |actor: &str, reason: &str| {
        place.factory.line().cancel(&run, &Principal::new(actor).unwrap(), reason).map(|row| row.reason)
    };
    assert_eq!(cancel("mallory", "why not").unwrap_err().code, Code::ActorNotAllowed);
    assert_eq!(cancel("alice", "").unwrap_err().code, Code::ParameterInvalid);
    assert_eq!(place.run(&run).progress.state, State::Queued);
    assert_eq!(cancel("alice", "a mistake").unwrap(), Some(Code::RunCancelled));
    assert_eq!(cancel("alice", "a mistake").unwrap(), Some(Code::RunCancelled));
}

#[test]
fn a_run_that_was_judged_cannot_be_cancelled() {
    let (place, run) = Place::passed();
    let alice = Principal::new("alice").unwrap();
    let failure = place.factory.line().cancel(&run, &alice, "too late").unwrap_err();
    assert_eq!(failure.code, Code::InvalidTransition);
    assert_eq!(place.run(&run).progress.state, State::Pass);
}
