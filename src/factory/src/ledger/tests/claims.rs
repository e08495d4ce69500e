use std::collections::BTreeSet;

use super::{state::Progress, *};

/// The statement takes exactly what the state machine lets a claim take: nothing waits for ever, and nothing that
/// cannot be claimed keeps what waits behind it.
fn a_claim_finds_what_the_state_machine_lets_it_take(bench: &Bench) {
    let run = bench.submit(1, false);
    let mut claimed = 0;
    for &state in State::ALL {
        for &mode in Mode::ALL {
            for (publish_allowed, publish_attempts) in [(false, 0), (true, 0), (true, 3), (true, 4)] {
                bench.edit("DELETE FROM events; DELETE FROM runs");
                let progress = Progress { state, mode, publish_allowed, publish_attempts, ..run.progress };
                bench.put(&Run { progress, ..run.clone() }, None).unwrap();
                // However often it was tried, it has rested by then.
                bench.clock.advance(3_600);
                let possible = progress.apply(Step::Claim).is_ok();
                let lease = bench.ledger.claim(&worker("worker-1"), 60, None).unwrap();
                assert_eq!(lease.is_some(), possible, "{progress:?}");
                claimed += usize::from(possible);
            }
        }
    }
    assert!(claimed > 20, "{claimed}");
}

fn the_run_that_waited_longest_is_claimed_first(bench: &Bench) {
    for number in [3, 1, 2] {
        bench.submit(number, false);
        bench.clock.advance(1);
    }
    let order: Vec<_> = (0..3).map(|_| bench.claim().run_id().clone()).collect();
    assert_eq!(order, [3, 1, 2].map(|number| submission(number, "request-0", false).run_id));
}

/// At once or one after the other: the same run, lease and history.
fn a_run_can_be_claimed_as_it_is_submitted(bench: &Bench) {
    let asked = submission(1, "request-1", true);
    let (admission, lease) = bench.ledger.submit_and_claim(&asked, &worker("worker-1"), 60).unwrap();
    let lease = lease.unwrap();
    assert!(admission.fresh);
    assert_eq!(admission.run, *lease.run());

    let apart = bench.another();
    apart.submit(1, true);
    assert_eq!(apart.claim(), lease);
    let events = bench.ledger.events(lease.run_id()).unwrap();
    assert_eq!(kinds(&events), [EventKind::Submitted, EventKind::Claimed]);
    assert_eq!(events, apart.ledger.events(lease.run_id()).unwrap());
    assert_eq!(bench.ledger.verify().unwrap(), apart.ledger.verify().unwrap());
    bench.advance(&lease, State::EvalReady).unwrap();
}

/// Whether another holds it, it rests or is over: a claim of its own says so, and the request is recorded before.
fn a_run_that_was_there_is_not_claimed_as_it_is_submitted(bench: &Bench) {
    let queued = bench.submit(1, false);
    let (name, joins) = (worker("worker-1"), submission(1, "request-x", true));
    let (admission, lease) = bench.ledger.submit_and_claim(&joins, &name, 60).unwrap();
    assert_eq!((admission.fresh, lease), (false, None));
    assert_eq!(admission.run, bench.ledger.run(&queued.run_id).unwrap());
    assert!(admission.run.progress.publish_allowed && admission.run.holder.is_none());
    let (again, lease) = bench.ledger.submit_and_claim(&joins, &name, 60).unwrap();
    assert_eq!((again, lease), (admission, None));
}

fn of_many_that_ask_for_a_run_and_claim_it_one_holds_it(bench: &Bench) {
    const RUNS: u64 = 50;
    let start = Barrier::new(8);
    let held: usize = thread::scope(|scope| {
        let askers: Vec<_> = (0..8)
            .map(|asker| {
                let (bench, start) = (&bench, &start);
                scope.spawn(move || {
                    let ledger = bench.open();
                    let name = worker(&format!("worker-{asker}"));
                    start.wait();
                    let asked = (0..RUNS).map(|number| {
                        let request = submission(number, &format!("request-{number}-{asker}"), false);
                        let (admission, lease) = ledger.submit_and_claim(&request, &name, 60).unwrap();
                        assert_eq!(admission.fresh, lease.is_some());
                        lease
                    });
                    let held: Vec<Lease> = asked.flatten().collect();
                    for lease in &held {
                        ledger.heartbeat(lease).unwrap();
                    }
                    held.len()
                })
            })
            .collect();
        askers.into_iter().map(|asker| asker.join().unwrap()).sum()
    });
    assert_eq!(held, RUNS as usize);
    let head = bench.ledger.verify().unwrap();
    assert_eq!((head.runs, head.events), (RUNS, RUNS * 9));
}

