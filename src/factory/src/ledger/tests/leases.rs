use super::*;

fn a_run_goes_the_whole_way(bench: &Bench) {
    let lease = bench.passed(1, true);
    assert_eq!((lease.mode(), lease.epoch(), lease.request()), (Mode::Full, 1, &b"{\"number\":1}"[..]));
    bench.advance(&lease, State::PublishPending).unwrap();
    bench.ledger.begin_publish(&lease).unwrap();
    let run = bench.advance(&lease, State::Published).unwrap();
    assert_eq!((run.progress.full_attempts, run.progress.publish_attempts), (1, 1));
    assert_eq!(run.holder, None);
    assert_eq!(bench.ledger.run(lease.run_id()).unwrap(), run);
    assert_eq!(bench.ledger.runs(Some(State::Published), 5).unwrap(), [run]);
    assert_eq!(bench.ledger.runs(Some(State::Pass), 5).unwrap(), []);
    assert_eq!(bench.advance(&lease, State::Fail).unwrap_err().code, Code::LeaseLost);
    assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, None).unwrap(), None);
    bench.ledger.verify().unwrap();
}

fn a_step_that_is_not_possible_changes_nothing(bench: &Bench) {
    bench.submit(1, false);
    let lease = bench.claim();
    let head = bench.ledger.verify().unwrap();
    for to in [State::Running, State::Pass, State::Published, State::PublishPending] {
        assert_eq!(bench.advance(&lease, to).unwrap_err().code, Code::InvalidTransition, "{to}");
    }
    assert_eq!(bench.ledger.begin_publish(&lease).unwrap_err().code, Code::InvalidTransition);
    assert_eq!(bench.ledger.verify().unwrap(), head);
}

fn a_failure_keeps_its_code(bench: &Bench) {
    bench.submit(1, false);
    let lease = bench.claim();
    let detail = json!({ "stage": "train" });
    let run =
        bench.ledger.advance(&lease, State::Fail, Some(Code::DegenerateLabels), detail.clone()).unwrap();
    assert_eq!((run.progress.state, run.reason), (State::Fail, Some(Code::DegenerateLabels)));
    let last = bench.ledger.events(lease.run_id()).unwrap().pop().unwrap();
    assert_eq!((last.reason, last.detail), (Some(Code::DegenerateLabels), detail));
}

fn a_run_whose_input_is_away_goes_to_the_end_of_the_queue(bench: &Bench) {
    bench.submit(1, false);
    bench.clock.advance(1);
    bench.submit(2, false);
    bench.clock.advance(1);
    let first = bench.claim();
    bench.ledger.advance(&first, State::Queued, Some(Code::ManifestUnresolved), json!({})).unwrap();
    let second = bench.claim();
    assert_ne!(first.run_id(), second.run_id());
    // It rests before just any worker takes it up again; who names it need not wait.
    assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, None).unwrap(), None);
    let named = bench.ledger.claim(&worker("worker-2"), 60, Some(first.run_id())).unwrap().unwrap();
    bench.ledger.advance(&named, State::Queued, Some(Code::ManifestUnresolved), json!({})).unwrap();
    bench.clock.advance(1);
    assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, None).unwrap(), None);
    bench.clock.advance(1);
    assert_eq!(bench.claim().run_id(), first.run_id());
}

fn a_lease_that_ran_out_is_taken_over_and_its_holder_refused(bench: &Bench) {
    bench.submit(1, true);
    let old = bench.claim();
    bench.advance(&old, State::EvalReady).unwrap();
    bench.clock.advance(59);
    assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, None).unwrap(), None);
    assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, Some(old.run_id())).unwrap(), None);
    bench.clock.advance(1);
    // Nobody took it yet, and still it is lost.
    assert_eq!(bench.ledger.heartbeat(&old).unwrap_err().code, Code::LeaseLost);
    let new = bench.ledger.claim(&worker("worker-2"), 60, None).unwrap().unwrap();
    assert_eq!((new.epoch(), new.mode(), new.run().progress.state), (2, Mode::Full, State::Running));
    let head = bench.ledger.verify().unwrap();
    let refused = [
        bench.advance(&old, State::EvalReady).map(drop),
        bench.advance(&old, State::Fail).map(drop),
        bench.ledger.begin_publish(&old).map(drop),
        bench.ledger.heartbeat(&old).map(drop),
        bench.ledger.release(&old).map(drop),
    ];
    assert!(refused.into_iter().all(|result| result.unwrap_err().code == Code::LeaseLost));
    assert_eq!(bench.ledger.verify().unwrap(), head);
    bench.advance(&new, State::EvalReady).unwrap();
}

