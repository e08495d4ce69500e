//! Runs, leases, and how an event changes them, whatever database keeps them.
//!
//! Flows in: a submission, a step, a moment. Flows out: the run after it and the event that says so.
//! Invariants: a run changes only together with an event; a change by a worker needs its living lease.

use contracts::{
    Code, Digest, Failure, Result,
    identity::ids::TrainRunId,
    identity::{canonical, recipe},
    names::Name,
    time::Timestamp,
    train_run_key::TrainRunKey,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Head, Submission,
    event::{Event, EventKind, News, fold},
    state::{Mode, Progress, State, Step},
};

/// Seconds that a lease can be asked for.
pub const LONGEST_LEASE: u32 = 600;

/// Who works on a run, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The worker's name.
    pub worker: Name,
    /// From this moment of the ledger's clock, anyone may take the run over.
    pub expires_at: Timestamp,
}

/// A run as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The run.
    pub run_id: TrainRunId,
    /// What makes it the run it is.
    pub run_key: Digest<TrainRunKey>,
    /// What its history adds up to.
    #[serde(flatten)]
    pub progress: Progress,
    /// Who works on it, if anyone.
    pub holder: Option<Holder>,
    /// Why it is where it is, where there is a code for it: the last event carries it.
    pub reason: Option<Code>,
    /// When it was admitted.
    pub submitted_at: Timestamp,
    /// When the last event was recorded.
    pub updated_at: Timestamp,
    /// How many events it has.
    pub events: u64,
    /// Hash of the last of them.
    pub head: Digest<Event>,
    /// The request that made it, in canonical bytes.
    #[serde(skip)]
    pub request: Vec<u8>,
}

/// What the holder of a lease reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    step: Step,
    kind: EventKind,
    reason: Option<Code>,
    detail: Value,
}

impl Move {
    /// The run reached a state; QUEUED, FAIL and PUBLISHED end the lease.
    pub const fn to(state: State, reason: Option<Code>, detail: Value) -> Self {
        Self { step: Step::Advance(state), kind: EventKind::Advanced, reason, detail }
    }

    /// The handshake with the registry starts; it is counted unless it goes on with one that was cut off.
    pub fn begin_publish() -> Self {
        Self::without_detail(Step::BeginPublish, EventKind::PublishBegun)
    }

    /// The run is given back.
    pub fn release() -> Self {
        Self::without_detail(Step::Release, EventKind::Released)
    }

    fn without_detail(step: Step, kind: EventKind) -> Self {
        Self { step, kind, reason: None, detail: json!({}) }
    }
}

/// The right to change one run, until it runs out. Only a claim makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    run: Run,
    holder: Holder,
    seconds: u32,
}

