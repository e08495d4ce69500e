//! The life of a run as a pure function: no clock, no lease, no SQL.
//!
//! ```text
//!               claim                                        (publish allowed)
//!   QUEUED ──────────► RUNNING/FULL ──► EVAL_READY ──► PASS ──────────────────► PUBLISH_PENDING
//!      ▲                 │  ▲   │           │ │ │                                 ▲     │ │
//!      └─ input is away ─┘  │   │           │ │ └─────────────► FAIL ◄────────────┼─────┘ │ begin
//!      ▲                    │   └───────────┼─┼───────────────► ▲                 │       ▼
//!      └────────────────────┼───────────────┘ │    a conflict ──┴──────────── RUNNING/PUBLISH_ONLY
//!                           └─ lease ran out ─┘                                           │
//!                                                                      PUBLISHED ◄────────┘
//! ```
//!
//! Invariants: publishing begins only where it is allowed; publishing never trains and never raises the
//! count of full attempts; a publish that was cut off goes on as the attempt it was, and only one that
//! begins anew is counted, so a crash spends no retry; once the retries are used up, only somebody's decision
//! gives the run new ones.

use contracts::{Code, Failure, Result};
use serde::{Deserialize, Serialize};

/// Publish attempts after the first that a run may begin, before somebody allows as many again.
pub const PUBLISH_RETRIES: u64 = 3;

/// Seconds that a publication waits that something kept from being begun, however often.
const UNCOUNTED_REST: u64 = 60;

/// Seconds that a run waits at the most before it is tried again.
const LONGEST_REST: u64 = 600;

macro_rules! texts {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $value,)* }

        impl $name {
            /// All values, in the order of a run's life.
            pub const ALL: &'static [Self] = &[$(Self::$value,)*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }

            /// The value of a stable text.
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use texts;

texts! {
    /// Where a run is.
    State {
        /// Waits for a worker.
        Queued "QUEUED";
        /// A worker carries it out.
        Running "RUNNING";
        /// Trained and evaluated, not yet judged.
        EvalReady "EVAL_READY";
        /// The gate said yes.
        Pass "PASS";
        /// The gate said no, or the job cannot succeed.
        Fail "FAIL";
        /// Waits to be published.
        PublishPending "PUBLISH_PENDING";
        /// The registry has the bundle.
        Published "PUBLISHED";
    }
}

texts! {
    /// What a worker does with a run.
    Mode {
        /// Nothing.
        None "NONE";
        /// The whole line.
        Full "FULL";
        /// Publishing what passed before; never trains.
        PublishOnly "PUBLISH_ONLY";
    }
}

/// What can happen to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another request asks for the same run.
    Join {
        /// Whether that request allows publishing; what is allowed once stays allowed.
        publish_allowed: bool,
    },
    /// A worker takes the run, anew or from a holder whose lease ran out.
    Claim,
    /// The holder reports what it reached.
    Advance(State),
    /// The holder starts the handshake with the registry.
    BeginPublish,
    /// The holder gives the run back.
    Release,
    /// Somebody who may stops the run for good, whoever holds it; possible until it is judged.
    Cancel,
    /// Somebody who may lets a pending publication be tried as often as a new one.
    AllowRetries,
}

/// Seconds to wait after so many attempts: growing from the first by a factor, at most [`LONGEST_REST`].
const fn backed_off(first: u64, factor: u64, attempts: u64) -> u64 {
    if attempts == 0 {
        return 0;
    }
    let exponent = if attempts > 63 { 63 } else { attempts as u32 - 1 };
    let seconds = first.saturating_mul(factor.saturating_pow(exponent));
    if seconds > LONGEST_REST { LONGEST_REST } else { seconds }
}

/// What the history of a run adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Where the run is.
    pub state: State,
    /// What is done with it.
    pub mode: Mode,
    /// Fencing token: how often the run was claimed.
    pub epoch: u64,
    /// Whether any request allows publishing.
    pub publish_allowed: bool,
    /// How often a worker started on the whole line.
    pub full_attempts: u64,
    /// How often the handshake with the registry was begun since retries were last allowed.
    pub publish_attempts: u64,
}

impl Progress {
    /// A run that was just admitted.
    pub const fn admitted(publish_allowed: bool) -> Self {
        Self {
            state: State::Queued,
            mode: Mode::None,
            epoch: 0,
            publish_allowed,
            full_attempts: 0,
            publish_attempts: 0,
        }
    }

