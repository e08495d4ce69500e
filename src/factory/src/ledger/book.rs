//! The ledger's verbs, over whatever database keeps its rows.
//!
//! ```text
//!   write: lock the run's row ──► read the clock ──► decide in Rust ──► row and event, by the epoch ──► commit
//! ```
//!
//! Flows in and out: what `Ledger`, `Anchors` and `Signers` say. Invariants: what is decided rests on rows that cannot
//! change before the decision is written; the time of a decision was read while its row was held, so that a
//! writer that waited does not decide by an old moment; a run's row is locked before anything that names
//! it is written, so that no two writers wait for one another.

use contracts::{
    Code, Digest, Failure, Result, identity::ids::TrainRunId, names::Name, scope::TargetScope,
    signature::PublicKey, time::Timestamp,
};

use serde_json::Value;

use super::{
    Admission, Anchor, Anchors, Head, Ledger, Marks, Signers, Submission,
    anchor::AnchorRow,
    database::{Backend, Lock, Transaction},
    event::Event,
    rows,
    run::{Lease, Move, RequestRow, Run, corrupt, earlier},
    signer::{Founding, SignerRow},
    state::{PUBLISH_RETRIES, State},
};

/// How many runs are checked at a time, so that a ledger of any length fits in memory.
const PAGE: u32 = 1_000;

impl<B: Backend> Ledger for B {
    fn submit(&self, submission: &Submission) -> Result<Admission> {
        submission.check()?;
        self.write(|transaction| admit(transaction, submission, None).map(|(admission, _)| admission))
    }

    fn submit_and_claim(
        &self,
        submission: &Submission,
        worker: &Name,
        seconds: u32,
    ) -> Result<(Admission, Option<Lease>)> {
        submission.check()?;
        self.write(|transaction| admit(transaction, submission, Some((worker, seconds))))
    }

    fn claim(&self, worker: &Name, seconds: u32, only: Option<&TrainRunId>) -> Result<Option<Lease>> {
        self.write(|transaction| {
            let claimed = match only {
                None => first_waiting(transaction, worker, seconds)?,
                Some(id) => {
                    let run = require_run(transaction, id, Lock::Rows)?;
                    let now = transaction.now()?;
                    Lease::take(&run, worker, seconds, now)?
                }
            };
            let Some((lease, event)) = claimed else { return Ok(None) };
            rows::update_run(transaction, lease.run(), lease.epoch() - 1)?;
            rows::insert_event(transaction, &event)?;
            Ok(Some(lease))
        })
    }

    fn heartbeat(&self, lease: &Lease) -> Result<Timestamp> {
        self.write(|transaction| {
            let before = leased_run(transaction, lease)?;
            let now = transaction.now()?;
            before.require_held(lease, now)?;
            let holder = lease.renewed(now);
            let expires_at = holder.expires_at;
            rows::update_run(transaction, &Run { holder: Some(holder), ..before }, lease.epoch())?;
            Ok(expires_at)
        })
    }

    fn report(&self, lease: &Lease, moves: &[Move]) -> Result<Run> {
        self.write(|transaction| {
            let mut run = leased_run(transaction, lease)?;
            let now = transaction.now()?;
            for moved in moves {
                let (after, event) = run.after_report(lease, moved, now)?;
                rows::insert_event(transaction, &event)?;
                run = after;
            }
            rows::update_run(transaction, &run, lease.epoch())?;
            Ok(run)
        })
    }

    fn cancel(&self, id: &TrainRunId, detail: Value) -> Result<Run> {
        self.write(|transaction| {
            let cancelled = |run: &Run| run.reason == Some(Code::RunCancelled);
            decide(transaction, id, cancelled, |before, now| before.cancelled(detail.clone(), now))
        })
    }

    fn allow_retries(&self, id: &TrainRunId, detail: Value) -> Result<Run> {
        self.write(|transaction| {
            let allowed = |run: &Run| run.progress.attempts_left() == Some(PUBLISH_RETRIES + 1);
            decide(transaction, id, allowed, |before, now| before.retries_allowed(detail.clone(), now))
        })
    }

    fn run(&self, id: &TrainRunId) -> Result<Run> {
        self.read(|transaction| require_run(transaction, id, Lock::None))
    }

    fn runs(&self, state: Option<State>, limit: u32) -> Result<Vec<Run>> {
        self.read(|transaction| rows::latest(transaction, state, limit))
    }

