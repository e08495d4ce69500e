//! What people and workers ask of the line: requests go in, runs are carried out, stopped, and let go on.
//!
//! ```text
//!   submit ──► admit ──► ledger ──► take ──► run.rs ──► ledger, receipts
//!                          ▲                   ▲
//!                          ├─── cancel ────────┘ its lease is lost
//!                          └─── allow_retries: a pending publication, anew
//! ```
//!
//! Invariants: a run is carried out only by who holds its lease; whoever decides about one is named in the ledger.

use std::collections::BTreeMap;

use contracts::{
    Checked, Code, Failure, Result,
    governance_profile::{Allowed, Roles},
    identity::ids::TrainRunId,
    names::{Name, PlatformRunId, Principal},
    reason::Reason,
    train_request::TrainBuildRequest,
};
use serde_json::json;

use crate::{
    admission::admit,
    failpoint::{self, Failpoint},
    layout,
    ledger::{Admission, Lease, Run, Step, Submission},
    line::{LEASE_SECONDS, Line},
    run, store,
    watch::Watch,
};

/// What became of a claimed run.
#[derive(Debug)]
pub struct Worked {
    /// The run.
    pub run_id: TrainRunId,
    /// As the ledger has it now; none where that cannot be read, which is a failure too.
    pub run: Option<Run>,
    /// What stopped it, or its worker.
    pub failure: Option<Failure>,
}

impl Line {
    /// Admits a request and records it; the same request, run or restart gives the same run.
    ///
    /// Refuses with `EVIDENCE_UNRESOLVED`, for good, a run that came to rest before and lost what it left behind, and with
    /// `STORE_CORRUPT` objects that are not those of the ledger.
    pub fn submit(&self, request: Checked<TrainBuildRequest>) -> Result<Admission> {
        let admission = self.recorded(request, |submission| self.ledger.submit(submission))?;
        // Of a run that is carried on whoever does that looks.
        if !admission.fresh && admission.run.progress.apply(Step::Claim).is_err() {
            self.require_kept(&admission.run.run_id)?;
        }
        Ok(admission)
    }

    /// Admits a request and carries its run as far as it goes: [`submit`](Self::submit) and [`work`](Self::work) on that
    /// run, but a run that the request makes is claimed as it is recorded. Gives the run.
    pub fn train(
        &self,
        request: Checked<TrainBuildRequest>,
        worker: &Name,
        watch: &dyn Watch,
    ) -> Result<TrainRunId> {
        self.keys.require_signer()?;
        let (admission, lease) = self.recorded(request, |submission| {
            self.ledger.submit_and_claim(submission, worker, LEASE_SECONDS)
        })?;
        let run = admission.run.run_id;
        match lease {
            Some(lease) => self.carry_out(&lease, watch).failure.map_or(Ok(()), Err)?,
            None => self.work(worker, Some(&run), watch).map(drop)?,
        }
        Ok(run)
    }

