//! Reads datasets back: every partition by digest, every row in its place.

use std::collections::BTreeMap;

use contracts::{
    Checked, Code, Failure, Result,
    dataset_manifest::{Column, ColumnRole, DatasetManifest},
    names::ColumnName,
};
use kernels::Progress;
use rayon::prelude::*;

use super::{
    cut::Features,
    decode::{Look, Needed, Part, decode},
    events::pick,
    ids::Ids,
    meter::Meter,
    table::Table,
};
use crate::store::{self, Store};

/// The columns to read beside ids, times, labels and weights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Features, in the order of the table's columns.
    pub features: Vec<ColumnName>,
    /// Entities.
    pub entities: Vec<ColumnName>,
    /// Slices; a feature may stand for one.
    pub slices: Vec<ColumnName>,
}

/// Reads all rows of the manifests as one table, in the order of the event ids, and their features, which stay encoded
/// until they are cut.
///
/// Refuses with `DATASET_EMPTY` (no manifest), `FEATURE_SCHEMA_INCOMPATIBLE` (a feature that is not there, or
/// ids or weights that differ between manifests), `COLUMN_MISSING` (an entity or slice that is not there),
/// `PARTITION_UNRESOLVED`, `PARTITION_DIGEST_MISMATCH`, `PARTITION_INVALID`, `DUPLICATE_EVENT` and
/// `RESOURCE_EXHAUSTED` (2^32 rows). Progress counts each row twice: read, and its features cut. `look` is shown each row once, as it is decoded; what it saw
/// counts where the read succeeds.
pub fn read(
    store: &dyn Store,
    manifests: &[Checked<DatasetManifest>],
    selection: &Selection,
    progress: &dyn Progress,
    look: Look<'_>,
) -> Result<(Table, Features)> {
    let mut tasks = Vec::new();
    for manifest in manifests {
        let needed = needed(manifest, selection)?;
        tasks.extend(manifest.partitions.iter().map(|entry| (&**manifest, entry, needed.clone())));
    }
    require_alike(tasks.iter().map(|(_, _, needed)| needed))?;
    let rows = tasks.iter().fold(0_u64, |rows, (_, entry, _)| rows.saturating_add(entry.rows));
    if rows >= u64::from(u32::MAX) {
        let found = format!("{rows} rows");
        return Err(Failure::at(Code::ResourceExhausted, "dataset_manifests", "fewer than 2^32 rows", found));
    }
    let meter = Meter::new(progress, 2 * rows);
    let parts = tasks
        .par_iter()
        .map(|(manifest, entry, needed)| {
            let parts = decode(manifest, entry, needed, store::read(store, &entry.reference())?, look)?;
            meter.advance(entry.rows)?;
            Ok(parts)
        })
        .collect::<Vec<Result<_>>>();
    // Collected before the first failure is looked for: the one told is the first by position, not by time.
    let (parts, encoded): (Vec<_>, _) = parts.into_iter().collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let (table, order) = join(parts.into_iter().flatten().collect(), selection)?;
    Ok((table, Features { columns: selection.features.len(), parts: encoded, order }))
}

fn needed<'a>(manifest: &'a DatasetManifest, selection: &Selection) -> Result<Needed<'a>> {
    let of_role = |role: ColumnRole| {
        let missing = || Failure::new(Code::ManifestInvalid, format!("no column of the role {role:?}"));
        manifest.columns(role).next().ok_or_else(missing)
    };
    let find = |names: &[ColumnName], roles: &[ColumnRole], code: Code| -> Result<Vec<&'a Column>> {
        let find_one = |name: &ColumnName| {
            let found =
                manifest.schema.iter().find(|column| column.name == *name && roles.contains(&column.role));
            found.ok_or_else(|| {
                Failure::at(code, name.as_str(), format!("a column of the role {:?}", roles[0]), "none")
            })
        };
        names.iter().map(find_one).collect()
    };
    let slices = [ColumnRole::Slice, ColumnRole::Feature];
    Ok(Needed {
        event_id: of_role(ColumnRole::EventId)?,
        event_time: of_role(ColumnRole::EventTime)?,
        feature_asof: of_role(ColumnRole::FeatureAsof)?,
        label: of_role(ColumnRole::Label)?,
        label_outcome: of_role(ColumnRole::LabelOutcome)?,
        label_observed_time: of_role(ColumnRole::LabelObservedTime)?,
        features: find(&selection.features, &[ColumnRole::Feature], Code::FeatureSchemaIncompatible)?,
        entities: find(&selection.entities, &[ColumnRole::Entity], Code::ColumnMissing)?,
        slices: find(&selection.slices, &slices, Code::ColumnMissing)?,
        weight: manifest.columns(ColumnRole::Weight).next(),
    })
}

