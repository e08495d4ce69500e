//! What makes a run the run it is, and what keys its randomness.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    dataset_manifest::DatasetManifest,
    feature::FeatureSetName,
    governance_profile::GovernanceProfile,
    identity::{digest::Digest, ids::TrainRunId, recipe},
    names::{Name, PlatformRunId},
    scope::TargetScope,
    train_request::{IntentKind, TrainBuildRequest},
    training_config::TrainingConfig,
};

/// Marks digests that key the randomness of a stage.
#[derive(Debug)]
pub enum StageSeed {}

/// What makes a run the run it is: the recipe `train_run_key.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainRunKey {
    /// Why the run is asked for.
    pub intent_kind: IntentKind,
    /// Run under whose prefix everything is stored.
    pub platform_run_id: PlatformRunId,
    /// Digests of the manifests, sorted.
    pub dataset_manifests: Vec<Digest<DatasetManifest>>,
    /// Digest of the training config.
    pub training_config: Digest<TrainingConfig>,
    /// Digest of the governance profile.
    pub governance_profile: Digest<GovernanceProfile>,
    /// The feature set that the config asks for.
    pub feature_definition_set: FeatureSetName,
    /// Where the bundle is to serve, with its tenant.
    pub target_scope: TargetScope,
    /// Release of the code that is to run.
    pub code_release_id: Name,
}

impl TrainRunKey {
    /// The key of the run that a request asks for with its config; the order of the manifests does not matter.
    pub fn of(request: &TrainBuildRequest, config: &TrainingConfig) -> Self {
        let mut dataset_manifests: Vec<_> =
            request.dataset_manifests.iter().map(|manifest| manifest.digest).collect();
        dataset_manifests.sort_unstable();
        Self {
            intent_kind: request.intent_kind,
            platform_run_id: request.platform_run_id.clone(),
            dataset_manifests,
            training_config: request.training_config.digest,
            governance_profile: request.governance_profile.digest,
            feature_definition_set: config.feature_definition_set.clone(),
            target_scope: request.target_scope.clone(),
            code_release_id: request.code_release_id.clone(),
        }
    }

    /// Digest of the key.
    pub fn digest(&self) -> Result<Digest<Self>> {
        recipe::derive("train_run_key.v1", self)
    }

    /// `tr_` and 32 digits of the key's digest.
    pub fn id(&self) -> Result<TrainRunId> {
        TrainRunId::of(&self.digest()?)
    }

    /// Keys every random choice of one stage: the recipe `stage_seed.v1`.
    pub fn stage_seed(&self, stage: &'static str, base_seed: u64) -> Result<Digest<StageSeed>> {
        #[derive(Serialize)]
        struct Payload {
            base_seed: u64,
            stage: &'static str,
            train_run_key: Digest<TrainRunKey>,
        }
        recipe::derive("stage_seed.v1", &Payload { base_seed, stage, train_run_key: self.digest()? })
    }
}
