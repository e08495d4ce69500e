//! The conductor: the only file that knows all stages.
//!
//! ```text
//!   submit ──► admit ──► ledger                  claim ──► FULL:          resolve, guard, train, evaluate
//!                                                   │                        EVAL_READY ──► gate ──► PASS | FAIL
//!                                                   └────► PUBLISH_ONLY:  confirm, begin, publish ──► PUBLISHED
//! ```
//!
//! Invariants: every effect on the ledger carries the lease; a run that died is carried on from the evidence
//! that the ledger holds by digest; a code raised in a stage stays that code; a transient failure, or damage to what
//! the run names, leaves it to be claimed again, a conflict ends it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use contracts::{
    Checked, Code, Failure, Reference, Result,
    bundle::ModelBundle,
    identity::ids::TrainRunId,
    names::{Name, ObjectKey, Principal},
    run_receipt::{Evidence, RunOutcome, RunReceipt},
    schema::SchemaVersion,
    signature::Signature,
    time::Timestamp,
    train_request::TrainBuildRequest,
};
use kernels::Progress;
use serde_json::{Value, json};

use crate::{
    admission::{Admitted, admit},
    bundle::{self, Publishable},
    candidate::Candidate,
    clock::{Clock, Stopwatch},
    evaluate::evaluate,
    failpoint::{self, Failpoint},
    gate::{self, Judged},
    guard::guard,
    keys::{self, Keys},
    layout,
    ledger::{Admission, Event, Lease, Ledger, Mode, Run, State, Submission},
    publish::publish,
    registry::{Act, Registry},
    resolve::resolve,
    store::{self, Store},
    train::train,
    watch::{Stage, Watch},
};

/// Seconds that a claim holds a run without a sign of life.
const LEASE_SECONDS: u32 = 120;

/// The line with its capabilities.
#[derive(Clone)]
pub struct Line {
    /// Where objects stand.
    pub store: Arc<dyn Store>,
    /// What happened to runs.
    pub ledger: Arc<dyn Ledger>,
    /// What is published and ACTIVE.
    pub registry: Arc<dyn Registry>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Whose word counts.
    pub keys: Arc<Keys>,
}

impl Line {
    /// Admits a request and records it; the same request, run or restart gives the same run.
    pub fn submit(&self, request: Checked<TrainBuildRequest>) -> Result<Admission> {
        let admitted = admit(&*self.store, request)?;
        let request = admitted.request();
        self.require_superseded(request)?;
        let payload_hash = request.payload_hash()?;
        let key = layout::by_content(&request.platform_run_id, "job_requests", &request.digest())?;
        store::write_document(&*self.store, &key, request)?;
        let admission = self.ledger.submit(&Submission {
            request_id: request.request_id.clone(),
            payload_hash,
            run_id: admitted.run().clone(),
            run_key: admitted.key().digest()?,
            request: request.bytes().to_vec(),
            publish_allowed: request.publish_allowed,
            requester: request.requester_principal.clone(),
        })?;
        failpoint::hit(Failpoint::AfterSubmit)?;
        Ok(admission)
    }

    /// A correction names a run that there is.
    fn require_superseded(&self, request: &TrainBuildRequest) -> Result<()> {
        let Some(run) = &request.supersedes else { return Ok(()) };
        self.ledger.run(run).map(drop).map_err(|failure| match failure.code {
            Code::RunNotFound => {
                Failure::at(Code::RequestInvalid, "/supersedes", "a run of this factory", "another id")
            }
            _ => failure,
        })
    }

    /// Claims one run, or only the given one, and carries it as far as it goes. `None` where nothing is to do.
    ///
    /// A failure of the run is recorded, with its code, and returned. A worker that finds nothing to do writes
    /// the receipts that a crash left undone. Refuses with `SIGNING_KEY_UNAVAILABLE` where nobody could sign them.
    pub fn work(&self, worker: &Name, only: Option<&TrainRunId>, watch: &dyn Watch) -> Result<Option<Run>> {
        self.keys.require_signer()?;
        let Some(lease) = self.ledger.claim(worker, LEASE_SECONDS, only)? else {
            only.map_or_else(|| self.settle_all(), |run| self.settle(run))?;
            return Ok(None);
        };
        failpoint::hit(Failpoint::AfterClaim)?;
        let job = Job { line: self, lease: &lease, watch, seen: Mutex::new(self.clock.now()) };
        job.carry_out()?;
        self.ledger.run(lease.run_id()).map(Some)
    }

    /// What a run left behind, as the ledger holds it.
    pub fn evidence(&self, run: &TrainRunId) -> Result<Evidence> {
        latest_evidence(&self.ledger.events(run)?)
    }

    /// Writes the receipts that a run has earned and that are missing: what a crash between the ledger and the
    /// receipt leaves undone.
    pub fn settle(&self, run: &TrainRunId) -> Result<()> {
        for (key, receipt) in self.earned_receipts(run)? {
            keys::write_signed(&*self.store, &self.keys, &key, receipt)?;
            failpoint::hit(Failpoint::AfterReceiptRun)?;
        }
        Ok(())
    }

