//! The ids of the line and what each is made of.
//!
//! No recipe takes a path, a host, a clock or the store's root; each has a golden vector in its tests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{digest::Digest, recipe};
use crate::{
    Result,
    artifacts::ModelArtifact,
    bundle::{Compatibility, ModelBundle},
    dataset_manifest::DatasetManifest,
    eval_report::EvalReport,
    feature::FeatureSetName,
    gate_receipt::GateReceipt,
    governance_profile::GovernanceProfile,
    names::{BundleId, BundleVersion, DatasetManifestId, Name, PlatformRunId, TrainRunId},
    scope::TargetScope,
    train_request::IntentKind,
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
    /// Digest of the key.
    pub fn digest(&self) -> Result<Digest<Self>> {
        recipe::derive("train_run_key.v1", self)
    }

    /// `tr_` and 32 digits of the key's digest.
    pub fn id(&self) -> Result<TrainRunId> {
        TrainRunId::new(format!("tr_{}", self.digest()?.hex_prefix(32)))
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

/// `dm_` and 32 digits of the dataset's fingerprint.
pub fn dataset_manifest_id(fingerprint: &Digest<DatasetManifest>) -> Result<DatasetManifestId> {
    DatasetManifestId::new(format!("dm_{}", fingerprint.hex_prefix(32)))
}

/// What makes a bundle the bundle it is: the recipe `bundle_id.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BundleKey<'a> {
    /// Digest of the run's key.
    pub train_run_key: Digest<TrainRunKey>,
    /// Digests of the manifests, in the order of the run key.
    pub dataset_manifests: Vec<Digest<DatasetManifest>>,
    /// Digest of the model's bytes.
    pub model: Digest<ModelArtifact>,
    /// Digest of the evaluation report.
    pub eval_report: Digest<EvalReport>,
    /// Digest of the gate's receipt.
    pub gate_receipt: Digest<GateReceipt>,
    /// What a scorer must offer.
    pub compatibility: &'a Compatibility,
}

impl BundleKey<'_> {
    /// `mb_` and 32 digits of the key's digest.
    pub fn id(&self) -> Result<BundleId> {
        let digest: Digest<ModelBundle> = recipe::derive("bundle_id.v1", self)?;
        BundleId::new(format!("mb_{}", digest.hex_prefix(32)))
    }
}

/// `v1-` and 12 digits of the digest of bundle id and revisions: the recipe `bundle_version.v1`.
pub fn bundle_version(
    bundle_id: &BundleId,
    policy_revision: &Name,
    config_revision: &Name,
) -> Result<BundleVersion> {
    #[derive(Serialize)]
    struct Payload<'a> {
        bundle_id: &'a BundleId,
        config_revision: &'a Name,
        policy_revision: &'a Name,
    }
    let digest: Digest<ModelBundle> =
        recipe::derive("bundle_version.v1", &Payload { bundle_id, config_revision, policy_revision })?;
    BundleVersion::new(format!("v1-{}", digest.hex_prefix(12)))
}