    /// What the run is after a step.
    ///
    /// `PUBLISH_NOT_ALLOWED` and `PUBLISH_RETRY_EXHAUSTED` say what they say; every other step that has no
    /// arrow in the drawing is `INVALID_TRANSITION`.
    pub fn apply(self, step: Step) -> Result<Self> {
        match step {
            Step::Join { publish_allowed } => {
                Ok(Self { publish_allowed: self.publish_allowed || publish_allowed, ..self })
            }
            Step::Claim => self.claim(),
            Step::Advance(to) => self.advance(to),
            Step::BeginPublish => self.begin_publish(),
            Step::Release => Ok(self),
            Step::Cancel => self.cancel(),
            Step::AllowRetries => self.allow_retries(),
        }
    }

    /// Whether the publication is pending with every retry left.
    pub const fn has_every_retry(self) -> bool {
        matches!(self.state, State::PublishPending) && self.publish_attempts == 0
    }

    /// Whether the publication is pending with no retry left: no worker takes the run up again.
    pub const fn has_no_retry(self) -> bool {
        matches!(self.state, State::PublishPending) && self.publish_attempts > PUBLISH_RETRIES
    }

    /// Seconds that a run waits before any worker takes it up again, where something kept the last one from succeeding:
    /// more after each attempt, and a minute after one that was given up before it was counted. Whoever names the run
    /// need not wait.
    pub const fn rest_seconds(self) -> u64 {
        match self.state {
            State::Queued => backed_off(1, 2, self.full_attempts),
            State::PublishPending if self.publish_attempts == 0 => UNCOUNTED_REST,
            State::PublishPending => backed_off(10, 6, self.publish_attempts),
            _ => 0,
        }
    }

    /// What a worker that holds the run is to do.
    pub const fn work(self) -> Mode {
        match (self.state, self.mode) {
            (State::Running | State::EvalReady, Mode::Full) => Mode::Full,
            (State::Running, Mode::PublishOnly) | (State::PublishPending, _) => Mode::PublishOnly,
            _ => Mode::None,
        }
    }

    /// Whether the run has nothing left that a holder could do, so that its lease ends here.
    pub const fn is_at_rest(self) -> bool {
        matches!(self.state, State::Queued | State::Fail | State::Published)
    }

    fn claim(self) -> Result<Self> {
        let claimed = Self { epoch: self.epoch + 1, ..self };
        match (self.state, self.mode) {
            (State::Queued, _) | (State::Running | State::EvalReady, Mode::Full) => Ok(Self {
                state: State::Running,
                mode: Mode::Full,
                full_attempts: self.full_attempts + 1,
                ..claimed
            }),
            (State::Running, Mode::PublishOnly) => Ok(claimed),
            (State::PublishPending, _) => self.require_attempt_left().map(|()| claimed),
            (State::Pass, _) => self.require_allowed().map(|()| Self {
                state: State::PublishPending,
                mode: Mode::None,
                ..claimed
            }),
            _ => Err(self.refuse("be claimed")),
        }
    }

    fn advance(self, to: State) -> Result<Self> {
        let mode = match (self.state, self.mode, to) {
            (State::Running, Mode::Full, State::EvalReady) => Mode::Full,
            (State::Running | State::EvalReady, Mode::Full, State::Queued | State::Fail)
            | (State::EvalReady, Mode::Full, State::Pass)
            | (State::Running, Mode::PublishOnly, State::Published | State::PublishPending | State::Fail)
            | (State::PublishPending, _, State::PublishPending | State::Fail) => Mode::None,
            (State::Pass, _, State::PublishPending) => self.require_allowed().map(|()| Mode::None)?,
            _ => return Err(self.refuse(&format!("become {to}"))),
        };
        Ok(Self { state: to, mode, ..self })
    }

    fn cancel(self) -> Result<Self> {
        match (self.state, self.mode) {
            (State::Queued, _) | (State::Running | State::EvalReady, Mode::Full) => {
                Ok(Self { state: State::Fail, mode: Mode::None, ..self })
            }
            _ => Err(self.refuse("be cancelled")),
        }
    }

    fn allow_retries(self) -> Result<Self> {
        match self.state {
            State::PublishPending => Ok(Self { publish_attempts: 0, ..self }),
            _ => Err(self.refuse("be allowed publish retries")),
        }
    }

    fn begin_publish(self) -> Result<Self> {
        match (self.state, self.mode) {
            (State::Running, Mode::PublishOnly) => Ok(self),
            (State::PublishPending, _) => self.require_attempt_left().map(|()| Self {
                state: State::Running,
                mode: Mode::PublishOnly,
                publish_attempts: self.publish_attempts + 1,
                ..self
            }),
            _ => Err(self.refuse("begin to publish")),
        }
    }

    fn require_allowed(self) -> Result<()> {
        if self.publish_allowed {
            Ok(())
        } else {
            Err(Failure::new(Code::PublishNotAllowed, "no request for this run allows publishing"))
        }
    }

