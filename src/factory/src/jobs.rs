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
//! same run; whatever a job is, the next one is served; a receipt says what the job is to blame for, and whatever else
//! keeps it from running is looked at again later; nothing in the inbox is passed over without a word.

use std::{collections::BTreeMap, fmt::Display};

use contracts::{
    Checked, Code, Digest, Failure, Reference, Result,
    error_response::ErrorResponse,
    identity::canonical::MAX_BYTES,
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
    layout::last_segment,
    line::Line,
    store,
};

const REQUESTS: &str = "job_requests";
const INVOCATIONS: &str = "job_invocations";
const SUFFIX: &str = ".json";

/// What a worker made of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// It is answered with this receipt.
    Answered(Box<Checked<JobInvocation>>),
    /// It is left: for the workers of another configuration, until what was away or damaged is there, or since it is no
    /// job.
    Left(Failure),
}

impl Line {
    /// Leaves a request for the workers of a configuration; the same job twice is one.
    ///
    /// Refuses a request of another platform run or configuration, and with `JOB_REQUEST_IMMUTABILITY_VIOLATION` another
    /// job under a name that is taken: by one that stands there, or by one that was answered and cleared away.
    pub fn post(
        &self,
        name: &Name,
        config: &RunConfig,
        request: &Checked<TrainBuildRequest>,
    ) -> Result<Reference<JobRequest>> {
        self.require_own_objects()?;
        let file = file_of(name)?;
        let key = in_folder(&config.platform_run_id, REQUESTS)?.join(&file)?;
        let job = job_of(config, request).map_err(|failure| about(&key, failure))?;
        let answer = in_folder(&config.platform_run_id, INVOCATIONS)?.join(&file)?;
        let answered = store::find_document::<JobInvocation>(&*self.store, &answer)
            .map_err(|failure| about(&answer, failure))?;
        if answered.is_some_and(|receipt| receipt.job.digest != job.digest()) {
            let code = Code::JobRequestImmutabilityViolation;
            return Err(Failure::at(
                code,
                key.as_str(),
                "the job that was answered under this name",
                "another",
            ));
        }
        store::write_document(&*self.store, &key, &job)
    }

    /// Takes up the jobs of a configuration that nobody answered yet, in the order of their names, and tells what became
    /// of each, and of what lies there and is no job. `taken` says whether to go on with the next. Refuses with
    /// `STORE_CORRUPT` objects that are not those of the ledger.
    pub fn take_up(
        &self,
        config: &RunConfig,
        mut taken: impl FnMut(&ObjectKey, Taken) -> bool,
    ) -> Result<()> {
        self.keys.require_signer()?;
        self.require_own_objects()?;
        let answers = in_folder(&config.platform_run_id, INVOCATIONS)?;
        let answered = self.store.list(&answers)?;
        for (job, obstacle) in self.inbox(&in_folder(&config.platform_run_id, REQUESTS)?)? {
            let answer = answers.join(last_segment(&job))?;
            // Without a place for its answer it would be admitted at each look.
            let obstacle = obstacle.or_else(|| answered.refusal(&answer).map(|failure| about(&job, failure)));
            let became = match obstacle {
                Some(failure) => Taken::Left(failure),
                None if answered.keys.binary_search(&answer).is_ok() => continue,
                None => self.answer(config, &job, &answer)?,
            };
            if !taken(&job, became) {
                break;
            }
        }
        Ok(())
    }

    /// What lies in an inbox, each with what keeps it from being a job; what has no key is told of at the inbox's own.
    fn inbox(&self, jobs: &ObjectKey) -> Result<BTreeMap<ObjectKey, Option<Failure>>> {
        let found = self.store.list(jobs)?;
        let mut inbox: BTreeMap<_, _> =
            found.refused.into_iter().map(|(key, failure)| (key, Some(failure))).collect();
        if found.unnamed > 0 {
            let shape = format!("{} of another form", found.unnamed);
            inbox.entry(jobs.clone()).or_insert_with(|| Some(no_job(Code::StoreKeyInvalid, jobs, &shape)));
        }
        let empty = found.empty.into_iter().map(|key| (key, true));
        for (key, is_folder) in found.keys.into_iter().map(|key| (key, false)).chain(empty) {
            let path = key.as_str().strip_prefix(jobs.as_str()).unwrap_or_default().trim_start_matches('/');
            let (key, shape) = match path.split_once('/') {
                // Two of what lies deeper could have one answer.
                Some((folder, _)) => (jobs.join(folder)?, Some("a folder")),
                None if is_folder => (key, Some("a folder")),
                None if path.ends_with(SUFFIX) => (key, None),
                None => (key, Some("a name that ends otherwise")),
            };
            let obstacle = shape.map(|shape| no_job(Code::JobRequestInvalid, &key, shape));
            inbox.entry(key).or_insert(obstacle);
        }
        Ok(inbox)
    }