    fn lately_at_rest(&self, seconds: u32) -> Result<Vec<Run>> {
        self.read(|transaction| {
            let Some(latest) = rows::latest_at_rest(transaction)? else { return Ok(Vec::new()) };
            rows::at_rest_since(transaction, earlier(latest.updated_at, seconds))
        })
    }

    fn events(&self, id: &TrainRunId) -> Result<Vec<Event>> {
        self.read(|transaction| {
            let run = require_run(transaction, id, Lock::None)?;
            verified(transaction, &run)
        })
    }

    fn marks(&self) -> Result<Marks> {
        let (first, latest) = self.read(rows::first_signer_and_latest_run)?;
        let founding = first.map(|row| founding_by(&row)).transpose()?;
        if let Some(founding) = founding {
            self.is_founded(founding);
        }
        Ok(Marks { founding, latest })
    }

    fn verify(&self) -> Result<Head> {
        self.read(|transaction| {
            transaction.check()?;
            let mut heads = Vec::new();
            let mut count = 0;
            let mut previous = String::new();
            loop {
                let page = rows::runs_after(transaction, &previous, PAGE)?;
                let Some(last) = page.last() else { break };
                previous = last.run_id.to_string();
                for run in page {
                    count += verified(transaction, &run)?.len() as u64;
                    heads.push((run.run_id, run.head));
                }
            }
            for row in rows::anchors(transaction)? {
                row.anchor()?;
            }
            for row in rows::signers(transaction, Lock::None)? {
                row.signer()?;
            }
            match rows::orphan(transaction)? {
                None => Head::over(&heads, count),
                Some(run) => Err(corrupt(&run, "it has events or requests but no row")),
            }
        })
    }
}

impl<B: Backend> Anchors for B {
    fn anchor(&self, scope: &TargetScope) -> Result<Option<Anchor>> {
        let scope = scope.to_string();
        self.read(|transaction| {
            let row = rows::anchor(transaction, &scope, Lock::None)?;
            row.map(|row| row.anchor()).transpose()
        })
    }

    fn raise(&self, scope: &TargetScope, anchor: Anchor) -> Result<()> {
        let row = AnchorRow::new(scope, anchor);
        self.write(|transaction| match rows::anchor(transaction, &row.scope, Lock::Rows)? {
            Some(standing) if standing.sequence >= row.sequence => Ok(()),
            Some(_) => rows::update_anchor(transaction, &row),
            None => rows::insert_anchor(transaction, &row),
        })
    }

    fn anchored(&self) -> Result<Vec<TargetScope>> {
        self.read(|transaction| rows::anchors(transaction)?.iter().map(|row| row.scope.parse()).collect())
    }
}

impl<B: Backend> Signers for B {
    fn signers(&self) -> Result<Vec<PublicKey>> {
        self.read(|transaction| {
            rows::signers(transaction, Lock::None)?.iter().map(SignerRow::signer).collect()
        })
    }

    fn admit_signer(&self, signer: &PublicKey, trusts: &dyn Fn(&PublicKey) -> bool) -> Result<()> {
        // Most often it came last, and nothing is written.
        if self.signers()?.last() == Some(signer) {
            return Ok(());
        }
        self.write(|transaction| {
            let known = rows::signers(transaction, Lock::Rows)?;
            let now = transaction.now()?;
            let row = SignerRow::after(&known, signer, trusts, now)?;
            row.map_or(Ok(()), |row| rows::insert_signer(transaction, &row))
        })
    }
}

/// Admits a request: the run that it makes or joins and, where a worker asks and the run is a fresh one, its lease.
///
/// A run that was there may be held, rest or be over, and a claim of its own says so.
fn admit(
    transaction: &mut dyn Transaction,
    submission: &Submission,
    worker: Option<(&Name, u32)>,
) -> Result<(Admission, Option<Lease>)> {
    let (request, known) = if transaction.finds_nothing() {
        (None, None)
    } else {
        rows::request_and_run(transaction, &submission.request_id, &submission.run_id)?
    };
    if let Some(request) = request {
        return again(transaction, submission, &request).map(|admission| (admission, None));
    }
    let now = transaction.now()?;
    let (mut run, asked) = match &known {
        None => Run::admit(submission, now)?,
        Some(before) => before.join(submission, now)?,
    };
    let claimed = match (&known, worker) {
        (None, Some((worker, seconds))) => Lease::take(&run, worker, seconds, now)?,
        _ => None,
    };
    if let Some((lease, _)) = &claimed {
        run = lease.run().clone();
    }
    match &known {
        None => rows::insert_run(transaction, &run)?,
        Some(before) => rows::update_run(transaction, &run, before.progress.epoch)?,
    }
    rows::insert_event(transaction, &asked)?;
    rows::insert_request(transaction, &RequestRow::new(submission, &asked))?;
    let lease = claimed.map(|(lease, event)| rows::insert_event(transaction, &event).map(|()| lease));
    Ok((Admission { run, fresh: known.is_none() }, lease.transpose()?))
}

