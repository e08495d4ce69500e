//! Where a run's objects stand. Keys are made of ids alone.

use contracts::{
    Digest, Result,
    identity::ids::TrainRunId,
    names::{ObjectKey, PlatformRunId},
};

use crate::ledger::State;

/// How the name of every receipt of a run begins, and of nothing else.
pub(crate) const RECEIPT: &str = "run_receipt_";

/// The folder of a run's own objects.
pub(crate) fn run(platform_run: &PlatformRunId, run: &TrainRunId) -> Result<ObjectKey> {
    ObjectKey::new(format!("{platform_run}/mf/train_runs/{run}"))
}

/// A run's own object.
pub(crate) fn of_run(platform_run: &PlatformRunId, run: &TrainRunId, name: &str) -> Result<ObjectKey> {
    self::run(platform_run, run)?.join(name)
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
    of_run(platform_run, run, &format!("{RECEIPT}{}.json", state.as_str().to_lowercase()))
}

/// The name of an object in its folder.
pub(crate) fn last_segment(key: &ObjectKey) -> &str {
    key.as_str().rsplit('/').next().unwrap_or_default()
}
