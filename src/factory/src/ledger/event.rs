//! What happened to a run, chained by hash.
//!
//! Flows in: steps of the state machine, with time, reason and detail. Flows out: events whose hash covers
//! their content and the hash of the event before. Invariant: folding the events of a run through the state
//! machine gives the run's row; an event that was edited, dropped or moved breaks the chain or the fold.

use contracts::{
    Code, Digest, Failure, Result,
    identity::ids::TrainRunId,
    identity::{canonical, recipe},
    names::Principal,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::{Mode, Progress, State, Step, texts};

texts! {
    /// What happened.
    EventKind {
        /// The run was admitted.
        Submitted "SUBMITTED";
        /// Another request asked for it.
        RequestJoined "REQUEST_JOINED";
        /// A worker took it.
        Claimed "CLAIMED";
        /// Its holder reported what it reached.
        Advanced "ADVANCED";
        /// Its holder started the handshake with the registry.
        PublishBegun "PUBLISH_BEGUN";
        /// Its holder gave it back.
        Released "RELEASED";
        /// Somebody stopped it for good.
        Cancelled "CANCELLED";
        /// Somebody let a pending publication be tried anew.
        RetriesAllowed "RETRIES_ALLOWED";
    }
}

/// One event of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The run.
    pub run_id: TrainRunId,
    /// Place in the run's history, from 1 without gaps.
    pub sequence: u64,
    /// What happened.
    pub kind: EventKind,
    /// State after.
    pub state: State,
    /// Mode after.
    pub mode: Mode,
    /// Epoch after.
    pub epoch: u64,
    /// Whether publishing is allowed after.
    pub publish_allowed: bool,
    /// When it was recorded, by the ledger's clock.
    pub recorded_at: Timestamp,
    /// Why, where there is a code for it.
    pub reason: Option<Code>,
    /// What else is to be known, without values of the data.
    pub detail: Value,
    /// Hash of the event before; none in the first.
    pub previous: Option<Digest<Event>>,
    /// Hash of all the above: the recipe `ledger_event.v1`.
    #[serde(skip)]
    pub hash: Digest<Event>,
}

/// What is new in an event; the rest follows from the history.
#[derive(Debug)]
pub(super) struct News {
    pub(super) kind: EventKind,
    pub(super) recorded_at: Timestamp,
    pub(super) reason: Option<Code>,
    pub(super) detail: Value,
}

impl Event {
    /// The event that follows after `previous` (its sequence and hash) and leaves the run in `after`.
    pub(super) fn following(
        run_id: &TrainRunId,
        previous: Option<(u64, Digest<Self>)>,
        after: &Progress,
        news: News,
    ) -> Result<Self> {
        if !is_plain(&news.detail) {
            return Err(Failure::new(
                Code::InternalError,
                "the detail of an event holds fractions or odd names",
            ));
        }
        let mut event = Self {
            run_id: run_id.clone(),
            sequence: previous.map_or(1, |(sequence, _)| sequence + 1),
            kind: news.kind,
            state: after.state,
            mode: after.mode,
            epoch: after.epoch,
            publish_allowed: after.publish_allowed,
            recorded_at: news.recorded_at,
            reason: news.reason,
            detail: news.detail,
            previous: previous.map(|(_, hash)| hash),
            hash: Digest::of(&[]),
        };
        event.hash = event.computed_hash()?;
        Ok(event)
    }

    /// Who asked for the run by this event, and whether publishing it was allowed then; none where nobody asked.
    pub fn asked(&self) -> Result<Option<(Principal, bool)>> {
        if !matches!(self.kind, EventKind::Submitted | EventKind::RequestJoined) {
            return Ok(None);
        }
        let field = |name: &str| self.detail.get(name);
        match (field("requester").and_then(Value::as_str), field("publish_allowed").and_then(Value::as_bool))
        {
            (Some(requester), Some(allowed)) => Ok(Some((Principal::new(requester)?, allowed))),
            _ => {
                Err(Failure::new(Code::LedgerCorrupt, format!("a request for {} names nobody", self.run_id)))
            }
        }
    }