    /// The receipts that a run has earned, not signed yet, with where they stand. A run that was published after it
    /// passed has both.
    pub(crate) fn earned_receipts(&self, run: &TrainRunId) -> Result<Vec<(ObjectKey, RunReceipt)>> {
        let row = self.ledger.run(run)?;
        let request = Checked::<TrainBuildRequest>::parse(&row.request)?;
        let events = self.ledger.events(run)?;
        let mut earned = Vec::new();
        for (state, outcome) in [
            (State::Pass, RunOutcome::Pass),
            (State::Fail, RunOutcome::Fail),
            (State::Published, RunOutcome::Published),
        ] {
            let reached = |event: &Event| event.state == state && holds_evidence(event);
            let Some(position) = events.iter().position(reached) else { continue };
            let last = &events[position];
            let receipt = RunReceipt {
                schema_version: SchemaVersion::default(),
                train_run_id: run.clone(),
                outcome,
                code: last.reason,
                evidence: latest_evidence(&events[..=position])?,
                ledger_events: last.sequence,
                ledger_head: last.hash.to_string().parse()?,
                signature: Signature::missing(),
            };
            earned.push((layout::receipt(&request.platform_run_id, run, state)?, receipt));
        }
        Ok(earned)
    }

    /// Settles every run at rest that has no receipt of its state.
    fn settle_all(&self) -> Result<()> {
        for state in [State::Pass, State::Fail, State::Published] {
            for run in self.ledger.runs(Some(state), u32::MAX)? {
                let request = Checked::<TrainBuildRequest>::parse(&run.request)?;
                let key = layout::receipt(&request.platform_run_id, &run.run_id, state)?;
                if self.store.get(&key)?.is_none() {
                    self.settle(&run.run_id)?;
                }
            }
        }
        Ok(())
    }
}

/// One claimed run.
struct Job<'a> {
    line: &'a Line,
    lease: &'a Lease,
    watch: &'a dyn Watch,
    /// When the ledger last heard of us.
    seen: Mutex<Timestamp>,
}

