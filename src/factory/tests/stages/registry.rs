//! The registry's verbs: each in every state, who may, and what happens in a race.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread,
};

use contracts::{Code, Result, identity::ids::BundleId, resolution::ResolutionOutcome};
use factory::{
    registry::{Act, EmbeddedRegistry, Registry},
    store,
};
use serde_json::json;

use crate::support::{
    away::{DeafStore, InterruptedStore, OvertakingStore},
    place::{Place, act, assert_refusal, quick_config, quick_profile},
    shelf::{Shelf, published},
};

/// Every verb x every state: `+` works, everything else is its refusal.
#[test]
fn each_verb_in_each_state() {
    let refusals = BTreeMap::from([
        ('t', Code::InvalidTransition),
        ('r', Code::BundleRetired),
        ('n', Code::BundleNotFound),
        ('a', Code::NoActiveBundle),
    ]);
    for (state, steps, approve, promote, retire, roll_back) in [
        ("PUBLISHED", &[][..], '+', '+', '+', 'a'),
        ("APPROVED", &["approve"][..], '+', '+', '+', 'a'),
        ("ACTIVE", &["promote"][..], 't', 't', '+', 'a'),
        ("ACTIVE after approval", &["approve", "promote"][..], 't', 't', '+', 'a'),
        ("RETIRED", &["retire"][..], 'r', 'r', 'r', 'a'),
        ("RETIRED while ACTIVE", &["promote", "retire"][..], 'r', 'r', 'r', 'a'),
    ] {
        for (verb, expected) in
            [("approve", approve), ("promote", promote), ("retire", retire), ("roll back", roll_back)]
        {
            let shelf = Shelf::new();
            for step in steps {
                shelf.act(step, "first", "bob").unwrap();
            }
            let before = shelf.place.objects();
            match shelf.act(verb, "first", "bob") {
                Ok(event) => {
                    assert_eq!(expected, '+', "{verb} of {state}");
                    assert_eq!(event.actor.as_str(), "bob");
                    assert_eq!(event.sequence, 3 + steps.len() as u64);
                }
                Err(failure) => {
                    assert_eq!(refusals.get(&expected), Some(&failure.code), "{verb} of {state}: {failure}");
                    assert_eq!(before, shelf.place.objects(), "{verb} of {state}");
                }
            }
            shelf.sound();
        }
    }
}

#[test]
fn a_bundle_that_is_not_published_in_the_scope_is_not_found() {
    let shelf = Shelf::new();
    let registry = shelf.place.registry();
    let scope = shelf.scope("first");
    let nobody = BundleId::new(format!("mb_{}", "0".repeat(32))).unwrap();
    for id in [&nobody, shelf.id("tenant"), shelf.id("strict")] {
        for failure in [
            registry.approve(scope, id, &act("bob")).unwrap_err(),
            registry.promote(scope, id, &act("bob")).unwrap_err(),
            registry.retire(scope, id, &act("bob")).unwrap_err(),
        ] {
            assert_refusal("elsewhere", &failure, Code::BundleNotFound, id.as_str());
        }
    }
    assert_refusal("find", &registry.find(&nobody).unwrap_err(), Code::BundleNotFound, nobody.as_str());
}

#[test]
fn only_those_whom_the_profile_names_may() {
    let shelf = Shelf::new();
    shelf.act("promote", "second", "bob").unwrap();
    shelf.act("promote", "first", "bob").unwrap();
    for (verb, kind) in
        [("approve", "second"), ("promote", "second"), ("roll back", "first"), ("retire", "first")]
    {
        let failure = shelf.act(verb, kind, "mallory").unwrap_err();
        assert_refusal(verb, &failure, Code::ActorNotAllowed, verb);
    }
    let failure = shelf.act("approve", "second", "carol").unwrap_err();
    assert_refusal("carol promotes, bob approves", &failure, Code::ActorNotAllowed, "approve");
}

#[test]
fn four_eyes_are_two_people_who_did_not_ask() {
    let shelf = Shelf::new();
    let refused = |verb: &str, actor: &str, code: Code| {
        assert_refusal(verb, &shelf.act(verb, "strict", actor).unwrap_err(), code, "");
    };
    refused("promote", "carol", Code::ApprovalMissing);
    refused("approve", "alice", Code::FourEyesViolation);
    shelf.act("approve", "strict", "bob").unwrap();
    refused("promote", "bob", Code::FourEyesViolation);
    refused("promote", "mallory", Code::ActorNotAllowed);
    shelf.act("promote", "strict", "carol").unwrap();
    // Bringing it back puts it into service as a promotion does.
    let run = published(&shelf.place, "strict", "strict-2").parse().unwrap();
    let reference = shelf.place.evidence(&run).bundle.unwrap();
    let (registry, scope) = (shelf.place.registry(), shelf.scope("strict"));
    let other = store::read_document(shelf.place.store(), &reference).unwrap().bundle_id.clone();
    registry.approve(scope, &other, &act("bob")).unwrap();
    registry.promote(scope, &other, &act("dave")).unwrap();
    refused("roll back", "bob", Code::FourEyesViolation);
    shelf.act("roll back", "strict", "carol").unwrap();
    shelf.sound();
}