    /// Every event is hashed as it is made and each time that it is read, so that its fields are written in canonical order
    /// at once.
    fn computed_hash(&self) -> Result<Digest<Self>> {
        #[derive(Serialize)]
        struct Hashed<'a> {
            detail: &'a Value,
            epoch: u64,
            kind: EventKind,
            mode: Mode,
            previous: Option<Digest<Event>>,
            publish_allowed: bool,
            reason: Option<Code>,
            recorded_at: Timestamp,
            run_id: &'a TrainRunId,
            sequence: u64,
            state: State,
        }
        let Self { run_id, sequence, kind, state, mode, epoch, .. } = self;
        let Self { publish_allowed, recorded_at, reason, detail, previous, .. } = self;
        let hashed = Hashed {
            detail,
            epoch: *epoch,
            kind: *kind,
            mode: *mode,
            previous: *previous,
            publish_allowed: *publish_allowed,
            reason: *reason,
            recorded_at: *recorded_at,
            run_id,
            sequence: *sequence,
            state: *state,
        };
        recipe::derive_in_order("ledger_event.v1", &hashed)
    }

    /// The step of the state machine that this event records.
    const fn step(&self) -> Option<Step> {
        match self.kind {
            EventKind::Submitted => None,
            EventKind::RequestJoined => Some(Step::Join { publish_allowed: self.publish_allowed }),
            EventKind::Claimed => Some(Step::Claim),
            EventKind::Advanced => Some(Step::Advance(self.state)),
            EventKind::PublishBegun => Some(Step::BeginPublish),
            EventKind::Released => Some(Step::Release),
            EventKind::Cancelled => Some(Step::Cancel),
            EventKind::RetriesAllowed => Some(Step::AllowRetries),
        }
    }
}

/// A detail in canonical text, which is how a plain one is written.
pub(super) fn detail_text(detail: &Value) -> Result<String> {
    serde_json::to_string(detail)
        .map_err(|error| Failure::new(Code::InternalError, format!("no canonical form: {error}")))
}

/// Whether a value's text is canonical as it is written: whole numbers that every reader keeps, and names in ASCII, whose
/// order all agree on.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.as_i64().is_some_and(|n| n.unsigned_abs() <= canonical::MAX_INTEGER),
        Value::Array(values) => values.iter().all(is_plain),
        Value::Object(fields) => fields.iter().all(|(name, value)| name.is_ascii() && is_plain(value)),
    }
}