impl Lease {
    /// What a claim of this run takes at this moment; none where it is held, or nothing is to be done with it.
    ///
    /// Refuses with `PUBLISH_RETRY_EXHAUSTED`.
    pub(super) fn take(
        before: &Run,
        worker: &Name,
        seconds: u32,
        now: Timestamp,
    ) -> Result<Option<(Self, Event)>> {
        if before.is_held(now) {
            return Ok(None);
        }
        let seconds = seconds.min(LONGEST_LEASE);
        let holder = Holder { worker: worker.clone(), expires_at: later(now, seconds) };
        let news = News {
            kind: EventKind::Claimed,
            recorded_at: now,
            reason: None,
            detail: json!({ "worker": worker, "lease_seconds": seconds }),
        };
        match before.after(Step::Claim, Some(holder.clone()), news) {
            Ok((run, event)) => Ok(Some((Self { run, holder, seconds }, event))),
            Err(failure) if matches!(failure.code, Code::InvalidTransition | Code::PublishNotAllowed) => {
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The same for whichever run comes first: neither one that rests nor one whose retries are used up.
    pub(super) fn take_due(
        before: &Run,
        worker: &Name,
        seconds: u32,
        now: Timestamp,
    ) -> Result<Option<(Self, Event)>> {
        if !before.is_due(now) {
            return Ok(None);
        }
        Self::take(before, worker, seconds, now).or_else(|failure| match failure.code {
            Code::PublishRetryExhausted => Ok(None),
            _ => Err(failure),
        })
    }

    /// The run as it was claimed.
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// The run's id.
    pub const fn run_id(&self) -> &TrainRunId {
        &self.run.run_id
    }

    /// The fencing token: part of every write, and of the names of staged objects.
    pub const fn epoch(&self) -> u64 {
        self.run.progress.epoch
    }

    /// What is to be done: the whole line, or publishing alone.
    pub const fn mode(&self) -> Mode {
        self.run.progress.work()
    }

    /// The request in canonical bytes.
    pub fn request(&self) -> &[u8] {
        &self.run.request
    }

    /// The worker that holds it.
    pub const fn worker(&self) -> &Name {
        &self.holder.worker
    }

    /// The holder after a heartbeat at this moment.
    pub(super) fn renewed(&self, now: Timestamp) -> Holder {
        Holder { expires_at: later(now, self.seconds), ..self.holder.clone() }
    }
}

fn later(now: Timestamp, seconds: u32) -> Timestamp {
    Timestamp::from_nanoseconds(now.nanoseconds().saturating_add(i64::from(seconds) * 1_000_000_000))
}

pub(super) fn earlier(moment: Timestamp, seconds: u32) -> Timestamp {
    Timestamp::from_nanoseconds(moment.nanoseconds().saturating_sub(i64::from(seconds) * 1_000_000_000))
}

impl Run {
    /// The run that a submission makes, with its first event.
    pub(super) fn admit(submission: &Submission, now: Timestamp) -> Result<(Self, Event)> {
        let progress = Progress::admitted(submission.publish_allowed);
        let news = submission.news(EventKind::Submitted, now);
        let event = Event::following(&submission.run_id, None, &progress, news)?;
        let run = Self {
            run_id: submission.run_id.clone(),
            run_key: submission.run_key,
            progress,
            holder: None,
            reason: None,
            submitted_at: now,
            updated_at: now,
            events: event.sequence,
            head: event.hash,
            request: submission.request.clone(),
        };
        Ok((run, event))
    }

    /// The run after another submission asked for it, whoever holds it.
    pub(super) fn join(&self, submission: &Submission, now: Timestamp) -> Result<(Self, Event)> {
        let step = Step::Join { publish_allowed: submission.publish_allowed };
        self.after(step, self.holder.clone(), submission.news(EventKind::RequestJoined, now))
    }

    /// The run after a step, with the event that says so.
    pub(super) fn after(&self, step: Step, holder: Option<Holder>, news: News) -> Result<(Self, Event)> {
        let progress = self.progress.apply(step)?;
        // Who asks for a run or gives it back leaves it where it is, and why.
        let stays = matches!(step, Step::Join { .. } | Step::Release);
        let reason = if stays { self.reason } else { news.reason };
        // A clock that was set back does not turn the order of a run's events around.
        let news = News { recorded_at: news.recorded_at.max(self.updated_at), reason, ..news };
        let event = Event::following(&self.run_id, Some((self.events, self.head)), &progress, news)?;
        let run = Self {
            progress,
            holder: holder.filter(|_| !progress.is_at_rest()),
            reason: event.reason,
            updated_at: event.recorded_at,
            events: event.sequence,
            head: event.hash,
            ..self.clone()
        };
        Ok((run, event))
    }

    /// The run after the holder of a lease reports a move at this moment; refused with `LEASE_LOST` by any other.
    pub(super) fn after_report(&self, lease: &Lease, moved: &Move, now: Timestamp) -> Result<(Self, Event)> {
        self.require_held(lease, now)?;
        let Move { step, kind, reason, detail } = moved.clone();
        let holder = if step == Step::Release { None } else { self.holder.clone() };
        self.after(step, holder, News { kind, recorded_at: now, reason, detail })
    }

    /// Refuses with `LEASE_LOST` unless the lease still holds the run at this moment.
    pub(super) fn require_held(&self, lease: &Lease, now: Timestamp) -> Result<()> {
        let living = self.progress.epoch == lease.epoch()
            && self
                .holder
                .as_ref()
                .is_some_and(|holder| holder.worker == lease.holder.worker && now < holder.expires_at);
        if living { Ok(()) } else { Err(lease_lost(&self.run_id)) }
    }

    /// The run after somebody cancels it at this moment, whoever holds it.
    pub(super) fn cancelled(&self, detail: Value, now: Timestamp) -> Result<(Self, Event)> {
        let news =
            News { kind: EventKind::Cancelled, recorded_at: now, reason: Some(Code::RunCancelled), detail };
        self.after(Step::Cancel, None, news)
    }

    /// The run after somebody lets its publication be tried anew at this moment.
    pub(super) fn retries_allowed(&self, detail: Value, now: Timestamp) -> Result<(Self, Event)> {
        let news = News { kind: EventKind::RetriesAllowed, recorded_at: now, reason: None, detail };
        self.after(Step::AllowRetries, self.holder.clone(), news)
    }

    /// Whether somebody else's lease keeps a claim away at this moment. One that lasts longer than any lease does was
    /// given before the clock was set back, and keeps nobody away: the epoch keeps its holder from doing harm.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        self.holder
            .as_ref()
            .is_some_and(|holder| now < holder.expires_at && holder.expires_at <= later(now, LONGEST_LEASE))
    }

    /// Whether the run can be taken at any moment: nobody was given it, and nothing stopped it.
    pub(super) const fn is_free(&self) -> bool {
        self.holder.is_none() && self.reason.is_none()
    }

    /// Whether it comes before another in the order in which runs are taken up.
    pub(super) fn waits_longer_than(&self, other: &Self) -> bool {
        (self.updated_at, &self.run_id) < (other.updated_at, &other.run_id)
    }

    /// Until when the run rests before any worker takes it up again; none where nothing kept the last one from
    /// succeeding, or where none will, since its retries are used up.
    pub fn rests_until(&self) -> Option<Timestamp> {
        let rests = self.reason.is_some() && self.progress.attempts_left() != Some(0);
        match u32::try_from(self.progress.rest_seconds()) {
            Ok(seconds @ 1..) if rests => Some(later(self.updated_at, seconds)),
            _ => None,
        }
    }

    /// Whether the run has rested long enough for any worker to take it up; so it has where the clock was set back.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now < self.updated_at || self.rests_until().is_none_or(|rested| rested <= now)
    }

    /// Digest of the whole row: the recipe `ledger_run.v1`.
    ///
    /// Every row of a listing is compared with it, so that its fields are written in canonical order at once, rather
    /// than sorted for each row.
    pub(super) fn row_digest(&self) -> Result<Digest<Self>> {
        #[derive(Serialize)]
        struct Row<'a> {
            epoch: u64,
            events: u64,
            full_attempts: u64,
            head: Digest<Event>,
            holder: Option<HolderRow<'a>>,
            mode: Mode,
            publish_allowed: bool,
            publish_attempts: u64,
            reason: Option<Code>,
            request: Digest<Run>,
            run_id: &'a TrainRunId,
            run_key: Digest<TrainRunKey>,
            state: State,
            submitted_at: Timestamp,
            updated_at: Timestamp,
        }
        #[derive(Serialize)]
        struct HolderRow<'a> {
            expires_at: Timestamp,
            worker: &'a Name,
        }
        let holder = self
            .holder
            .as_ref()
            .map(|Holder { worker, expires_at }| HolderRow { expires_at: *expires_at, worker });
        let Progress { state, mode, epoch, publish_allowed, full_attempts, publish_attempts } = self.progress;
        let row = Row {
            epoch,
            events: self.events,
            full_attempts,
            head: self.head,
            holder,
            mode,
            publish_allowed,
            publish_attempts,
            reason: self.reason,
            request: Digest::of(&self.request),
            run_id: &self.run_id,
            run_key: self.run_key,
            state,
            submitted_at: self.submitted_at,
            updated_at: self.updated_at,
        };
        recipe::derive_in_order("ledger_run.v1", &row)
    }

    /// Compares the row with its events and requests.
    pub(super) fn verify(&self, events: &[Event], requests: &[RequestRow]) -> Result<()> {
        let wrong = |what: &str| Err(corrupt(self.run_id.as_str(), what));
        let progress = fold(events).map_err(|what| corrupt(self.run_id.as_str(), &what))?;
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return wrong("there are no events");
        };
        let shown = (self.progress, self.events, self.head, self.submitted_at, self.updated_at, self.reason);
        let folded = (progress, last.sequence, last.hash, first.recorded_at, last.recorded_at, last.reason);
        if shown != folded {
            return wrong("the row is not the fold of its events");
        }
        if events.iter().any(|event| event.run_id != self.run_id) {
            return wrong("an event of another run is among its events");
        }
        let worker = events.iter().rev().find(|event| event.kind == EventKind::Claimed);
        let claimed_by = worker.and_then(|event| event.detail.get("worker")?.as_str());
        if self.holder.as_ref().is_some_and(|holder| Some(holder.worker.as_str()) != claimed_by) {
            return wrong("it is held by another worker than the one that claimed it");
        }
        let asked = events
            .iter()
            .filter(|event| matches!(event.kind, EventKind::Submitted | EventKind::RequestJoined))
            .map(|event| (event.detail.clone(), event.recorded_at));
        if !asked.eq(requests.iter().map(|request| (request.detail(), request.submitted_at))) {
            return wrong("its requests are not those that its events name");
        }
        Ok(())
    }
}

