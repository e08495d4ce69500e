//! Connections that are cut, answers that are lost, servers that stop, and writers in one another's way.

use std::{net::TcpListener, thread, time::Duration};

use contracts::signature::Ed25519;

use super::{
    proxy::{BEGIN, Harm, Proxy},
    *,
};
use crate::ledger::tests::open;

/// A write whose answer is lost is done: it is found on another connection, whether it was sent without a look or with one.
#[test]
fn a_lost_answer_to_a_commit_is_never_a_second_write() {
    let Some(bench) = Bench::postgres() else { return };
    let proxy = Proxy::before(&bench);
    let ledger = open(&proxy.url, &bench.clock);
    let request = submission(1, "request-1", true);

    proxy.arm(Harm::Swallow(b"SUBMITTED", 1));
    let admission = ledger.submit(&request).unwrap();
    assert!(admission.fresh && !proxy.is_armed());
    assert_eq!(bench.ledger.run(&request.run_id).unwrap(), admission.run);
    // One that joins it is not as was supposed: it is looked for, and then written.
    proxy.swallow_next_commit();
    assert!(!ledger.submit(&submission(1, "request-2", true)).unwrap().fresh);

    proxy.swallow_next_commit();
    let lease = ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap();
    assert_eq!((lease.epoch(), proxy.is_armed()), (1, false));
    assert_eq!(bench.ledger.run(lease.run_id()).unwrap(), *lease.run());

    bench.clock.advance(1);
    proxy.arm(Harm::Swallow(b"worker-1", 1));
    let until = ledger.heartbeat(&lease).unwrap();
    assert_eq!(bench.ledger.run(lease.run_id()).unwrap().holder.unwrap().expires_at, until);
    let advance = |to| ledger.advance(&lease, to, None, serde_json::json!({}));
    proxy.arm(Harm::Swallow(b"ADVANCED", 1));
    assert_eq!(advance(State::EvalReady).unwrap(), bench.ledger.run(lease.run_id()).unwrap());
    // It was found, and is not known of: the next is a look again.
    proxy.swallow_next_commit();
    assert_eq!(advance(State::Pass).unwrap(), bench.ledger.run(lease.run_id()).unwrap());
    assert!(!proxy.is_armed());
    assert_eq!(advance(State::Pass).unwrap_err().code, Code::InvalidTransition);

    ledger.heartbeat(&lease).unwrap();
    proxy.arm(Harm::Swallow(b"RELEASED", 1));
    ledger.release(&lease).unwrap();
    assert!(!proxy.is_armed());
    assert_eq!(ledger.release(&lease).unwrap_err().code, Code::LeaseLost);
    // Submitted, joined, claimed, advanced twice, released: once each.
    assert_eq!(bench.ledger.verify().unwrap().events, 6);
}

/// Whatever others do before it is looked for: what it added is still there.
#[test]
fn a_write_whose_answer_was_lost_is_found_behind_what_others_wrote_since() {
    let Some(bench) = Bench::postgres() else { return };
    let proxy = Proxy::before(&bench);
    let ledger = open(&proxy.url, &bench.clock);
    let join = |number: u64, request: &'static str| {
        let others = bench.open();
        *proxy.meanwhile.lock().unwrap() = Some(Box::new(move || {
            others.submit(&submission(number, request, true)).unwrap();
        }));
    };
    join(1, "request-before");
    proxy.arm(Harm::Swallow(b"SUBMITTED", 1));
    assert!(ledger.submit(&submission(1, "request-1", true)).unwrap().fresh);
    let lease = ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap();
    let moves = [
        vec![Move::to(State::EvalReady, None, serde_json::json!({}))],
        vec![
            Move::to(State::Pass, None, serde_json::json!({})),
            Move::to(State::PublishPending, None, serde_json::json!({})),
            Move::begin_publish(),
        ],
        vec![Move::to(State::Published, None, serde_json::json!({}))],
    ];
    for (moves, request) in moves.iter().zip(["request-at-work", "request-at-last", "request-after"]) {
        ledger.heartbeat(&lease).unwrap();
        join(1, request);
        proxy.arm(Harm::Swallow(b"ADVANCED", 1));
        ledger.report(&lease, moves).unwrap();
        assert!(!proxy.is_armed() && proxy.meanwhile.lock().unwrap().is_none(), "{request}");
    }
    let run = bench.ledger.run(lease.run_id()).unwrap();
    assert_eq!((run.progress.state, run.progress.publish_attempts), (State::Published, 1));
    // Submitted, claimed, five moves; and four that joined.
    assert_eq!(bench.ledger.verify().unwrap().events, 11);
    // A sign of life adds nothing, and is given again.
    let request = submission(2, "request-2", true);
    let (_, lease) = ledger.submit_and_claim(&request, &worker("worker-1"), 60).unwrap();
    bench.clock.advance(1);
    join(2, "request-meanwhile");
    proxy.arm(Harm::Swallow(b"worker-1", 1));
    let until = ledger.heartbeat(&lease.unwrap()).unwrap();
    let run = bench.ledger.run(&request.run_id).unwrap();
    assert_eq!((run.holder.unwrap().expires_at, run.events), (until, 3));
}