    /// Admits a request, keeps it, and has it recorded.
    fn recorded<T>(
        &self,
        request: Checked<TrainBuildRequest>,
        record: impl FnOnce(&Submission) -> Result<T>,
    ) -> Result<T> {
        self.require_own_objects()?;
        let admitted = admit(&*self.store, request)?;
        let request = admitted.request();
        self.require_superseded(request)?;
        let payload_hash = request.payload_hash()?;
        let key = layout::by_content(&request.platform_run_id, "train_requests", &request.digest())?;
        store::write_document(&*self.store, &key, request)?;
        let recorded = record(&Submission {
            request_id: request.request_id.clone(),
            payload_hash,
            run_id: admitted.run().clone(),
            run_key: admitted.key().digest()?,
            request: request.bytes().to_vec(),
            publish_allowed: request.publish_allowed,
            requester: request.requester_principal.clone(),
        })?;
        failpoint::hit(Failpoint::AfterSubmit)?;
        Ok(recorded)
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
    /// the receipts that a crash left undone. Refuses with `SIGNING_KEY_UNAVAILABLE` where nobody could sign them, and as
    /// [`submit`](Self::submit) what was lost.
    pub fn work(&self, worker: &Name, only: Option<&TrainRunId>, watch: &dyn Watch) -> Result<Option<Run>> {
        if let Some(worked) = self.take(worker, only, watch)? {
            return worked.failure.map_or(Ok(worked.run), Err);
        }
        match only {
            Some(run) => self.settle_kept(run)?,
            None => self.settle_lately(&mut BTreeMap::new())?,
        }
        Ok(None)
    }

    /// Claims one run, or only the given one, and carries it as far as it goes: what became of it, or `None` where
    /// nothing is to do. Refuses with `SIGNING_KEY_UNAVAILABLE`, with `STORE_CORRUPT` objects that are not those of the
    /// ledger, and as claiming does.
    pub(crate) fn take(
        &self,
        worker: &Name,
        only: Option<&TrainRunId>,
        watch: &dyn Watch,
    ) -> Result<Option<Worked>> {
        self.keys.require_signer()?;
        self.require_own_objects()?;
        let lease = self.ledger.claim(worker, LEASE_SECONDS, only)?;
        Ok(lease.map(|lease| self.carry_out(&lease, watch)))
    }

    /// Carries a claimed run as far as it goes.
    fn carry_out(&self, lease: &Lease, watch: &dyn Watch) -> Worked {
        let run_id = lease.run_id().clone();
        let done = failpoint::hit(Failpoint::AfterClaim).and_then(|()| run::carry_out(self, lease, watch));
        let (run, failure) = match (self.ledger.run(&run_id), done.err()) {
            (Ok(run), failure) => (Some(run), failure),
            // Why it stopped says more than why nobody knows where it is.
            (Err(away), failure) => (None, failure.or(Some(away))),
        };
        Worked { run_id, run, failure }
    }

    /// Stops a run for good, for somebody who may ask for it: FAIL with `RUN_CANCELLED`, whoever carries it out.
    ///
    /// Refuses with `ACTOR_NOT_ALLOWED` whom the profile does not let request runs, with `INVALID_TRANSITION` a run that
    /// was judged already, with `LEDGER_CORRUPT` one that was by what stands in the store, and with `STORE_CORRUPT` objects
    /// that are not those of the ledger.
    pub fn cancel(&self, run: &TrainRunId, actor: &Principal, reason: &Reason) -> Result<Run> {
        self.keys.require_signer()?;
        self.require_own_objects()?;
        let owner = self.require_decider(run, actor, |roles| (&roles.request, "request or cancel a run"))?;
        self.require_receipts_earned(&owner, run)?;
        let evidence = self.evidence(run)?;
        let reason = reason.as_str();
        let failure = format!("{actor} stopped it: {reason}");
        let detail = json!({ "evidence": evidence, "actor": actor, "reason": reason, "failure": failure });
        let cancelled = self.ledger.cancel(run, detail)?;
        self.settle(run)?;
        Ok(cancelled)
    }

    /// Lets a pending publication be tried anew, as often as at first and beginning at once, for somebody who may ask
    /// for publication: once what kept it from succeeding is mended.
    ///
    /// Refuses with `ACTOR_NOT_ALLOWED` whom the profile does not let publish, and with `RETRY_NOT_PENDING` a run that
    /// is not `PUBLISH_PENDING`.
    pub fn allow_retries(&self, run: &TrainRunId, actor: &Principal, reason: &Reason) -> Result<Run> {
        self.require_decider(run, actor, |roles| (&roles.publish, "publish, or retry to"))?;
        let allowed = self.ledger.allow_retries(run, json!({ "actor": actor, "reason": reason.as_str() }));
        allowed.map_err(|failure| match failure.code {
            Code::InvalidTransition => failure.with_code(Code::RetryNotPending),
            _ => failure,
        })
    }

    /// Refuses a decision about a run that its profile does not let this principal take; gives whose run it is.
    fn require_decider(
        &self,
        run: &TrainRunId,
        actor: &Principal,
        role: impl Fn(&Roles) -> (&Allowed, &str),
    ) -> Result<PlatformRunId> {
        let request = Checked::<TrainBuildRequest>::parse(&self.ledger.run(run)?.request)?;
        let profile = store::read_document(&*self.store, &request.governance_profile)?;
        let (allowed, what) = role(&profile.roles);
        if allowed.allows(actor) {
            return Ok(request.platform_run_id.clone());
        }
        let detail = format!("the governance profile does not let this principal {what}");
        Err(Failure::new(Code::ActorNotAllowed, detail))
    }
}
