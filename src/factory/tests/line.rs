//! The whole line on simulated payments.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says what it expects, and plays a writer that died"
)]

mod support;

use contracts::{Code, names::Principal, resolution::ResolutionOutcome, scope::TargetScope};
use factory::{ledger::State, registry::Act};
use kernels::progress::Silent;
use support::{Bench, opened, worker};

fn act(actor: &str) -> Act {
    Act { actor: Principal::new(actor).unwrap(), reason: "a test".to_owned() }
}

#[test]
fn from_payments_to_an_active_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(folder.path());
    let admission = bench.factory.submit(Bench::checked(bench.request(0.6))).unwrap();
    assert!(admission.fresh);
    let run = bench.factory.work(&worker(), None, &Silent).unwrap().unwrap();
    assert_eq!(run.progress.state, State::Published);
    assert_eq!(run.progress.full_attempts, 1);
    assert!(bench.factory.work(&worker(), None, &Silent).unwrap().is_none());

    let evidence = bench.factory.line().evidence(&run.run_id).unwrap();
    let loaded = bench.factory.load(&evidence.bundle.unwrap()).unwrap();
    let scope = loaded.bundle().target_scope.clone();
    let bundle = loaded.bundle().bundle_id.clone();

    let closed = bench.factory.resolve(&scope, None, None).unwrap();
    assert_eq!(closed.outcome, ResolutionOutcome::FailClosed);
    assert_eq!(closed.reason_codes, [Code::NoActiveBundle]);
    let event = bench.factory.line().registry.promote(&scope, &bundle, &act("carol")).unwrap();
    assert_eq!(event.sequence, 2);
    let open = bench.factory.resolve(&scope, None, None).unwrap();
    assert_eq!(open.outcome, ResolutionOutcome::Resolved);
    assert_eq!(open.bundle_id, Some(bundle.clone()));

    let verified = bench.factory.verify(&bundle, &Silent).unwrap();
    assert!(verified.gate_confirmed);
    bench.factory.rebuild(&bundle, &Silent).unwrap();
    let checkup = bench.factory.fsck().unwrap();
    assert_eq!(checkup.findings, []);
    assert_eq!((checkup.runs, checkup.bundles, checkup.scopes), (1, 1, 1));
}

#[test]
fn a_gate_that_says_fail_is_a_documented_end() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(folder.path());
    bench.factory.submit(Bench::checked(bench.request(1.5))).unwrap();
    let run = bench.factory.work(&worker(), None, &Silent).unwrap().unwrap();
    assert_eq!(run.progress.state, State::Fail);
    let evidence = bench.factory.line().evidence(&run.run_id).unwrap();
    assert!(evidence.gate_receipt.is_some() && evidence.bundle.is_none());
    let refused = bench.factory.publish(&run.run_id, &Principal::new("alice").unwrap(), &worker(), &Silent);
    assert_eq!(refused.unwrap_err().code, Code::PublishNotEligible);
    assert_eq!(bench.factory.fsck().unwrap().findings, []);
}

#[test]
fn opening_collects_what_dead_writers_left() {
    let folder = tempfile::tempdir().unwrap();
    let litter = folder.path().join("objects/.staging/1-1");
    std::fs::create_dir_all(litter.parent().unwrap()).unwrap();
    std::fs::write(&litter, b"half an object").unwrap();
    drop(opened(folder.path()));
    assert!(!litter.try_exists().unwrap());
}

#[test]
fn the_longest_tenant_name_has_a_history() {
    let folder = tempfile::tempdir().unwrap();
    let factory = opened(folder.path());
    let scope: TargetScope = format!("prod/card/primary/{}", "t".repeat(128)).parse().unwrap();
    assert_eq!(factory.resolve(&scope, None, None).unwrap().reason_codes, [Code::NoActiveBundle; 2]);
}