/// As behind a pooler that gives each transaction another process of the server, in which nothing or something else was
/// prepared: no name is used that another may have given, and each statement brings its text from then on.
#[test]
fn nothing_is_carried_out_by_name_where_another_process_of_the_server_is_at_the_other_end() {
    let Some(bench) = Bench::postgres() else { return };
    let forget = |ledger: &PostgresLedger| {
        ledger.transact(Purpose::Write, |open| open.batch("DEALLOCATE ALL")).unwrap();
    };
    let move_away = |ledger: &PostgresLedger| {
        ledger.session.lock().unwrap().as_mut().unwrap().process = Some(1);
    };
    let harms: [&dyn Fn(&PostgresLedger); 2] = [&forget, &move_away];
    let mut numbers = 0..;
    for harm in harms {
        // Before each step of a run, and before a look.
        for step in 0..4 {
            let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
            let process = || ledger.session.lock().unwrap().as_ref().unwrap().process;
            let mut work = |harmed: Option<u64>| {
                let at = |now: u64| {
                    if harmed == Some(now) {
                        harm(&ledger);
                    }
                };
                let number = numbers.next().unwrap();
                at(0);
                let request = submission(number, &format!("request-{number}"), false);
                assert!(ledger.submit(&request).unwrap().fresh);
                at(1);
                let lease = ledger.claim(&worker("worker-1"), 60, Some(&request.run_id)).unwrap().unwrap();
                at(2);
                ledger.advance(&lease, State::Fail, None, serde_json::json!({})).unwrap();
                at(3);
                assert_eq!(ledger.run(&request.run_id).unwrap().progress.state, State::Fail);
            };
            work(None);
            assert!(process().is_some());
            work(Some(step));
            assert_eq!(process(), None, "{step}");
            work(None);
            // Who cannot compare by a statement that was prepared looks first.
            let waited = || ledger.session.lock().unwrap().as_ref().unwrap().waits;
            let before = waited();
            ledger
                .submit(&submission(100 + step, &format!("request-{}", numbers.next().unwrap()), false))
                .unwrap();
            assert_eq!(waited() - before, 2);
        }
    }
    let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
    assert_eq!(ledger.verify().unwrap().runs, 28);
}

/// A pooler answers in the server's place where it lost the server, and does not say how grave that is.
#[test]
fn a_write_that_a_pooler_refused_is_looked_for_like_one_that_was_not_answered() {
    let Some(bench) = Bench::postgres() else { return };
    let proxy = Proxy::before(&bench);
    let ledger = open(&proxy.url, &bench.clock);
    proxy.arm(Harm::Refuse(b"SUBMITTED", 1));
    assert!(ledger.submit(&submission(1, "request-1", true)).unwrap().fresh);
    let lease = ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap();
    for to in [State::EvalReady, State::Pass] {
        ledger.heartbeat(&lease).unwrap();
        proxy.arm(Harm::Refuse(b"ADVANCED", 1));
        assert_eq!(ledger.advance(&lease, to, None, serde_json::json!({})).unwrap().progress.state, to);
        assert!(!proxy.is_armed());
    }
    // So is one that went by a look.
    proxy.arm(Harm::Refuse(b"COMMIT\0", 1));
    assert!(!ledger.submit(&submission(1, "request-2", true)).unwrap().fresh);
    assert!(!proxy.is_armed());
    assert_eq!(bench.ledger.verify().unwrap().events, 5);
}

/// Nobody knows what became of a write whose answer was lost and that cannot be looked for.
#[test]
fn a_lost_answer_that_cannot_be_looked_for_may_stand() {
    let Some(bench) = Bench::postgres() else { return };
    let proxy = Proxy::before(&bench);
    let ledger = open(&proxy.url, &bench.clock);
    let run = bench.submit(1, true);
    let lease = ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap();
    // Both the write and the look name the run.
    proxy.arm(Harm::Swallow(b"tr_0000", 2));
    let failure = ledger.advance(&lease, State::EvalReady, None, serde_json::json!({})).unwrap_err();
    assert!(failure.retryable() && failure.detail.contains("may stand"), "{failure}");
    assert!(!proxy.is_armed());
    assert_eq!(bench.ledger.run(&run.run_id).unwrap().progress.state, State::EvalReady);
}