/// The name alone does not make a holder: a worker that restarts has lost what it held before.
fn a_worker_of_the_same_name_is_fenced_too(bench: &Bench) {
    bench.submit(1, false);
    let old = bench.claim();
    bench.clock.advance(60);
    let new = bench.claim();
    assert_eq!(old.worker(), new.worker());
    assert_eq!(bench.advance(&old, State::EvalReady).unwrap_err().code, Code::LeaseLost);
    bench.advance(&new, State::EvalReady).unwrap();
}

fn the_row_itself_refuses_a_write_of_another_epoch(bench: &Bench) {
    let run = bench.submit(1, false);
    assert_eq!(bench.put(&run, Some(1)).unwrap_err().code, Code::LeaseLost);
    bench.put(&run, Some(0)).unwrap();
}

fn what_is_written_beside_a_row_that_refuses_is_taken_back(bench: &Bench) {
    let before = bench.submit(1, false);
    let head = bench.ledger.verify().unwrap();
    let (after, event) = before.cancelled(json!({}), bench.clock.now()).unwrap();
    let write = |epoch| {
        bench.write(|transaction| {
            rows::insert_event(transaction, &event)?;
            rows::update_run(transaction, &after, epoch)
        })
    };
    assert_eq!(write(1).unwrap_err().code, Code::LeaseLost);
    assert_eq!(bench.ledger.verify().unwrap(), head);
    write(0).unwrap();
    assert_eq!(bench.ledger.verify().unwrap().events, 2);
}

/// Who holds a run may go by what it left, and never past what others wrote since, each over a connection of its own.
fn what_others_wrote_since_is_neither_overlooked_nor_overwritten(bench: &Bench) {
    let others = bench.open();
    for (number, to) in [(1, State::EvalReady), (2, State::Fail)] {
        bench.submit(number, false);
        let lease = bench.claim();
        bench.ledger.heartbeat(&lease).unwrap();
        let widened = submission(number, &format!("another-{number}"), true);
        others.submit(&widened).unwrap();
        // A sign of life adds no event whose place could be taken.
        bench.ledger.heartbeat(&lease).unwrap();
        bench.ledger.verify().unwrap();
        others.submit(&submission(number, &format!("one-more-{number}"), true)).unwrap();
        let run = bench.advance(&lease, to).unwrap();
        assert_eq!((run.progress.publish_allowed, run.events), (true, 5));
        if to == State::EvalReady {
            others.cancel(lease.run_id(), json!({})).unwrap();
            assert_eq!(bench.advance(&lease, State::Pass).unwrap_err().code, Code::LeaseLost);
            assert_eq!(bench.ledger.heartbeat(&lease).unwrap_err().code, Code::LeaseLost);
        }
    }
    bench.submit(3, false);
    let lease = bench.claim();
    bench.ledger.heartbeat(&lease).unwrap();
    bench.clock.advance(60);
    let taken = others.claim(&worker("worker-1"), 60, None).unwrap().unwrap();
    assert_eq!(bench.advance(&lease, State::EvalReady).unwrap_err().code, Code::LeaseLost);
    others.advance(&taken, State::EvalReady, None, json!({})).unwrap();
    // A request of another, and the run that it made, are there though nobody here asked for them.
    let admission = others.submit(&submission(4, "request-4", false)).unwrap();
    assert!(admission.fresh);
    let again = bench.ledger.submit(&submission(4, "request-4", false)).unwrap();
    assert!(!again.fresh);
    assert_eq!(again.run, admission.run);
    let elsewhere = bench.ledger.submit(&submission(5, "request-4", false)).unwrap_err();
    assert_eq!(elsewhere.code, Code::RequestIdPayloadMismatch);
    assert_eq!(
        bench.ledger.run(&submission(5, "request-5", false).run_id).unwrap_err().code,
        Code::RunNotFound
    );
    bench.ledger.verify().unwrap();
}