fn workers_with_connections_of_their_own_claim_each_run_once(bench: &Bench) {
    const RUNS: u64 = 200;
    for number in 0..RUNS {
        bench.submit(number, false);
    }
    let start = Barrier::new(8);
    let claimed: Vec<TrainRunId> = thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|number| {
                let (bench, start) = (&bench, &start);
                scope.spawn(move || {
                    let ledger = bench.open();
                    let name = worker(&format!("worker-{number}"));
                    let mut claimed = Vec::new();
                    start.wait();
                    while let Some(lease) = ledger.claim(&name, 60, None).unwrap() {
                        claimed.push(lease.run_id().clone());
                        if claimed.len() % 2 == 0 {
                            ledger.heartbeat(&lease).unwrap();
                        } else {
                            ledger.advance(&lease, State::EvalReady, None, json!({})).unwrap();
                        }
                    }
                    claimed
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(claimed.len() as u64, RUNS);
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len() as u64, RUNS);
    for run in bench.ledger.runs(None, 300).unwrap() {
        assert_eq!((run.progress.epoch, run.progress.full_attempts), (1, 1));
    }
    bench.ledger.verify().unwrap();
}

/// Two workers want the same run at the same moment, over and over: one has it, and the other's report is refused.
fn one_of_two_that_take_a_run_over_gets_it(bench: &Bench) {
    bench.submit(1, false);
    let mut stopped = bench.claim();
    let (one, other) = (bench.open(), bench.open());
    for round in 0..20 {
        bench.clock.advance(60);
        let start = Barrier::new(2);
        let id = stopped.run_id().clone();
        let leases: Vec<Lease> = thread::scope(|scope| {
            let taking = [&one, &other].map(|ledger| {
                let (start, id) = (&start, &id);
                scope.spawn(move || {
                    start.wait();
                    ledger.claim(&worker("worker-2"), 60, Some(id)).unwrap()
                })
            });
            taking.into_iter().filter_map(|taking| taking.join().unwrap()).collect()
        });
        assert_eq!(leases.len(), 1, "round {round}");
        // Whoever was stopped past its lease, then continued.
        for refused in [
            bench.ledger.heartbeat(&stopped).map(drop),
            bench.advance(&stopped, State::EvalReady).map(drop),
            bench.ledger.release(&stopped).map(drop),
        ] {
            assert_eq!(refused.unwrap_err().code, Code::LeaseLost);
        }
        stopped = leases.into_iter().next().unwrap();
        assert_eq!(stopped.epoch(), round + 2);
    }
    bench.ledger.verify().unwrap();
}

/// A clock that is set back neither turns the order of events around nor keeps a lease from being taken over.
fn a_clock_that_is_set_back_keeps_the_order_of_events(bench: &Bench) {
    const DAY: i64 = 86_400_000_000_000;
    bench.submit(1, false);
    let lease = bench.claim();
    let claimed = bench.clock.now();
    bench.clock.set(Timestamp::from_nanoseconds(claimed.nanoseconds() - DAY));
    let run = bench.advance(&lease, State::EvalReady).unwrap();
    assert_eq!(run.updated_at, claimed);
    // A lease from before the clock was set back keeps nobody out.
    let other = bench.ledger.claim(&worker("worker-2"), 60, None).unwrap().unwrap();
    assert_eq!((other.epoch(), other.run().updated_at), (2, claimed));
    bench.clock.set(Timestamp::from_nanoseconds(claimed.nanoseconds() + DAY));
    assert_eq!(bench.claim().epoch(), 3);
    bench.ledger.verify().unwrap();
}

on_each_database!(
    a_run_can_be_claimed_as_it_is_submitted,
    a_run_that_was_there_is_not_claimed_as_it_is_submitted,
    of_many_that_ask_for_a_run_and_claim_it_one_holds_it,
    a_claim_finds_what_the_state_machine_lets_it_take,
    the_run_that_waited_longest_is_claimed_first,
    workers_with_connections_of_their_own_claim_each_run_once,
    one_of_two_that_take_a_run_over_gets_it,
    a_clock_that_is_set_back_keeps_the_order_of_events,
);