/// Two processes on one connection would take one another's answers.
#[test]
fn a_fork_is_told_to_open_again_and_takes_nothing_with_it() {
    let Some(bench) = Bench::postgres() else { return };
    let Database { server, name } = database(&bench);
    let url = format!("postgresql://owner@127.0.0.1:{}/{name}", server.port());
    let mut ledger = PostgresLedger::open(&url).unwrap();
    ledger.opener = Opener::another_process();
    let failure = ledger.runs(None, 1).unwrap_err();
    assert_eq!((failure.code, failure.retryable()), (Code::LedgerUnavailable, false));
    assert!(failure.hint().contains("each process"), "{failure}");
    drop(ledger);
    PostgresLedger::open(&url).unwrap().runs(None, 1).unwrap();
}

/// Nothing but reading was asked in the flight that begins, so that it can be lost and sent again.
#[test]
fn a_write_that_is_lost_as_it_begins_starts_again_and_is_done_once() {
    let Some(bench) = Bench::postgres() else { return };
    let proxy = Proxy::before(&bench);
    let ledger = open(&proxy.url, &bench.clock);
    for harm in [Harm::Swallow(BEGIN, 1), Harm::Garble(BEGIN, 1)] {
        let events = bench.ledger.verify().unwrap().events;
        let run_id = bench.submit(events, true).run_id;
        let lose = || {
            assert!(!proxy.is_armed());
            proxy.arm(harm);
        };
        lose();
        let lease = ledger.claim(&worker("worker-1"), 60, None).unwrap().unwrap();
        assert_eq!((lease.run_id(), lease.epoch()), (&run_id, 1));
        lose();
        let run = ledger.cancel(&run_id, serde_json::json!({})).unwrap();
        lose();
        assert_eq!(ledger.run(&run_id).unwrap(), run);
        assert!(!proxy.is_armed());
        assert_eq!(bench.ledger.verify().unwrap().events, events + 3);
    }
}

/// It starts again on one other connection, and not for ever.
#[test]
fn a_write_that_is_lost_as_it_begins_on_a_new_connection_too_is_refused() {
    let Some(bench) = Bench::postgres() else { return };
    let proxy = Proxy::before(&bench);
    let ledger = open(&proxy.url, &bench.clock);
    let run = bench.submit(1, true);
    for harm in [Harm::Swallow(BEGIN, 2), Harm::Garble(BEGIN, 2)] {
        proxy.arm(harm);
        let failure = ledger.claim(&worker("worker-1"), 60, None).unwrap_err();
        assert!(!proxy.is_armed() && !failure.detail.contains("may stand"), "{failure}");
        // The connection of the refusal is given up: the next call has another.
        assert_eq!(ledger.run(&run.run_id).unwrap(), run);
    }
}

/// Outside of a transaction each statement stands by itself: a write is not sent before one is known to be open.
#[test]
fn nothing_is_written_where_no_transaction_came_about() {
    let Some(bench) = Bench::postgres() else { return };
    let run = bench.submit(1, false);
    let lease = bench.claim();
    let proxy = Proxy::before(&bench);
    let ledger = PostgresLedger::open(&proxy.url).unwrap();
    let head = bench.ledger.verify().unwrap();
    // Sent with what is read next, or with the commit.
    let read_after = |run: &Run| {
        ledger.write(|open| {
            rows::update_run(open, run, 1)?;
            rows::run(open, &run.run_id, Lock::None).map(drop)
        })
    };
    let commit_after = |run: &Run| ledger.write(|open| rows::update_run(open, run, 1));
    let at_once = |_: &Run| ledger.transact(Purpose::Write, |open| open.batch("UPDATE runs SET epoch = 9"));
    for write in [&read_after as &dyn Fn(&Run) -> Result<()>, &commit_after, &at_once] {
        // The statements are known to the connection, so that nothing is asked before them.
        read_after(lease.run()).unwrap();
        // Once on this connection, whose schema is set for the session too, and once on the next.
        ledger.transact(Purpose::Write, |open| open.batch("SET search_path = model_factory")).unwrap();
        proxy.arm(Harm::Garble(BEGIN, 2));
        write(&run).unwrap_err();
        assert!(!proxy.is_armed());
        assert_eq!(bench.ledger.run(&run.run_id).unwrap(), *lease.run());
        assert_eq!(bench.ledger.verify().unwrap(), head);
    }
    commit_after(&run).unwrap();
    assert_eq!(bench.ledger.run(&run.run_id).unwrap(), run);
}

