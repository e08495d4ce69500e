//! The conductor of a build: read, label, order, compute, each a bucket of rows at a time, and only then write.

use contracts::{
    Checked, Code, Digest, Failure, Reference, Result,
    dataset_manifest::{
        BuildConfig, Column, ColumnRole, DatasetManifest, LabelBasis, PartitionEntry, PassProof, PassedCheck,
        Provenance, ResolutionRule,
    },
    feature::FeatureDefinitionSet,
    identity::{canonical, ids::DatasetManifestId},
    names::{ColumnName, Name, ObjectKey},
    schema::SchemaVersion,
    time::{TimeWindow, Timestamp},
};
use kernels::Progress;

use super::{
    events,
    intake::{Aside, Intake},
    labels, layout,
    merge::merge,
    meter::Meter,
    partitions::{Writing, window},
    runs::{Totals, runs},
    source::Source,
    spec::DatasetSpec,
    spill::Spread,
    windowed::windowed,
};
use crate::store::{self, Store};

/// Release of this builder, as manifests name it.
const RELEASE: &str = concat!("model_factory-", env!("CARGO_PKG_VERSION"));

/// The raw rows.
#[derive(Debug, Clone)]
pub struct Sources {
    /// One row an event.
    pub events: Source,
    /// One row an assertion about an event's label.
    pub labels: Source,
}

/// A dataset that was built.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// Its manifest.
    pub manifest: Checked<DatasetManifest>,
    /// Where the manifest stands.
    pub reference: Reference<DatasetManifest>,
}

/// What the manifest says of the rows as a whole.
struct Content {
    rows: u64,
    time_window: TimeWindow,
    totals: Totals,
}

/// Builds a dataset and writes it; the same rows and request give the same bytes and the same manifest.
///
/// `now` only refuses a cut in the future. Progress counts rows read, swept and written.
///
/// Refuses, with nothing written: `PARAMETER_INVALID` (the request), `LABEL_ASOF_IN_FUTURE`, `DATASET_EMPTY`,
/// `DUPLICATE_EVENT`, `COLUMN_MISSING`, `COLUMN_TYPE_INVALID`, `NULL_NOT_ALLOWED`, `NON_FINITE_INPUT`,
/// `SOURCE_UNREADABLE` and `RESOURCE_EXHAUSTED`.
pub fn build(
    store: &dyn Store,
    spec: &DatasetSpec,
    sources: Sources,
    now: Timestamp,
    progress: &dyn Progress,
) -> Result<Built> {
    spec.check()?;
    let cut = spec.labels.label_asof_utc;
    if cut > now {
        let found = format!("{cut}, at {now}");
        return Err(Failure::at(
            Code::LabelAsofInFuture,
            "/labels/label_asof_utc",
            "a moment that has passed",
            found,
        ));
    }
    let events = sources.events.survey(&events::wanted(spec))?;
    let assertions = sources.labels.survey(&labels::wanted(&spec.labels, spec.naive_times_are_utc))?;
    let passes = spec.entity_columns().len() as u64 + 2;
    let meter = Meter::new(progress, events.saturating_mul(passes).saturating_add(assertions));
    let spread = Spread::of(events.max(assertions), spec.outputs()?.len());
    build_over((store, spread), spec, sources, &meter)
}

