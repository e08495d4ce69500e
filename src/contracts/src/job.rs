//! Jobs: requests that a scheduler leaves in the store for the workers, and what became of each.
//!
//! ```text
//!   <platform run>/mf/job_requests/NAME.json ──► a worker looks ──► <platform run>/mf/job_invocations/NAME.json
//! ```
//!
//! Invariants: a job is answered once, by the first worker that can; a receipt holds no time, so that whoever answers
//! the same job says the same; what is no job by its content is answered as well. No worker moves or changes a job. Its
//! owner may clear an answered one away, whose name stays used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Code, Problem,
    error_response::ErrorResponse,
    identity::{digest::Digest, ids::TrainRunId},
    reference::Reference,
    run_config::RunConfig,
    schema::{Artifact, Document, Problems, SchemaVersion, artifact},
    signature::{Signature, signed},
    train_request::TrainBuildRequest,
};

/// A request for a run, left for the workers of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The configuration that the run is to be carried out under.
    pub run_config_digest: Digest<RunConfig>,
    /// What is asked for.
    pub train_request: TrainBuildRequest,
}

artifact!(
    JobRequest,
    "job_request",
    JobRequestInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    JobRequestImmutabilityViolation
);

impl Document for JobRequest {
    fn check(&self, problems: &mut Problems) {
        let mut own = Problems::default();
        self.train_request.check(&mut own);
        problems.below("/train_request", own);
    }

    /// What is wrong with the request alone has the code that the request has outside of a job.
    fn code(problems: &[Problem]) -> Code {
        let inner = |problem: &Problem| {
            let pointer = problem.pointer.strip_prefix("/train_request")?.to_owned();
            Some(Problem { pointer, ..problem.clone() })
        };
        match problems.iter().map(inner).collect::<Option<Vec<_>>>() {
            Some(problems) => TrainBuildRequest::code(&problems),
            None => Self::INVALID,
        }
    }
}

/// What a worker did with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobOutcome {
    /// The ledger has the run.
    Admitted,
    /// The job is no job, or must not run. It is not looked at again.
    Quarantined,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobInvocation {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The job, by the bytes that were looked at.
    pub job: Reference<JobRequest>,
    /// What was done with it.
    pub outcome: JobOutcome,
    /// The run, where it was admitted.
    pub train_run_id: Option<TrainRunId>,
    /// Why it was not.
    pub failure: Option<ErrorResponse>,
    /// The factory that looked.
    pub signature: Signature,
}

artifact!(
    JobInvocation,
    "job_invocation",
    EvidenceInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    JobInvocationImmutabilityViolation
);
signed!(JobInvocation, "job_invocation_signature.v1");

impl Document for JobInvocation {
    fn check(&self, problems: &mut Problems) {
        let admitted = self.outcome == JobOutcome::Admitted;
        problems.require(
            self.train_run_id.is_some() == admitted,
            "/train_run_id",
            "a run where the job was admitted, and only there",
            "the opposite",
        );
        problems.require(
            self.failure.is_none() == admitted,
            "/failure",
            "a failure where the job was quarantined, and only there",
            "the opposite",
        );
    }
}
