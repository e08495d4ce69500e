//! Datasets built of small synthetic events, in a store on a temporary folder.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::disallowed_methods,
    reason = "tests say what they expect, to the bit and the byte"
)]

mod building;
mod reading;
mod refusals;
mod spilling;

use std::{path::PathBuf, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray, UInt32Array,
};
use contracts::{
    Checked, Failure, Result,
    dataset_manifest::DatasetManifest,
    feature::{Aggregate, Definition, Feature, FeatureSetName},
    names::{ColumnName, Name, ObjectKey, PlatformRunId, Span},
    time::{DAY, Timestamp},
};
use kernels::{Rng, progress::Silent};
use ndarray::{Array2, ShapeBuilder as _};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;
use crate::store::{LocalStore, Store};

pub(super) const HOUR: i64 = DAY / 24;
/// 2020-01-01T00:00:00Z.
pub(super) const START: i64 = 18_262 * DAY;
pub(super) const DAYS: i64 = 20;

/// All rows of manifests, and their features: rows x columns.
pub(super) fn read_whole(
    store: &dyn Store,
    manifests: &[Checked<DatasetManifest>],
    selection: &Selection,
) -> Result<(Table, Array2<f64>)> {
    let (table, features) = read(store, manifests, selection, &Silent, &|_| {})?;
    let all: Vec<u32> = (0..table.rows() as u32).collect();
    let [values] = features.cut([&all], &Silent)?;
    let shape = (all.len(), selection.features.len());
    Ok((table, Array2::from_shape_vec(shape.f(), values).unwrap()))
}

pub(super) fn column(name: &str) -> ColumnName {
    ColumnName::new(name).unwrap()
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_nanoseconds(START + 1_000 * DAY)
}

