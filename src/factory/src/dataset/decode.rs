//! One verified partition as columns, held strictly against its manifest.

use arrow_array::{BooleanArray, RecordBatch, TimestampNanosecondArray};
use arrow_schema::Schema;
use bytes::Bytes;
use contracts::{
    Result,
    dataset_manifest::{Column, ColumnType, DatasetManifest, PartitionEntry},
};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};
use rayon::prelude::*;

use super::{
    batch::{BATCH_ROWS, Wrong, append_ids, array, invalid, invalid_column, numbers, outcomes, times},
    encoded::Encoded,
    ids::{Ids, Texts},
    layout,
    parquet_guard::{guarded, vet_footer, vet_pages},
    table::LabelOutcome,
};

/// The columns of a manifest that a reader needs.
#[derive(Debug, Clone)]
pub(super) struct Needed<'a> {
    pub(super) event_id: &'a Column,
    pub(super) event_time: &'a Column,
    pub(super) feature_asof: &'a Column,
    pub(super) label: &'a Column,
    pub(super) label_outcome: &'a Column,
    pub(super) label_observed_time: &'a Column,
    pub(super) features: Vec<&'a Column>,
    pub(super) entities: Vec<&'a Column>,
    pub(super) slices: Vec<&'a Column>,
    pub(super) weight: Option<&'a Column>,
}

/// Rows as they are decoded, for who looks at when things happened and became known: nobody needs all of these columns
/// later, so that they are never in memory as a whole. All times are nanoseconds since the epoch, UTC.
#[derive(Debug)]
pub struct Moments<'a> {
    /// When each event happened.
    pub event_time: &'a [i64],
    /// Up to when its features know.
    pub feature_asof: &'a [i64],
    /// Whether it is positive, if that is known.
    pub label: &'a [Option<bool>],
    /// When the label became known.
    pub label_observed_time: &'a [Option<i64>],
}

/// Looks at each row once, in no order.
pub type Look<'a> = &'a (dyn Fn(&Moments<'_>) + Sync);

/// The needed columns of some rows, without their features.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) event_ids: Ids,
    pub(super) event_time: Vec<i64>,
    pub(super) label: Vec<Option<bool>>,
    pub(super) label_outcome: Vec<LabelOutcome>,
    pub(super) entities: Vec<Ids>,
    pub(super) slices: Vec<Vec<f64>>,
    pub(super) weights: Option<Vec<f64>>,
}

impl<'a> Needed<'a> {
    /// All but the features.
    fn of_rows(&self) -> impl Iterator<Item = &'a Column> {
        let fixed = [
            self.event_id,
            self.event_time,
            self.feature_asof,
            self.label,
            self.label_outcome,
            self.label_observed_time,
        ];
        let lists = [&self.entities, &self.slices].into_iter().flatten().copied();
        fixed.into_iter().chain(lists.collect::<Vec<_>>()).chain(self.weight)
    }
}

/// Reads the needed columns of a partition whose bytes are those that the manifest pins: a part for each of its row
/// groups, which are decoded side by side, and the features still encoded.
///
/// Refuses with `PARTITION_INVALID` whatever is not exactly what the manifest says: columns, types, which may
/// be null, rows, event times, outcomes, and labels that do not agree with their outcome.
pub(super) fn decode(
    manifest: &DatasetManifest,
    entry: &PartitionEntry,
    needed: &Needed<'_>,
    bytes: Vec<u8>,
    look: Look<'_>,
) -> Result<(Vec<Part>, Encoded)> {
    let place = entry.uri.as_str();
    if bytes.len() as u64 != entry.bytes {
        return Err(invalid(place, &format!("{} bytes", entry.bytes), &format!("{}", bytes.len())));
    }
    let damaged = |kind: &'static str| invalid(place, "a well-formed Parquet file", kind);
    let bytes = Bytes::from(bytes);
    vet_footer(&bytes).map_err(damaged)?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = guarded(damaged, || ArrowReaderMetadata::load(&bytes, options))?;
    require_schema(place, manifest, metadata.schema())?;
    let rows = metadata.metadata().file_metadata().num_rows();
    if u64::try_from(rows).is_ok_and(|rows| rows != entry.rows) {
        return Err(invalid(place, &format!("{} rows", entry.rows), &format!("{rows}")));
    }
    let position = |column: &Column| metadata.schema().index_of(column.name.as_str()).ok();
    let of_rows: Vec<usize> = needed.of_rows().filter_map(position).collect();
    let features = needed.features.iter().copied().filter_map(position);
    let all: Vec<usize> = of_rows.iter().copied().chain(features).collect();
    vet_pages(&bytes, metadata.metadata(), &all).map_err(damaged)?;
    let mask = ProjectionMask::roots(metadata.parquet_schema(), of_rows);
    let group = |group: usize| {
        let mut reader = guarded(damaged, || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata.clone())
                .with_projection(mask.clone())
                .with_row_groups(vec![group])
                .with_batch_size(BATCH_ROWS)
                .build()
        })?;
        // What a footer says of rows was held against the file.
        let rows = metadata.metadata().row_group(group).num_rows();
        let mut part = Part::new(needed, usize::try_from(rows).unwrap_or_default());
        while let Some(batch) = guarded(damaged, || reader.next().transpose().map_err(Into::into))? {
            let before = part.event_time.len();
            let said = part.append(needed, &batch).map_err(|wrong| invalid_column(place, wrong))?;
            let moments = said.moments(&part, before);
            require(entry, &moments, &part.label_outcome[before..])?;
            look(&moments);
        }
        Ok(part)
    };
    let groups = 0..metadata.metadata().num_row_groups();
    // Collected before the first failure is looked for: the one told is the first by position, not by time.
    let parts = groups.into_par_iter().map(group).collect::<Vec<Result<Part>>>();
    let parts = parts.into_iter().collect::<Result<Vec<Part>>>()?;
    let decoded: usize = parts.iter().map(|part| part.event_time.len()).sum();
    if decoded as u64 != entry.rows {
        return Err(invalid(place, &format!("{} rows", entry.rows), &format!("{decoded}")));
    }
    Ok((parts, Encoded::new(place, bytes, metadata, &needed.features)))
}

