//! The conductor: the only file that knows all stages.
//!
//! ```text
//!   claimed ──► FULL:          resolve, guard, train, evaluate ──► EVAL_READY ──► gate ──► PASS | FAIL
//!      │                                                                                    │
//!      └──────► PUBLISH_ONLY:  confirm, begin, publish ──► PUBLISHED ◄──────────────────────┘ where it is allowed
//! ```
//!
//! Invariants: every effect on the ledger carries the lease, which a thread of its own keeps alive for as long as the
//! work lasts; a run that died is carried on from the evidence that the ledger holds by digest; a code raised in a stage
//! stays that code; a transient failure, or damage to what the run names, leaves it to be claimed again, a conflict ends
//! it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use contracts::{
    Checked, Code, Failure, Reference, Result, bundle::ModelBundle, names::Principal, run_receipt::Evidence,
    train_request::TrainBuildRequest,
};
use kernels::Progress;
use serde_json::json;

use crate::{
    admission::{Admitted, admit},
    bundle::{self, Publishable},
    candidate::Candidate,
    clock::{Stop, StopOnLeaving, Stopwatch},
    evaluate::evaluate,
    failpoint::{self, Failpoint},
    gate::{self, Judged},
    guard::guard,
    ledger::{Event, EventKind, Lease, Mode, Move, Run, State},
    line::{LEASE_SECONDS, Line},
    publish::publish,
    receipts::{evidence_of, holds_evidence, latest_evidence},
    registry::Act,
    resolve::resolve,
    store,
    train::train,
    watch::{Stage, Watch},
};

/// Seconds between two signs of life: as long as a cancelled run may still be worked on.
const HEARTBEAT_SECONDS: f64 = 5.0;

/// One claimed run.
struct Claimed<'a> {
    line: &'a Line,
    lease: &'a Lease,
    watch: &'a dyn Watch,
    /// Whether the lease is known to be lost.
    lost: AtomicBool,
}

/// Carries out what is to be done with a claimed run, and keeps its lease alive meanwhile.
///
/// A failure is recorded, with its code, and returned.
pub(crate) fn carry_out(line: &Line, lease: &Lease, watch: &dyn Watch) -> Result<()> {
    let claimed = Claimed { line, lease, watch, lost: AtomicBool::new(false) };
    let done = Stop::default();
    thread::scope(|scope| {
        scope.spawn(|| claimed.keep_alive(&done));
        let _leaving = StopOnLeaving(&done);
        claimed.carry_out()
    })
}

