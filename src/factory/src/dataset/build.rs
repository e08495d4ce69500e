//! The conductor of a build: read, order, label, and only then compute and write, a stretch of rows at a time.

use std::ops::Range;

use contracts::{
    Checked, Code, Digest, Failure, Reference, Result,
    artifacts::Partition,
    dataset_manifest::{
        BuildConfig, Column, ColumnRole, DatasetManifest, LabelBasis, PartitionEntry, PassProof, PassedCheck,
        Provenance, ResolutionRule,
    },
    feature::FeatureDefinitionSet,
    identity::{canonical, ids::DatasetManifestId},
    names::{ColumnName, Name, ObjectKey},
    schema::SchemaVersion,
    time::{DAY, TimeWindow, Timestamp},
};
use kernels::{
    Progress,
    label::{Outcome, Resolved, Timeline, resolve},
    progress::Silent,
};
use rayon::prelude::*;

use super::{
    events::{self, Events},
    features::Features,
    labels::{self, Joined, POSITIVE},
    layout,
    meter::Meter,
    partition::{self, Values},
    source::Source,
    spec::{self, DatasetSpec},
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

/// Everything that goes into the partitions, checked, but the features: these are computed as they are written.
struct Content {
    events: Events,
    labels: Resolved,
    /// What was known of each label at any time, where a feature looks at it.
    timeline: Option<Timeline>,
    orphans: u64,
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
    let content = content(spec, sources, &meter)?;
    let schema = layout::columns(spec, |name| content.events.ids(spec, name))?;
    let partitions = Writing::new(spec, &content, &schema)?.write(store, &meter)?;
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

fn content(spec: &DatasetSpec, sources: Sources, meter: &Meter<'_>) -> Result<Content> {
    let columns = sources.events.read(&events::wanted(spec), meter)?;
    drop(sources.events);
    let (events, index) = Events::new(spec, columns)?;
    require_weights(spec, &events)?;
    let columns = sources.labels.read(&labels::wanted(&spec.labels, spec.naive_times_are_utc), meter)?;
    drop(sources.labels);
    let joined = Joined::new(&spec.labels, columns, &index)?;
    drop(index);
    let cut = spec.labels.label_asof_utc.nanoseconds();
    let assertions = joined.assertions(events.len())?;
    let mut labels = resolve(&events.times, &assertions, cut, i64::from(spec.labels.maturity_days) * DAY)?;
    require_observed(&labels, cut)?;
    // No partition holds it.
    labels.effective_time = Vec::new();
    let looks_at_labels = spec.features.iter().any(spec::uses_labels);
    let timeline = looks_at_labels.then(|| Timeline::new(&assertions, cut)).transpose()?;
    Ok(Content { events, labels, timeline, orphans: joined.orphans })
}

fn require_weights(spec: &DatasetSpec, events: &Events) -> Result<()> {
    let Some(name) = &spec.weight else { return Ok(()) };
    let negative = events.numbers(name)?.iter().filter(|weight| **weight < 0.0).count();
    if negative == 0 {
        return Ok(());
    }
    let pointer = format!("events/{name}");
    Err(Failure::at(Code::NonFiniteInput, pointer, "numbers of zero or more", format!("{negative} others"))
        .with_hint("A weight says how much a row counts; it cannot be negative."))
}

/// The promise that the pass proof repeats, looked at once more where it matters most.
fn require_observed(labels: &Resolved, cut: i64) -> Result<()> {
    let known = labels.outcome.iter().zip(&labels.observed_time);
    let late = known.filter(|(outcome, observed)| **outcome == Outcome::Known && **observed > cut).count();
    if late == 0 {
        return Ok(());
    }
    Err(Failure::at(Code::LabelAfterAsof, "labels", "labels observed by the cut", format!("{late} later")))
}

/// The partitions on their way from content to bytes.
struct Writing<'a> {
    spec: &'a DatasetSpec,
    content: &'a Content,
    schema: &'a [Column],
    features: Features<'a>,
    partitions: Vec<Range<usize>>,
}

impl<'a> Writing<'a> {
    fn new(spec: &'a DatasetSpec, content: &'a Content, schema: &'a [Column]) -> Result<Self> {
        let features = Features::new(&spec.features, &content.events)?.knowing(content.timeline.as_ref());
        let partitions = partition::split(&content.events.times, spec.partition_rows as usize);
        Ok(Self { spec, content, schema, features, partitions })
    }

    /// Computes the features, encodes and writes, a stretch of rows at a time, in their order.
    fn write(&self, store: &dyn Store, meter: &Meter<'_>) -> Result<Vec<PartitionEntry>> {
        if self.features.may_overflow() {
            // Nothing is written before every check has passed, and this one takes the whole computation.
            let unseen = Meter::new(&Silent, 0);
            self.stretches().try_for_each(|stretch| self.features.of(rows(stretch), &unseen).map(drop))?;
        }
        let arrow_schema = layout::arrow_schema(self.schema);
        let mut entries = Vec::with_capacity(self.partitions.len());
        for stretch in self.stretches() {
            let computed = self.features.of(rows(stretch), meter)?;
            let values = self.content.values(self.spec, self.schema, (rows(stretch).start, &computed))?;
            for together in stretch.chunks(rayon::current_num_threads().max(1)) {
                let encode = |rows: &Range<usize>| partition::encode(&arrow_schema, &values, rows.clone());
                let encoded: Vec<Vec<u8>> = together.par_iter().map(encode).collect::<Result<_>>()?;
                for (rows, bytes) in together.iter().zip(encoded) {
                    entries.push(self.put(store, rows, &bytes)?);
                    meter.advance(rows.len() as u64)?;
                }
            }
        }
        Ok(entries)
    }

    /// The partitions by stretches: a partition a thread at least, and half as many rows as the windows look back on, so
    /// that looking back costs no more than three times the rows.
    fn stretches(&self) -> impl Iterator<Item = &[Range<usize>]> {
        let mut rest = self.partitions.as_slice();
        std::iter::from_fn(move || {
            let first = rest.first()?.start;
            let history = first - self.features.reach(first);
            let enough = rest.iter().position(|partition| partition.end - first >= history / 2);
            let least = enough.map_or(rest.len(), |last| last + 1).max(rayon::current_num_threads());
            let (stretch, others) = rest.split_at(least.min(rest.len()));
            rest = others;
            Some(stretch)
        })
    }

    fn put(&self, store: &dyn Store, rows: &Range<usize>, bytes: &[u8]) -> Result<PartitionEntry> {
        let digest: Digest<Partition> = Digest::of(bytes);
        let key = format!("{}/ofs/partitions/{}.parquet", self.spec.platform_run_id, digest.hex());
        let reference: Reference<Partition> = store::write_once(store, &ObjectKey::new(key)?, bytes)?;
        Ok(PartitionEntry {
            uri: reference.uri,
            digest: reference.digest,
            rows: rows.len() as u64,
            bytes: bytes.len() as u64,
            time_window: window(&self.content.events.times, rows)?,
        })
    }
}

/// The rows of some partitions in a row.
fn rows(partitions: &[Range<usize>]) -> Range<usize> {
    partitions.first().map_or(0, |rows| rows.start)..partitions.last().map_or(0, |rows| rows.end)
}

/// From the first event to just after the last; `times` are in order and the rows are not none.
fn window(times: &[i64], rows: &Range<usize>) -> Result<TimeWindow> {
    let (Some(&first), Some(end)) = (times[rows.clone()].first(), times[rows.end - 1].checked_add(1)) else {
        return Err(Failure::at(
            Code::ColumnTypeInvalid,
            "events",
            "times before the last nanosecond",
            "that one",
        ));
    };
    Ok(TimeWindow { start: Timestamp::from_nanoseconds(first), end: Timestamp::from_nanoseconds(end) })
}

impl Content {
    /// The values of each column of the schema; features are those of the rows from the first one given on.
    fn values<'a>(
        &'a self,
        spec: &DatasetSpec,
        schema: &[Column],
        (first, features): (usize, &'a [Vec<f64>]),
    ) -> Result<Vec<Values<'a>>> {
        let mut features = features.iter();
        schema
            .iter()
            .map(|column| {
                Ok(match column.role {
                    ColumnRole::EventId | ColumnRole::Entity => {
                        Values::Ids(self.events.ids(spec, column.name.as_str())?)
                    }
                    ColumnRole::EventTime | ColumnRole::FeatureAsof => Values::Times(&self.events.times),
                    ColumnRole::Feature => {
                        Values::NumbersFrom(first, features.next().map_or(&[], Vec::as_slice))
                    }
                    ColumnRole::Slice | ColumnRole::Weight => {
                        Values::Numbers(self.events.numbers(&column.name)?)
                    }
                    ColumnRole::Label => Values::Label(&self.labels),
                    ColumnRole::LabelOutcome => Values::Outcome(&self.labels),
                    ColumnRole::LabelObservedTime => Values::ObservedTime(&self.labels),
                })
            })
            .collect()
    }

    fn label_basis(&self, spec: &DatasetSpec) -> LabelBasis {
        let counts = &self.labels.counts;
        let positive =
            (0..self.events.len()).filter(|&event| self.labels.known(event) == Some(POSITIVE)).count();
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
        let rows = self.events.len() as u64;
        [
            ("unique_event_ids", rows),
            ("features_as_of_event", rows),
            ("features_finite_or_missing", rows),
            ("labels_observed_by_asof", self.labels.counts.known as u64),
            ("orphan_assertions_left_out", self.orphans),
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
    let times = &content.events.times;
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
        time_window: window(times, &(0..times.len()))?,
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