    /// Answers one job; fails only where the receipt cannot be written.
    fn answer(&self, config: &RunConfig, job: &ObjectKey, answer: &ObjectKey) -> Result<Taken> {
        let (digest, parsed) = match self.read_job(job) {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(Taken::Left(away(job))),
            Err(failure) => return Ok(Taken::Left(failure)),
        };
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
            Err(failure) if is_no_fault_of_the_job(failure.code) => {
                return Ok(Taken::Left(about(job, failure)));
            }
            Err(failure) => (None, Some(ErrorResponse::from(&failure))),
        };
        failpoint::hit(Failpoint::AfterJob)?;
        let outcome = if failure.is_none() { JobOutcome::Admitted } else { JobOutcome::Quarantined };
        let receipt = JobInvocation {
            schema_version: SchemaVersion::default(),
            job: Reference { uri: job.clone(), digest },
            outcome,
            train_run_id,
            failure,
            signature: Signature::missing(),
        };
        self.write_receipt(answer, &receipt)
    }

    /// The digest of a job, and the job where it is one; none where nothing is there. What is too large for a document is
    /// not read: it would keep the others waiting for as long as that takes.
    fn read_job(&self, job: &ObjectKey) -> Result<Option<ReadJob>> {
        match self.store.size(job)? {
            Some(size) if size > MAX_BYTES as u64 => {
                let expected = format!("a document of at most {MAX_BYTES} bytes");
                let found = format!("{size} bytes");
                Err(Failure::at(Code::JobRequestInvalid, job.as_str(), expected, found).with_hint(TAKE_AWAY))
            }
            Some(_) => {
                let bytes = self.store.get(job)?;
                Ok(bytes.map(|bytes| (Digest::of(&bytes), Checked::parse(&bytes))))
            }
            None => Ok(None),
        }
    }

    fn write_receipt(&self, answer: &ObjectKey, receipt: &JobInvocation) -> Result<Taken> {
        let written = keys::write_signed::<JobInvocation, _>(&*self.store, |batch| {
            let signed = keys::standing_or_signed(&*self.store, &self.keys, answer, receipt.clone())?;
            batch.add_document(answer.clone(), &signed);
            Ok(signed)
        });
        written.map(|receipt| Taken::Answered(Box::new(receipt))).or_else(|failure| {
            let failure = about_answer(receipt, failure);
            match failure.code {
                // Another worker was first and says otherwise, such as one of another release: its word stands. Or
                // what stands there is none.
                Code::JobInvocationImmutabilityViolation | Code::StoreCorrupt | Code::StoreKeyInvalid => {
                    Ok(Taken::Left(failure))
                }
                _ => Err(failure),
            }
        })
    }
}

/// What to do with what is no job.
const TAKE_AWAY: &str = "Rename it, or take it away. Write jobs in another place and rename them into the inbox when they are whole.";

type ReadJob = (Digest<JobRequest>, Result<Checked<JobRequest>>);

fn in_folder(platform_run: &PlatformRunId, folder: &str) -> Result<ObjectKey> {
    ObjectKey::new(format!("{platform_run}/mf/{folder}"))
}

fn file_of(name: &Name) -> Result<String> {
    let file = format!("{name}{SUFFIX}");
    match Name::new(&file) {
        Ok(_) => Ok(file),
        Err(_) => Err(Failure::at(
            Code::StoreKeyInvalid,
            "a job's name",
            format!("shorter, so that a key can end in NAME{SUFFIX}"),
            format!("{} characters", name.as_str().len()),
        )),
    }
}

fn job_of(config: &RunConfig, request: &Checked<TrainBuildRequest>) -> Result<Checked<JobRequest>> {
    config.require_fit(request)?;
    Checked::new(JobRequest {
        schema_version: SchemaVersion::default(),
        run_config_digest: config.digest()?,
        train_request: (**request).clone(),
    })
}

/// Whether a job is left after this failure rather than answered: what was away, refused or damaged can be put right, and
/// the job runs as it is.
const fn is_no_fault_of_the_job(code: Code) -> bool {
    code.retryable()
        || matches!(
            code,
            Code::StoreCorrupt | Code::StoreUnsuitable | Code::LedgerCorrupt | Code::InternalError
        )
}

fn no_job(code: Code, place: &ObjectKey, shape: &str) -> Failure {
    let expected = format!("NAME{SUFFIX}, with NAME of letters, digits and _ . : = - characters");
    Failure::at(code, place.as_str(), expected, shape).with_hint(TAKE_AWAY)
}

fn away(job: &ObjectKey) -> Failure {
    Failure::new(Code::StoreUnavailable, format!("{job} was there a moment ago"))
}

/// The failure with what it was met at, where it says nothing of that itself.
fn about(subject: impl Display, mut failure: Failure) -> Failure {
    failure.detail = format!("{subject}: {}", failure.detail);
    failure
}

fn about_answer(receipt: &JobInvocation, failure: Failure) -> Failure {
    match &receipt.train_run_id {
        Some(run) => about(format_args!("{}, which is {run}", receipt.job.uri), failure),
        None => about(&receipt.job.uri, failure),
    }
}
