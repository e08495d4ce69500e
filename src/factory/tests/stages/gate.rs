//! The gate: what is missing or on the wrong side fails, and a receipt says only what its evidence says.

use contracts::{
    Code, Failure, Reference,
    gate_receipt::{GateReceipt, Reason, Verdict},
    run_receipt::Evidence,
};
use factory::{
    gate::{self, Judged},
    ledger::{Run, State},
    line::Line,
    store,
};
use kernels::progress::Silent;
use serde_json::{Value, json};

use crate::support::{
    Bench,
    away::AwayStore,
    forge,
    place::{Place, act, assert_refusal, quick_config, quick_profile},
    worker,
};

fn receipt(place: &Place, run: &Run) -> contracts::Checked<GateReceipt> {
    store::read_document(place.store(), &place.evidence(&run.run_id).gate_receipt.unwrap()).unwrap()
}

fn judged(place: &Place, criterion: &Value) -> (Run, contracts::Checked<GateReceipt>) {
    let mut profile = quick_profile();
    profile["criteria"] = json!([criterion]);
    let run = place.carry_out(place.request_with(quick_config(place), profile));
    let receipt = receipt(place, &run);
    (run, receipt)
}

fn criterion(metric: &str, comparison: &str, threshold: f64) -> Value {
    json!({"name": "it", "metric": metric, "comparison": comparison, "threshold": threshold})
}

fn with(mut criterion: Value, field: &str, value: Value) -> Value {
    criterion[field] = value;
    criterion
}

#[test]
fn what_is_missing_or_on_the_wrong_side_fails() {
    let (pass, fail) = (Verdict::Pass, Verdict::Fail);
    let slice = |group: Value| json!({"column": "amount", "group": group});
    let easy = || criterion("roc_auc", "at_least", 0.0);
    for (name, criterion, verdict, reason) in [
        ("above", criterion("roc_auc", "at_least", 0.5), pass, Reason::Met),
        ("below", criterion("roc_auc", "at_most", 0.5), fail, Reason::NotMet),
        ("too high", criterion("roc_auc", "at_least", 1.1), fail, Reason::NotMet),
        ("low enough", criterion("log_loss", "at_most", 5.0), pass, Reason::Met),
        ("no such metric", criterion("precision_at_k_7", "at_least", 0.0), fail, Reason::Missing),
        ("no such metric, at most", criterion("recall_at_k_7", "at_most", 1.0), fail, Reason::Missing),
        ("no such bound", with(easy(), "judged_on", json!("lower_bound")), fail, Reason::Missing),
        ("no such upper bound", with(easy(), "judged_on", json!("upper_bound")), fail, Reason::Missing),
        ("no such split", with(easy(), "split", json!("validation")), fail, Reason::Missing),
        ("the train split", with(easy(), "split", json!("train")), pass, Reason::Met),
        ("a slice", with(easy(), "slice", slice(json!(0))), pass, Reason::Met),
        ("no such group", with(easy(), "slice", slice(json!(9))), fail, Reason::Missing),
        ("no such slice", with(easy(), "slice", json!({"column": "weekend"})), fail, Reason::Missing),
        ("every group", with(easy(), "slice", slice(json!(null))), pass, Reason::Met),
    ] {
        let place = Place::new();
        let (run, receipt) = judged(&place, &criterion);
        let groups = if name == "every group" { 2 } else { 1 };
        assert_eq!(receipt.criteria.len(), groups, "{name}");
        assert!(
            receipt.criteria.iter().all(|result| (result.verdict, result.reason) == (verdict, reason)),
            "{name}"
        );
        assert_eq!(receipt.decision, verdict, "{name}");
        let state = if verdict == pass { State::Published } else { State::Fail };
        assert_eq!(run.progress.state, state, "{name}");
        let evidence = place.evidence(&run.run_id);
        assert_eq!(evidence.bundle.is_some(), verdict == pass, "{name}");
        assert_eq!(place.path("registry/bundles").exists(), verdict == pass, "{name}");
        assert_eq!(run.reason, None, "a verdict is no error");
    }
}

#[test]
fn one_criterion_that_fails_fails_all() {
    let place = Place::new();
    let mut profile = quick_profile();
    let hard = with(criterion("roc_auc", "at_least", 1.1), "name", json!("hard"));
    profile["criteria"] = json!([criterion("roc_auc", "at_least", 0.0), hard]);
    let run = place.carry_out(place.request_with(quick_config(&place), profile));
    assert_eq!(run.progress.state, State::Fail);
    let failed: Vec<_> = receipt(&place, &run).failed.iter().map(ToString::to_string).collect();
    assert_eq!(failed, ["hard"]);
}