/// A request that was admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RequestRow {
    pub(super) request_id: String,
    pub(super) payload_hash: String,
    pub(super) run_id: String,
    pub(super) requester: String,
    pub(super) publish_allowed: bool,
    pub(super) submitted_at: Timestamp,
    /// Place among the events of its run.
    pub(super) sequence: u64,
}

impl RequestRow {
    pub(super) fn new(submission: &Submission, event: &Event) -> Self {
        Self {
            request_id: submission.request_id.to_string(),
            payload_hash: submission.payload_hash.to_string(),
            run_id: submission.run_id.to_string(),
            requester: submission.requester.to_string(),
            publish_allowed: submission.publish_allowed,
            submitted_at: event.recorded_at,
            sequence: event.sequence,
        }
    }

    /// Digest of the whole row: the recipe `ledger_request.v1`.
    pub(super) fn row_digest(&self) -> Result<Digest<Self>> {
        recipe::derive("ledger_request.v1", self)
    }

    /// How the event of the request names it.
    fn detail(&self) -> Value {
        request_detail(&self.request_id, &self.payload_hash, &self.requester, self.publish_allowed)
    }
}

fn request_detail(request_id: &str, payload_hash: &str, requester: &str, publish_allowed: bool) -> Value {
    json!({
        "request_id": request_id,
        "payload_hash": payload_hash,
        "requester": requester,
        "publish_allowed": publish_allowed,
    })
}

