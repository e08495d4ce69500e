//! Where a run's objects stand. Keys are made of ids alone.

use contracts::{
    Digest, Result,
    identity::ids::TrainRunId,
    names::{ObjectKey, PlatformRunId},
};

use crate::ledger::State;

/// A run's own object.
pub(crate) fn of_run(platform_run: &PlatformRunId, run: &TrainRunId, name: &str) -> Result<ObjectKey> {
    ObjectKey::new(format!("{platform_run}/mf/train_runs/{run}/{name}"))
}

/// The plan of a run.
pub(crate) fn plan(platform_run: &PlatformRunId, run: &TrainRunId) -> Result<ObjectKey> {
    ObjectKey::new(format!("{platform_run}/mf/resolved_train_plan/{run}.json"))
}

/// A document that is named by its content, in a folder of the factory: `training_configs`, `governance_profiles`
/// or `train_requests`.
pub(crate) fn by_content<T>(
    platform_run: &PlatformRunId,
    folder: &str,
    digest: &Digest<T>,
) -> Result<ObjectKey> {
    ObjectKey::new(format!("{platform_run}/mf/{folder}/{}.json", digest.hex()))
}

/// The receipt of a run that is at rest in this state.
pub(crate) fn receipt(platform_run: &PlatformRunId, run: &TrainRunId, state: State) -> Result<ObjectKey> {
    of_run(platform_run, run, &format!("run_receipt_{}.json", state.as_str().to_lowercase()))
}
