//! The pinned description of a dataset: every byte by digest, every column by role.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    artifacts::Partition,
    feature::FeatureDefinitionSet,
    identity::ids::DatasetManifestId,
    identity::{digest::Digest, recipe},
    names::{ColumnName, Name, ObjectKey, PlatformRunId},
    reference::Reference,
    schema::{Document, Problems, SchemaVersion, artifact},
    time::{TimeWindow, Timestamp},
};

/// Type of a column in the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// 64-bit integer.
    Int64,
    /// 64-bit float.
    Float64,
    /// UTF-8 text.
    Utf8,
    /// Nanoseconds in UTC.
    TimestampNs,
    /// True or false.
    Boolean,
}

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnRole {
    /// Names the event; unique.
    EventId,
    /// When the event happened.
    EventTime,
    /// Up to which moment the row's features know.
    FeatureAsof,
    /// Names an entity, such as a customer.
    Entity,
    /// Input of a model.
    Feature,
    /// Whether the event is positive; null where that is not known.
    Label,
    /// Why the label is known or not: `known`, `censored`, `conflict` or `immature`.
    LabelOutcome,
    /// When the label became known.
    LabelObservedTime,
    /// How much the row counts.
    Weight,
    /// Groups rows for reports.
    Slice,
}

/// How much a column says about a person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyClass {
    /// Nothing.
    #[default]
    None,
    /// A stand-in for a person.
    Pseudonymous,
    /// Something about a person.
    Personal,
    /// Something about a person that needs special protection.
    Sensitive,
}

/// One column of the partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: ColumnName,
    /// Its type.
    pub r#type: ColumnType,
    /// What it is for.
    pub role: ColumnRole,
    /// How much it says about a person.
    #[serde(default)]
    pub privacy_class: PrivacyClass,
}

/// One Parquet file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartitionEntry {
    /// Key in the store.
    pub uri: ObjectKey,
    /// Digest of the bytes.
    pub digest: Digest<Partition>,
    /// Number of rows.
    pub rows: u64,
    /// Number of bytes.
    pub bytes: u64,
    /// Event times inside.
    pub time_window: TimeWindow,
}

impl PartitionEntry {
    /// The partition by where it stands and what its bytes are.
    pub fn reference(&self) -> Reference<Partition> {
        Reference { uri: self.uri.clone(), digest: self.digest }
    }
}

/// How one label is chosen among what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolutionRule {
    /// Of the assertions observed at or before the cut, the latest observed wins, then the latest effective;
    /// equal times with different values are a conflict.
    LatestObservedWins,
}

/// What the labels rest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelBasis {
    /// What is labelled, such as `card_fraud`.
    pub label_family: Name,
    /// Asserted values that make an event positive.
    #[schemars(length(min = 1, max = 100))]
    pub positive_values: Vec<i64>,
    /// Asserted values that make an event negative.
    #[schemars(length(min = 1, max = 100))]
    pub negative_values: Vec<i64>,
    /// Nothing observed after this moment was used.
    pub label_asof_utc: Timestamp,
    /// How one label is chosen.
    pub resolution_rule: ResolutionRule,
    /// Days a label needs before it counts as final.
    #[schemars(range(max = 36_500))]
    pub maturity_days: u32,
    /// Events labelled positive.
    pub positive: u64,
    /// Events labelled negative.
    pub negative: u64,
    /// Events with no label known at the cut: unknown, never negative.
    pub censored: u64,
    /// Events whose assertions contradict each other.
    pub conflicting: u64,
    /// Events younger than the maturity at the cut.
    pub immature: u64,
}

/// The stretch of an event log that the dataset stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayBasis {
    /// Topic of the log.
    pub topic: Name,
    /// Partition of the topic.
    pub partition: u32,
    /// What the offsets count, such as `offset` or `event_time`.
    pub offset_kind: Name,
    /// First offset inside.
    pub start: Name,
    /// Last offset inside.
    pub end: Name,
}

/// Pins of the run that made the raw data, where there was one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextPins {
    /// Scenario that was simulated.
    pub scenario_id: Name,
    /// Run that made the data.
    pub run_id: Name,
    /// Fingerprint of that run's own manifest.
    pub manifest_fingerprint: Name,
    /// Hash of its parameters.
    pub parameter_hash: Name,
    /// Its seed.
    pub seed: u64,
}

/// Which code built the dataset, from what configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Release of the builder.
    pub builder_release: Name,
    /// Revision of its configuration.
    pub config_revision: Name,
    /// Digest of the build request.
    pub run_config_digest: Digest<BuildConfig>,
}

/// Marks digests of build requests.
#[derive(Debug)]
pub enum BuildConfig {}

/// One check of the builder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassedCheck {
    /// What was checked.
    pub check: Name,
    /// How many rows were looked at.
    pub rows: u64,
}