/// A commit after a refusal rolls back without saying so: it is not sent, whoever overlooked the refusal.
#[test]
fn a_refusal_that_was_overlooked_is_no_success() {
    let Some(bench) = Bench::postgres() else { return };
    let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
    let outcome = ledger.transact(Purpose::Write, |open| {
        open.integer("SELECT 1 / 0").unwrap_err();
        Ok(())
    });
    assert_eq!(outcome.unwrap_err().code, Code::InternalError);
    assert_eq!(ledger.transact(Purpose::Write, |open| open.integer("SELECT 1")).unwrap(), 1);
}

#[test]
fn a_connection_that_was_lost_while_it_lay_idle_is_made_anew() {
    let Some(bench) = Bench::postgres() else { return };
    let run = bench.submit(1, false);
    let terminate = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for number in 2..5 {
        assert_eq!(raw(&bench).texts(terminate), ["true"]);
        bench.submit(number, false);
        assert_eq!(raw(&bench).texts(terminate), ["true"]);
        assert_eq!(bench.ledger.run(&run.run_id).unwrap(), run);
    }
    assert_eq!(bench.ledger.verify().unwrap().events, 4);
}

/// As bringing back another factory's database does, or a pooler that is pointed elsewhere.
#[test]
fn another_ledger_in_the_place_of_the_one_that_is_open_is_refused() {
    let (Some(bench), Some(other)) = (Bench::postgres(), Bench::postgres()) else { return };
    for (bench, key) in [(&bench, 1), (&other, 2)] {
        bench.ledger.admit_signer(&Ed25519([key; 32]), &|_| false).unwrap();
        bench.ledger.marks().unwrap();
    }
    let run = bench.submit(1, false);
    let (own, strange) = (&database(&bench).name, &database(&other).name);
    let exchange = |from: [&str; 3], to: [&str; 3]| {
        for (from, to) in from.into_iter().zip(to) {
            let terminate = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('{own}', '{strange}')"
            );
            database(&bench).server.sql("postgres", &terminate);
            database(&bench).server.sql("postgres", &format!("ALTER DATABASE {from} RENAME TO {to}"));
        }
    };
    exchange([own, strange, "aside"], ["aside", own, strange]);
    let request = submission(2, "request-2", false);
    for _ in 0..2 {
        assert_eq!(bench.ledger.submit(&request).unwrap_err().code, Code::LedgerCorrupt);
        assert_eq!(bench.ledger.run(&run.run_id).unwrap_err().code, Code::LedgerCorrupt);
    }
    exchange([own, strange, "aside"], ["aside", own, strange]);
    assert_eq!(bench.ledger.run(&run.run_id).unwrap(), run);
    assert!(bench.ledger.submit(&request).unwrap().fresh);
    assert_eq!(other.ledger.verify().unwrap().runs, 0);
}

#[test]
fn a_server_that_stops_loses_nothing_and_serves_again() {
    let Some(_) = server() else { return };
    let server: &'static Server = Box::leak(Box::new(Server::of_a_test().unwrap()));
    let database = server.database(None);
    let ledger = PostgresLedger::open(&database.url()).unwrap();
    for round in 0..3 {
        let request = submission(round, &format!("request-{round}"), false);
        ledger.submit(&request).unwrap();
        server.stop();
        for _ in 0..2 {
            let later = submission(round + 10, &format!("request-{}", round + 10), false);
            assert_eq!(ledger.submit(&later).unwrap_err().code, Code::LedgerUnavailable);
            assert_eq!(ledger.run(&request.run_id).unwrap_err().code, Code::LedgerUnavailable);
        }
        server.run();
        assert!(!ledger.submit(&request).unwrap().fresh);
        assert_eq!(ledger.verify().unwrap().runs, round + 1);
    }
    drop((ledger, database));
    server.end();
}

