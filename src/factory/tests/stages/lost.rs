//! Objects that are gone although the ledger knows of them: nobody is told that all is well, and nothing is made of it.

use std::fs;

use contracts::{Code, Failure, Result, names::Principal};
use factory::{Factory, ledger::State, line::Line, watch::Watch};
use kernels::{Progress, progress::Silent};
use serde_json::{Value, json};

use super::inbox::{drop_in, job};
use crate::support::{
    Bench,
    place::{Files, Place, assert_refusal, quick_config},
    reason, run_config, worker,
};

fn assert_lost(name: &str, failure: &Failure, uri: &str) {
    assert_refusal(name, failure, Code::EvidenceUnresolved, uri);
    assert!(!failure.retryable(), "{name}: waiting brings nothing back");
    assert!(failure.hint().contains("docs/reliability.md, Copies"), "{name}: {failure}");
}

/// Everything that somebody can ask about a run that is over.
fn answers(factory: &Factory, request: &Value) -> Vec<(&'static str, Option<Failure>)> {
    let asked = || Bench::checked(request.clone());
    let line = factory.line();
    let run = line.ledger.runs(None, 1).unwrap().pop().unwrap();
    let mut answers = vec![
        ("train", line.train(asked(), &worker(), &Silent).err()),
        ("work", line.work(&worker(), Some(&run.run_id), &Silent).err()),
        ("submit", line.submit(asked()).err()),
    ];
    if run.progress.state == State::Published {
        let alice = Principal::new("alice").unwrap();
        answers.push(("publish", factory.publish(&run.run_id, &alice, &worker(), &Silent).err()));
    }
    answers
}

#[test]
fn a_run_at_rest_is_answered_for_while_what_it_left_behind_is_there() {
    let mut refused = place_of("refused");
    refused.1["governance_profile"] = {
        let mut profile = crate::support::place::quick_profile();
        profile["criteria"][0]["threshold"] = json!(0.999_999);
        refused.0.request_with(quick_config(&refused.0), profile)["governance_profile"].clone()
    };
    let mut passed = place_of("passed");
    passed.1["publish_allowed"] = json!(false);
    let published = place_of("published");
    let cases = [(refused, State::Fail, 7), (passed, State::Pass, 8), (published, State::Published, 9)];
    for ((place, request), state, pieces) in cases {
        let run = place.carry_out(request.clone());
        assert_eq!(run.progress.state, state);
        let evidence = serde_json::to_value(place.evidence(&run.run_id)).unwrap();
        let named: Vec<_> =
            evidence.as_object().unwrap().values().filter_map(|each| each["uri"].as_str()).collect();
        assert_eq!(named.len(), pieces, "{state}");
        for uri in named {
            let whole = fs::read(place.path(uri)).unwrap();
            fs::remove_file(place.path(uri)).unwrap();
            let before = place.objects();
            for (name, failure) in answers(&place.factory, &request) {
                assert_lost(&format!("{state} {name} {uri}"), &failure.unwrap(), uri);
            }
            assert_eq!(place.objects(), before, "nothing is made of it");
            fs::write(place.path(uri), whole).unwrap();
            for (name, failure) in answers(&place.factory, &request) {
                assert_eq!(failure, None, "{state} {name}: it is back");
            }
        }
        assert_eq!(place.run(&run.run_id).progress.state, state);
        assert_eq!(place.factory.fsck().unwrap().findings, []);
    }
}

/// Until nobody looks after it any more it may be on its way.
#[test]
fn a_receipt_that_is_gone_is_told_as_lost() {
    for state in [State::Pass, State::Published] {
        let (place, mut request) = place_of("over");
        request["publish_allowed"] = json!(state == State::Published);
        let run = place.carry_out(request).run_id;
        let receipt = place.factory.receipt(&run).unwrap();
        assert!(receipt.is_some());
        let uri =
            format!("platform-1/mf/train_runs/{run}/run_receipt_{}.json", state.as_str().to_lowercase());
        fs::remove_file(place.path(&uri)).unwrap();
        place.clock.advance(600);
        assert_eq!(place.factory.receipt(&run).unwrap(), None);
        place.clock.advance(1);
        assert_lost("gone", &place.factory.receipt(&run).unwrap_err(), &uri);
        // Who asks for this very run brings it back: it is made of the ledger alone.
        place.factory.work(&worker(), Some(&run), &Silent).unwrap();
        assert_eq!(place.factory.receipt(&run).unwrap(), receipt);
    }
}

fn place_of(name: &str) -> (Place, Value) {
    let place = Place::new();
    let mut request = place.quick();
    request["request_id"] = json!(format!("request-{name}"));
    (place, request)
}

/// Leaves of a place's objects those that stood at an earlier moment, in the same folder.
fn bring_back(place: &Place, earlier: &Files) {
    for path in place.objects().keys().filter(|path| !earlier.contains_key(*path)) {
        fs::remove_file(place.root().join("objects").join(path)).unwrap();
    }
}

fn house(line: &Line) -> Result<()> {
    line.take_up(&run_config(), |_, _| true)
}

