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

impl State {
    /// Whether a run that is there has a receipt of it.
    pub(crate) const fn earns_a_receipt(self) -> bool {
        matches!(self, Self::Pass | Self::Fail | Self::Published)
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

    /// Publish attempts that a run may still begin, the first among them; none unless its publication is pending. At 0 no
    /// worker takes the run up again.
    pub const fn attempts_left(self) -> Option<u64> {
        match self.state {
            State::PublishPending => Some((PUBLISH_RETRIES + 1).saturating_sub(self.publish_attempts)),
            _ => None,
        }
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
        if self.attempts_left() == Some(0) {
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
mod tests;
