//! Everything a run needs, resolved and pinned before anything is fitted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    dataset_manifest::{DatasetManifest, LabelBasis},
    feature::FeatureDefinitionSet,
    governance_profile::GovernanceProfile,
    identity::digest::Digest,
    identity::ids::TrainRunId,
    names::{ColumnName, Name, PlatformRunId},
    reference::Reference,
    schema::{Document, Problems, SchemaVersion, artifact},
    train_run_key::{StageSeed, TrainRunKey},
    training_config::TrainingConfig,
};

/// Everything a run needs. Requester and permission to publish are no part of it: they do not change what is
/// built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolvedTrainPlan {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The run.
    pub train_run_id: TrainRunId,
    /// What the run's identity is made of.
    pub train_run_key: TrainRunKey,
    /// Run under whose prefix everything is stored.
    pub platform_run_id: PlatformRunId,
    /// The data, in the order of the run key.
    pub dataset_manifests: Vec<Reference<DatasetManifest>>,
    /// Where the config stands.
    pub training_config_ref: Reference<TrainingConfig>,
    /// The config with every default written out.
    pub training_config: TrainingConfig,
    /// Where the profile stands.
    pub governance_profile_ref: Reference<GovernanceProfile>,
    /// The profile with every default written out.
    pub governance_profile: GovernanceProfile,
    /// Feature columns in the model's order.
    pub features: Vec<ColumnName>,
    /// Their definitions.
    pub feature_definition_set: FeatureDefinitionSet,
    /// What the labels rest on, one for each manifest.
    pub label_basis: Vec<LabelBasis>,
    /// Keys every random choice of the fit.
    pub train_seed: Digest<StageSeed>,
    /// Keys every random choice of the evaluation.
    pub evaluate_seed: Digest<StageSeed>,
    /// Revision of the policy in force.
    pub policy_revision: Name,
    /// Revision of the platform's configuration.
    pub config_revision: Name,
    /// The run that this one corrects.
    pub supersedes: Option<TrainRunId>,
}

artifact!(
    ResolvedTrainPlan,
    "resolved_plan",
    EvidenceInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    ResolvedPlanImmutabilityViolation
);

impl Document for ResolvedTrainPlan {
    fn check(&self, problems: &mut Problems) {
        let same = self.train_run_key.id().is_ok_and(|id| id == self.train_run_id);
        problems.require(same, "/train_run_id", "the id of the run key", "another id");
        let mut manifests: Vec<_> = self.dataset_manifests.iter().map(|manifest| manifest.digest).collect();
        manifests.sort_unstable();
        let pinned = [
            ("/platform_run_id", self.platform_run_id == self.train_run_key.platform_run_id),
            ("/dataset_manifests", manifests == self.train_run_key.dataset_manifests),
            ("/training_config_ref", self.training_config_ref.digest == self.train_run_key.training_config),
            (
                "/governance_profile_ref",
                self.governance_profile_ref.digest == self.train_run_key.governance_profile,
            ),
        ];
        for (pointer, holds) in pinned {
            problems.require(holds, pointer, "what the run key names", "something else");
        }
    }
}
