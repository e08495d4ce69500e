//! One process that works in a ledger, for `benches/ledger.py`, which starts as many as it asks for.
//!
//! ```text
//!   ledger WORK PLACE FIRST COUNT ──► "ready" ──► a line on standard input ──► the work ──► seconds, as JSON
//! ```
//!
//! `PLACE` is the path or the URL of the ledger, `FIRST` the number of the first run of this process's own. Runs, requests
//! and evidence are as long as the line's own; everything goes through the trait that the line itself uses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement"
)]

use std::{
    env,
    io::{self, BufRead, Write},
    path::Path,
    sync::Arc,
    time::Instant,
};

use contracts::{
    Digest,
    identity::{canonical, ids::TrainRunId},
    names::Name,
};
use factory::{
    clock::SystemClock,
    ledger::{self, Absent, Lease, Ledger, Move, State, Submission},
};
use serde_json::{Value, json};

const LEASE_SECONDS: u32 = 60;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // Nothing is measured where all benchmarks of the workspace are asked for.
    let [work, place, first, count] = arguments.as_slice() else { return };
    let ledger = ledger::open(Path::new(place), Absent::Make, Arc::new(SystemClock)).unwrap();
    let (first, count): (u64, u64) = (first.parse().unwrap(), count.parse().unwrap());
    let worker = Name::new(format!("worker-{first}")).unwrap();
    println!("ready");
    io::stdout().flush().unwrap();
    io::stdin().lock().read_line(&mut String::new()).unwrap();
    let told = match work.as_str() {
        "submit" => json!(timed(first, count, |number| submit(&*ledger, number))),
        "cycle" => json!(timed(first, count, |number| cycle(&*ledger, &worker, number))),
        "queue" => json!(timed(first, count, |number| queue(&*ledger, &worker, number))),
        "fill" => json!(timed(first, count, |number| fill(&*ledger, number))),
        "look" => look(&*ledger, &worker, first, count),
        _ => panic!("no work of this name"),
    };
    println!("{told}");
}

/// Seconds of each piece of work.
fn timed(first: u64, count: u64, mut work: impl FnMut(u64)) -> Vec<f64> {
    (first..first + count)
        .map(|number| {
            let start = Instant::now();
            work(number);
            start.elapsed().as_secs_f64()
        })
        .collect()
}

fn submit(ledger: &dyn Ledger, number: u64) {
    assert!(ledger.submit(&submission(number)).unwrap().fresh);
}

/// A run from open to close, in the transactions that the line makes of one that is trained as it is asked for.
fn cycle(ledger: &dyn Ledger, worker: &Name, number: u64) {
    let (admission, lease) = ledger.submit_and_claim(&submission(number), worker, LEASE_SECONDS).unwrap();
    assert!(admission.fresh);
    close(ledger, &lease.unwrap());
}

/// The same of one that is left for workers to claim: others may carry it out, while this one carries out one of theirs.
fn queue(ledger: &dyn Ledger, worker: &Name, number: u64) {
    submit(ledger, number);
    let lease = loop {
        if let Some(lease) = ledger.claim(worker, LEASE_SECONDS, None).unwrap() {
            break lease;
        }
    };
    close(ledger, &lease);
}

/// What is reported of a claimed run that passes and is published.
fn close(ledger: &dyn Ledger, lease: &Lease) {
    ledger.advance(lease, State::EvalReady, None, evidence(5)).unwrap();
    let passed = [
        Move::to(State::Pass, None, evidence(8)),
        Move::to(State::PublishPending, None, evidence(8)),
        Move::begin_publish(),
    ];
    ledger.report(lease, &passed).unwrap();
    let run = ledger.advance(lease, State::Published, None, evidence(9)).unwrap();
    assert_eq!((run.progress.state, run.events), (State::Published, 7));
}

/// A run that is over: nine in ten are cancelled, the others wait.
fn fill(ledger: &dyn Ledger, number: u64) {
    submit(ledger, number);
    if !number.is_multiple_of(10) {
        ledger.cancel(&run_id(number), json!({ "actor": "team/ada", "reason": "not needed" })).unwrap();
    }
}

/// Seconds of each way to look at a ledger that holds the runs before the first of this process.
fn look(ledger: &dyn Ledger, worker: &Name, first: u64, count: u64) -> Value {
    let step = (first / count).max(1);
    json!({
        "submit": timed(first, count, |number| submit(ledger, number)),
        "claim": timed(0, count, |_| assert!(ledger.claim(worker, LEASE_SECONDS, None).unwrap().is_some())),
        "run": timed(0, count, |number| {
            ledger.run(&run_id(number * step)).unwrap();
        }),
        "latest 100": timed(0, count, |_| assert_eq!(ledger.runs(None, 100).unwrap().len(), 100)),
        "latest 100 in FAIL": timed(0, count, |_| {
            assert_eq!(ledger.runs(Some(State::Fail), 100).unwrap().len(), 100);
        }),
    })
}

fn run_id(number: u64) -> TrainRunId {
    TrainRunId::new(format!("tr_{:.32}", Digest::<u64>::of(&number.to_be_bytes()).hex())).unwrap()
}

fn submission(number: u64) -> Submission {
    let request_id = format!("request-{number}");
    let request = canonical::to_bytes(&json!({
        "schema_version": "train_request.v1",
        "request_id": request_id,
        "platform_run_id": "local",
        "intent_kind": "baseline_train",
        "target_scope": {
            "environment": "prod", "mode": "card", "bundle_slot": "primary", "tenant_id": null,
        },
        "datasets": [reference("dataset_manifests/local", 0)],
        "training_config": reference("training_configs/local", number),
        "governance_profile": reference("governance_profiles/local", 1),
        "feature_definition_set": { "id": "payments", "version": "3", "digest": digest(2) },
        "requester_principal": "team/ada",
        "publish_allowed": true,
        "revisions": { "policy": "1", "config": "1", "code": "model_factory-0.1.0" },
        "supersedes": null,
    }))
    .unwrap();
    Submission {
        request_id: request_id.parse().unwrap(),
        payload_hash: Digest::of(&request),
        run_id: run_id(number),
        run_key: Digest::of(&number.to_be_bytes()),
        request,
        publish_allowed: true,
        requester: "team/ada".parse().unwrap(),
    }
}

/// References to so many documents, as events hold them.
fn evidence(documents: u64) -> Value {
    let found: serde_json::Map<_, _> = (0..documents)
        .map(|number| (format!("document_{number}"), reference("evidence/local", number)))
        .collect();
    json!({ "evidence": found })
}

fn reference(folder: &str, number: u64) -> Value {
    let digest = digest(number);
    json!({ "uri": format!("{folder}/{}.json", &digest[7..]), "digest": digest })
}

fn digest(number: u64) -> String {
    Digest::<Value>::of(&number.to_be_bytes()).to_string()
}