/// The copy was made while the run waited: its request is there, and nothing that came of it.
#[test]
fn a_receipt_is_not_written_anew_of_a_run_whose_objects_are_of_before_it() {
    let (place, request) = place_of("waiting");
    let run = place.factory.submit(Bench::checked(request)).unwrap().run.run_id;
    let earlier = place.objects();
    place.factory.work(&worker(), None, &Silent).unwrap();
    assert_eq!(place.run(&run).progress.state, State::Published);
    bring_back(&place, &earlier);
    let failure = place.factory.work(&worker(), None, &Silent).unwrap_err();
    assert_refusal("a worker", &failure, Code::StoreCorrupt, run.as_str());
    assert!(!failure.retryable() && failure.hint().contains("docs/reliability.md, Copies"));
    assert_eq!(place.objects(), earlier);
}

/// A worker that carries a run on that lost its evidence says so, and leaves it to whoever brings that back.
#[test]
fn a_run_that_lost_its_evidence_stays_open_and_is_told_as_lost() {
    let (place, request) = place_of("stopped");
    let run = place.factory.submit(Bench::checked(request)).unwrap().run.run_id;
    let stopped = StopAtGate { place: &place };
    place.factory.work(&worker(), Some(&run), &stopped).unwrap_err();
    let model = place.evidence(&run).model.unwrap().uri;
    for _ in 0..2 {
        let failure = place.factory.work(&worker(), Some(&run), &Silent).unwrap_err();
        assert_lost("carried on", &failure, model.as_str());
        let row = place.run(&run);
        assert_eq!((row.progress.state, row.reason), (State::Queued, Some(Code::EvidenceUnresolved)));
    }
    fs::rename(place.root().join("aside"), place.path(model.as_str())).unwrap();
    let row = place.factory.work(&worker(), Some(&run), &Silent).unwrap().unwrap();
    assert_eq!(row.progress.state, State::Published);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

/// Takes the model away once it is evaluated, without which nobody judges it.
struct StopAtGate<'a> {
    place: &'a Place,
}

impl Progress for StopAtGate<'_> {
    fn step(&self, _: u64, _: u64) -> Result<()> {
        Ok(())
    }
}

impl Watch for StopAtGate<'_> {
    fn stage(&self, stage: factory::watch::Stage) {
        if stage == factory::watch::Stage::Gate {
            let run = self.place.ledger().runs(None, 1).unwrap().pop().unwrap().run_id;
            let model = self.place.evidence(&run).model.unwrap().uri;
            fs::rename(self.place.path(model.as_str()), self.place.root().join("aside")).unwrap();
        }
    }
}

/// Everything that would write.
fn writes(place: &Place, request: &Value) -> Vec<(&'static str, Option<Failure>)> {
    let asked = || Bench::checked(request.clone());
    let (factory, line) = (&place.factory, place.factory.line());
    let profile = contracts::Checked::from_value(crate::support::place::quick_profile()).unwrap();
    let config = contracts::Checked::from_value(quick_config(place)).unwrap();
    let platform = crate::support::platform();
    vec![
        ("submit", line.submit(asked()).err()),
        ("train", line.train(asked(), &worker(), &Silent).err()),
        ("work", line.work(&worker(), None, &Silent).err()),
        ("take up", house(line).err()),
        ("post", line.post(&worker(), &run_config(), &asked()).err()),
        ("profile", factory.put_governance_profile(&platform, &profile).err()),
        ("config", factory.put_training_config(&platform, &config).err()),
        ("dataset", crate::support::build(factory, &place.payments).err()),
    ]
}

#[test]
fn objects_that_are_older_than_the_ledgers_latest_run_get_nothing() {
    let (place, mut request) = place_of("first");
    place.carry_out(request.clone());
    drop_in(&place, "a-job", job(&request).to_string().as_bytes());
    let earlier = place.objects();
    place.clock.advance(1);
    request["request_id"] = json!("request-second");
    request["target_scope"]["bundle_slot"] = json!("second");
    let second = place.carry_out(request.clone()).run_id;
    bring_back(&place, &earlier);
    let alice = Principal::new("alice").unwrap();
    let cancelled = place.factory.line().cancel(&second, &alice, &reason("a mistake")).err();
    for (name, failure) in writes(&place, &request).into_iter().chain([("cancel", cancelled)]) {
        let failure = failure.unwrap();
        assert_refusal(name, &failure, Code::StoreCorrupt, "platform-1/mf/train_requests/");
        assert!(failure.hint().contains("docs/reliability.md, Copies"), "{name}: {failure}");
    }
    assert_eq!(place.objects(), earlier);
    let findings = place.factory.fsck().unwrap().findings;
    assert!(findings.iter().any(|found| (found.code, &*found.subject) == (Code::StoreCorrupt, "objects")));
}

/// Before its first run only the name tells whose objects they are.
#[test]
fn objects_that_name_another_ledger_or_none_get_nothing() {
    for name in [None, Some("sha256:another")] {
        let (place, request) = place_of("first");
        drop_in(&place, "a-job", job(&request).to_string().as_bytes());
        let named = place.path("registry/ledger");
        let own = fs::read(&named).unwrap();
        match name {
            None => fs::remove_file(&named).unwrap(),
            Some(other) => fs::write(&named, other).unwrap(),
        }
        let before = place.objects();
        for (verb, failure) in writes(&place, &request) {
            assert_refusal(verb, &failure.unwrap(), Code::StoreCorrupt, "registry/ledger");
        }
        assert_eq!(place.objects(), before);
        fs::write(&named, own).unwrap();
        assert_eq!(place.carry_out(request).progress.state, State::Published);
    }
}
