//! The inbox of a platform run: jobs that a scheduler leaves in the store, and the receipts that answer them.
//!
//! ```text
//!   post ──► job_requests/NAME.json ──► take_up: read, fit, admit ──► ledger (QUEUED)
//!                                           │ not a job, or may not run      │
//!                                           ▼                                ▼
//!                                 job_invocations/NAME.json: QUARANTINED | ADMITTED
//! ```
//!
//! Flows in: objects that anybody may have put there. Flows out: runs in the ledger, and one receipt a job. Invariants:
//! a job is admitted before its receipt stands, so that a worker that dies between the two answers it again with the
//! same run; whatever a job is, the next one is served; what only was away is looked at again later.

use contracts::{
    Checked, Code, Digest, Failure, Reference, Result,
    error_response::ErrorResponse,
    job::{JobInvocation, JobOutcome, JobRequest},
    names::{Name, ObjectKey, PlatformRunId},
    run_config::RunConfig,
    schema::SchemaVersion,
    signature::Signature,
    train_request::TrainBuildRequest,
};

use crate::{
    failpoint::{self, Failpoint},
    keys,
    line::Line,
    store,
};

const REQUESTS: &str = "job_requests";
const INVOCATIONS: &str = "job_invocations";

/// What a worker made of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// It is answered with this receipt.
    Answered(Box<Checked<JobInvocation>>),
    /// It is left: for the workers of another configuration, or until what was away is there.
    Left(Failure),
}

impl Line {
    /// Leaves a request for the workers of a configuration; the same job twice is one.
    ///
    /// Refuses a request of another platform run or configuration, and with `JOB_REQUEST_IMMUTABILITY_VIOLATION` another
    /// job under a name that is taken.
    pub fn post(
        &self,
        name: &Name,
        config: &RunConfig,
        request: &Checked<TrainBuildRequest>,
    ) -> Result<Reference<JobRequest>> {
        config.require_fit(request)?;
        let job = Checked::new(JobRequest {
            schema_version: SchemaVersion::default(),
            run_config_digest: config.digest()?,
            train_request: (**request).clone(),
        })?;
        let key = in_folder(&config.platform_run_id, REQUESTS)?.join(&format!("{name}.json"))?;
        store::write_document(&*self.store, &key, &job)
    }

    /// Takes up the jobs of a configuration that nobody answered yet, in the order of their names, and tells what became
    /// of each. `taken` says whether to go on with the next.
    pub fn take_up(
        &self,
        config: &RunConfig,
        mut taken: impl FnMut(&ObjectKey, Taken) -> bool,
    ) -> Result<()> {
        self.keys.require_signer()?;
        let jobs = in_folder(&config.platform_run_id, REQUESTS)?;
        let answers = in_folder(&config.platform_run_id, INVOCATIONS)?;
        let answered = self.store.list(&answers)?;
        let found = match self.store.list(&jobs) {
            // Others write there: what is no file keeps jobs from being answered, and nobody from runs.
            Err(failure) if failure.code == Code::StoreCorrupt => {
                taken(&jobs, Taken::Left(failure));
                return Ok(());
            }
            found => found?,
        };
        for job in found {
            let name = job.as_str().strip_prefix(jobs.as_str()).unwrap_or_default().trim_start_matches('/');
            // What lies deeper is no job: two of them could have one answer.
            if name.contains('/') {
                continue;
            }
            let answer = answers.join(name)?;
            if answered.binary_search(&answer).is_err() && !taken(&job, self.answer(config, &job, &answer)?) {
                break;
            }
        }
        Ok(())
    }

    /// Answers one job; fails only where the receipt cannot be written.
    fn answer(&self, config: &RunConfig, job: &ObjectKey, answer: &ObjectKey) -> Result<Taken> {
        let bytes = match self.store.get(job) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Taken::Left(away(job))),
            Err(failure) => return Ok(Taken::Left(failure)),
        };
        let parsed = Checked::<JobRequest>::parse(&bytes);
        let own = config.digest()?;
        if parsed.as_ref().is_ok_and(|request| request.run_config_digest != own) {
            return Ok(Taken::Left(Failure::at(
                Code::RunConfigMismatch,
                format!("{job} /run_config_digest"),
                format!("{own}, the worker's run configuration"),
                "another",
            )));
        }
        let admitted = parsed.and_then(|request| {
            let request = request.into_inner().train_request;
            config.require_fit(&request)?;
            Ok(self.submit(Checked::new(request)?)?.run.run_id)
        });
        let (train_run_id, failure) = match admitted {
            Ok(run) => (Some(run), None),
            Err(failure) if failure.retryable() => return Ok(Taken::Left(failure)),
            Err(failure) => (None, Some(ErrorResponse::from(&failure))),
        };
        failpoint::hit(Failpoint::AfterJob)?;
        let outcome = if failure.is_none() { JobOutcome::Admitted } else { JobOutcome::Quarantined };
        let receipt = JobInvocation {
            schema_version: SchemaVersion::default(),
            job: Reference { uri: job.clone(), digest: Digest::of(&bytes) },
            outcome,
            train_run_id,
            failure,
            signature: Signature::missing(),
        };
        let written = keys::write_signed::<JobInvocation, _>(&*self.store, |batch| {
            let signed = keys::standing_or_signed(&*self.store, &self.keys, answer, receipt.clone())?;
            batch.add_document(answer.clone(), &signed);
            Ok(signed)
        });
        match written {
            Ok(receipt) => Ok(Taken::Answered(Box::new(receipt))),
            // Another worker was first and says otherwise, such as one of another release: its word stands.
            Err(failure) if failure.code == Code::JobInvocationImmutabilityViolation => {
                Ok(Taken::Left(failure))
            }
            Err(failure) => Err(failure),
        }
    }
}

fn in_folder(platform_run: &PlatformRunId, folder: &str) -> Result<ObjectKey> {
    ObjectKey::new(format!("{platform_run}/mf/{folder}"))
}

fn away(job: &ObjectKey) -> Failure {
    Failure::new(Code::StoreUnavailable, format!("{job} was there a moment ago"))
}
