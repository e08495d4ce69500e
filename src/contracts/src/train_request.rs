//! A request for a training run: everything by reference and digest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Code, Problem, Result,
    dataset_manifest::DatasetManifest,
    governance_profile::GovernanceProfile,
    identity::ids::TrainRunId,
    identity::{digest::Digest, recipe},
    names::{Name, PlatformRunId, Principal, RequestId},
    reference::Reference,
    schema::{Document, Problems, SchemaVersion, artifact},
    scope::TargetScope,
    training_config::TrainingConfig,
};

/// Why the run is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// The first model of a scope.
    BaselineTrain,
    /// The same model on more or corrected data.
    BackfillRetrain,
    /// A model that may replace the champion.
    CandidateEval,
    /// A run that shows that nothing got worse.
    RegressionCheck,
}

/// A request for a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainBuildRequest {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// The caller's name for this request.
    pub request_id: RequestId,
    /// Why the run is asked for.
    pub intent_kind: IntentKind,
    /// Run under whose prefix everything is stored.
    pub platform_run_id: PlatformRunId,
    /// The data.
    #[schemars(length(min = 1, max = 1_000))]
    pub dataset_manifests: Vec<Reference<DatasetManifest>>,
    /// What to fit.
    pub training_config: Reference<TrainingConfig>,
    /// What must hold.
    pub governance_profile: Reference<GovernanceProfile>,
    /// Who asks.
    pub requester_principal: Principal,
    /// Where the bundle is to serve.
    pub target_scope: TargetScope,
    /// Revision of the policy in force.
    pub policy_revision: Name,
    /// Revision of the platform's configuration.
    pub config_revision: Name,
    /// Release of the code that is to run.
    pub code_release_id: Name,
    /// Whether a PASS is published.
    #[serde(default)]
    pub publish_allowed: bool,
    /// The run that this one corrects.
    #[serde(default)]
    pub supersedes: Option<TrainRunId>,
}

/// Marks payload hashes of requests.
#[derive(Debug)]
pub enum RequestPayload {}

impl TrainBuildRequest {
    /// Digest of everything but `request_id`, with references in a fixed order: the recipe
    /// `request_payload.v1`.
    pub fn payload_hash(&self) -> Result<Digest<RequestPayload>> {
        let mut payload = serde_json::to_value(self.in_fixed_order())
            .map_err(|error| crate::Failure::new(Code::RequestInvalid, error.to_string()))?;
        if let Some(fields) = payload.as_object_mut() {
            fields.remove("request_id");
        }
        recipe::derive("request_payload.v1", &payload)
    }

    /// The manifests sorted by digest, so that the order of references forks nothing.
    fn in_fixed_order(&self) -> Self {
        let mut request = self.clone();
        request.dataset_manifests.sort_by_key(|manifest| manifest.digest);
        request
    }
}

artifact!(
    TrainBuildRequest,
    "train_request",
    RequestInvalid,
    EvidenceUnresolved,
    EvidenceDigestMismatch,
    TrainRequestImmutabilityViolation
);

impl Document for TrainBuildRequest {
    fn check(&self, problems: &mut Problems) {
        problems.require_distinct(
            "/dataset_manifests",
            self.dataset_manifests.iter().map(|manifest| manifest.digest),
        );
    }

    /// The code of the field, where one field alone is wrong.
    fn code(problems: &[Problem]) -> Code {
        const FIELDS: [(&str, Code); 8] = [
            ("request_id", Code::RequestIdInvalid),
            ("intent_kind", Code::IntentKindUnsupported),
            ("platform_run_id", Code::RunScopeInvalid),
            ("dataset_manifests", Code::ManifestRefMissing),
            ("training_config", Code::TrainingConfigMissing),
            ("governance_profile", Code::GovernanceProfileMissing),
            ("requester_principal", Code::RequesterMissing),
            ("target_scope", Code::TargetScopeInvalid),
        ];
        let field = |problem: &Problem| problem.pointer.split('/').nth(1).map(str::to_owned);
        let first = problems.first().and_then(field);
        if problems.iter().any(|problem| field(problem) != first) {
            return Code::RequestInvalid;
        }
        FIELDS
            .iter()
            .find(|(name, _)| first.as_deref() == Some(name))
            .map_or(Code::RequestInvalid, |(_, code)| *code)
    }
}
