//! Named places where a fault test can stop the line: one at each durable step.
//!
//! Flows in: `MODEL_FACTORY_FAILPOINT=name[:count]=kill|error`, read once. The `count`-th time (by default
//! the first) that the process reaches the point, it kills itself by SIGKILL, or the step fails
//! with `STORE_UNAVAILABLE`. Invariants: a point that is not in the table cannot be written, a point that no
//! code reaches fails a test, and text that cannot be read arms nothing silently: it fails every step.

use std::{
    env,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use contracts::{Code, Failure, Result};

/// The environment variable that arms a point.
pub const VARIABLE: &str = "MODEL_FACTORY_FAILPOINT";

macro_rules! failpoints {
    ($($(#[$doc:meta])* $point:ident $text:literal;)*) => {
        /// A place where a fault can be made to happen.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Failpoint { $($(#[$doc])* $point,)* }

        impl Failpoint {
            /// All points, in the order in which a run meets them.
            pub const ALL: &'static [Self] = &[$(Self::$point,)*];

            /// The name that arms the point.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$point => $text,)* }
            }
        }
    };
}

failpoints! {
    /// An object is about to be written to its temporary file, or sent to the server.
    StoreBeforeWrite "store_before_write";
    /// The temporary file holds the bytes, not yet durably.
    StoreAfterWrite "store_after_write";
    /// The temporary file is durable, and the object has no name yet.
    StoreBeforeLink "store_before_link";
    /// The object has its name, not yet durably, or the server said that it has.
    StoreAfterLink "store_after_link";
    /// A change of the ledger is complete but not committed.
    LedgerBeforeCommit "ledger_before_commit";
    /// A change of the ledger is committed but not acknowledged.
    LedgerAfterCommit "ledger_after_commit";
    /// A request was admitted.
    AfterSubmit "after_submit";
    /// What a job asks for was admitted or refused, and the job is not answered yet.
    AfterJob "after_job";
    /// A worker holds the run.
    AfterClaim "after_claim";
    /// The resolved plan is in the store.
    AfterPlan "after_plan";
    /// The model, its execution record and its evaluation report are in the store.
    AfterEvaluation "after_evaluation";
    /// The gate's receipt and the publish eligibility are in the store, and of a PASS the bundle that names them.
    AfterVerdict "after_verdict";
    /// The bundle is in the store.
    AfterBundle "after_bundle";
    /// The ledger knows that publishing has begun.
    AfterIntent "after_intent";
    /// The publication record is in the registry.
    AfterPublication "after_publication";
    /// A lifecycle event is in the registry, and not anchored yet.
    AfterLifecycleEvent "after_lifecycle_event";
    /// The registry's published event is written.
    AfterPublishedEvent "after_published_event";
    /// The run's receipt is in the store.
    AfterReceiptRun "after_receipt_run";
    /// A bundle became active.
    AfterPromote "after_promote";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Error,
}

#[derive(Debug)]
struct Armed {
    point: Failpoint,
    fault: Fault,
    hits_left: AtomicU32,
}

impl Armed {
    fn parse(text: &str) -> Result<Self> {
        let refuse = |expected: &str| {
            Failure::at(
                Code::ParameterInvalid,
                VARIABLE,
                expected,
                format!("a string of {} characters", text.chars().count()),
            )
        };
        let (place, fault) =
            text.split_once('=').ok_or_else(|| refuse("text of the form name[:count]=kill|error"))?;
        let (name, count) = place.split_once(':').unwrap_or((place, "1"));
        let point = Failpoint::ALL
            .iter()
            .find(|point| point.as_str() == name)
            .ok_or_else(|| refuse("the name of a failpoint"))?;
        let fault = match fault {
            "kill" => Fault::Kill,
            "error" => Fault::Error,
            _ => return Err(refuse("kill or error")),
        };
        let count = count
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| refuse("a count that is a whole number from 1"))?;
        Ok(Self { point: *point, fault, hits_left: AtomicU32::new(count) })
    }

    /// The fault that is due at this point, if any.
    fn due(&self, point: Failpoint) -> Option<Fault> {
        if point != self.point {
            return None;
        }
        let left = self
            .hits_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .unwrap_or_default();
        (left == 1).then_some(self.fault)
    }
}

static ARMED: OnceLock<Option<Result<Armed>>> = OnceLock::new();

/// Says that the process has reached this point.
pub fn hit(point: Failpoint) -> Result<()> {
    let armed = ARMED.get_or_init(|| {
        env::var_os(VARIABLE)
            .filter(|text| !text.is_empty())
            .map(|text| Armed::parse(&text.to_string_lossy()))
    });
    let fault = match armed {
        None => return Ok(()),
        Some(armed) => armed.as_ref().map_err(Clone::clone)?.due(point),
    };
    match fault {
        None => Ok(()),
        Some(Fault::Kill) => die(),
        Some(Fault::Error) => Err(Failure::new(
            Code::StoreUnavailable,
            format!("the failpoint {} was told to fail", point.as_str()),
        )),
    }
}

/// Ends this process as `kill -9` does: nothing is cleaned up, flushed or said.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "reads its own sources")]

    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn a_fault_is_due_at_the_counted_hit_and_only_once() {
        let armed = Armed::parse("after_plan:3=error").unwrap();
        let faults: Vec<_> = (0..5).map(|_| armed.due(Failpoint::AfterPlan)).collect();
        assert_eq!(faults, [None, None, Some(Fault::Error), None, None]);
        assert_eq!(armed.due(Failpoint::AfterBundle), None);
        assert_eq!(Armed::parse("after_bundle=kill").unwrap().due(Failpoint::AfterBundle), Some(Fault::Kill));
    }

    #[test]
    fn text_that_cannot_be_read_is_refused() {
        for bad in
            ["after_plan", "no_such_point=kill", "after_plan=maybe", "after_plan:0=kill", "after_plan:x=kill"]
        {
            assert_eq!(Armed::parse(bad).unwrap_err().code, Code::ParameterInvalid, "{bad}");
        }
    }

    #[test]
    fn every_name_is_written_once() {
        let mut names: Vec<_> = Failpoint::ALL.iter().map(|point| point.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Failpoint::ALL.len());
    }

    #[test]
    fn every_point_is_reached_somewhere() {
        let mut sources = String::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
        let idle: Vec<_> = Failpoint::ALL
            .iter()
            .filter(|point| !sources.contains(&format!("hit(Failpoint::{point:?})")))
            .collect();
        assert!(idle.is_empty(), "no code reaches {idle:?}");
    }

    fn collect(folder: &Path, sources: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, sources);
            } else if !path.ends_with("failpoint.rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
}