/// A standby takes no writes, however long anybody waits for it.
#[test]
fn a_standby_is_not_waited_for() {
    let Some(_) = server() else { return };
    let server: &'static Server = Box::leak(Box::new(Server::of_a_test().unwrap()));
    let database = server.database(None);
    let ledger = PostgresLedger::open(&database.url()).unwrap();
    server.stand_by();
    let of_open = ledger.submit(&submission(1, "request-1", false)).unwrap_err();
    for failure in [of_open, refused(&database.url())] {
        assert_eq!(failure.code, Code::LedgerUnavailable);
        assert!(failure.detail.contains("a standby, or set read-only"), "{failure}");
        assert!(!failure.retryable(), "{failure}");
    }
    server.promote();
    ledger.submit(&submission(1, "request-1", false)).unwrap();
    let write = "CREATE TABLE another (number bigint)";
    let refusal = ledger.transact(Purpose::Read, |open| open.batch(write)).unwrap_err();
    assert!(refusal.detail.contains("25006") && !refusal.retryable(), "{refusal}");
    drop((ledger, database));
    server.end();
}

/// Who accepts and then says nothing is waited for as long as the URL says.
#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgresql://x@127.0.0.1:{}/x?connect_timeout=1", silent.local_addr().unwrap().port());
    let failure = refused(&url);
    assert_eq!(failure.code, Code::LedgerUnavailable);
    assert!(failure.detail.contains("within 1 seconds"), "{failure}");
}

#[test]
fn a_claim_passes_over_a_run_that_somebody_writes_to() {
    let Some(bench) = Bench::postgres() else { return };
    let first = bench.submit(1, false);
    bench.clock.advance(1);
    let second = bench.submit(2, false);
    raw(&bench).batch(&format!("BEGIN; SELECT * FROM runs WHERE run_id = '{}' FOR UPDATE", first.run_id));
    assert_eq!(bench.claim().run_id(), &second.run_id);
    assert_eq!(bench.ledger.claim(&worker("worker-1"), 60, None).unwrap(), None);
    raw(&bench).batch("ROLLBACK");
    assert_eq!(bench.claim().run_id(), &first.run_id);
}

/// The clock is read once the row is held: who waited for a row while its lease ran out has lost it.
#[test]
fn the_servers_clock_is_read_after_the_row_is_locked() {
    let Some(bench) = Bench::postgres() else { return };
    let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
    let request = submission(1, "request-1", false);
    ledger.submit(&request).unwrap();
    let lease = ledger.claim(&worker("worker-1"), 1, None).unwrap().unwrap();
    raw(&bench).batch(&format!("BEGIN; SELECT * FROM runs WHERE run_id = '{}' FOR UPDATE", request.run_id));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ledger.heartbeat(&lease));
        thread::sleep(Duration::from_millis(1_100));
        raw(&bench).batch("ROLLBACK");
        assert_eq!(waiting.join().unwrap().unwrap_err().code, Code::LeaseLost);
    });
}

/// Deadlocks are none of this code's making: here a writer from outside makes one.
#[test]
fn a_deadlock_is_tried_again() {
    let Some(bench) = Bench::postgres() else { return };
    let run = bench.submit(1, false);
    bench.edit("SET deadlock_timeout = '1h'");
    let request = submission(1, "request-2", false);
    // Holds what the ledger will insert, then asks for the row that the ledger holds.
    raw(&bench).batch(
        "BEGIN; INSERT INTO requests (request_id, payload_hash, run_id, requester, publish_allowed, submitted_at,
            sequence, digest) VALUES ('request-2', '', '', '', 0, 0, 0, '')",
    );
    thread::scope(|scope| {
        let joining = scope.spawn(|| bench.ledger.submit(&request));
        let blocked = "SELECT pid::text FROM pg_stat_activity WHERE wait_event_type = 'Lock'
            AND datname = current_database()";
        while raw(&bench).texts(blocked).is_empty() {
            raw(&bench).batch("SELECT pg_sleep(0.01)");
        }
        raw(&bench)
            .batch(&format!("SELECT * FROM runs WHERE run_id = '{}' FOR UPDATE; ROLLBACK", run.run_id));
        assert_eq!(joining.join().unwrap().unwrap().run.events, 2);
    });
    bench.ledger.verify().unwrap();
}

/// A row that stands in the way for good is no writer of the moment, and is not tried for ever.
#[test]
fn a_row_that_no_writer_put_there_is_damage() {
    let Some(bench) = Bench::postgres() else { return };
    let run = bench.submit(1, false);
    bench.edit(
        "INSERT INTO events SELECT run_id, 2, kind, state, mode, epoch, publish_allowed, recorded_at, reason, detail,
            previous, hash FROM events",
    );
    let failure = bench.ledger.submit(&submission(1, "request-2", false)).unwrap_err();
    assert_eq!(failure.code, Code::LedgerCorrupt, "{failure}");
    assert_eq!(bench.ledger.run(&run.run_id).unwrap(), run);
}