/// The answer to a request id that was used before.
fn again(
    transaction: &mut dyn Transaction,
    submission: &Submission,
    request: &RequestRow,
) -> Result<Admission> {
    if request.payload_hash != submission.payload_hash.to_string() {
        let detail = format!("{} was sent before with another content", submission.request_id);
        return Err(Failure::new(Code::RequestIdPayloadMismatch, detail));
    }
    let run = request
        .run_id
        .parse()
        .ok()
        .map_or(Ok(None), |id| rows::run(transaction, &id, Lock::None))?
        .ok_or_else(|| corrupt(&request.run_id, "a request names it, and it is not there"))?;
    Ok(Admission { run, fresh: false })
}

/// What a claim makes of the run that has waited longest of those that nobody else is at.
///
/// Runs are looked at without holding them, but for the first that is free. One that waited longer and can be taken, since
/// its rest or its lease is over, is read again under its lock, and decided on as it is then, at the moment at which it was
/// locked. A run that somebody holds a lock on is passed over rather than waited for.
fn first_waiting(
    transaction: &mut dyn Transaction,
    worker: &Name,
    seconds: u32,
) -> Result<Option<(Lease, Event)>> {
    let (mut page, free) = rows::waiting_and_free(transaction)?;
    while let Some(last) = page.last().cloned() {
        let now = transaction.now()?;
        for seen in page.iter().filter(|run| run.is_due(now) && !run.is_held(now)) {
            let run = match &free {
                Some(free) if free.run_id == seen.run_id => Some(free.clone()),
                // Somebody else's, or it would have been locked.
                Some(free) if seen.is_free() && seen.waits_longer_than(free) => None,
                _ => rows::run(transaction, &seen.run_id, Lock::FreeRows)?,
            };
            let Some(run) = run else { continue };
            if let Some(taken) = Lease::take_due(&run, worker, seconds, transaction.now()?)? {
                return Ok(Some(taken));
            }
        }
        page = rows::waiting_after(transaction, &last)?;
    }
    // It came after the runs were looked at.
    let now = transaction.now()?;
    free.map_or(Ok(None), |run| Lease::take_due(&run, worker, seconds, now))
}

/// Changes a run by a decision of somebody who holds no lease; a run on which it was taken before stays as it is.
fn decide(
    transaction: &mut dyn Transaction,
    id: &TrainRunId,
    taken: impl Fn(&Run) -> bool,
    change: impl Fn(&Run, Timestamp) -> Result<(Run, Event)>,
) -> Result<Run> {
    let before = require_run(transaction, id, Lock::Rows)?;
    if taken(&before) {
        return Ok(before);
    }
    let now = transaction.now()?;
    let (run, event) = change(&before, now)?;
    rows::update_run(transaction, &run, before.progress.epoch)?;
    rows::insert_event(transaction, &event)?;
    Ok(run)
}

/// What tells the ledger from every other.
pub(super) fn founding(transaction: &mut dyn Transaction) -> Result<Option<Digest<Founding>>> {
    rows::first_signer(transaction)?.map(|row| founding_by(&row)).transpose()
}

fn founding_by(first: &SignerRow) -> Result<Digest<Founding>> {
    first.digest()?.to_string().parse()
}

/// The run that a lease was given for: as this process left it, where its holder may go by that.
fn leased_run(transaction: &mut dyn Transaction, lease: &Lease) -> Result<Run> {
    match transaction.left(lease.run_id()) {
        Some(run) => Ok(run),
        None => require_run(transaction, lease.run_id(), Lock::Rows),
    }
}

fn require_run(transaction: &mut dyn Transaction, id: &TrainRunId, lock: Lock) -> Result<Run> {
    rows::run(transaction, id, lock)?
        .ok_or_else(|| Failure::new(Code::RunNotFound, format!("{id} is not in the ledger")))
}

/// The events of a run, once the run was compared with them and with its requests.
fn verified(transaction: &mut dyn Transaction, run: &Run) -> Result<Vec<Event>> {
    let events = rows::events(transaction, &run.run_id)?;
    run.verify(&events, &rows::requests(transaction, &run.run_id)?)?;
    Ok(events)
}