/// Without a champion there is nothing to beat; with one, the candidate needs the least improvement.
#[test]
fn the_champion_has_to_be_beaten() {
    let place = Place::new();
    let challenge = |id: &str, depth: u32, least: f64, metric: &str, comparison: &str| {
        let mut profile = quick_profile();
        profile["champion_comparison"] =
            json!({"metric": metric, "comparison": comparison, "min_improvement": least});
        let mut config = quick_config(&place);
        config["revision"] = json!(id);
        config["model"]["max_depth"] = json!(depth);
        let mut request = place.request_with(config, profile);
        request["request_id"] = json!(format!("request-{id}"));
        let run = place.carry_out(request);
        let champion = receipt(&place, &run).champion.clone().unwrap();
        (run, champion)
    };
    let (first, result) = challenge("1", 3, 5.0, "roc_auc", "at_least");
    assert_eq!((result.champion, result.verdict), (None, Verdict::Pass));
    let bundle = store::read_document(place.store(), &place.evidence(&first.run_id).bundle.unwrap()).unwrap();
    place.registry().promote(&bundle.target_scope, &bundle.bundle_id, &act("carol")).unwrap();
    for (id, depth, least, metric, comparison, verdict) in [
        ("2", 3, 0.0, "roc_auc", "at_least", Verdict::Pass),
        ("3", 3, 0.001, "roc_auc", "at_least", Verdict::Fail),
        ("4", 3, -0.001, "log_loss", "at_most", Verdict::Pass),
        ("5", 3, 0.001, "log_loss", "at_most", Verdict::Fail),
        ("6", 3, -1.0, "recall_at_k_7", "at_least", Verdict::Fail),
    ] {
        let (run, result) = challenge(id, depth, least, metric, comparison);
        assert_eq!(result.champion.as_ref(), Some(&bundle.bundle_id), "{id}");
        assert_eq!(result.champion_report, Some(bundle.eval_report.digest), "{id}");
        assert_eq!(result.verdict, verdict, "{id}");
        let state = if verdict == Verdict::Pass { State::Published } else { State::Fail };
        assert_eq!(run.progress.state, state, "{id}");
    }
    // Another model has other values: the better one wins, whichever side is better.
    for (id, metric, comparison) in [("7", "roc_auc", "at_least"), ("8", "log_loss", "at_most")] {
        let (_, result) = challenge(id, 1, 0.0, metric, comparison);
        let (candidate, champion) = (result.candidate_value.unwrap(), result.champion_value.unwrap());
        let better = if comparison == "at_least" { candidate > champion } else { candidate < champion };
        assert!((candidate - champion).abs() > 1e-6, "{id}");
        assert_eq!(result.verdict == Verdict::Pass, better, "{id}");
    }
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

/// Whom to beat is pinned before the receipt is written: a promotion in the meantime forks nothing.
#[test]
fn a_champion_that_comes_in_the_meantime_changes_no_receipt() {
    let place = Place::new();
    let first = place.carry_out(place.quick());
    let bundle = store::read_document(place.store(), &place.evidence(&first.run_id).bundle.unwrap()).unwrap();
    let mut profile = quick_profile();
    profile["champion_comparison"] =
        json!({"metric": "roc_auc", "comparison": "at_least", "min_improvement": 0.5});
    let mut request = place.request_with(quick_config(&place), profile);
    request["request_id"] = json!("request-2");
    let run = place.factory.submit(Bench::checked(request)).unwrap().run.run_id;
    let away = place.with(|line| Line {
        store: AwayStore::new(&line.store, "publish_eligibility", Code::StoreUnavailable, 1),
        ..line
    });
    assert_eq!(away.work(&worker(), None, &Silent).unwrap_err().code, Code::StoreUnavailable);
    place.registry().promote(&bundle.target_scope, &bundle.bundle_id, &act("carol")).unwrap();
    let row = place.factory.work(&worker(), Some(&run), &Silent).unwrap().unwrap();
    assert_eq!((row.run_id.clone(), row.progress.state), (run, State::Published));
    assert_eq!(receipt(&place, &row).champion.clone().unwrap().champion, None);
    assert_eq!(place.factory.fsck().unwrap().findings, []);
}

#[test]
fn a_part_of_the_evidence_that_is_not_named_is_missed() {
    let (place, run) = Place::passed();
    let whole = place.evidence(&run);
    for name in ["plan", "model", "execution_record", "eval_report", "gate_receipt"] {
        let mut evidence = serde_json::to_value(&whole).unwrap();
        evidence[name] = json!(null);
        let evidence: Evidence = serde_json::from_value(evidence).unwrap();
        let failure = gate::confirm(place.store(), &evidence).unwrap_err();
        assert_refusal(name, &failure, Code::EvidenceRefMissing, name);
    }
    assert!(matches!(gate::confirm(place.store(), &whole).unwrap(), Judged::Pass(_)));
}

fn garbage<T>(place: &Place) -> Reference<T> {
    serde_json::from_value(forge::put(place, "platform-1/mf/forged", &json!({}))).unwrap()
}

fn confirmed(place: &Place, evidence: &Evidence) -> Failure {
    let before = place.objects();
    let failure = gate::confirm(place.store(), evidence).unwrap_err();
    assert_eq!(before, place.objects(), "{failure}");
    failure
}

/// Forged documents whose digests all fit: only reading and judging them finds them out.
#[test]
fn forged_evidence_is_found_out() {
    let (place, run) = Place::passed();
    let good = || place.evidence(&run);
    let other_run = format!("tr_{}", "0".repeat(32));
    let other_digest = format!("sha256:{}", "0".repeat(64));

    let evidence = Evidence { eval_report: Some(garbage(&place)), ..good() };
    assert_refusal("no report", &confirmed(&place, &evidence), Code::EvalReportInvalid, "/splits");
    let evidence = Evidence { gate_receipt: Some(garbage(&place)), ..good() };
    assert_refusal("no receipt", &confirmed(&place, &evidence), Code::GateInvalid, "/criteria");
    let evidence = Evidence { plan: Some(garbage(&place)), ..good() };
    assert_refusal("no plan", &confirmed(&place, &evidence), Code::EvidenceInvalid, "/features");

    for (field, value) in
        [("train_run_id", &other_run), ("train_run_key", &other_digest), ("model", &other_digest)]
    {
        let report =
            forge::edited(&place, &good().eval_report.unwrap(), |report| report[field] = json!(value));
        let evidence = Evidence { eval_report: Some(report), ..good() };
        assert_refusal(field, &confirmed(&place, &evidence), Code::EvalReportMismatch, "one run");
    }
    for (field, value) in [
        ("plan", json!(other_digest)),
        ("model", json!({"uri": "platform-1/mf/other", "digest": other_digest})),
    ] {
        let record = good().execution_record.unwrap();
        let record = forge::edited(&place, &record, |record| record[field] = value);
        let evidence = Evidence { execution_record: Some(record), ..good() };
        assert_refusal(field, &confirmed(&place, &evidence), Code::EvalReportMismatch, "one run");
    }
    let receipt = good().gate_receipt.unwrap();
    for (name, edit) in [
        ("a better value", (|receipt| receipt["criteria"][0]["observed"] = json!(0.999)) as fn(&mut Value)),
        ("an easier threshold", |receipt| receipt["criteria"][0]["criterion"]["threshold"] = json!(0.0)),
        ("another run", |receipt| receipt["train_run_id"] = json!(format!("tr_{}", "0".repeat(32)))),
    ] {
        let evidence = Evidence { gate_receipt: Some(forge::edited(&place, &receipt, edit)), ..good() };
        assert_refusal(name, &confirmed(&place, &evidence), Code::GateDecisionMismatch, "another receipt");
    }
}

/// The plan holds the profile that the run is judged by; one that was made easier in the plan alone is no profile.
#[test]
fn a_plan_with_another_profile_than_it_names_is_refused() {
    let (place, run) = Place::passed();
    let good = place.evidence(&run);
    let plan = forge::edited(&place, &good.plan.unwrap(), |plan| {
        plan["governance_profile"]["criteria"][0]["threshold"] = json!(0.0);
    });
    let digest = json!(plan.digest);
    let record = good.execution_record.unwrap();
    let record = forge::edited(&place, &record, |record| record["plan"] = digest);
    let evidence = Evidence {
        plan: Some(plan),
        execution_record: Some(record),
        eval_report: good.eval_report,
        model: good.model,
        gate_receipt: good.gate_receipt,
        ..Evidence::default()
    };
    let failure = confirmed(&place, &evidence);
    assert_refusal("profile", &failure, Code::GovernanceProfileDigestMismatch, "another profile");
}