#[test]
fn an_approval_that_is_asked_for_may_come_from_whoever_promotes() {
    let place = Place::new();
    let mut profile = quick_profile();
    profile["approval_required"] = json!(true);
    let run = place.carry_out(place.request_with(quick_config(&place), profile));
    let reference = place.evidence(&run.run_id).bundle.unwrap();
    let bundle = place.factory.load(&reference).unwrap().bundle().clone();
    let (registry, scope, id) = (place.registry(), &bundle.target_scope, &bundle.bundle_id);
    let failure = registry.promote(scope, id, &act("bob")).unwrap_err();
    assert_refusal("not approved", &failure, Code::ApprovalMissing, "approval");
    registry.approve(scope, id, &act("bob")).unwrap();
    registry.promote(scope, id, &act("bob")).unwrap();
}

#[test]
fn rolling_back_returns_to_the_bundle_before() {
    let shelf = Shelf::new();
    shelf.act("promote", "first", "bob").unwrap();
    assert_eq!(shelf.act("roll back", "first", "bob").unwrap_err().code, Code::NoActiveBundle);
    shelf.act("promote", "second", "bob").unwrap();
    let event = shelf.act("roll back", "first", "bob").unwrap();
    assert_eq!(event.bundle_id, *shelf.id("first"));
    assert_eq!(shelf.resolve("first", None).1.as_deref(), Some("first"));
    let failure = shelf.act("roll back", "first", "bob").unwrap_err();
    assert_refusal("the other was rolled back from", &failure, Code::NoActiveBundle, "prod/card/primary");
    shelf.act("promote", "second", "bob").unwrap();
    shelf.act("retire", "first", "bob").unwrap();
    let failure = shelf.act("roll back", "first", "bob").unwrap_err();
    assert_refusal("the one before is retired", &failure, Code::NoActiveBundle, "prod/card/primary");
    assert_eq!(shelf.resolve("first", None).1.as_deref(), Some("second"));
    shelf.sound();
}

/// Back over several promotions, one step at a time.
#[test]
fn rolling_back_again_goes_further_back() {
    let shelf = Shelf::new();
    let third = published(&shelf.place, "second", "third").parse().unwrap();
    let reference = shelf.place.evidence(&third).bundle.unwrap();
    let third = store::read_document(shelf.place.store(), &reference).unwrap().bundle_id.clone();
    shelf.act("promote", "first", "bob").unwrap();
    shelf.act("promote", "second", "bob").unwrap();
    shelf.place.registry().promote(shelf.scope("first"), &third, &act("bob")).unwrap();
    for expected in ["second", "first"] {
        let event = shelf.act("roll back", "first", "bob").unwrap();
        assert_eq!(event.bundle_id, *shelf.id(expected));
    }
    assert_eq!(shelf.act("roll back", "first", "bob").unwrap_err().code, Code::NoActiveBundle);
    assert_eq!(shelf.resolve("first", None).1.as_deref(), Some("first"));
    shelf.sound();
}

/// What is damaged cannot serve, and can be taken out of service.
#[test]
fn a_damaged_bundle_can_be_retired_and_nothing_else() {
    let shelf = Shelf::new();
    shelf.act("promote", "first", "bob").unwrap();
    std::fs::write(shelf.place.path(shelf.bundles["first"].model.uri.as_str()), b"other").unwrap();
    std::fs::remove_file(shelf.place.path(shelf.bundles["second"].eval_report.uri.as_str())).unwrap();
    for (verb, kind, code) in
        [("approve", "second", Code::EvidenceUnresolved), ("promote", "second", Code::EvidenceUnresolved)]
    {
        assert_eq!(shelf.act(verb, kind, "bob").unwrap_err().code, code, "{verb}");
    }
    let failure = shelf.act("retire", "first", "mallory").unwrap_err();
    assert_refusal("mallory", &failure, Code::ActorNotAllowed, "retire");
    shelf.act("retire", "first", "bob").unwrap();
    let closed = (ResolutionOutcome::FailClosed, None, vec![Code::NoActiveBundle]);
    assert_eq!(shelf.resolve("first", None), closed);
}

#[test]
fn who_is_always_overtaken_gives_up_with_a_code() {
    let shelf = Shelf::new();
    let store = Arc::new(OvertakingStore(Arc::clone(&shelf.place.factory.line().store)));
    let registry = shelf.place.registry_in(store);
    let failure = registry.promote(shelf.scope("first"), shelf.id("first"), &act("bob")).unwrap_err();
    assert_refusal("overtaken", &failure, Code::ScopeConflict, "prod/card/primary");
    assert_eq!(shelf.place.registry().history(shelf.scope("first")).unwrap().events().len(), 2);
}

