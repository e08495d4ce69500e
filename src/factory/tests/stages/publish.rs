//! Publishing: allowed or not, once and for all, retried within bounds, and never training.

use std::sync::{Arc, atomic::AtomicUsize};

use contracts::{
    Code, Failure,
    identity::ids::TrainRunId,
    names::{Name, Principal},
};
use factory::{
    Factory, bundle,
    gate::{self, Judged},
    keys::Keys,
    ledger::{PUBLISH_RETRIES, Run, SqliteLedger, State},
    line::Line,
    registry::EmbeddedRegistry,
    store,
};
use kernels::progress::Silent;
use serde_json::json;

use crate::support::{
    Bench,
    away::{Answer, StrangeRegistry},
    forge,
    place::{Place, act, assert_refusal, folder, quick_config, quick_profile},
    reason, worker,
};

fn principal(name: &str) -> Principal {
    Principal::new(name).unwrap()
}

fn publish(factory: &Factory, run: &TrainRunId, who: &str) -> Result<Run, Failure> {
    factory.publish(run, &principal(who), &worker(), &Silent)
}

fn strange(place: &Place, answer: Answer) -> Factory {
    place.with(|line| Line {
        registry: Arc::new(StrangeRegistry { inner: Arc::clone(&line.registry), answer }),
        ..line
    })
}

