#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// Every state that a run can be in, with its mode.
const PHASES: [(State, Mode); 8] = [
    (State::Queued, Mode::None),
    (State::Running, Mode::Full),
    (State::EvalReady, Mode::Full),
    (State::Pass, Mode::None),
    (State::Fail, Mode::None),
    (State::PublishPending, Mode::None),
    (State::Running, Mode::PublishOnly),
    (State::Published, Mode::None),
];

fn at((state, mode): (State, Mode)) -> Progress {
    Progress { state, mode, epoch: 5, full_attempts: 2, publish_attempts: 1, publish_allowed: true }
}

fn phase(progress: Progress) -> (State, Mode) {
    (progress.state, progress.mode)
}

/// Every cell of state x target, by the drawing: rows as in `PHASES`, columns as in `State::ALL`.
#[test]
fn the_holder_can_report_what_the_drawing_shows_and_nothing_else() {
    let table = [".......", "q.e.f..", "q..Pf..", ".....w.", ".......", "....fw.", "....fwp", "......."];
    for (from, row) in PHASES.into_iter().zip(table) {
        for (&to, cell) in State::ALL.iter().zip(row.chars()) {
            match at(from).apply(Step::Advance(to)) {
                Ok(after) => {
                    assert_ne!(cell, '.', "{from:?} must not become {to}");
                    let mode = if to == State::EvalReady { Mode::Full } else { Mode::None };
                    assert_eq!(after, Progress { state: to, mode, ..at(from) });
                }
                Err(failure) => {
                    assert_eq!((cell, failure.code), ('.', Code::InvalidTransition), "{from:?} to {to}");
                }
            }
        }
    }
}

#[test]
fn a_claim_starts_or_resumes_the_right_work() {
    let resumed = [
        (0, Some((State::Running, Mode::Full, 3))),
        (1, Some((State::Running, Mode::Full, 3))),
        (2, Some((State::Running, Mode::Full, 3))),
        (3, Some((State::PublishPending, Mode::None, 2))),
        (4, None),
        (5, Some((State::PublishPending, Mode::None, 2))),
        (6, Some((State::Running, Mode::PublishOnly, 2))),
        (7, None),
    ];
    for (index, expected) in resumed {
        match (at(PHASES[index]).apply(Step::Claim), expected) {
            (Ok(after), Some((state, mode, full_attempts))) => {
                assert_eq!(after, Progress { state, mode, full_attempts, epoch: 6, ..at(PHASES[index]) });
                assert_ne!(after.work(), Mode::None);
            }
            (Err(failure), None) => assert_eq!(failure.code, Code::InvalidTransition),
            (result, _) => panic!("{:?} gave {result:?}", PHASES[index]),
        }
    }
}

#[test]
fn publishing_begins_only_from_pending_and_goes_on_uncounted() {
    for from in PHASES {
        let result = at(from).apply(Step::BeginPublish);
        match from {
            (State::PublishPending, _) => {
                let after = result.unwrap();
                assert_eq!(phase(after), (State::Running, Mode::PublishOnly));
                assert_eq!((after.publish_attempts, after.full_attempts), (2, 2));
            }
            (State::Running, Mode::PublishOnly) => assert_eq!(result.unwrap(), at(from)),
            _ => assert_eq!(result.unwrap_err().code, Code::InvalidTransition),
        }
    }
}

#[test]
fn joining_widens_and_never_narrows_and_changes_nothing_else() {
    for from in PHASES {
        for (before, joined) in [(false, false), (false, true), (true, false), (true, true)] {
            let run = Progress { publish_allowed: before, ..at(from) };
            let after = run.apply(Step::Join { publish_allowed: joined }).unwrap();
            assert_eq!(after, Progress { publish_allowed: before || joined, ..run });
        }
        assert_eq!(at(from).apply(Step::Release).unwrap(), at(from));
    }
}

#[test]
fn a_run_can_be_cancelled_until_it_is_judged() {
    for (index, from) in PHASES.into_iter().enumerate() {
        match at(from).apply(Step::Cancel) {
            Ok(after) => {
                assert!(index < 3, "{from:?}");
                assert_eq!(after, Progress { state: State::Fail, mode: Mode::None, ..at(from) });
            }
            Err(failure) => {
                assert!(index >= 3 && failure.code == Code::InvalidTransition, "{from:?}");
            }
        }
    }
}