/// Builds over so many buckets what was checked.
pub(super) fn build_over(
    aside: Aside<'_>,
    spec: &DatasetSpec,
    sources: Sources,
    meter: &Meter<'_>,
) -> Result<Built> {
    let store = aside.0;
    let intake = Intake::read(spec, (sources.events, sources.labels), aside, meter)?;
    let schema = layout::columns(spec, &intake.types)?;
    let (runs, totals) = runs(spec, &intake, aside, meter)?;
    drop(intake);
    let mut merged = merge(spec, &runs, aside, meter)?;
    drop(runs);
    let content =
        Content { rows: merged.days.iter().sum::<usize>() as u64, time_window: window(merged.span)?, totals };
    let windowed = windowed(spec, std::mem::take(&mut merged.by_entity), aside, meter)?;
    // Every check has passed.
    let partitions = Writing::new(spec, &schema, &merged, &windowed).write(store, &merged.days, meter)?;
    let manifest = Checked::new(manifest(spec, &content, schema, partitions)?)?;
    // One dataset may be described more than once, say by two revisions of a request: the manifest stands under
    // its own digest too.
    let key = format!(
        "{}/ofs/manifests/{}/{}.json",
        spec.platform_run_id,
        manifest.dataset_manifest_id,
        manifest.digest().hex()
    );
    let reference = store::write_document(store, &ObjectKey::new(key)?, &manifest)?;
    Ok(Built { manifest, reference })
}

impl Content {
    fn label_basis(&self, spec: &DatasetSpec) -> LabelBasis {
        let Totals { counts, positive, .. } = self.totals;
        LabelBasis {
            label_family: spec.labels.family.clone(),
            positive_values: spec.labels.positive_values.clone(),
            negative_values: spec.labels.negative_values.clone(),
            label_asof_utc: spec.labels.label_asof_utc,
            resolution_rule: ResolutionRule::LatestObservedWins,
            maturity_days: spec.labels.maturity_days,
            positive: positive as u64,
            negative: (counts.known - positive) as u64,
            censored: counts.censored as u64,
            conflicting: counts.conflict as u64,
            immature: counts.immature as u64,
        }
    }

    fn checks(&self) -> Result<Vec<PassedCheck>> {
        let rows = self.rows;
        [
            ("unique_event_ids", rows),
            ("features_as_of_event", rows),
            ("features_finite_or_missing", rows),
            ("labels_observed_by_asof", self.totals.counts.known as u64),
            ("orphan_assertions_left_out", self.totals.orphans),
        ]
        .into_iter()
        .map(|(check, rows)| Ok(PassedCheck { check: Name::new(check)?, rows }))
        .collect()
    }
}

fn manifest(
    spec: &DatasetSpec,
    content: &Content,
    schema: Vec<Column>,
    partitions: Vec<PartitionEntry>,
) -> Result<DatasetManifest> {
    let features = spec.features.iter().cloned().map(contracts::feature::Feature::pin);
    let unset = Digest::of(&[]);
    let mut manifest = DatasetManifest {
        schema_version: SchemaVersion::default(),
        dataset_manifest_id: DatasetManifestId::of(&unset)?,
        dataset_fingerprint: unset,
        platform_run_id: spec.platform_run_id.clone(),
        partitions,
        join_keys: join_keys(&schema),
        schema,
        time_window: content.time_window,
        replay_basis: spec.replay_basis.clone(),
        label_basis: content.label_basis(spec),
        feature_definition_set: FeatureDefinitionSet {
            feature_set_id: spec.feature_definition_set.feature_set_id.clone(),
            feature_set_version: spec.feature_definition_set.feature_set_version.clone(),
            features: features.collect::<Result<_>>()?,
        },
        context_pins: spec.context_pins.clone(),
        provenance: Provenance {
            builder_release: Name::new(RELEASE)?,
            config_revision: spec.config_revision.clone(),
            run_config_digest: Digest::<BuildConfig>::of(&canonical::to_bytes(spec)?),
        },
        pass_proof: None,
    };
    let fingerprint = manifest.fingerprint()?;
    manifest.dataset_fingerprint = fingerprint;
    manifest.dataset_manifest_id = DatasetManifestId::of(&fingerprint)?;
    manifest.pass_proof = Some(PassProof { dataset_fingerprint: fingerprint, checks: content.checks()? });
    Ok(manifest)
}

fn join_keys(schema: &[Column]) -> Vec<ColumnName> {
    let keys = schema.iter().filter(|column| matches!(column.role, ColumnRole::EventId | ColumnRole::Entity));
    keys.map(|column| column.name.clone()).collect()
}