#[test]
fn a_run_that_passed_is_published_later_by_someone_who_may() {
    let (place, run) = Place::passed();
    assert!(place.factory.work(&worker(), None, &Silent).unwrap().is_none(), "nobody allowed it yet");
    let failure = publish(&place.factory, &run, "mallory").unwrap_err();
    assert_refusal("mallory", &failure, Code::PublishNotAllowed, "publication");
    let failure = place.factory.publish_retry(&run, &worker(), &Silent).unwrap_err();
    assert_refusal("not asked", &failure, Code::RetryNotPending, "PASS");
    let row = publish(&place.factory, &run, "bob").unwrap();
    assert_eq!((row.progress.state, row.progress.full_attempts), (State::Published, 1));
    assert_eq!(publish(&place.factory, &run, "bob").unwrap(), row, "published stays published");
    let failure = place.factory.publish_retry(&run, &worker(), &Silent).unwrap_err();
    assert_refusal("published", &failure, Code::RetryNotPending, "PUBLISHED");
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

/// Who asked for the run and who allowed to publish it are both named, and both have their eyes in the matter.
#[test]
fn a_publication_names_who_asked_and_who_allowed_it() {
    let place = Place::new();
    let mut profile = quick_profile();
    profile["four_eyes"] = json!(true);
    profile["roles"]["approve"] = json!("anyone");
    let mut request = place.request_with(quick_config(&place), profile);
    request["publish_allowed"] = json!(false);
    let run = place.carry_out(request).run_id;
    assert_eq!(publish(&place.factory, &run, "bob").unwrap().progress.state, State::Published);
    let bundle = store::read_document(place.store(), &place.evidence(&run).bundle.unwrap()).unwrap();
    let (scope, id) = (&bundle.target_scope, &bundle.bundle_id);
    let published = place.registry().history(scope).unwrap().events()[0].clone();
    assert_eq!((published.actor, published.requester), (principal("bob"), Some(principal("alice"))));
    for own in ["alice", "bob"] {
        let failure = place.registry().approve(scope, id, &act(own)).unwrap_err();
        assert_refusal(own, &failure, Code::FourEyesViolation, "cannot approve");
    }
    place.registry().approve(scope, id, &act("carol")).unwrap();
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

/// The registry asks again whether the actor may: nobody gets round admission.
#[test]
fn the_registry_publishes_for_those_who_may() {
    let (place, run) = Place::passed();
    let Judged::Pass(passed) = gate::confirm(place.store(), &place.evidence(&run)).unwrap() else { panic!() };
    let bundle = bundle::assemble(place.store(), place.keys(), *passed).unwrap();
    let failure = place.registry().publish(&bundle, &principal("alice"), &act("mallory")).unwrap_err();
    assert_refusal("mallory", &failure, Code::PublishNotAllowed, "publish");
    assert_eq!(place.registry().scopes().unwrap(), []);
}

/// A worker that cannot sign does not begin: the run waits for one that can.
#[test]
fn nobody_works_without_a_key() {
    let place = Place::new();
    let run = place.factory.submit(Bench::checked(place.quick())).unwrap().run.run_id;
    let folder = folder();
    std::fs::create_dir(folder.path().join("trusted")).unwrap();
    std::fs::write(folder.path().join("trusted/other.pem"), PUBLIC_KEY).unwrap();
    let reader = place.with(|line| Line { keys: Arc::new(Keys::open(folder.path()).unwrap()), ..line });
    let failure = reader.work(&worker(), None, &Silent).unwrap_err();
    assert_refusal("no key", &failure, Code::SigningKeyUnavailable, "signing.pem");
    assert_eq!(place.run(&run).progress.full_attempts, 0);
    assert_eq!(
        place.factory.work(&worker(), None, &Silent).unwrap().unwrap().progress.state,
        State::Published
    );
}

/// The public key of RFC 8410, section 10.1.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

/// The factory of the same store and ledger on a machine with these keys.
fn with_keys(place: &Place, keys: Keys) -> Factory {
    let keys = Arc::new(keys);
    let store = Arc::clone(&place.factory.line().store);
    let registry = EmbeddedRegistry::new(store, place.clock.clone(), Arc::clone(&keys), place.anchors());
    place.with(|line| Line { keys, registry: Arc::new(registry), ..line })
}

/// A worker whose key is another one, and trusted, carries on what the first one signed.
#[test]
fn a_worker_with_another_trusted_key_carries_on() {
    let (place, run) = Place::passed();
    let signed = place.evidence(&run).bundle.unwrap();
    let factory = with_keys(&place, Keys::from_secret(&[9; 32]).trusting(place.keys().signer().unwrap()));
    publish(&factory, &run, "bob").unwrap();
    assert_eq!(place.evidence(&run).bundle, Some(signed), "what stands signed by a trusted key stays");
    assert_eq!(factory.fsck().unwrap().findings, []);
    let found = place.factory.fsck().unwrap().findings;
    assert!(found.iter().all(|finding| finding.code == Code::SignatureInvalid) && !found.is_empty());
}

/// What another machine signed, whose key is not trusted here, says nothing of the run: one that trusts it carries on.
#[test]
fn a_worker_that_does_not_trust_who_signed_leaves_the_run_open() {
    let (place, run) = Place::passed();
    let stranger = with_keys(&place, Keys::from_secret(&[9; 32]));
    let failure = publish(&stranger, &run, "bob").unwrap_err();
    assert_refusal("bundle.json", &failure, Code::SignatureInvalid, "bundle.json");
    let row = place.run(&run);
    assert_eq!((row.progress.state, row.reason), (State::PublishPending, Some(Code::SignatureInvalid)));
    assert_eq!((row.progress.publish_attempts, row.holder), (0, None), "nothing was tried");
    assert!(
        stranger.work(&worker(), None, &Silent).unwrap().is_none(),
        "it rests, rather than being taken at once"
    );
    let row = place.factory.publish_retry(&run, &worker(), &Silent).unwrap();
    assert_eq!((row.progress.state, row.progress.full_attempts), (State::Published, 1));
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

#[test]
fn only_what_passed_is_published() {
    let place = Place::new();
    let mut request = place.quick();
    let queued = place.factory.submit(Bench::checked(request.clone())).unwrap().run.run_id;
    let failure = publish(&place.factory, &queued, "alice").unwrap_err();
    assert_refusal("queued", &failure, Code::InvalidTransition, "QUEUED");
    let failure = place.factory.publish_retry(&queued, &worker(), &Silent).unwrap_err();
    assert_refusal("queued", &failure, Code::RetryNotPending, "QUEUED");
    let nobody = TrainRunId::new(format!("tr_{}", "0".repeat(32))).unwrap();
    assert_refusal(
        "none",
        &publish(&place.factory, &nobody, "alice").unwrap_err(),
        Code::RunNotFound,
        "tr_0",
    );
    request["training_config"] = {
        let mut config = crate::support::place::quick_config(&place);
        config["split"]["gap"] = json!("8d");
        place.request_with(config, crate::support::place::quick_profile())["training_config"].clone()
    };
    request["request_id"] = json!("request-2");
    let failed = place.factory.submit(Bench::checked(request)).unwrap().run.run_id;
    assert!(place.factory.work(&worker(), Some(&failed), &Silent).is_err());
    let failure = publish(&place.factory, &failed, "alice").unwrap_err();
    assert_refusal("refused", &failure, Code::PublishNotEligible, "EMBARGO_VIOLATION");
}

/// A ledger that was restored from a copy older than the registry's history, or another's: nothing of it is published, and
/// the run waits for the true one.
#[test]
fn a_ledger_that_does_not_know_the_history_leaves_the_run_open_and_the_registry_as_it_is() {
    let place = Place::new();
    let first = place.carry_out(place.quick()).run_id;
    let bundle = store::read_document(place.store(), &place.evidence(&first).bundle.unwrap()).unwrap();
    place.registry().approve(&bundle.target_scope, &bundle.bundle_id, &act("bob")).unwrap();
    let older = folder();
    let anchors = SqliteLedger::open(older.path().join("older.sqlite"), place.clock.clone()).unwrap();
    let store = Arc::clone(&place.factory.line().store);
    let keys = Arc::clone(&place.factory.line().keys);
    let registry = EmbeddedRegistry::new(store, place.clock.clone(), keys, Arc::new(anchors));
    let damaged = place.with(|line| Line { registry: Arc::new(registry), ..line });

    let mut config = quick_config(&place);
    config["model"]["max_depth"] = json!(2);
    let mut request = place.request_with(config, quick_profile());
    request["request_id"] = json!("request-2");
    let run = damaged.submit(Bench::checked(request)).unwrap().run.run_id;
    let before = place.registry().history(&bundle.target_scope).unwrap().events().len();
    let records = || std::fs::read_dir(place.path("registry/bundles")).unwrap().count();
    let failure = damaged.work(&worker(), Some(&run), &Silent).unwrap_err();
    assert_eq!(failure.code, Code::LedgerCorrupt);
    let row = place.run(&run);
    assert_eq!((row.progress.state, row.reason), (State::PublishPending, Some(Code::LedgerCorrupt)));
    assert_eq!(
        (place.registry().history(&bundle.target_scope).unwrap().events().len(), records()),
        (before, 1)
    );

    let row = place.factory.publish_retry(&run, &worker(), &Silent).unwrap();
    assert_eq!((row.progress.state, records()), (State::Published, 2));
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

/// What the ledger of before says of a run that has its receipt cannot stand beside it: nothing is done, or changed.
#[test]
fn a_ledger_that_is_older_than_a_runs_receipt_carries_it_out_no_more() {
    let (place, run) = Place::passed();
    let copy = Place::new();
    let ledger = SqliteLedger::open(copy.root().join("ledger.sqlite"), place.clock.clone()).unwrap();
    let older = place.with(|line| Line { ledger: Arc::new(ledger), ..line });
    let before = place.objects();
    let mut request = place.quick();
    request["publish_allowed"] = json!(false);
    assert_eq!(older.submit(Bench::checked(request)).unwrap().run.run_id, run);
    let failure = older.work(&worker(), Some(&run), &Silent).unwrap_err();
    assert_refusal("older", &failure, Code::LedgerCorrupt, "run_receipt_pass.json");
    let row = older.line().ledger.run(&run).unwrap();
    assert_eq!((row.progress.state, row.reason), (State::Queued, Some(Code::LedgerCorrupt)));
    assert_eq!(place.objects(), before);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

#[test]
fn an_outage_is_retried_within_bounds_and_never_trains() {
    let (place, run) = Place::passed();
    let away = strange(&place, Answer::Away(AtomicUsize::new(100)));
    let failure = publish(&away, &run, "alice").unwrap_err();
    assert_refusal("away", &failure, Code::RegistryUnavailable, "does not answer");
    for attempt in 1..=PUBLISH_RETRIES {
        let row = place.run(&run);
        let why = Some(Code::RegistryUnavailable);
        assert_eq!((row.progress.state, row.reason), (State::PublishPending, why));
        assert_eq!(row.holder, None, "given back");
        assert_eq!((row.progress.publish_attempts, row.progress.full_attempts), (attempt, 1));
        let failure = away.publish_retry(&run, &worker(), &Silent).unwrap_err();
        assert_eq!(failure.code, Code::RegistryUnavailable);
    }
    for factory in [&away, &place.factory] {
        let failure = factory.publish_retry(&run, &worker(), &Silent).unwrap_err();
        assert_refusal("used up", &failure, Code::PublishRetryExhausted, "4 times");
        assert!(factory.work(&worker(), None, &Silent).unwrap().is_none());
    }
    let row = place.run(&run);
    assert_eq!((row.progress.publish_attempts, row.progress.full_attempts), (PUBLISH_RETRIES + 1, 1));
    assert_eq!(place.factory.fsck().unwrap().findings, []);
    // The registry is mended, and somebody says so.
    let allow = |actor: &str, why: &str| {
        place.factory.line().allow_retries(&run, &Principal::new(actor).unwrap(), &reason(why))
    };
    assert_eq!(allow("mallory", "why not").unwrap_err().code, Code::ActorNotAllowed);
    allow("alice", "the registry is back").unwrap();
    let row = place.factory.work(&worker(), None, &Silent).unwrap().unwrap();
    assert_eq!((row.progress.state, row.progress.publish_attempts), (State::Published, 1));
    assert_eq!(row.progress.full_attempts, 1);
    let failure = allow("alice", "once more").unwrap_err();
    assert_refusal("published", &failure, Code::RetryNotPending, "PUBLISHED");
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

#[test]
fn a_registry_that_comes_back_gets_the_bundle() {
    for answer in [Answer::Away(AtomicUsize::new(2)), Answer::Lost(AtomicUsize::new(2))] {
        let (place, run) = Place::passed();
        let factory = strange(&place, answer);
        assert!(publish(&factory, &run, "alice").is_err());
        assert!(factory.publish_retry(&run, &worker(), &Silent).is_err());
        let row = factory.publish_retry(&run, &worker(), &Silent).unwrap();
        assert_eq!((row.progress.state, row.progress.publish_attempts), (State::Published, 3));
        assert_eq!(row.progress.full_attempts, 1);
        let bundle = store::read_document(place.store(), &place.evidence(&run).bundle.unwrap()).unwrap();
        let history = place.registry().history(&bundle.target_scope).unwrap();
        assert_eq!(history.events().len(), 1, "published once");
        assert_eq!(place.factory.fsck().unwrap().findings, []);
    }
}

#[test]
fn an_outage_within_the_first_attempt_ends_in_publish_pending() {
    let place = Place::new();
    let factory = strange(&place, Answer::Away(AtomicUsize::new(1)));
    let run = factory.submit(Bench::checked(place.quick())).unwrap().run.run_id;
    assert_eq!(factory.work(&worker(), None, &Silent).unwrap_err().code, Code::RegistryUnavailable);
    assert_eq!(place.run(&run).progress.state, State::PublishPending);
    // It rests, so that its few retries are not spent within one outage.
    assert!(factory.work(&worker(), None, &Silent).unwrap().is_none());
    place.clock.advance(10);
    let row = factory.work(&worker(), None, &Silent).unwrap().unwrap();
    assert_eq!((row.progress.state, row.progress.full_attempts), (State::Published, 1));
}

#[test]
fn another_publication_under_the_id_and_version_ends_the_run() {
    let (place, run) = Place::passed();
    let bundle = store::read_document(place.store(), &place.evidence(&run).bundle.unwrap()).unwrap();
    let key = format!("registry/bundles/{}/{}.json", bundle.bundle_id, bundle.bundle_version);
    place.put(&key, b"other");
    let failure = publish(&place.factory, &run, "alice").unwrap_err();
    assert_refusal("conflict", &failure, Code::PublishConflict, &key);
    let row = place.run(&run);
    assert_eq!((row.progress.state, row.reason), (State::Fail, Some(Code::PublishConflict)));
    assert_eq!(std::fs::read(place.path(&key)).unwrap(), b"other");
    assert!(place.registry().history(&bundle.target_scope).unwrap().events().is_empty());
}

#[test]
fn an_answer_that_names_another_bundle_is_a_conflict() {
    let (place, run) = Place::passed();
    let evidence = place.evidence(&run);
    let bundle = store::read_document(place.store(), &evidence.bundle.clone().unwrap()).unwrap();
    let record = json!({
        "schema_version": "model_factory.publication.v1",
        "bundle_id": bundle.bundle_id,
        "bundle_version": bundle.bundle_version,
        "bundle": {"uri": "platform-1/mf/other.json", "digest": evidence.bundle.unwrap().digest},
        "target_scope": bundle.target_scope,
        "train_run_id": bundle.train_run_id,
    });
    let record = serde_json::from_value(forge::put(&place, "registry/forged", &record)).unwrap();
    let failure = publish(&strange(&place, Answer::Other(record)), &run, "alice").unwrap_err();
    assert_refusal("another answer", &failure, Code::PublishConflict, "another bundle");
    assert_eq!(place.run(&run).progress.state, State::Fail);
}

#[test]
fn a_run_that_another_worker_publishes_is_left_to_it() {
    let (place, run) = Place::passed();
    let mut request = place.quick();
    request["request_id"] = json!("request-2");
    place.factory.submit(Bench::checked(request)).unwrap();
    let other = Name::new("worker-2").unwrap();
    let lease = place.ledger().claim(&other, 60, Some(&run)).unwrap().unwrap();
    let failure = place.factory.publish_retry(&run, &worker(), &Silent).unwrap_err();
    assert_refusal("held", &failure, Code::LeaseLost, run.as_str());
    place.clock.advance(61);
    let row = place.factory.publish_retry(&run, &worker(), &Silent).unwrap();
    assert_eq!(row.progress.state, State::Published);
    let late = place.ledger().begin_publish(&lease).unwrap_err();
    assert_refusal("too late", &late, Code::LeaseLost, run.as_str());
}