fn a_heartbeat_holds_the_run(bench: &Bench) {
    bench.submit(1, false);
    let lease = bench.claim();
    for _ in 0..5 {
        bench.clock.advance(50);
        let until = bench.ledger.heartbeat(&lease).unwrap();
        assert_eq!(until.nanoseconds() - bench.clock.now().nanoseconds(), 60_000_000_000);
    }
    bench.advance(&lease, State::EvalReady).unwrap();
    bench.ledger.verify().unwrap();
}

fn a_released_run_is_free_at_once(bench: &Bench) {
    bench.submit(1, false);
    let lease = bench.claim();
    bench.ledger.release(&lease).unwrap();
    assert_eq!(bench.advance(&lease, State::EvalReady).unwrap_err().code, Code::LeaseLost);
    assert_eq!(bench.claim().epoch(), 2);
}

fn a_pass_that_was_not_to_be_published_can_be_later(bench: &Bench) {
    let lease = bench.passed(1, false);
    assert_eq!(bench.advance(&lease, State::PublishPending).unwrap_err().code, Code::PublishNotAllowed);
    bench.ledger.release(&lease).unwrap();
    assert_eq!(bench.ledger.claim(&worker("worker-1"), 60, None).unwrap(), None);
    assert_eq!(bench.ledger.claim(&worker("worker-1"), 60, Some(lease.run_id())).unwrap(), None);
    bench.ledger.submit(&submission(1, "request-later", true)).unwrap();
    let lease = bench.claim();
    assert_eq!((lease.mode(), lease.run().progress.full_attempts), (Mode::PublishOnly, 1));
    bench.ledger.begin_publish(&lease).unwrap();
    assert_eq!(bench.advance(&lease, State::Published).unwrap().progress.full_attempts, 1);
}

fn publish_retries_are_bounded_and_a_crash_spends_none(bench: &Bench) {
    let mut lease = bench.passed(1, true);
    bench.advance(&lease, State::PublishPending).unwrap();
    for attempt in 0..=PUBLISH_RETRIES {
        bench.ledger.begin_publish(&lease).unwrap();
        bench.clock.advance(60);
        lease = bench.claim();
        let run = bench.ledger.begin_publish(&lease).unwrap();
        assert_eq!((run.progress.publish_attempts, run.progress.full_attempts), (attempt + 1, 1));
        bench
            .ledger
            .advance(&lease, State::PublishPending, Some(Code::RegistryUnavailable), json!({}))
            .unwrap();
    }
    assert_eq!(bench.ledger.begin_publish(&lease).unwrap_err().code, Code::PublishRetryExhausted);
    bench.ledger.release(&lease).unwrap();
    assert_eq!(bench.ledger.claim(&worker("worker-1"), 60, None).unwrap(), None);
    assert_eq!(bench.ledger.run(lease.run_id()).unwrap().rests_until(), None);
    let failure = bench.ledger.claim(&worker("worker-1"), 60, Some(lease.run_id())).unwrap_err();
    assert_eq!(failure.code, Code::PublishRetryExhausted);
    bench.ledger.verify().unwrap();
}

fn retries_that_are_used_up_are_given_anew_by_a_recorded_decision(bench: &Bench) {
    let mut lease = bench.passed(1, true);
    bench.advance(&lease, State::PublishPending).unwrap();
    let why = json!({ "actor": "ada", "reason": "the registry is back" });
    for _ in 0..2 {
        for attempt in 1..=PUBLISH_RETRIES + 1 {
            let run = bench.ledger.begin_publish(&lease).unwrap();
            assert_eq!((run.progress.publish_attempts, run.progress.full_attempts), (attempt, 1));
            let away = Some(Code::RegistryUnavailable);
            let run = bench.ledger.advance(&lease, State::PublishPending, away, json!({})).unwrap();
            let rests = run.rests_until().map(|until| until.nanoseconds() - run.updated_at.nanoseconds());
            assert_eq!(rests, [10, 60, 360].get(attempt as usize - 1).map(|seconds| seconds * 1_000_000_000));
        }
        bench.ledger.release(&lease).unwrap();
        assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, None).unwrap(), None);
        let allowed = bench.ledger.allow_retries(lease.run_id(), why.clone()).unwrap();
        assert_eq!((allowed.progress.publish_attempts, allowed.progress.full_attempts), (0, 1));
        assert_eq!((allowed.reason, allowed.rests_until()), (None, None), "it is tried at once");
        // Said again, as after a lost answer, it changes nothing.
        assert_eq!(bench.ledger.allow_retries(lease.run_id(), json!({})).unwrap(), allowed);
        let last = bench.ledger.events(lease.run_id()).unwrap().pop().unwrap();
        assert_eq!((last.kind, last.detail), (EventKind::RetriesAllowed, why.clone()));
        lease = bench.ledger.claim(&worker("worker-2"), 60, None).unwrap().unwrap();
    }
    bench.ledger.begin_publish(&lease).unwrap();
    bench.advance(&lease, State::Published).unwrap();
    let failure = bench.ledger.allow_retries(lease.run_id(), why).unwrap_err();
    assert_eq!(failure.code, Code::InvalidTransition);
    bench.ledger.verify().unwrap();
}