impl Claimed<'_> {
    /// Tells the ledger again and again that the run is held. Where it says that it is not, or does not answer for as
    /// long as the lease lasts, the work stops at its next step.
    fn keep_alive(&self, done: &Stop) {
        let mut heard = Stopwatch::start();
        while !done.wait(HEARTBEAT_SECONDS) {
            match self.line.ledger.heartbeat(self.lease) {
                Ok(_) => heard = Stopwatch::start(),
                Err(failure)
                    if failure.code == Code::LeaseLost || heard.seconds() > f64::from(LEASE_SECONDS) =>
                {
                    self.lost.store(true, Ordering::Relaxed);
                    return;
                }
                Err(_) => {}
            }
        }
    }

    fn carry_out(&self) -> Result<()> {
        let result = match self.lease.mode() {
            Mode::PublishOnly => self.publish_only(),
            Mode::Full | Mode::None => self.full(),
        };
        match result {
            Ok(()) => self.line.settle(self.lease.run_id()),
            Err(failure) => Err(self.record(failure)?),
        }
    }

    /// The whole line, from wherever the ledger's evidence ends.
    fn full(&self) -> Result<()> {
        let request = self.request()?;
        self.line.require_receipts_earned(&request.platform_run_id, self.lease.run_id())?;
        let events = self.line.ledger.events(self.lease.run_id())?;
        // Another request may have joined in the meantime: its event shows the state too, and no evidence.
        let evaluated = |event: &&Event| event.state == State::EvalReady && holds_evidence(event);
        let candidate = match events.iter().rev().find(evaluated) {
            Some(event) => {
                let evidence = evidence_of(event)?;
                self.line.require_there(&request.platform_run_id, self.lease.run_id(), &evidence)?;
                Candidate::from_evidence(&evidence)?
            }
            None => Candidate { champion: self.champion(&request)?, ..self.train_and_evaluate(request)? },
        };
        // The ledger pins whom the candidate has to beat before a receipt is written: whoever carries the run on
        // writes the same receipt, whatever was promoted in the meantime.
        self.advance(State::EvalReady, None, &candidate.clone().into())?;
        self.watch.stage(Stage::Gate);
        match gate::judge(&*self.line.store, candidate.clone())? {
            Judged::Fail { receipt, eligibility } => {
                failpoint::hit(Failpoint::AfterVerdict)?;
                let evidence = Evidence {
                    gate_receipt: Some(receipt),
                    publish_eligibility: Some(eligibility),
                    ..candidate.into()
                };
                self.advance(State::Fail, None, &evidence)?;
                Ok(())
            }
            Judged::Pass(passed) => {
                let bundle = bundle::assemble(&*self.line.store, &self.line.keys, *passed)?;
                failpoint::hit(Failpoint::AfterVerdict)?;
                failpoint::hit(Failpoint::AfterBundle)?;
                if self.pass(&bundle)?.progress.state == State::Pass {
                    return self.line.ledger.release(self.lease).map(drop);
                }
                failpoint::hit(Failpoint::AfterIntent)?;
                self.publish(&bundle, &events)
            }
        }
    }

    /// Records the PASS and, where publishing is allowed, that it begins: then there is nothing to wait for between.
    fn pass(&self, bundle: &Publishable) -> Result<Run> {
        let detail = json!({ "evidence": bundle.evidence() });
        let reached = |state| Move::to(state, None, detail.clone());
        let publish = [reached(State::PublishPending), Move::begin_publish()];
        let mut moves = vec![reached(State::Pass)];
        if self.lease.run().progress.publish_allowed {
            moves.extend_from_slice(&publish);
        }
        let run = self.line.ledger.report(self.lease, &moves)?;
        // A request that joined since the claim may have allowed it.
        if run.progress.state == State::Pass && run.progress.publish_allowed {
            return self.line.ledger.report(self.lease, &publish);
        }
        Ok(run)
    }

    /// The scope's ACTIVE bundle, where the profile asks the candidate to beat it.
    fn champion(&self, request: &TrainBuildRequest) -> Result<Option<Reference<ModelBundle>>> {
        let profile = store::read_document(&*self.line.store, &request.governance_profile)?;
        if profile.champion_comparison.is_none() {
            return Ok(None);
        }
        let history = self.line.registry.history(&request.target_scope)?;
        Ok(history.active().map(|event| event.bundle.clone()))
    }

    fn train_and_evaluate(&self, request: Checked<TrainBuildRequest>) -> Result<Candidate> {
        let store = &*self.line.store;
        let mut seconds = BTreeMap::new();
        let admitted: Admitted = admit(store, request)?;
        let (resolved, plan) = self.timed(Stage::Resolve, &mut seconds, || resolve(store, &admitted))?;
        // Guards write nothing: the plan becomes durable while they look, and stands before anything names it.
        let (written, guarded) = thread::scope(|scope| {
            let writing = scope.spawn(|| plan.write(store));
            let guarded =
                self.timed(Stage::Guard, &mut seconds, || guard(store, &*self.line.clock, resolved, self));
            (writing.join(), guarded)
        });
        written.unwrap_or_else(|_| Err(Failure::new(Code::InternalError, "no plan written")))?;
        failpoint::hit(Failpoint::AfterPlan)?;
        let guarded = guarded?;
        let trained = self.timed(Stage::Train, &mut seconds, || train(guarded, self))?;
        self.watch.stage(Stage::Evaluate);
        evaluate(store, trained, seconds, self)
    }

    /// Publishing what passed before: judged again from the evidence, never trained.
    fn publish_only(&self) -> Result<()> {
        let (owner, run) = (self.request()?.into_inner().platform_run_id, self.lease.run_id());
        self.line.require_receipts_earned(&owner, run)?;
        let events = self.line.ledger.events(run)?;
        let evidence = latest_evidence(&events)?;
        // The bundle is written by whoever publishes it.
        self.line.require_there(&owner, run, &Evidence { bundle: None, ..evidence.clone() })?;
        match gate::confirm(&*self.line.store, &evidence)? {
            Judged::Fail { .. } => Err(Failure::new(Code::PublishNotEligible, "the gate said FAIL")),
            Judged::Pass(passed) => {
                let bundle = bundle::assemble(&*self.line.store, &self.line.keys, *passed)?;
                // Inputs were read before, so that only an attempt that really starts is counted.
                self.line.ledger.begin_publish(self.lease)?;
                failpoint::hit(Failpoint::AfterIntent)?;
                self.publish(&bundle, &events)
            }
        }
    }

    /// The handshake, which the ledger knows to have begun; `events` are those of the run as they were read before.
    fn publish(&self, bundle: &Publishable, events: &[Event]) -> Result<()> {
        self.watch.stage(Stage::Publish);
        let (requester, actor) = self.who_asked(events)?;
        let act = Act { actor, reason: format!("run {} passed its gate", self.lease.run_id()) };
        let publication = publish(&*self.line.store, &*self.line.registry, bundle, &requester, &act)?;
        let evidence = Evidence { publication: Some(publication), ..bundle.evidence() };
        self.advance(State::Published, None, &evidence).map(|_| ())
    }

    /// Who asked for the run first, and who was the first to allow publishing it. A history only grows: whom it named
    /// first before, it does now, and only where nobody had allowed it yet it is read again.
    fn who_asked(&self, events: &[Event]) -> Result<(Principal, Principal)> {
        let asked = match asked_and_allowed(events)? {
            None => asked_and_allowed(&self.line.ledger.events(self.lease.run_id())?)?,
            found => found,
        };
        asked.ok_or_else(|| Failure::new(Code::PublishNotAllowed, "no request allows to publish it"))
    }

    fn request(&self) -> Result<Checked<TrainBuildRequest>> {
        Checked::parse(self.lease.request())
    }

    fn advance(&self, to: State, reason: Option<Code>, evidence: &Evidence) -> Result<Run> {
        self.line.ledger.advance(self.lease, to, reason, json!({ "evidence": evidence }))
    }

    /// Records what stopped the run, and gives it back: somebody who cancelled it, where that came first. A transient
    /// failure or damage leaves it to be claimed again; what it left behind stays.
    fn record(&self, failure: Failure) -> Result<Failure> {
        let run = match self.line.ledger.run(self.lease.run_id()) {
            Ok(run) => run,
            // Also a ledger that has not answered for as long as a lease lasts takes it away.
            Err(_) if failure.code == Code::LeaseLost => return Ok(failure),
            Err(away) => return Err(away),
        };
        if run.reason == Some(Code::RunCancelled) {
            return self.cancelled();
        }
        if failure.code == Code::LeaseLost {
            return Ok(failure);
        }
        match self.report(&run, &failure) {
            // Somebody cancelled it or took it over since it was read, or what was thought lost came about.
            Err(lost)
                if lost.code == Code::LeaseLost
                    || lost.code == Code::InvalidTransition && failure.code != lost.code =>
            {
                self.record(lost)
            }
            reported => {
                reported?;
                // What stopped the run is what there is to tell; a receipt that cannot be written now is written later.
                self.line.settle(self.lease.run_id()).unwrap_or_default();
                Ok(failure)
            }
        }
    }

    /// Who cancelled the run, and why.
    fn cancelled(&self) -> Result<Failure> {
        let events = self.line.ledger.events(self.lease.run_id())?;
        let cancelled = events.iter().rev().find(|event| event.kind == EventKind::Cancelled);
        let told = cancelled.and_then(|event| event.detail.get("failure")?.as_str());
        Ok(Failure::new(Code::RunCancelled, told.unwrap_or_default()))
    }

    /// Reports to the ledger what stopped the run, which is as the ledger had it a moment ago.
    fn report(&self, run: &Run, failure: &Failure) -> Result<()> {
        if run.progress.is_at_rest() {
            // The ledger took the last step and its answer was lost: the run is where it was to go.
            return Ok(());
        }
        let publishing = matches!(
            (run.progress.state, run.progress.mode),
            (State::Running, Mode::PublishOnly) | (State::PublishPending, _)
        );
        let to = match (publishing, leaves_open(failure.code)) {
            (true, true) => State::PublishPending,
            (false, true) => State::Queued,
            (_, false) => State::Fail,
        };
        if run.progress.state == State::Pass {
            return self.line.ledger.release(self.lease).map(drop);
        }
        let evidence = latest_evidence(&self.line.ledger.events(self.lease.run_id())?)?;
        let detail = json!({ "evidence": evidence, "failure": failure.detail });
        let mut moves = vec![Move::to(to, Some(failure.code), detail)];
        if to == State::PublishPending {
            moves.push(Move::release());
        }
        self.line.ledger.report(self.lease, &moves).map(drop)
    }

    fn timed<T>(
        &self,
        stage: Stage,
        seconds: &mut BTreeMap<String, f64>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.watch.stage(stage);
        let watch = Stopwatch::start();
        let result = work()?;
        seconds.insert(stage.as_str().to_owned(), watch.seconds());
        Ok(result)
    }
}