#[test]
fn a_run_rests_longer_after_each_attempt() {
    let queued = |full_attempts| Progress { full_attempts, ..at((State::Queued, Mode::None)) };
    let waits: Vec<_> = [0, 1, 2, 5, 11, 200, u64::MAX].map(|n| queued(n).rest_seconds()).into();
    assert_eq!(waits, [0, 1, 2, 16, 600, 600, 600]);
    let pending = |publish_attempts| Progress { publish_attempts, ..at((State::PublishPending, Mode::None)) };
    let waits: Vec<_> = (0..=PUBLISH_RETRIES).map(|n| pending(n).rest_seconds()).collect();
    assert_eq!(waits, [60, 10, 60, 360]);
    assert_eq!(at((State::Running, Mode::Full)).rest_seconds(), 0);
}

#[test]
fn a_pass_waits_until_publishing_is_allowed() {
    let pass = Progress { publish_allowed: false, ..at((State::Pass, Mode::None)) };
    for step in [Step::Claim, Step::Advance(State::PublishPending)] {
        assert_eq!(pass.apply(step).unwrap_err().code, Code::PublishNotAllowed);
        let widened = pass.apply(Step::Join { publish_allowed: true }).unwrap();
        assert_eq!(widened.apply(step).unwrap().state, State::PublishPending);
    }
}

#[test]
fn the_first_publish_has_three_retries() {
    let mut run = Progress { publish_attempts: 0, ..at((State::PublishPending, Mode::None)) };
    for _ in 0..=PUBLISH_RETRIES {
        run = run.apply(Step::Claim).unwrap().apply(Step::BeginPublish).unwrap();
        // Cut off and taken over: the same attempt.
        run = run.apply(Step::Claim).unwrap().apply(Step::BeginPublish).unwrap();
        run = run.apply(Step::Advance(State::PublishPending)).unwrap();
    }
    assert_eq!(run.publish_attempts, 4);
    for step in [Step::Claim, Step::BeginPublish] {
        assert_eq!(run.apply(step).unwrap_err().code, Code::PublishRetryExhausted);
    }
    let allowed = run.apply(Step::AllowRetries).unwrap();
    assert_eq!(allowed, Progress { publish_attempts: 0, ..run });
    assert_eq!((run.attempts_left(), allowed.attempts_left()), (Some(0), Some(PUBLISH_RETRIES + 1)));
    assert_eq!(allowed.apply(Step::Claim).unwrap().apply(Step::BeginPublish).unwrap().publish_attempts, 1);
}

#[test]
fn retries_are_allowed_to_a_pending_publication_and_to_nothing_else() {
    for from in PHASES {
        match at(from).apply(Step::AllowRetries) {
            Ok(after) => {
                assert_eq!(from, (State::PublishPending, Mode::None));
                assert_eq!(after, Progress { publish_attempts: 0, ..at(from) });
            }
            Err(failure) => {
                assert_ne!(from.0, State::PublishPending);
                assert_eq!(failure.code, Code::InvalidTransition);
            }
        }
    }
}

#[test]
fn texts_are_read_back() {
    for state in State::ALL {
        assert_eq!(State::from_text(state.as_str()), Some(*state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    assert_eq!(Mode::ALL.iter().filter_map(|mode| Mode::from_text(mode.as_str())).count(), 3);
    assert_eq!(State::from_text("queued"), None);
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(|publish_allowed| Step::Join { publish_allowed }),
        Just(Step::Claim),
        prop::sample::select(State::ALL).prop_map(Step::Advance),
        Just(Step::BeginPublish),
        Just(Step::Release),
        Just(Step::Cancel),
        Just(Step::AllowRetries),
    ]
}

proptest! {
    /// Whatever happens, in any order, the promises of the module hold.
    #[test]
    fn no_history_breaks_the_promises(allowed in any::<bool>(), steps in prop::collection::vec(any_step(), 0..60)) {
        let mut run = Progress::admitted(allowed);
        for step in steps {
            let Ok(next) = run.apply(step) else { continue };
            prop_assert!(PHASES.contains(&phase(next)));
            prop_assert!(next.epoch - run.epoch == u64::from(step == Step::Claim));
            prop_assert!(next.publish_allowed >= run.publish_allowed);
            prop_assert!(next.publish_attempts <= PUBLISH_RETRIES + 1);
            prop_assert!(next.work() != Mode::PublishOnly || next.publish_allowed);
            prop_assert!(next.full_attempts == run.full_attempts || next.mode == Mode::Full);
            prop_assert!(next.state != State::Published || next.publish_attempts > 0);
            let terminal = matches!(run.state, State::Fail | State::Published);
            prop_assert!(!terminal || next.state == run.state);
            run = next;
        }
    }
}