/// The builder's checks, bound to the data they looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassProof {
    /// Fingerprint of the data that passed.
    pub dataset_fingerprint: Digest<DatasetManifest>,
    /// What it passed.
    #[schemars(length(min = 1))]
    pub checks: Vec<PassedCheck>,
}

/// A dataset, pinned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetManifest {
    /// Names this contract.
    pub schema_version: SchemaVersion<Self>,
    /// `dm_` and 32 digits of the fingerprint.
    pub dataset_manifest_id: DatasetManifestId,
    /// Digest of what the data is.
    pub dataset_fingerprint: Digest<Self>,
    /// Run that owns the data.
    pub platform_run_id: PlatformRunId,
    /// The files, in the order of their rows.
    #[schemars(length(min = 1))]
    pub partitions: Vec<PartitionEntry>,
    /// The columns of every file.
    #[schemars(length(min = 3))]
    pub schema: Vec<Column>,
    /// Columns by which rows join other data.
    pub join_keys: Vec<ColumnName>,
    /// Event times inside.
    pub time_window: TimeWindow,
    /// Stretches of event logs.
    #[serde(default)]
    pub replay_basis: Vec<ReplayBasis>,
    /// What the labels rest on.
    pub label_basis: LabelBasis,
    /// The features.
    pub feature_definition_set: FeatureDefinitionSet,
    /// Pins of the run that made the raw data.
    #[serde(default)]
    pub context_pins: Option<ContextPins>,
    /// Which code built it.
    pub provenance: Provenance,
    /// The builder's checks.
    pub pass_proof: Option<PassProof>,
}

#[derive(Serialize)]
struct Fingerprint<'a> {
    partition_digests: Vec<Digest<Partition>>,
    schema: &'a [Column],
    label_basis: &'a LabelBasis,
    feature_definition_set: &'a FeatureDefinitionSet,
    replay_basis: &'a [ReplayBasis],
}

impl DatasetManifest {
    /// Digest of the data, not of the request: the recipe `dataset_fingerprint.v1`.
    pub fn fingerprint(&self) -> Result<Digest<Self>> {
        recipe::derive(
            "dataset_fingerprint.v1",
            &Fingerprint {
                partition_digests: self.partitions.iter().map(|partition| partition.digest).collect(),
                schema: &self.schema,
                label_basis: &self.label_basis,
                feature_definition_set: &self.feature_definition_set,
                replay_basis: &self.replay_basis,
            },
        )
    }

    /// Number of rows in all partitions.
    pub fn rows(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.rows).sum()
    }

    /// The columns of one role.
    pub fn columns(&self, role: ColumnRole) -> impl Iterator<Item = &Column> {
        self.schema.iter().filter(move |column| column.role == role)
    }
}

artifact!(
    DatasetManifest,
    "dataset_manifest",
    ManifestInvalid,
    ManifestUnresolved,
    ManifestDigestMismatch,
    DatasetManifestImmutabilityViolation
);

impl Document for DatasetManifest {
    fn check(&self, problems: &mut Problems) {
        problems.require_distinct("/schema", self.schema.iter().map(|column| &column.name));
        problems.require_distinct("/partitions", self.partitions.iter().map(|partition| &partition.uri));
        for role in [
            ColumnRole::EventId,
            ColumnRole::EventTime,
            ColumnRole::FeatureAsof,
            ColumnRole::Label,
            ColumnRole::LabelOutcome,
            ColumnRole::LabelObservedTime,
        ] {
            let count = self.columns(role).count();
            problems.require(
                count == 1,
                "/schema",
                format!("one column of the role {role:?}"),
                format!("{count} of them"),
            );
        }
        self.feature_definition_set.check("/feature_definition_set", problems);
        let defined = self.feature_definition_set.features.iter().map(|feature| &feature.name);
        let held = self.columns(ColumnRole::Feature).map(|column| &column.name);
        problems.require(
            defined.eq(held),
            "/schema",
            "a feature column for each definition, in their order",
            "other feature columns",
        );
        for (index, partition) in self.partitions.iter().enumerate() {
            let window = &partition.time_window;
            problems.require(
                window.start < window.end,
                format!("/partitions/{index}/time_window"),
                "a start before the end",
                "none",
            );
        }
        let labels = &self.label_basis;
        let counted =
            labels.positive + labels.negative + labels.censored + labels.conflicting + labels.immature;
        problems.require(
            counted == self.rows(),
            "/label_basis",
            format!("counts that add up to {} rows", self.rows()),
            format!("{counted}"),
        );
        let fingerprint = self.fingerprint();
        let same = fingerprint.as_ref().is_ok_and(|digest| *digest == self.dataset_fingerprint);
        problems.require(same, "/dataset_fingerprint", "the digest of the data described", "another digest");
        let id = DatasetManifestId::of(&self.dataset_fingerprint);
        problems.require(
            id.is_ok_and(|id| id == self.dataset_manifest_id),
            "/dataset_manifest_id",
            "the id of the fingerprint",
            "another id",
        );
    }
}
