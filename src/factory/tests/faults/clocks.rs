//! Workers on a ledger whose clock jumps by up to a day, there and back: no run is lost, none is done twice.

use std::sync::Arc;

use contracts::{Code, Digest, identity::ids::TrainRunId, names::Name, time::Timestamp};
use factory::{
    clock::{Clock, FixedClock},
    ledger::{EventKind, Lease, Ledger, Mode, Move, SqliteLedger, State, Submission},
};
use kernels::Rng;
use serde_json::json;

use crate::{close, rounds, support::place::folder};

const WORKERS: usize = 3;
const RUNS: u64 = 2;
const DAY: i64 = 86_400_000_000_000;
const START: i64 = 1_600_000_000_000_000_000;

fn submission(number: u64) -> Submission {
    Submission {
        request_id: format!("request-{number}").parse().unwrap(),
        payload_hash: Digest::of(&number.to_be_bytes()),
        run_id: TrainRunId::new(format!("tr_{number:032x}")).unwrap(),
        run_key: Digest::of(&number.to_le_bytes()),
        request: b"{}".to_vec(),
        publish_allowed: true,
        requester: "ada".parse().unwrap(),
    }
}

/// A worker's next report on what it holds.
fn next_moves(ledger: &dyn Ledger, lease: &Lease, outage: bool) -> Vec<Move> {
    let to = |state| Move::to(state, None, json!({}));
    let away = |state| Move::to(state, Some(Code::StoreUnavailable), json!({}));
    let progress = ledger.run(lease.run_id()).unwrap().progress;
    match (progress.state, progress.mode) {
        (State::Running, Mode::Full) if outage => vec![away(State::Queued)],
        (State::Running, Mode::Full) => vec![to(State::EvalReady)],
        (State::EvalReady, _) => vec![to(State::Pass), to(State::PublishPending), Move::begin_publish()],
        (State::PublishPending, _) => vec![Move::begin_publish()],
        // Retries are few, and a history is long: outages of the registry are the publish tests' business.
        _ => vec![to(State::Published)],
    }
}

/// One history; gives what is wrong with it.
fn history(seed: u64) -> Result<(), String> {
    let folder = folder();
    let clock = Arc::new(FixedClock::new(Timestamp::from_nanoseconds(START)));
    let ledger = SqliteLedger::open(folder.path().join("ledger.sqlite"), clock.clone()).unwrap();
    let rng = Rng::from_u64(seed);
    for number in 1..=RUNS {
        ledger.submit(&submission(number)).unwrap();
    }
    let mut held: Vec<Option<Lease>> = vec![None; WORKERS];
    for step in 0..200 {
        let pick = |stream: u64, bound: u64| rng.below(stream, step, bound);
        let jump = match pick(0, 8) {
            0 => pick(1, 2 * DAY as u64) as i64 - DAY,
            _ => pick(1, 40_000_000_000) as i64,
        };
        let earliest = START - DAY;
        let moment = clock.now().nanoseconds().saturating_add(jump).max(earliest);
        clock.set(Timestamp::from_nanoseconds(moment));
        let number = pick(2, WORKERS as u64) as usize;
        let name = Name::new(format!("worker-{number}")).unwrap();
        match (held[number].take(), pick(3, 6)) {
            (None, _) => {
                held[number] = ledger.claim(&name, 30, None).map_err(|failure| failure.to_string())?;
            }
            // It dies, and whoever starts under its name later holds nothing.
            (Some(_), 0) => {}
            (Some(lease), 1) => held[number] = ledger.heartbeat(&lease).is_ok().then_some(lease),
            (Some(lease), action) => match ledger.report(&lease, &next_moves(&ledger, &lease, action == 2)) {
                Ok(run) if run.holder.is_some() => held[number] = Some(lease),
                Ok(_) => {}
                Err(failure) if failure.code == Code::LeaseLost => {}
                Err(failure) if failure.code == Code::InvalidTransition => {
                    return Err(format!("a fenced worker was let in: {failure}"));
                }
                Err(failure) => return Err(failure.to_string()),
            },
        }
    }
    finish(&ledger, &clock)
}

/// Lets one more worker finish what is left, at the pace of a good clock, and looks at what came out.
fn finish(ledger: &SqliteLedger, clock: &FixedClock) -> Result<(), String> {
    let last = Name::new("the-last").unwrap();
    for _ in 0..200 {
        clock.advance(700);
        let Some(lease) = ledger.claim(&last, 30, None).map_err(|failure| failure.to_string())? else {
            break;
        };
        loop {
            let moves = next_moves(ledger, &lease, false);
            let run = ledger.report(&lease, &moves).map_err(|failure| failure.to_string())?;
            if run.holder.is_none() {
                break;
            }
        }
    }
    ledger.verify().map_err(|failure| failure.to_string())?;
    for number in 1..=RUNS {
        let id = submission(number).run_id;
        let run = ledger.run(&id).unwrap();
        let events = ledger.events(&id).unwrap();
        let reached = |state| {
            let is =
                |event: &&factory::ledger::Event| event.kind == EventKind::Advanced && event.state == state;
            events.iter().filter(is).count()
        };
        if run.progress.state != State::Published {
            return Err(format!("run {number} is {} in the end", run.progress.state));
        }
        if reached(State::Published) != 1 || reached(State::Pass) != 1 {
            return Err(format!("run {number} passed or was published more than once"));
        }
    }
    Ok(())
}

#[test]
fn clocks_that_jump_lose_no_run_and_fork_none() {
    let histories = rounds(1_000);
    let lost: Vec<_> = (0..histories as u64)
        .filter_map(|seed| history(seed).err().map(|what| format!("history {seed}: {what}")))
        .collect();
    close("jumping clocks", histories, &lost);
}