fn moves_reported_together_all_happen_or_none(bench: &Bench) {
    bench.submit(1, false);
    let lease = bench.claim();
    bench.advance(&lease, State::EvalReady).unwrap();
    let to = |state| Move::to(state, None, json!({ "note": state.as_str() }));
    let moves = [to(State::Pass), to(State::PublishPending), Move::begin_publish()];
    let head = bench.ledger.verify().unwrap();
    // The second is refused, and with it the first.
    assert_eq!(bench.ledger.report(&lease, &moves).unwrap_err().code, Code::PublishNotAllowed);
    assert_eq!(bench.ledger.verify().unwrap(), head);
    bench.ledger.submit(&submission(1, "request-later", true)).unwrap();
    let run = bench.ledger.report(&lease, &moves).unwrap();
    assert_eq!((run.progress.state, run.progress.mode), (State::Running, Mode::PublishOnly));
    assert_eq!(bench.ledger.run(lease.run_id()).unwrap(), run);
    let events = bench.ledger.events(lease.run_id()).unwrap();
    let (advanced, begun) = (EventKind::Advanced, EventKind::PublishBegun);
    assert_eq!(kinds(&events[4..]), [advanced, advanced, begun]);
    let again = [to(State::Published), to(State::Fail)];
    assert_eq!(bench.ledger.report(&lease, &again).unwrap_err().code, Code::LeaseLost);
    assert_eq!(bench.ledger.run(lease.run_id()).unwrap(), run);
    bench.ledger.verify().unwrap();
}

fn a_run_that_is_not_there_is_not_found(bench: &Bench) {
    let id = submission(9, "request-9", false).run_id;
    assert_eq!(bench.ledger.run(&id).unwrap_err().code, Code::RunNotFound);
    assert_eq!(bench.ledger.events(&id).unwrap_err().code, Code::RunNotFound);
    let failure = bench.ledger.claim(&worker("worker-1"), 1, Some(&id)).unwrap_err();
    assert_eq!(failure.code, Code::RunNotFound);
}

fn a_pending_publication_rests_before_it_is_tried_again(bench: &Bench) {
    let lease = bench.passed(1, true);
    bench.advance(&lease, State::PublishPending).unwrap();
    bench.ledger.begin_publish(&lease).unwrap();
    let away = Move::to(State::PublishPending, Some(Code::RegistryUnavailable), json!({}));
    let run = bench.ledger.report(&lease, &[away, Move::release()]).unwrap();
    assert_eq!(run.reason, Some(Code::RegistryUnavailable), "who gives it back leaves why it waits");
    let rested = run.updated_at.nanoseconds() + 10_000_000_000;
    assert_eq!(run.rests_until(), Some(Timestamp::from_nanoseconds(rested)));
    bench.clock.advance(9);
    assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, None).unwrap(), None);
    bench.clock.advance(1);
    assert_eq!(bench.claim().mode(), Mode::PublishOnly);
}

/// A clock that was set back neither keeps a run held for as long as it was ahead, nor lets it rest that long.
fn a_clock_that_is_set_back_locks_no_run(bench: &Bench) {
    bench.submit(1, false);
    bench.submit(2, false);
    let held = bench.claim();
    let tried = bench.claim();
    bench.ledger.advance(&tried, State::Queued, Some(Code::ManifestUnresolved), json!({})).unwrap();
    bench.clock.set(Timestamp::from_nanoseconds(1_000_000_000));
    let both = [bench.claim(), bench.claim()].map(|lease| lease.run_id().clone());
    assert!(both.contains(held.run_id()) && both.contains(tried.run_id()));
    // The former holder is fenced by the epoch, whatever the clock says.
    assert_eq!(bench.advance(&held, State::EvalReady).unwrap_err().code, Code::LeaseLost);
}