/// Rows of several manifests can only stand in one table if their ids and weights are of one kind.
fn require_alike<'a>(mut all: impl Iterator<Item = &'a Needed<'a>>) -> Result<()> {
    let Some(first) = all.next() else {
        return Err(Failure::at(Code::DatasetEmpty, "dataset_manifests", "at least one partition", "none"));
    };
    let types = |needed: &Needed<'_>| {
        let ids = std::iter::once(needed.event_id).chain(needed.entities.iter().copied());
        ids.map(|column| column.r#type).collect::<Vec<_>>()
    };
    let expected = (types(first), first.weight.is_some());
    if all.all(|needed| (types(needed), needed.weight.is_some()) == expected) {
        return Ok(());
    }
    let asked = "ids of one type, and weights in all or none";
    Err(Failure::at(Code::FeatureSchemaIncompatible, "dataset_manifests", asked, "a mixture"))
}

/// The table, and for each of its rows the place where it was, if these are not the same.
fn join(mut parts: Vec<Part>, selection: &Selection) -> Result<(Table, Option<Vec<u32>>)> {
    let ids = joined_ids(&mut parts, |part| &mut part.event_ids);
    let order = Order::of(&ids);
    let event_ids = order.of_ids(ids);
    let repeated = event_ids.repeated();
    if repeated > 0 {
        let found = format!("{repeated} repetitions");
        return Err(Failure::at(Code::DuplicateEvent, "dataset_manifests", "each event once", found));
    }
    let mut entities = BTreeMap::new();
    for (index, name) in selection.entities.iter().enumerate() {
        let ids = order.of_ids(joined_ids(&mut parts, |part| &mut part.entities[index]));
        entities.insert(name.clone(), ids.codes(0..ids.len()).codes);
    }
    let mut slices = BTreeMap::new();
    for (index, name) in selection.slices.iter().enumerate() {
        slices.insert(name.clone(), order.of_values(joined(&mut parts, |part| &mut part.slices[index])));
    }
    let weights: Option<Vec<Vec<f64>>> = parts.iter_mut().map(|part| part.weights.take()).collect();
    let table = Table {
        event_ids,
        event_time: order.of_values(joined(&mut parts, |part| &mut part.event_time)),
        label: order.of_values(joined(&mut parts, |part| &mut part.label)),
        label_outcome: order.of_values(joined(&mut parts, |part| &mut part.label_outcome)),
        entities,
        slices,
        weights: weights.map(|weights| order.of_values(weights.concat())),
    };
    Ok((table, order.rows))
}

/// Brings columns into the order of the event ids.
struct Order {
    /// None where the rows stand in it: many ids count up with time, and then no column is moved.
    rows: Option<Vec<u32>>,
}

impl Order {
    fn of(ids: &Ids) -> Self {
        Self { rows: (!ids.is_sorted()).then(|| ids.order()) }
    }

    fn of_ids(&self, ids: Ids) -> Ids {
        self.rows.as_ref().map(|rows| ids.select(rows)).unwrap_or(ids)
    }

    fn of_values<T: Copy>(&self, values: Vec<T>) -> Vec<T> {
        self.rows.as_ref().map(|rows| pick(&values, rows)).unwrap_or(values)
    }
}

/// Takes a column out of every part, so that its memory is free once it stands in the table.
fn joined<T: Copy>(parts: &mut [Part], column: impl Fn(&mut Part) -> &mut Vec<T>) -> Vec<T> {
    let mut parts = parts.iter_mut().map(|part| std::mem::take(column(part)));
    let mut all = parts.next().unwrap_or_default();
    parts.for_each(|part| all.extend_from_slice(&part));
    all
}

fn joined_ids(parts: &mut [Part], column: impl Fn(&mut Part) -> &mut Ids) -> Ids {
    let mut parts = parts.iter_mut().map(|part| std::mem::replace(column(part), Ids::Int(Vec::new())));
    let mut all = parts.next().unwrap_or(Ids::Int(Vec::new()));
    for ids in parts {
        // Of one type: `require_alike` has seen to it.
        let _ = all.append(&ids);
    }
    all
}