impl Job<'_> {
    fn carry_out(&self) -> Result<()> {
        let result = match self.lease.mode() {
            Mode::PublishOnly => self.publish_only(),
            Mode::Full | Mode::None => self.full(),
        };
        match result {
            Ok(()) => self.line.settle(self.lease.run_id()),
            Err(failure) => {
                self.record(&failure)?;
                Err(failure)
            }
        }
    }

    /// The whole line, from wherever the ledger's evidence ends.
    fn full(&self) -> Result<()> {
        let judged_before = self.line.ledger.events(self.lease.run_id())?;
        // Another request may have joined in the meantime: its event shows the state too, and no evidence.
        let evaluated = |event: &&Event| event.state == State::EvalReady && holds_evidence(event);
        let candidate = match judged_before.iter().rev().find(evaluated) {
            Some(event) => Candidate::from_evidence(&evidence_of(event)?)?,
            None => Candidate { champion: self.champion()?, ..self.train_and_evaluate()? },
        };
        // The ledger pins whom the candidate has to beat before a receipt is written: whoever carries the run on
        // writes the same receipt, whatever was promoted in the meantime.
        self.advance(State::EvalReady, None, &candidate.clone().into())?;
        self.watch.stage(Stage::Gate);
        match gate::judge(&*self.line.store, candidate.clone())? {
            Judged::Fail { receipt, eligibility } => {
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
                failpoint::hit(Failpoint::AfterBundle)?;
                let run = self.advance(State::Pass, None, &bundle.evidence())?;
                self.line.settle(self.lease.run_id())?;
                if !run.progress.publish_allowed {
                    return self.line.ledger.release(self.lease).map(|_| ());
                }
                self.advance(State::PublishPending, None, &bundle.evidence())?;
                self.publish(&bundle)
            }
        }
    }

    /// The scope's ACTIVE bundle, where the profile asks the candidate to beat it.
    fn champion(&self) -> Result<Option<Reference<ModelBundle>>> {
        let request = self.request()?;
        let profile = store::read_document(&*self.line.store, &request.governance_profile)?;
        if profile.champion_comparison.is_none() {
            return Ok(None);
        }
        let history = self.line.registry.history(&request.target_scope)?;
        Ok(history.active().map(|event| event.bundle.clone()))
    }

    fn train_and_evaluate(&self) -> Result<Candidate> {
        let store = &*self.line.store;
        let mut seconds = BTreeMap::new();
        let admitted: Admitted = admit(store, self.request()?)?;
        let resolved = self.timed(Stage::Resolve, &mut seconds, || resolve(store, &admitted))?;
        failpoint::hit(Failpoint::AfterPlan)?;
        let guarded =
            self.timed(Stage::Guard, &mut seconds, || guard(store, &*self.line.clock, resolved, self))?;
        let trained = self.timed(Stage::Train, &mut seconds, || train(store, guarded, self))?;
        self.watch.stage(Stage::Evaluate);
        evaluate(store, trained, seconds, self)
    }

    /// Publishing what passed before: judged again from the evidence, never trained.
    fn publish_only(&self) -> Result<()> {
        let evidence = latest_evidence(&self.line.ledger.events(self.lease.run_id())?)?;
        match gate::confirm(&*self.line.store, &evidence)? {
            Judged::Fail { .. } => Err(Failure::new(Code::PublishNotEligible, "the gate said FAIL")),
            Judged::Pass(passed) => {
                self.publish(&bundle::assemble(&*self.line.store, &self.line.keys, *passed)?)
            }
        }
    }

    /// The handshake. Inputs were read before, so that only an attempt that really starts is counted.
    fn publish(&self, bundle: &Publishable) -> Result<()> {
        self.watch.stage(Stage::Publish);
        self.line.ledger.begin_publish(self.lease)?;
        failpoint::hit(Failpoint::AfterIntent)?;
        let (requester, actor) = self.who_asked()?;
        let act = Act { actor, reason: format!("run {} passed its gate", self.lease.run_id()) };
        let publication = publish(&*self.line.store, &*self.line.registry, bundle, &requester, &act)?;
        let evidence = Evidence { publication: Some(publication), ..bundle.evidence() };
        self.advance(State::Published, None, &evidence).map(|_| ())
    }

    /// Who asked for the run first, and who was the first to allow publishing it.
    fn who_asked(&self) -> Result<(Principal, Principal)> {
        let events = self.line.ledger.events(self.lease.run_id())?;
        let asked =
            events.iter().filter_map(|event| event.asked().transpose()).collect::<Result<Vec<_>>>()?;
        let first = asked.first().map(|(requester, _)| requester.clone());
        let allowed = asked.into_iter().find(|(_, allowed)| *allowed).map(|(requester, _)| requester);
        first
            .zip(allowed)
            .ok_or_else(|| Failure::new(Code::PublishNotAllowed, "no request allows to publish it"))
    }

    fn request(&self) -> Result<Checked<TrainBuildRequest>> {
        Checked::parse(self.lease.request())
    }

    fn advance(&self, to: State, reason: Option<Code>, evidence: &Evidence) -> Result<Run> {
        self.line.ledger.advance(self.lease, to, reason, json!({ "evidence": evidence }))
    }

    /// Records what stopped the run. A transient failure or damage leaves it to be claimed again; what it left
    /// behind stays.
    fn record(&self, failure: &Failure) -> Result<()> {
        if failure.code == Code::LeaseLost {
            return Ok(());
        }
        let run = self.line.ledger.run(self.lease.run_id())?;
        if run.progress.is_at_rest() {
            // The ledger took the last step and its answer was lost: the run is where it was to go.
            return self.line.settle(self.lease.run_id());
        }
        let publishing = matches!(
            (run.progress.state, run.progress.mode),
            (State::Running, Mode::PublishOnly) | (State::PublishPending, _)
        );
        let to = match (publishing, leaves_open(failure.code)) {
            (true, true) if run.progress.state == State::PublishPending => {
                return self.line.ledger.release(self.lease).map(|_| ());
            }
            (true, true) => State::PublishPending,
            (false, true) => State::Queued,
            (_, false) => State::Fail,
        };
        if run.progress.state == State::Pass {
            return self.line.ledger.release(self.lease).map(|_| ());
        }
        let evidence = latest_evidence(&self.line.ledger.events(self.lease.run_id())?)?;
        let detail = json!({ "evidence": evidence, "failure": failure.detail });
        let run = self.line.ledger.advance(self.lease, to, Some(failure.code), detail)?;
        if to == State::PublishPending {
            self.line.ledger.release(self.lease)?;
        }
        self.line.settle(&run.run_id)
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

/// Whether a run may go on after this failure, with nothing about it changed: what stopped it was away, or is not
/// what was pinned and can be put back. Neither says anything about the run's content.
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
        )
}

impl Progress for Job<'_> {
    /// Passes the step on, and lets the ledger know now and then that the lease is held.
    fn step(&self, done: u64, total: u64) -> Result<()> {
        let now = self.line.clock.now();
        let due = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let due = now.nanoseconds() - seen.nanoseconds() > i64::from(LEASE_SECONDS) * 1_000_000_000 / 4;
            if due {
                *seen = now;
            }
            due
        };
        if due {
            self.line.ledger.heartbeat(self.lease)?;
        }
        self.watch.step(done, total)
    }
}

fn holds_evidence(event: &Event) -> bool {
    event.detail.get("evidence").is_some()
}

fn evidence_of(event: &Event) -> Result<Evidence> {
    let value =
        event.detail.get("evidence").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    serde_json::from_value(value).map_err(|_| {
        Failure::new(
            Code::LedgerCorrupt,
            format!("event {} of {} holds no evidence", event.sequence, event.run_id),
        )
    })
}

/// The evidence of the latest event that holds some.
fn latest_evidence(events: &[Event]) -> Result<Evidence> {
    events
        .iter()
        .rev()
        .find(|event| holds_evidence(event))
        .map_or_else(|| Ok(Evidence::default()), evidence_of)
}