fn nobody_holds_a_run_for_longer_than_the_longest_lease(bench: &Bench) {
    bench.submit(1, false);
    let lease = bench.ledger.claim(&worker("worker-1"), u32::MAX, None).unwrap().unwrap();
    bench.clock.advance(LONGEST_LEASE);
    assert_eq!(bench.advance(&lease, State::EvalReady).unwrap_err().code, Code::LeaseLost);
}

fn a_cancelled_run_is_over_and_its_holder_refused(bench: &Bench) {
    bench.submit(1, true);
    let lease = bench.claim();
    let detail = json!({ "actor": "ada", "reason": "a mistake" });
    let run = bench.ledger.cancel(lease.run_id(), detail.clone()).unwrap();
    assert_eq!((run.progress.state, run.reason), (State::Fail, Some(Code::RunCancelled)));
    assert_eq!(run.holder, None);
    assert_eq!(bench.advance(&lease, State::EvalReady).unwrap_err().code, Code::LeaseLost);
    assert_eq!(bench.ledger.heartbeat(&lease).unwrap_err().code, Code::LeaseLost);
    assert_eq!(bench.ledger.cancel(lease.run_id(), json!({})).unwrap(), run);
    assert_eq!(bench.ledger.claim(&worker("worker-2"), 60, None).unwrap(), None);
    let last = bench.ledger.events(lease.run_id()).unwrap().pop().unwrap();
    assert_eq!((last.kind, last.detail), (EventKind::Cancelled, detail));
    bench.ledger.verify().unwrap();
    let passed = bench.passed(2, false);
    let failure = bench.ledger.cancel(passed.run_id(), json!({})).unwrap_err();
    assert_eq!(failure.code, Code::InvalidTransition);
}

fn runs_at_rest_are_found_by_when_they_came_to_it(bench: &Bench) {
    assert_eq!(bench.ledger.lately_at_rest(u32::MAX).unwrap(), []);
    let first = bench.passed(1, false);
    bench.ledger.release(&first).unwrap();
    let lately = |seconds| -> Vec<_> {
        bench.ledger.lately_at_rest(seconds).unwrap().into_iter().map(|run| run.run_id).collect()
    };
    bench.clock.advance(10);
    bench.submit(2, false);
    let second = bench.claim();
    // Seconds count from the last event of a run at rest, however long ago that is.
    assert_eq!(lately(0), [first.run_id().clone()]);
    bench.advance(&second, State::Fail).unwrap();
    assert_eq!(lately(9), [second.run_id().clone()]);
    assert_eq!(lately(10), [first.run_id().clone(), second.run_id().clone()]);
}

on_each_database!(
    a_run_goes_the_whole_way,
    a_step_that_is_not_possible_changes_nothing,
    a_failure_keeps_its_code,
    a_run_whose_input_is_away_goes_to_the_end_of_the_queue,
    a_lease_that_ran_out_is_taken_over_and_its_holder_refused,
    a_worker_of_the_same_name_is_fenced_too,
    the_row_itself_refuses_a_write_of_another_epoch,
    what_is_written_beside_a_row_that_refuses_is_taken_back,
    what_others_wrote_since_is_neither_overlooked_nor_overwritten,
    a_heartbeat_holds_the_run,
    a_released_run_is_free_at_once,
    a_pass_that_was_not_to_be_published_can_be_later,
    publish_retries_are_bounded_and_a_crash_spends_none,
    retries_that_are_used_up_are_given_anew_by_a_recorded_decision,
    moves_reported_together_all_happen_or_none,
    a_run_that_is_not_there_is_not_found,
    a_pending_publication_rests_before_it_is_tried_again,
    a_clock_that_is_set_back_locks_no_run,
    nobody_holds_a_run_for_longer_than_the_longest_lease,
    a_cancelled_run_is_over_and_its_holder_refused,
    runs_at_rest_are_found_by_when_they_came_to_it,
);