/// Whoever meets the event that it has just written has written it, and does not decide anew.
#[test]
fn an_event_whose_answer_was_lost_is_written_once() {
    let shelf = Shelf::new();
    let store = Arc::new(DeafStore(Arc::clone(&shelf.place.factory.line().store)));
    let registry = shelf.place.registry_in(store);
    let event = registry.promote(shelf.scope("first"), shelf.id("first"), &act("bob")).unwrap();
    assert_eq!(event.sequence, 3);
    registry.approve(shelf.scope("second"), shelf.id("second"), &act("bob")).unwrap();
    assert_eq!(shelf.place.registry().history(shelf.scope("first")).unwrap().events().len(), 4);
    assert_eq!(shelf.resolve("first", None).1.as_deref(), Some("first"));
    shelf.sound();
}

/// Racing promotions: one winner for each place in the history, and everyone else decides anew.
#[test]
fn races_have_one_winner_a_place() {
    let shelf = Shelf::new();
    let registry = &shelf.place.factory.line().registry;
    let (scope, first, second) = (shelf.scope("first"), shelf.id("first"), shelf.id("second"));
    let results: Vec<_> = thread::scope(|threads| {
        let racers: Vec<_> = (0..8)
            .map(|racer| {
                let bundle = if racer % 2 == 0 { first } else { second };
                // One act twice would be the same event, and that is no race.
                let act = Act { reason: format!("racer {racer}"), ..act("bob") };
                threads.spawn(move || registry.promote(scope, bundle, &act))
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let mut won: Vec<u64> = results.iter().flatten().map(|event| event.sequence).collect();
    won.sort_unstable();
    let history = registry.history(scope).unwrap();
    assert_eq!(won, (3..=history.events().len() as u64).collect::<Vec<_>>());
    assert!(!won.is_empty());
    let lost = results.into_iter().filter_map(Result::err);
    assert!(lost.into_iter().all(|failure| failure.code == Code::InvalidTransition));
    shelf.sound();
}

/// A registry in which another actor does something just before this one writes its event.
fn overtaken(shelf: &Shelf, verb: &'static str, kind: &'static str) -> EmbeddedRegistry {
    let inner = Arc::clone(&shelf.place.factory.line().store);
    let registry = Arc::clone(&shelf.place.factory.line().registry);
    let (scope, id) = (shelf.scope(kind).clone(), shelf.id(kind).clone());
    let happen = move || {
        match verb {
            "promote" => registry.promote(&scope, &id, &act("carol")),
            "retire" => registry.retire(&scope, &id, &act("carol")),
            _ => registry.roll_back(&scope, &act("carol")),
        }
        .unwrap();
    };
    let store = InterruptedStore { inner, part: "/events/", first: Mutex::new(Some(Box::new(happen))) };
    shelf.place.registry_in(Arc::new(store))
}

/// Whoever loses a place reads the history again: two who roll back at once both mean one step back from what
/// they saw, and a bundle that was retired in the meantime is not promoted.
#[test]
fn who_is_overtaken_decides_anew() {
    for (other, kind, code) in
        [("roll back", "first", Code::ScopeConflict), ("promote", "first", Code::ScopeConflict)]
    {
        let shelf = Shelf::new();
        shelf.act("promote", "first", "bob").unwrap();
        shelf.act("promote", "second", "bob").unwrap();
        let registry = overtaken(&shelf, other, kind);
        let failure = registry.roll_back(shelf.scope("first"), &act("bob")).unwrap_err();
        assert_refusal(other, &failure, code, "prod/card/primary");
        assert_eq!(shelf.resolve("first", None).1.as_deref(), Some("first"));
        shelf.sound();
    }
    for (other, kind, expected) in [
        ("retire", "first", Some(Code::BundleRetired)),
        ("promote", "first", Some(Code::InvalidTransition)),
        ("promote", "second", None),
    ] {
        let shelf = Shelf::new();
        let registry = overtaken(&shelf, other, kind);
        let result = registry.promote(shelf.scope("first"), shelf.id("first"), &act("bob"));
        assert_eq!(result.as_ref().err().map(|failure| failure.code), expected, "{other} {kind}");
        assert_eq!(result.ok().map(|event| event.sequence), expected.is_none().then_some(4));
        shelf.sound();
    }
}

/// A verb is an event with its own actor and reason: what serves already is not promoted again, nor told of as a run.
#[test]
fn what_serves_already_is_told_as_such() {
    let shelf = Shelf::new();
    shelf.act("promote", "first", "bob").unwrap();
    for verb in ["promote", "approve"] {
        let failure = shelf.act(verb, "first", "bob").unwrap_err();
        assert_eq!(failure.code, Code::InvalidTransition);
        assert!(failure.hint().contains("serves its scope") && !failure.hint().contains("run"), "{failure}");
    }
}
