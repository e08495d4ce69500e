//! Workers that serve: jobs from the inbox, several runs at a time, a graceful stop, and runs that somebody cancels.

use std::{
    num::NonZeroU16,
    sync::{Mutex, mpsc},
    thread,
};

use contracts::{Code, Failure, Result, names::Principal, run_receipt::RunOutcome};
use factory::{
    Factory,
    clock::Stop,
    ledger::{EventKind, State},
    store::Location,
    watch::{Stage, Watch},
    worker::{News, Worker},
};
use kernels::{Progress, progress::Silent};
use serde_json::json;

use super::inbox::{JOBS, drop_in, job};
use crate::support::{
    Bench,
    place::{Place, quick_config, quick_profile},
    reason, run_config, worker,
};

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
            News::Run(worked) => {
                let failure = worked.failure.as_ref()?;
                let state = worked.run.as_ref().map(|run| run.progress.state);
                Some((&worked.run_id, state, failure.code))
            }
            _ => None,
        })
        .collect();
    assert_eq!(failures, [(&early, Some(State::Queued), Code::ManifestUnresolved)]);
    assert_eq!(place.run(&early).progress.state, State::Queued);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

/// A worker looks again and again at what it cannot take up, and says so once.
#[test]
fn what_lies_in_the_inbox_is_told_once_and_stops_nobody() {
    let place = Place::new();
    let numbered = |number: u64| {
        let mut request = place.quick();
        request["request_id"] = json!(format!("request-{number}"));
        request["target_scope"]["bundle_slot"] = json!(format!("slot-{number}"));
        job(&request).to_string()
    };
    drop_in(&place, "job-1", numbered(1).as_bytes());
    let folder = place.path(JOBS);
    std::os::unix::fs::symlink("/nowhere", folder.join("a.json")).unwrap();
    std::fs::write(folder.join("job-2.json.tmp"), b"{").unwrap();
    std::fs::write(folder.join(".first"), b"").unwrap();

    let (news, outcome) = serve(&place.factory, 1, |news| {
        // The next is dropped in when the one before was carried out: each is another look.
        if let (Some(News::Run(..)), number @ 1..=2) = (news.last(), ended(news)) {
            drop_in(&place, &format!("job-{}", number + 2), numbered(number as u64 + 2).as_bytes());
            std::fs::write(folder.join(format!(".more-{number}")), b"").unwrap();
        }
        ended(news) == 3
    });
    outcome.unwrap();
    let mut told: Vec<_> = news
        .iter()
        .filter_map(|each| match each {
            News::Trouble(failure) => Some((failure.code, failure.detail.as_str())),
            _ => None,
        })
        .collect();
    told.sort_unstable();
    told.dedup();
    let troubles = news.iter().filter(|each| matches!(each, News::Trouble(_))).count();
    assert_eq!(told.len(), troubles, "{told:?}");
    let codes = |code| told.iter().filter(|(each, _)| *each == code).count();
    assert_eq!((codes(Code::StoreCorrupt), codes(Code::JobRequestInvalid)), (1, 1), "{told:?}");
    // More of them is something new.
    assert!((2..=3).contains(&codes(Code::StoreKeyInvalid)), "{told:?}");
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
    std::fs::create_dir_all(folder.path().join("factory/objects")).unwrap();
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
            line.cancel(run, &Principal::new("alice").unwrap(), &reason("asked by mistake")).unwrap();
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
    let cancel = |actor: &str, why: &str| {
        place.factory.line().cancel(&run, &Principal::new(actor).unwrap(), &reason(why)).map(|row| row.reason)
    };
    assert_eq!(cancel("mallory", "why not").unwrap_err().code, Code::ActorNotAllowed);
    assert_eq!(place.run(&run).progress.state, State::Queued);
    assert_eq!(cancel("alice", "a mistake").unwrap(), Some(Code::RunCancelled));
    assert_eq!(cancel("alice", "a mistake").unwrap(), Some(Code::RunCancelled));
}

#[test]
fn a_run_that_was_judged_cannot_be_cancelled() {
    let (place, run) = Place::passed();
    let alice = Principal::new("alice").unwrap();
    let failure = place.factory.line().cancel(&run, &alice, &reason("too late")).unwrap_err();
    assert_eq!(failure.code, Code::InvalidTransition);
    assert_eq!(place.run(&run).progress.state, State::Pass);
}