/// The first to ask for a run, and the first to allow publishing it; none where nobody did both yet.
fn asked_and_allowed(events: &[Event]) -> Result<Option<(Principal, Principal)>> {
    let asked = events.iter().filter_map(|event| event.asked().transpose()).collect::<Result<Vec<_>>>()?;
    let first = asked.first().map(|(requester, _)| requester.clone());
    let allowed = asked.into_iter().find(|(_, allowed)| *allowed).map(|(requester, _)| requester);
    Ok(first.zip(allowed))
}

/// Whether a run may go on after this failure, with nothing about it changed: what stopped it was away, is not what was
/// pinned and can be put back, or was a step that the ledger has no place for where the run is. None of these says anything
/// about the run's content.
const fn leaves_open(code: Code) -> bool {
    code.retryable()
        || matches!(
            code,
            Code::ManifestDigestMismatch
                | Code::PartitionDigestMismatch
                | Code::TrainingConfigDigestMismatch
                | Code::GovernanceProfileDigestMismatch
                | Code::EvidenceDigestMismatch
                | Code::SignatureInvalid
                | Code::StoreCorrupt
                | Code::LedgerCorrupt
                | Code::InvalidTransition
        )
}

impl Progress for Claimed<'_> {
    /// Passes the step on, unless the run is no longer held: then it is not ours to work on.
    fn step(&self, done: u64, total: u64) -> Result<()> {
        if self.lost.load(Ordering::Relaxed) {
            return Err(Failure::new(
                Code::LeaseLost,
                format!("{} is no longer held by this worker", self.lease.run_id()),
            ));
        }
        self.watch.step(done, total)
    }
}