/// A store in a folder that goes when the test ends.
pub(super) struct Place {
    pub(super) folder: TempDir,
    pub(super) store: LocalStore,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = LocalStore::open(folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    pub(super) fn keys(&self) -> Vec<ObjectKey> {
        self.store.list(&ObjectKey::new("run-1").unwrap()).unwrap().objects().unwrap()
    }

    pub(super) fn build(&self, spec: &DatasetSpec, events: Source, labels: Source) -> Result<Built> {
        build(&self.store, spec, Sources { events, labels }, now(), &Silent)
    }

    /// The failure of a build, which must have left nothing behind.
    pub(super) fn refusal(&self, spec: &DatasetSpec, events: Source, labels: Source) -> Failure {
        let failure = self.build(spec, events, labels).unwrap_err();
        assert_eq!(self.keys(), [], "{failure}");
        failure
    }

    /// Writes batches as Parquet files, one each.
    pub(super) fn files(&self, batches: &[RecordBatch]) -> Source {
        let write = |(index, batch): (usize, &RecordBatch)| -> PathBuf {
            let path = self.folder.path().join(format!("{index}.parquet"));
            let file = std::fs::File::create(&path).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
            writer.write(batch).unwrap();
            writer.close().unwrap();
            path
        };
        Source::Parquet(batches.iter().enumerate().map(write).collect())
    }
}

/// Some card payments; ties in time and repeated entities are common.
pub(super) fn events(rows: usize) -> RecordBatch {
    let rng = Rng::from_u64(1);
    let below = |stream: u64, bound: u64| -> Vec<i64> {
        (0..rows as u64).map(|row| rng.below(stream, row, bound) as i64).collect()
    };
    let ids: Vec<i64> = (0..rows as i64).map(|row| (row * 7_919) % 100_003).collect();
    let times: Vec<i64> = below(0, DAYS as u64 * 24).into_iter().map(|hour| START + hour * HOUR).collect();
    let shops: Vec<String> = below(2, 5).into_iter().map(|shop| format!("shop-{shop}")).collect();
    let amounts: Vec<f64> = below(3, 10_000).into_iter().map(|cents| cents as f64 / 100.0).collect();
    let distance = amounts.iter().map(|amount| (*amount > 20.0).then_some(amount / 3.0));
    batch([
        ("id", Arc::new(Int64Array::from(ids)) as ArrayRef),
        ("time", utc(times)),
        ("card", Arc::new(Int64Array::from(below(1, 9)))),
        ("shop", Arc::new(arrow_array::StringArray::from(shops))),
        ("amount", Arc::new(Float64Array::from(amounts.clone()))),
        ("distance", Arc::new(distance.collect::<Float64Array>())),
        ("unused", Arc::new(Float64Array::from(vec![f64::NAN; rows]))),
    ])
}

/// One assertion for nine of ten events, seen some days after the event.
pub(super) fn assertions(events: &RecordBatch) -> RecordBatch {
    let ids = events.column_by_name("id").unwrap();
    let times = times_of(events);
    let said: Vec<u32> = (0..times.len() as u32).filter(|row| row % 10 != 0).collect();
    let of_event: Vec<i64> = said.iter().map(|&row| times[row as usize]).collect();
    batch([
        ("event_id", take(ids, &said)),
        ("value", Arc::new(said.iter().map(|row| Some(row % 4 == 1)).collect::<BooleanArray>())),
        ("effective_time", utc(of_event.clone())),
        (
            "observed_time",
            utc(of_event.iter().zip(&said).map(|(time, row)| time + i64::from(row % 6) * DAY).collect()),
        ),
    ])
}

pub(super) fn times_of(events: &RecordBatch) -> Vec<i64> {
    let times = events.column_by_name("time").unwrap();
    let times: &TimestampNanosecondArray = times.as_any().downcast_ref().unwrap();
    times.values().to_vec()
}

pub(super) fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

pub(super) fn utc(times: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"))
}

/// The rows named of an array.
pub(super) fn take(array: &ArrayRef, rows: &[u32]) -> ArrayRef {
    let dictionary = arrow_array::DictionaryArray::new(UInt32Array::from(rows.to_vec()), Arc::clone(array));
    arrow_cast::cast(&dictionary, array.data_type()).unwrap()
}

pub(super) fn take_rows(batch: &RecordBatch, rows: &[u32]) -> RecordBatch {
    let columns = batch.columns().iter().map(|array| take(array, rows)).collect();
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// The batch with one column set or, if `array` is none, taken away.
pub(super) fn with(batch: &RecordBatch, name: &str, array: Option<ArrayRef>) -> RecordBatch {
    let schema = batch.schema();
    let kept = schema.fields().iter().zip(batch.columns()).filter(|(field, _)| field.name() != name);
    let kept = kept.map(|(field, column)| (field.name().clone(), Arc::clone(column)));
    RecordBatch::try_from_iter(kept.chain(array.map(|array| (name.to_owned(), array)))).unwrap()
}

pub(super) fn window(
    name: &str,
    entity: &str,
    delay: &str,
    aggregate: Aggregate,
    of: Option<&str>,
) -> Feature {
    let definition = Definition::Window {
        entity: column(entity),
        window: Span::new("5d").unwrap(),
        delay: Span::new(delay).unwrap(),
        aggregate,
        column: of.map(column),
    };
    Feature { name: column(name), definition }
}

pub(super) fn spec() -> DatasetSpec {
    let own =
        |name: &str| Feature { name: column(name), definition: Definition::Column { column: column(name) } };
    DatasetSpec {
        platform_run_id: PlatformRunId::new("run-1").unwrap(),
        event_id: column("id"),
        event_time: column("time"),
        naive_times_are_utc: false,
        entities: [column("card")].into(),
        labels: LabelSpec {
            positive_values: vec![1],
            negative_values: vec![0],
            family: name("card_fraud"),
            event_id: column("event_id"),
            value: column("value"),
            effective_time: column("effective_time"),
            observed_time: column("observed_time"),
            label_asof_utc: Timestamp::from_nanoseconds(START + DAYS * DAY),
            maturity_days: 2,
        },
        feature_definition_set: FeatureSetName {
            feature_set_id: name("set"),
            feature_set_version: name("v1"),
        },
        features: vec![
            own("amount"),
            own("distance"),
            window("card_count", "card", "0s", Aggregate::Count, None),
            window("card_mean", "card", "1d", Aggregate::Mean, Some("amount")),
            window("shop_rate", "shop", "2d", Aggregate::Rate, None),
            window("shop_last", "shop", "0s", Aggregate::TimeSinceLast, None),
            Feature { name: column("weekend"), definition: Definition::Weekend },
            Feature { name: column("night"), definition: Definition::HourBetween { first: 0, last: 6 } },
        ],
        slices: [column("amount")].into(),
        weight: None,
        privacy_classes: [(column("card"), contracts::dataset_manifest::PrivacyClass::Pseudonymous)].into(),
        context_pins: None,
        replay_basis: Vec::new(),
        partition_rows: 100,
        config_revision: name("r1"),
    }
}
