//! What must hold before a model may be published, and who may do what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    dataset_manifest::PrivacyClass,
    metric::{SplitName, is_known},
    names::{ColumnName, Name, Principal, Span},
    schema::{Document, Problems, SchemaVersion, artifact},
    time::TimeWindow,
};

/// What counts as leakage beyond what is always refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeakagePolicy {
    /// Least gap that a training config may state.
    pub min_gap: Span,
    /// Least maturity that a label basis may state, in days.
    #[schemars(range(max = 36_500))]
    pub min_maturity_days: u32,
    /// A single feature that separates the training rows with this ROC AUC or more is suspected of carrying
    /// the label; 1 suspects perfect separation alone.
    #[schemars(range(min = 0.5, max = 1.0))]
    pub max_single_feature_auc: f64,
}

impl Default for LeakagePolicy {
    fn default() -> Self {
        Self { min_gap: Span::zero(), min_maturity_days: 0, max_single_feature_auc: 1.0 }
    }
}

/// Which side of the threshold passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The value is finite and at least the threshold.
    AtLeast,
    /// The value is finite and at most the threshold.
    AtMost,
}

/// Which value is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgedOn {
    /// The metric itself.
    #[default]
    Point,
    /// The lower end of its confidence interval.
    LowerBound,
    /// The upper end of its confidence interval.
    UpperBound,
}

/// One group of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SliceSelection {
    /// The slice's column.
    pub column: ColumnName,
    /// Number of the group, from 0; null judges every group.
    #[serde(default)]
    pub group: Option<u32>,
}

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Name in the receipt.
    pub name: Name,
    /// A metric of the report, such as `average_precision`.
    pub metric: Name,
    /// The split judged.
    #[serde(default)]
    pub split: SplitName,
    /// The slice judged; null judges the whole split.
    #[serde(default)]
    pub slice: Option<SliceSelection>,
    /// Which side passes.
    pub comparison: Comparison,
    /// The threshold.
    pub threshold: f64,
    /// Which value is compared.
    #[serde(default)]
    pub judged_on: JudgedOn,
}

/// How much better than the scope's active bundle a model must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChampionComparison {
    /// A metric of the report, judged on the test split.
    pub metric: Name,
    /// Which side is better.
    pub comparison: Comparison,
    /// Least improvement; may be negative to allow a small loss.
    pub min_improvement: f64,
}

/// Who may do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// Everyone.
    Anyone,
    /// These alone.
    Only(Vec<Principal>),
}

impl Allowed {
    /// Whether this principal may.
    pub fn allows(&self, principal: &Principal) -> bool {
        match self {
            Self::Anyone => true,
            Self::Only(principals) => principals.contains(principal),
        }
    }
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Who may request a run.
    pub request: Allowed,
    /// Who may ask for publication.
    pub publish: Allowed,
    /// Who may approve a bundle.
    pub approve: Allowed,
    /// Who may promote, roll back and retire.
    pub promote: Allowed,
}

/// What must hold before a model may be published, and who may do what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GovernanceProfile {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// Name of the profile.
    pub profile_id: Name,
    /// Its revision.
    pub revision: Name,
    /// What counts as leakage.
    #[serde(default)]
    pub leakage_policy: LeakagePolicy,
    /// What must hold.
    #[schemars(length(min = 1, max = 1_000))]
    pub criteria: Vec<Criterion>,
    /// How much better than the champion.
    #[serde(default)]
    pub champion_comparison: Option<ChampionComparison>,
    /// Who may do what.
    pub roles: Roles,
    /// Whether a bundle needs an approval before it is promoted.
    #[serde(default)]
    pub approval_required: bool,
    /// Whether the approver must be neither the requester nor the one who promotes.
    #[serde(default)]
    pub four_eyes: bool,
    /// Columns of these classes may not be features.
    #[serde(default)]
    pub privacy_classes_refused: Vec<PrivacyClass>,
    /// Datasets must lie inside; null allows all.
    #[serde(default)]
    pub dataset_window: Option<TimeWindow>,
}

artifact!(
    GovernanceProfile,
    "governance_profile",
    GovernanceProfileInvalid,
    GovernanceProfileUnresolved,
    GovernanceProfileDigestMismatch,
    GovernanceProfileImmutabilityViolation
);

impl Document for GovernanceProfile {
    fn check(&self, problems: &mut Problems) {
        problems.require_distinct("/criteria", self.criteria.iter().map(|criterion| &criterion.name));
        for (index, criterion) in self.criteria.iter().enumerate() {
            let known = is_known(criterion.metric.as_str());
            problems.require(
                known,
                format!("/criteria/{index}/metric"),
                "a metric of the evaluation report",
                "another name",
            );
        }
        if let Some(champion) = &self.champion_comparison {
            problems.require(
                is_known(champion.metric.as_str()),
                "/champion_comparison/metric",
                "a metric of the evaluation report",
                "another name",
            );
        }
        if let Some(window) = &self.dataset_window {
            problems.require(window.start < window.end, "/dataset_window", "a start before the end", "none");
        }
    }
}
