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
    a_claim_finds_what_the_state_machine_lets_it_take,
    the_run_that_waited_longest_is_claimed_first,
    workers_with_connections_of_their_own_claim_each_run_once,
    one_of_two_that_take_a_run_over_gets_it,
    a_clock_that_is_set_back_keeps_the_order_of_events,
);