impl Submission {
    /// The event of this submission.
    fn news(&self, kind: EventKind, now: Timestamp) -> News {
        let detail = request_detail(
            self.request_id.as_str(),
            &self.payload_hash.to_string(),
            self.requester.as_str(),
            self.publish_allowed,
        );
        News { kind, recorded_at: now, reason: None, detail }
    }

    /// Refuses a submission whose request is not canonical, since nobody could check it later.
    pub(super) fn check(&self) -> Result<()> {
        if canonical::to_bytes(&canonical::read(&self.request)?)? == self.request {
            Ok(())
        } else {
            Err(Failure::new(Code::RequestInvalid, "a request is admitted in its canonical bytes"))
        }
    }
}

impl Head {
    /// The head over the id and last hash of each run, in the order of ids: the recipe `ledger_head.v1`.
    pub(super) fn over(runs: &[(TrainRunId, Digest<Event>)], events: u64) -> Result<Self> {
        Ok(Self { runs: runs.len() as u64, events, digest: recipe::derive("ledger_head.v1", &runs)? })
    }
}

pub(super) fn lease_lost(run_id: &TrainRunId) -> Failure {
    Failure::new(Code::LeaseLost, format!("{run_id} is no longer held under this lease"))
}

pub(super) fn corrupt(run: &str, what: &str) -> Failure {
    Failure::new(Code::LedgerCorrupt, format!("run {run}: {what}"))
}
