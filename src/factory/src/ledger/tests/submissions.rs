use super::*;

fn a_request_sent_again_is_the_run_it_made(bench: &Bench) {
    let first = bench.ledger.submit(&submission(1, "request-1", false)).unwrap();
    assert!(first.fresh);
    assert_eq!(first.run.progress.state, State::Queued);
    let again = bench.ledger.submit(&submission(1, "request-1", false)).unwrap();
    assert_eq!(again, Admission { fresh: false, ..first.clone() });
    let failure = bench.ledger.submit(&submission(2, "request-1", false)).unwrap_err();
    assert_eq!(failure.code, Code::RequestIdPayloadMismatch);
    assert_eq!(bench.ledger.runs(None, 10).unwrap(), [first.run]);
}

fn another_request_joins_the_run_and_can_only_widen_it(bench: &Bench) {
    bench.submit(1, false);
    let widened = bench.ledger.submit(&submission(1, "request-x", true)).unwrap();
    assert!(!widened.fresh && widened.run.progress.publish_allowed);
    let joined = bench.ledger.submit(&submission(1, "request-y", false)).unwrap();
    assert!(!joined.fresh && joined.run.progress.publish_allowed);
    let events = bench.ledger.events(&joined.run.run_id).unwrap();
    assert_eq!(kinds(&events), [EventKind::Submitted, EventKind::RequestJoined, EventKind::RequestJoined]);
    assert_eq!(bench.ledger.verify().unwrap().events, 3);
}

fn a_request_that_joins_a_run_leaves_what_stopped_it(bench: &Bench) {
    let run = bench.submit(1, false);
    bench.ledger.cancel(&run.run_id, json!({})).unwrap();
    let joined = bench.ledger.submit(&submission(1, "request-x", true)).unwrap().run;
    assert_eq!((joined.progress.state, joined.reason), (State::Fail, Some(Code::RunCancelled)));
    assert_eq!(bench.ledger.cancel(&run.run_id, json!({})).unwrap(), joined);
    assert_eq!(bench.ledger.verify().unwrap().events, 3);
}

fn a_request_in_other_than_canonical_bytes_is_refused(bench: &Bench) {
    let spaced = Submission { request: b"{ }".to_vec(), ..submission(1, "request-1", false) };
    assert_eq!(bench.ledger.submit(&spaced).unwrap_err().code, Code::RequestInvalid);
    assert_eq!(bench.ledger.runs(None, 1).unwrap(), []);
}

fn writers_with_connections_of_their_own_make_one_run_and_claim_it_once(bench: &Bench) {
    let start = Barrier::new(8);
    let (fresh, claimed): (Vec<usize>, Vec<usize>) = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (bench, start) = (&bench, &start);
                scope.spawn(move || {
                    let ledger = bench.open();
                    start.wait();
                    let fresh = (0..10).filter(|number| {
                        let own = submission(*number, &format!("request-{number}-{writer}"), writer == 3);
                        let shared = submission(*number, &format!("request-{number}"), false);
                        // Both are always sent: `|` does not stop at the first.
                        ledger.submit(&own).unwrap().fresh | ledger.submit(&shared).unwrap().fresh
                    });
                    let fresh = fresh.count();
                    start.wait();
                    let name = worker(&format!("worker-{writer}"));
                    let mut claimed = 0;
                    while ledger.claim(&name, 60, None).unwrap().is_some() {
                        claimed += 1;
                    }
                    (fresh, claimed)
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).unzip()
    });
    assert_eq!((fresh.iter().sum::<usize>(), claimed.iter().sum::<usize>()), (10, 10));
    for run in bench.ledger.runs(None, 100).unwrap() {
        assert_eq!((run.progress.epoch, run.progress.publish_allowed, run.events), (1, true, 10));
    }
    let head = bench.ledger.verify().unwrap();
    assert_eq!((head.runs, head.events), (10, 100));
}

fn child(place: &Place, point: Option<(Failpoint, &str)>) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "ledger::tests::submissions::child_submits", "--ignored", "--test-threads=1"])
        .env(CHILD_PLACE, place.name())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    if let Some((point, fault)) = point {
        command.env(failpoint::VARIABLE, format!("{}:3={fault}", point.as_str()));
    }
    command.spawn().unwrap()
}

#[test]
#[ignore = "runs in the child processes of the tests below"]
fn child_submits() {
    let Ok(place) = env::var(CHILD_PLACE) else { return };
    let clock = Arc::new(FixedClock::new(Timestamp::from_nanoseconds(0)));
    let ledger = open(&place, &clock);
    for number in 0..25 {
        ledger.submit(&submission(number, &format!("request-{number}"), true)).unwrap();
    }
}

fn two_processes_make_each_run_once(bench: &Bench) {
    let mut children = [child(&bench.place, None), child(&bench.place, None)];
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let head = bench.ledger.verify().unwrap();
    assert_eq!((head.runs, head.events), (25, 25));
}

fn a_writer_that_dies_at_a_commit_leaves_the_write_whole_or_absent(bench: &Bench) {
    for (point, fault, runs) in [
        (Failpoint::LedgerBeforeCommit, "kill", 2),
        (Failpoint::LedgerAfterCommit, "kill", 3),
        (Failpoint::LedgerBeforeCommit, "error", 2),
        (Failpoint::LedgerAfterCommit, "error", 3),
    ] {
        let bench = bench.another();
        assert!(!child(&bench.place, Some((point, fault))).wait().unwrap().success());
        assert_eq!(bench.ledger.verify().unwrap().runs, runs, "{point:?} {fault}");
        assert!(child(&bench.place, None).wait().unwrap().success());
        assert_eq!(bench.ledger.verify().unwrap().runs, 25);
    }
}

on_each_database!(
    a_request_sent_again_is_the_run_it_made,
    another_request_joins_the_run_and_can_only_widen_it,
    a_request_that_joins_a_run_leaves_what_stopped_it,
    a_request_in_other_than_canonical_bytes_is_refused,
    writers_with_connections_of_their_own_make_one_run_and_claim_it_once,
    two_processes_make_each_run_once,
    a_writer_that_dies_at_a_commit_leaves_the_write_whole_or_absent,
);
