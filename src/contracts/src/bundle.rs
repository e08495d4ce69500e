//! The immutable unit that is published: a model with everything that shows where it came from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    artifacts::ModelArtifact,
    dataset_manifest::DatasetManifest,
    eval_report::EvalReport,
    execution_record::ExecutionRecord,
    feature::FeatureDefinitionSet,
    gate_receipt::{GateReceipt, PublishEligibility},
    governance_profile::GovernanceProfile,
    identity::ids::{BundleId, BundleVersion, TrainRunId},
    identity::{digest::Digest, recipe},
    names::{ColumnName, Name},
    reference::Reference,
    resolved_plan::ResolvedTrainPlan,
    schema::{Document, Problems, SchemaVersion, artifact},
    scope::TargetScope,
    signature::{Signature, signed},
    train_run_key::TrainRunKey,
    training_config::{DecisionPolicy, TrainingConfig},
};

/// What a scorer must offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compatibility {
    /// Format of the model artifact: `model_factory.model.v1`.
    pub model_format: Name,
    /// The model's family.
    pub family: Name,
    /// Digest of the input schema under the recipe `input_schema.v1`.
    pub input_schema: Digest<InputColumn>,
}

/// One input of the model: a float64 column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputColumn {
    /// Name of the feature.
    pub name: ColumnName,
    /// Whether a missing value can be scored.
    pub missing_allowed: bool,
    /// Whether values are categories: whole numbers from 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub categorical: bool,
}

/// Digest of the inputs, in order, under the recipe `input_schema.v1`.
pub fn input_schema_digest(columns: &[InputColumn]) -> Result<Digest<InputColumn>> {
    recipe::derive("input_schema.v1", &columns)
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
        BundleId::of(&digest)
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
    BundleVersion::of(&digest)
}

/// A model with everything that shows where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelBundle {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// `mb_` and 32 digits.
    pub bundle_id: BundleId,
    /// `v1-` and 12 digits.
    pub bundle_version: BundleVersion,
    /// The run that built it.
    pub train_run_id: TrainRunId,
    /// Digest of that run's key.
    pub train_run_key: Digest<TrainRunKey>,
    /// Where it is to serve.
    pub target_scope: TargetScope,
    /// The model's arrays.
    pub model: Reference<ModelArtifact>,
    /// Size of the model in bytes.
    pub model_bytes: u64,
    /// Inputs of the model, in order.
    #[schemars(length(min = 1))]
    pub input_schema: Vec<InputColumn>,
    /// What the inputs mean.
    pub feature_definition_set: FeatureDefinitionSet,
    /// What a scorer must offer.
    pub compatibility: Compatibility,
    /// How the model is used.
    pub decision_policy: DecisionPolicy,
    /// The data, in the order of the run key.
    pub dataset_manifests: Vec<Reference<DatasetManifest>>,
    /// What was fitted.
    pub training_config: Reference<TrainingConfig>,
    /// What had to hold.
    pub governance_profile: Reference<GovernanceProfile>,
    /// The plan that was carried out.
    pub plan: Reference<ResolvedTrainPlan>,
    /// What the fit did.
    pub execution_record: Reference<ExecutionRecord>,
    /// How good the model is.
    pub eval_report: Reference<EvalReport>,
    /// The bundle it had to beat; null where the profile asked for none or the scope had none.
    pub champion: Option<Reference<Self>>,
    /// The gate's verdict.
    pub gate_receipt: Reference<GateReceipt>,
    /// What followed from it.
    pub publish_eligibility: Reference<PublishEligibility>,
    /// Revision of the policy in force.
    pub policy_revision: Name,
    /// Revision of the platform's configuration.
    pub config_revision: Name,
    /// Release of the code that ran.
    pub code_release_id: Name,
    /// The run that this one corrects.
    pub supersedes: Option<TrainRunId>,
    /// The factory that built it.
    pub signature: Signature,
}

impl ModelBundle {
    /// What the bundle's identity is made of.
    pub fn key(&self) -> BundleKey<'_> {
        BundleKey {
            train_run_key: self.train_run_key,
            dataset_manifests: self.dataset_manifests.iter().map(|manifest| manifest.digest).collect(),
            model: self.model.digest,
            eval_report: self.eval_report.digest,
            gate_receipt: self.gate_receipt.digest,
            compatibility: &self.compatibility,
        }
    }
}

artifact!(
    ModelBundle,
    "bundle",
    EvidenceInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    ModelBundleImmutabilityViolation
);
signed!(ModelBundle, "bundle_signature.v1");

impl Document for ModelBundle {
    fn check(&self, problems: &mut Problems) {
        let id = self.key().id();
        problems.require(
            id.is_ok_and(|id| id == self.bundle_id),
            "/bundle_id",
            "the id of what the bundle names",
            "another id",
        );
        let version = bundle_version(&self.bundle_id, &self.policy_revision, &self.config_revision);
        problems.require(
            version.is_ok_and(|version| version == self.bundle_version),
            "/bundle_version",
            "the version of id and revisions",
            "another version",
        );
        let schema = input_schema_digest(&self.input_schema);
        problems.require(
            schema.is_ok_and(|digest| digest == self.compatibility.input_schema),
            "/compatibility/input_schema",
            "the digest of the input schema",
            "another digest",
        );
        problems.require_distinct("/input_schema", self.input_schema.iter().map(|column| &column.name));
    }
}