fn require_schema(place: &str, manifest: &DatasetManifest, found: &Schema) -> Result<()> {
    let expected = layout::arrow_schema(&manifest.schema);
    let alike = expected.fields().len() == found.fields().len()
        && expected.fields().iter().zip(found.fields()).all(|(a, b)| {
            a.name() == b.name() && a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable()
        });
    if alike { Ok(()) } else { Err(invalid(place, "the columns that its manifest says", "others")) }
}

impl Part {
    /// Without rows, and with room for so many.
    fn new(needed: &Needed<'_>, rows: usize) -> Self {
        let ids = |column: &Column| match column.r#type {
            ColumnType::Utf8 => Ids::Text(Texts::default()),
            _ => Ids::Int(Vec::with_capacity(rows)),
        };
        Self {
            event_ids: ids(needed.event_id),
            event_time: Vec::with_capacity(rows),
            label: Vec::with_capacity(rows),
            label_outcome: Vec::with_capacity(rows),
            entities: needed.entities.iter().map(|column| ids(column)).collect(),
            slices: needed.slices.iter().map(|_| Vec::with_capacity(rows)).collect(),
            weights: needed.weight.map(|_| Vec::with_capacity(rows)),
        }
    }

    /// Takes over the rows of a batch, and gives what is only looked at.
    fn append<'a>(&mut self, needed: &Needed<'a>, batch: &RecordBatch) -> Result<Said, Wrong<'a>> {
        append_ids(&mut self.event_ids, needed.event_id, batch)?;
        self.event_time.extend_from_slice(times(needed.event_time, batch)?.values());
        self.label.extend(array::<BooleanArray>(needed.label, batch)?.iter());
        self.label_outcome.extend(outcomes(needed.label_outcome, batch)?);
        for (ids, column) in self.entities.iter_mut().zip(&needed.entities) {
            append_ids(ids, column, batch)?;
        }
        let slices = self.slices.iter_mut().zip(&needed.slices);
        for (to, column) in slices.chain(self.weights.iter_mut().zip(&needed.weight)) {
            to.extend_from_slice(numbers(column, batch, &mut Vec::new())?);
        }
        Ok(Said {
            feature_asof: times(needed.feature_asof, batch)?.clone(),
            label_observed_time: times(needed.label_observed_time, batch)?.iter().collect(),
        })
    }
}

/// What a batch says that is not kept.
struct Said {
    feature_asof: TimestampNanosecondArray,
    label_observed_time: Vec<Option<i64>>,
}

impl Said {
    /// With what the part took over of the batch, which begins at this row.
    fn moments<'a>(&'a self, part: &'a Part, first: usize) -> Moments<'a> {
        Moments {
            event_time: &part.event_time[first..],
            feature_asof: self.feature_asof.values(),
            label: &part.label[first..],
            label_observed_time: &self.label_observed_time,
        }
    }
}

/// Checks what only shows once several columns are there.
fn require(entry: &PartitionEntry, moments: &Moments<'_>, outcomes: &[LabelOutcome]) -> Result<()> {
    let place = entry.uri.as_str();
    let window = entry.time_window.start.nanoseconds()..entry.time_window.end.nanoseconds();
    if !moments.event_time.iter().all(|time| window.contains(time)) {
        return Err(invalid(place, "event times inside the partition's window", "others"));
    }
    let known = outcomes.iter().map(|outcome| *outcome == LabelOutcome::Known);
    let labels = moments.label.iter().zip(moments.label_observed_time);
    if known.zip(labels).any(|(known, (label, time))| label.is_some() != known || time.is_some() != known) {
        return Err(invalid(place, "a label and its time exactly where the outcome is known", "others"));
    }
    Ok(())
}