/// Replays a run's events; what is wrong with them is said in words.
pub(super) fn fold(events: &[Event]) -> Result<Progress, String> {
    let mut progress: Option<Progress> = None;
    let mut previous = None;
    for (index, event) in events.iter().enumerate() {
        let place = format!("event {}", index + 1);
        if event.sequence != index as u64 + 1 {
            return Err(format!("{place} has another sequence number"));
        }
        if event.previous != previous {
            return Err(format!("{place} does not follow the event before"));
        }
        if event.computed_hash().map_err(|failure| failure.detail)? != event.hash {
            return Err(format!("{place} does not match its hash"));
        }
        let after = match (progress, event.step()) {
            (None, None) => Progress::admitted(event.publish_allowed),
            (Some(before), Some(step)) => {
                before.apply(step).map_err(|failure| format!("{place}: {}", failure.detail))?
            }
            _ => return Err(format!("{place} is out of place")),
        };
        let recorded = Progress {
            state: event.state,
            mode: event.mode,
            epoch: event.epoch,
            publish_allowed: event.publish_allowed,
            ..after
        };
        if recorded != after {
            return Err(format!("{place} records another state than its step leads to"));
        }
        progress = Some(after);
        previous = Some(event.hash);
    }
    progress.ok_or_else(|| "there are no events".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn history() -> Vec<Event> {
        let run_id = TrainRunId::new(format!("tr_{}", "1".repeat(32))).unwrap();
        let steps = [
            (EventKind::Submitted, None),
            (EventKind::Claimed, Some(Step::Claim)),
            (EventKind::RequestJoined, Some(Step::Join { publish_allowed: true })),
            (EventKind::Advanced, Some(Step::Advance(State::EvalReady))),
            (EventKind::Advanced, Some(Step::Advance(State::Pass))),
            (EventKind::Released, Some(Step::Release)),
            (EventKind::Claimed, Some(Step::Claim)),
            (EventKind::PublishBegun, Some(Step::BeginPublish)),
        ];
        let mut progress = Progress::admitted(false);
        let mut events: Vec<Event> = Vec::new();
        for (index, (kind, step)) in steps.into_iter().enumerate() {
            progress = step.map_or(Ok(progress), |step| progress.apply(step)).unwrap();
            let news = News {
                kind,
                recorded_at: Timestamp::from_nanoseconds(index as i64),
                reason: None,
                detail: json!({ "index": index }),
            };
            let previous = events.last().map(|event| (event.sequence, event.hash));
            events.push(Event::following(&run_id, previous, &progress, news).unwrap());
        }
        events
    }

    #[test]
    fn a_history_folds_to_where_the_run_is() {
        let progress = fold(&history()).unwrap();
        assert_eq!((progress.state, progress.mode), (State::Running, Mode::PublishOnly));
        assert_eq!((progress.epoch, progress.full_attempts, progress.publish_attempts), (2, 1, 1));
    }

    /// Computed by an independent implementation of the recipe.
    #[test]
    fn the_hash_of_an_event_is_fixed() {
        assert_eq!(
            history()[1].hash.to_string(),
            "sha256:d3cece3eebd38e8aeae8c9ea82803d592e76a61db6a46a8fcf332a60a02c00ed"
        );
    }

    #[test]
    fn what_is_written_in_order_is_canonical() {
        let odd = "\"\\\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f} ä\u{e000}\u{1f600}";
        let detail =
            json!({ "b": [odd, -1, canonical::MAX_INTEGER, null, true], "a": { "z": {}, "Z": [] }, "": odd });
        let mut event = history().remove(1);
        event.detail = detail;
        assert_eq!(
            detail_text(&event.detail).unwrap().as_bytes(),
            canonical::to_bytes(&event.detail).unwrap()
        );
        assert_eq!(event.computed_hash().unwrap(), recipe::derive("ledger_event.v1", &event).unwrap());
    }

    #[test]
    fn a_detail_whose_text_would_not_be_canonical_is_refused() {
        for detail in
            [json!(0.5), json!({ "ä": 1 }), json!([{ "a": canonical::MAX_INTEGER + 1 }]), json!(u64::MAX)]
        {
            let news = News {
                kind: EventKind::Claimed,
                recorded_at: Timestamp::from_nanoseconds(0),
                reason: None,
                detail,
            };
            let run_id = &history()[0].run_id;
            let refused = Event::following(run_id, None, &Progress::admitted(false), news).unwrap_err();
            assert_eq!(refused.code, Code::InternalError);
        }
    }

    #[test]
    fn events_that_were_dropped_moved_or_cut_from_the_front_are_found() {
        let events = history();
        for index in 0..events.len() - 1 {
            let mut dropped = events.clone();
            dropped.remove(index);
            assert!(fold(&dropped).is_err(), "dropped {index}");
            let mut moved = events.clone();
            moved.swap(index, index + 1);
            assert!(fold(&moved).is_err(), "moved {index}");
        }
        assert!(fold(&[]).is_err());
    }

    #[test]
    fn an_event_whose_hash_was_made_to_fit_still_fails_the_fold() {
        let mut events = history();
        let last = events.last_mut().unwrap();
        last.state = State::Published;
        last.mode = Mode::None;
        last.hash = last.computed_hash().unwrap();
        assert!(fold(&events).unwrap_err().contains("another state"));
    }
}