    fn require_attempt_left(self) -> Result<()> {
        if self.has_no_retry() {
            let detail = format!("publishing was tried {} times without success", self.publish_attempts);
            return Err(Failure::new(Code::PublishRetryExhausted, detail));
        }
        Ok(())
    }

    fn refuse(self, what: &str) -> Failure {
        Failure::new(
            Code::InvalidTransition,
            format!("a run in {} ({}) cannot {what}", self.state, self.mode),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    /// Every state that a run can be in, with its mode.
    const PHASES: [(State, Mode); 8] = [
        (State::Queued, Mode::None),
        (State::Running, Mode::Full),
        (State::EvalReady, Mode::Full),
        (State::Pass, Mode::None),
        (State::Fail, Mode::None),
        (State::PublishPending, Mode::None),
        (State::Running, Mode::PublishOnly),
        (State::Published, Mode::None),
    ];

    fn at((state, mode): (State, Mode)) -> Progress {
        Progress { state, mode, epoch: 5, full_attempts: 2, publish_attempts: 1, publish_allowed: true }
    }

    fn phase(progress: Progress) -> (State, Mode) {
        (progress.state, progress.mode)
    }

    /// Every cell of state x target, by the drawing: rows as in `PHASES`, columns as in `State::ALL`.
    #[test]
    fn the_holder_can_report_what_the_drawing_shows_and_nothing_else() {
        let table = [".......", "q.e.f..", "q..Pf..", ".....w.", ".......", "....fw.", "....fwp", "......."];
        for (from, row) in PHASES.into_iter().zip(table) {
            for (&to, cell) in State::ALL.iter().zip(row.chars()) {
                match at(from).apply(Step::Advance(to)) {
                    Ok(after) => {
                        assert_ne!(cell, '.', "{from:?} must not become {to}");
                        let mode = if to == State::EvalReady { Mode::Full } else { Mode::None };
                        assert_eq!(after, Progress { state: to, mode, ..at(from) });
                    }
                    Err(failure) => {
                        assert_eq!((cell, failure.code), ('.', Code::InvalidTransition), "{from:?} to {to}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_claim_starts_or_resumes_the_right_work() {
        let resumed = [
            (0, Some((State::Running, Mode::Full, 3))),
            (1, Some((State::Running, Mode::Full, 3))),
            (2, Some((State::Running, Mode::Full, 3))),
            (3, Some((State::PublishPending, Mode::None, 2))),
            (4, None),
            (5, Some((State::PublishPending, Mode::None, 2))),
            (6, Some((State::Running, Mode::PublishOnly, 2))),
            (7, None),
        ];
        for (index, expected) in resumed {
            match (at(PHASES[index]).apply(Step::Claim), expected) {
                (Ok(after), Some((state, mode, full_attempts))) => {
                    assert_eq!(after, Progress { state, mode, full_attempts, epoch: 6, ..at(PHASES[index]) });
                    assert_ne!(after.work(), Mode::None);
                }
                (Err(failure), None) => assert_eq!(failure.code, Code::InvalidTransition),
                (result, _) => panic!("{:?} gave {result:?}", PHASES[index]),
            }
        }
    }

    #[test]
    fn publishing_begins_only_from_pending_and_goes_on_uncounted() {
        for from in PHASES {
            let result = at(from).apply(Step::BeginPublish);
            match from {
                (State::PublishPending, _) => {
                    let after = result.unwrap();
                    assert_eq!(phase(after), (State::Running, Mode::PublishOnly));
                    assert_eq!((after.publish_attempts, after.full_attempts), (2, 2));
                }
                (State::Running, Mode::PublishOnly) => assert_eq!(result.unwrap(), at(from)),
                _ => assert_eq!(result.unwrap_err().code, Code::InvalidTransition),
            }
        }
    }

    #[test]
    fn joining_widens_and_never_narrows_and_changes_nothing_else() {
        for from in PHASES {
            for (before, joined) in [(false, false), (false, true), (true, false), (true, true)] {
                let run = Progress { publish_allowed: before, ..at(from) };
                let after = run.apply(Step::Join { publish_allowed: joined }).unwrap();
                assert_eq!(after, Progress { publish_allowed: before || joined, ..run });
            }
            assert_eq!(at(from).apply(Step::Release).unwrap(), at(from));
        }
    }

    #[test]
    fn a_run_can_be_cancelled_until_it_is_judged() {
        for (index, from) in PHASES.into_iter().enumerate() {
            match at(from).apply(Step::Cancel) {
                Ok(after) => {
                    assert!(index < 3, "{from:?}");
                    assert_eq!(after, Progress { state: State::Fail, mode: Mode::None, ..at(from) });
                }
                Err(failure) => {
                    assert!(index >= 3 && failure.code == Code::InvalidTransition, "{from:?}");
                }
            }
        }
    }

    #[test]
    fn a_run_rests_longer_after_each_attempt() {
        let queued = |full_attempts| Progress { full_attempts, ..at((State::Queued, Mode::None)) };
        let waits: Vec<_> = [0, 1, 2, 5, 11, 200, u64::MAX].map(|n| queued(n).rest_seconds()).into();
        assert_eq!(waits, [0, 1, 2, 16, 600, 600, 600]);
        let pending =
            |publish_attempts| Progress { publish_attempts, ..at((State::PublishPending, Mode::None)) };
        let waits: Vec<_> = (0..=PUBLISH_RETRIES).map(|n| pending(n).rest_seconds()).collect();
        assert_eq!(waits, [60, 10, 60, 360]);
        assert_eq!(at((State::Running, Mode::Full)).rest_seconds(), 0);
    }

    #[test]
    fn a_pass_waits_until_publishing_is_allowed() {
        let pass = Progress { publish_allowed: false, ..at((State::Pass, Mode::None)) };
        for step in [Step::Claim, Step::Advance(State::PublishPending)] {
            assert_eq!(pass.apply(step).unwrap_err().code, Code::PublishNotAllowed);
            let widened = pass.apply(Step::Join { publish_allowed: true }).unwrap();
            assert_eq!(widened.apply(step).unwrap().state, State::PublishPending);
        }
    }

    #[test]
    fn the_first_publish_has_three_retries() {
        let mut run = Progress { publish_attempts: 0, ..at((State::PublishPending, Mode::None)) };
        for _ in 0..=PUBLISH_RETRIES {
            run = run.apply(Step::Claim).unwrap().apply(Step::BeginPublish).unwrap();
            // Cut off and taken over: the same attempt.
            run = run.apply(Step::Claim).unwrap().apply(Step::BeginPublish).unwrap();
            run = run.apply(Step::Advance(State::PublishPending)).unwrap();
        }
        assert_eq!(run.publish_attempts, 4);
        for step in [Step::Claim, Step::BeginPublish] {
            assert_eq!(run.apply(step).unwrap_err().code, Code::PublishRetryExhausted);
        }
        let allowed = run.apply(Step::AllowRetries).unwrap();
        assert_eq!(allowed, Progress { publish_attempts: 0, ..run });
        assert!(run.has_no_retry() && allowed.has_every_retry());
        assert_eq!(
            allowed.apply(Step::Claim).unwrap().apply(Step::BeginPublish).unwrap().publish_attempts,
            1
        );
    }

    #[test]
    fn retries_are_allowed_to_a_pending_publication_and_to_nothing_else() {
        for from in PHASES {
            match at(from).apply(Step::AllowRetries) {
                Ok(after) => {
                    assert_eq!(from, (State::PublishPending, Mode::None));
                    assert_eq!(after, Progress { publish_attempts: 0, ..at(from) });
                }
                Err(failure) => {
                    assert_ne!(from.0, State::PublishPending);
                    assert_eq!(failure.code, Code::InvalidTransition);
                }
            }
        }
    }

    #[test]
    fn texts_are_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_text(state.as_str()), Some(*state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(Mode::ALL.iter().filter_map(|mode| Mode::from_text(mode.as_str())).count(), 3);
        assert_eq!(State::from_text("queued"), None);
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<bool>().prop_map(|publish_allowed| Step::Join { publish_allowed }),
            Just(Step::Claim),
            prop::sample::select(State::ALL).prop_map(Step::Advance),
            Just(Step::BeginPublish),
            Just(Step::Release),
            Just(Step::Cancel),
            Just(Step::AllowRetries),
        ]
    }

    proptest! {
        /// Whatever happens, in any order, the promises of the module hold.
        #[test]
        fn no_history_breaks_the_promises(allowed in any::<bool>(), steps in prop::collection::vec(any_step(), 0..60)) {
            let mut run = Progress::admitted(allowed);
            for step in steps {
                let Ok(next) = run.apply(step) else { continue };
                prop_assert!(PHASES.contains(&phase(next)));
                prop_assert!(next.epoch - run.epoch == u64::from(step == Step::Claim));
                prop_assert!(next.publish_allowed >= run.publish_allowed);
                prop_assert!(next.publish_attempts <= PUBLISH_RETRIES + 1);
                prop_assert!(next.work() != Mode::PublishOnly || next.publish_allowed);
                prop_assert!(next.full_attempts == run.full_attempts || next.mode == Mode::Full);
                prop_assert!(next.state != State::Published || next.publish_attempts > 0);
                let terminal = matches!(run.state, State::Fail | State::Published);
                prop_assert!(!terminal || next.state == run.state);
                run = next;
            }
        }
    }
}
