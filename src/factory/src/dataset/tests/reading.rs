//! What is read back: what was built, and nothing that is not what the manifest pins.

use std::sync::Mutex;

use contracts::{
    Checked, Code, artifacts::Partition, dataset_manifest::DatasetManifest, identity::ids::DatasetManifestId,
};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use proptest::prelude::*;

use super::*;
use crate::store;

fn built(place: &Place, rows: usize) -> Built {
    let events = events(rows);
    let labels = Source::Batches(vec![assertions(&events)]);
    place.build(&spec(), Source::Batches(vec![events]), labels).unwrap()
}

fn everything() -> Selection {
    Selection {
        features: spec().features.into_iter().map(|feature| feature.name).collect(),
        entities: vec![column("card"), column("shop")],
        slices: vec![column("amount")],
    }
}

#[test]
fn a_table_holds_the_rows_that_went_in() {
    let place = Place::new();
    let events = events(300);
    let built = built(&place, 300);
    let reference = built.reference.clone();
    let manifest = store::read_document(&place.store, &reference).unwrap();
    assert_eq!(manifest, built.manifest);
    let (table, features) = read_whole(&place.store, &[manifest], &everything()).unwrap();
    assert_eq!(table.rows(), 300);
    let ids: &Int64Array = events.column_by_name("id").unwrap().as_any().downcast_ref().unwrap();
    let mut order: Vec<usize> = (0..300).collect();
    order.sort_by_key(|&row| ids.value(row));
    assert_eq!(table.event_ids, Ids::Int(order.iter().map(|&row| ids.value(row)).collect()));
    let times = times_of(&events);
    assert_eq!(table.event_time, order.iter().map(|&row| times[row]).collect::<Vec<_>>());
    let numbers = |name: &str| -> &Float64Array {
        events.column_by_name(name).unwrap().as_any().downcast_ref().unwrap()
    };
    let cards: &Int64Array = events.column_by_name("card").unwrap().as_any().downcast_ref().unwrap();
    let (amounts, distances) = (numbers("amount"), numbers("distance"));
    let mut seen = Vec::new();
    for (row, &source) in order.iter().enumerate() {
        assert_eq!(features[[row, 0]].to_bits(), amounts.value(source).to_bits());
        assert_eq!(table.slices[&column("amount")][row].to_bits(), amounts.value(source).to_bits());
        let missing = arrow_array::Array::is_null(distances, source);
        assert_eq!(features[[row, 1]].is_nan(), missing);
        if !seen.contains(&cards.value(source)) {
            seen.push(cards.value(source));
        }
        assert_eq!(seen[table.entities[&column("card")][row] as usize], cards.value(source));
        let window = times[source] - 5 * DAY + 1..=times[source];
        let counted = (0..300)
            .filter(|&other| cards.value(other) == cards.value(source) && window.contains(&times[other]));
        assert_eq!(features[[row, 2]], counted.count() as f64);
    }
    assert_eq!(features.strides(), [1, 300]);
    assert_eq!(table.weights, None);
}

#[test]
fn how_many_rows_are_computed_at_once_does_not_show() {
    let place = Place::new();
    let events = events(1_500);
    let labels = Source::Batches(vec![assertions(&events)]);
    let table = |partition_rows| {
        let spec = DatasetSpec { partition_rows, ..spec() };
        let built = place.build(&spec, Source::Batches(vec![events.clone()]), labels.clone()).unwrap();
        format!("{:?}", read_whole(&place.store, &[built.manifest], &everything()).unwrap())
    };
    let at_once = table(1_500);
    for partition_rows in [40, 75, 400] {
        assert_eq!(table(partition_rows), at_once, "{partition_rows} rows a partition");
    }
}

/// One partition of two row groups beside many of one; ids that count up with time, so that no row is moved, beside
/// ids that do not.
#[test]
fn row_groups_and_the_order_of_ids_do_not_show() {
    let rows = 66_000;
    let scattered = events(rows);
    let times = times_of(&scattered);
    let mut by_time: Vec<u32> = (0..rows as u32).collect();
    by_time.sort_by_key(|&row| times[row as usize]);
    let ids = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let rising = with(&take_rows(&scattered, &by_time), "id", Some(ids));
    for events in [scattered, rising] {
        let place = Place::new();
        let labels = Source::Batches(vec![assertions(&events)]);
        let table = |partition_rows| {
            let spec = DatasetSpec { partition_rows, ..spec() };
            let built = place.build(&spec, Source::Batches(vec![events.clone()]), labels.clone()).unwrap();
            let (table, features) = read_whole(&place.store, &[built.manifest], &everything()).unwrap();
            // NaN is not equal to itself: its bits are.
            (table, features.mapv(f64::to_bits))
        };
        let [whole, cut] = [66_000, 7_000].map(table);
        assert!(whole == cut);
    }
}

#[test]
fn each_row_is_shown_once_as_it_is_read() {
    let place = Place::new();
    let events = events(70_000);
    let labels = Source::Batches(vec![assertions(&events)]);
    let spec = DatasetSpec { partition_rows: 66_000, ..spec() };
    let built = place.build(&spec, Source::Batches(vec![events.clone()]), labels).unwrap();
    let shown = Mutex::new(Vec::new());
    let look = |moments: &Moments<'_>| {
        assert_eq!(moments.event_time.len(), moments.label_observed_time.len());
        let rows = moments.event_time.iter().zip(moments.feature_asof).zip(moments.label);
        shown.lock().unwrap().extend(rows.map(|((time, asof), label)| (*time, *asof, *label)));
    };
    let (table, _) = read(&place.store, &[built.manifest], &Selection::default(), &Silent, &look).unwrap();
    let mut shown = shown.into_inner().unwrap();
    shown.sort_unstable();
    let rows = table.event_time.iter().zip(&table.label);
    let mut expected: Vec<_> = rows.map(|(time, label)| (*time, *time, *label)).collect();
    expected.sort_unstable();
    assert!(shown == expected);
}

#[test]
fn a_selection_of_rows_keeps_their_values_and_entity_numbers() {
    let place = Place::new();
    let built = built(&place, 80);
    let (table, features) = read_whole(&place.store, &[built.manifest], &everything()).unwrap();
    let some = table.pick(&[5, 2]);
    assert_eq!(some.event_time, [table.event_time[5], table.event_time[2]]);
    for (name, entities) in &table.entities {
        assert_eq!(some.entities[name], [entities[5], entities[2]]);
    }
    let amounts = &table.slices[&column("amount")];
    assert_eq!(some.slices[&column("amount")], [amounts[5], amounts[2]]);
    assert_eq!((some.entities.len(), some.slices.len(), some.weights), (2, 1, None));
    assert_eq!(features.dim(), (80, everything().features.len()));
}

/// Of a few columns of a file only their bytes are kept; of most of it, the whole.
#[test]
fn how_much_of_a_file_is_asked_for_does_not_show() {
    let place = Place::new();
    let manifest = [built(&place, 300).manifest];
    let (_, all) = read_whole(&place.store, &manifest, &everything()).unwrap();
    for (at, feature) in everything().features.into_iter().enumerate() {
        let selection = Selection { features: vec![feature], ..Selection::default() };
        let (_, one) = read_whole(&place.store, &manifest, &selection).unwrap();
        assert_eq!(one.dim(), (300, 1));
        let bits = |column: ndarray::ArrayView1<'_, f64>| column.mapv(f64::to_bits);
        assert_eq!(bits(one.column(0)), bits(all.column(at)));
    }
}

#[test]
fn progress_counts_each_row_as_it_is_read_and_as_it_is_cut() {
    struct Steps(Mutex<Vec<(u64, u64)>>);
    impl kernels::Progress for Steps {
        fn step(&self, done: u64, total: u64) -> Result<()> {
            self.0.lock().unwrap().push((done, total));
            if done > 200 { Err(Failure::new(Code::LeaseLost, "stopped")) } else { Ok(()) }
        }
    }
    let place = Place::new();
    let manifest = built(&place, 120).manifest;
    let steps = Steps(Mutex::default());
    let (_, features) = read(&place.store, &[manifest], &everything(), &steps, &|_| {}).unwrap();
    let before = steps.0.lock().unwrap().len();
    assert_eq!(features.cut([&[0]], &steps).unwrap_err().code, Code::LeaseLost);
    let steps = steps.0.into_inner().unwrap();
    assert_eq!(steps[..before].iter().max(), Some(&(120, 240)));
    assert!(steps.len() > before);
    assert!(steps[before..].iter().is_sorted());
}

#[test]
fn manifests_are_joined_and_a_row_in_two_is_refused() {
    let place = Place::new();
    let events = events(200);
    let rows = |even: bool| -> Vec<u32> { (0..200).filter(|row| (row % 2 == 0) == even).collect() };
    let part = |even: bool| {
        let events = take_rows(&events, &rows(even));
        let labels = Source::Batches(vec![assertions(&events)]);
        place.build(&spec(), Source::Batches(vec![events]), labels).unwrap().manifest
    };
    let (even, odd) = (part(true), part(false));
    let joined = read_whole(&place.store, &[even.clone(), odd.clone()], &everything()).unwrap();
    assert_eq!(joined.0.rows(), 200);
    let turned = read_whole(&place.store, &[odd, even.clone()], &everything()).unwrap();
    assert_eq!(format!("{turned:?}"), format!("{joined:?}"));
    let failure = read(&place.store, &[even.clone(), even], &everything(), &Silent, &|_| {}).unwrap_err();
    assert_eq!(failure.code, Code::DuplicateEvent);
}

#[test]
fn columns_that_are_not_there_are_refused() {
    let place = Place::new();
    let manifest = [built(&place, 40).manifest];
    let fails =
        |selection: Selection| read(&place.store, &manifest, &selection, &Silent, &|_| {}).unwrap_err().code;
    let nobody = || vec![column("nobody")];
    let selection = Selection::default;
    assert_eq!(fails(Selection { features: nobody(), ..selection() }), Code::FeatureSchemaIncompatible);
    assert_eq!(fails(Selection { entities: nobody(), ..selection() }), Code::ColumnMissing);
    assert_eq!(fails(Selection { slices: nobody(), ..selection() }), Code::ColumnMissing);
    assert_eq!(
        fails(Selection { features: vec![column("label")], ..selection() }),
        Code::FeatureSchemaIncompatible
    );
    assert_eq!(read(&place.store, &[], &selection(), &Silent, &|_| {}).unwrap_err().code, Code::DatasetEmpty);
}

#[test]
fn a_changed_byte_and_a_missing_file_stop_the_read() {
    let place = Place::new();
    let manifest = built(&place, 120).manifest;
    let path = place.store.root().join(manifest.partitions[1].uri.as_str());
    let whole = std::fs::read(&path).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    std::fs::remove_file(&path).unwrap();
    let fails = |manifest: &Checked<DatasetManifest>| {
        read(&place.store, std::slice::from_ref(manifest), &Selection::default(), &Silent, &|_| {})
            .unwrap_err()
            .code
    };
    assert_eq!(fails(&manifest), Code::PartitionUnresolved);
    std::fs::write(&path, changed).unwrap();
    assert_eq!(fails(&manifest), Code::PartitionDigestMismatch);
    std::fs::write(&path, whole).unwrap();
    read(&place.store, &[manifest], &Selection::default(), &Silent, &|_| {}).unwrap();
}

/// The manifest with something else said about its data, under a fingerprint that fits.
fn forged(
    manifest: &Checked<DatasetManifest>,
    change: impl Fn(&mut DatasetManifest),
) -> Checked<DatasetManifest> {
    let mut forged = manifest.clone().into_inner();
    change(&mut forged);
    forged.dataset_fingerprint = forged.fingerprint().unwrap();
    forged.dataset_manifest_id = DatasetManifestId::of(&forged.dataset_fingerprint).unwrap();
    Checked::new(forged).unwrap()
}

#[test]
fn a_partition_that_is_not_what_its_manifest_says_is_refused() {
    let place = Place::new();
    let manifest = built(&place, 60).manifest;
    let fails = |manifest: Checked<DatasetManifest>| {
        read(&place.store, &[manifest], &Selection::default(), &Silent, &|_| {}).unwrap_err().code
    };
    let renamed = forged(&manifest, |manifest| manifest.schema[0].name = column("other"));
    assert_eq!(fails(renamed), Code::PartitionInvalid);
    let retyped = forged(&manifest, |manifest| {
        manifest.schema[0].r#type = contracts::dataset_manifest::ColumnType::Utf8;
    });
    assert_eq!(fails(retyped), Code::PartitionInvalid);
    let counted = forged(&manifest, |manifest| {
        manifest.partitions[0].rows += 1;
        manifest.label_basis.censored += 1;
    });
    assert_eq!(fails(counted), Code::PartitionInvalid);
    let longer = forged(&manifest, |manifest| manifest.partitions[0].bytes += 1);
    assert_eq!(fails(longer), Code::PartitionInvalid);
    let earlier = forged(&manifest, |manifest| {
        manifest.partitions[0].time_window.start = Timestamp::from_nanoseconds(START + DAYS * DAY - 2);
        manifest.partitions[0].time_window.end = Timestamp::from_nanoseconds(START + DAYS * DAY - 1);
    });
    assert_eq!(fails(earlier), Code::PartitionInvalid);
}

/// The manifest with other bytes in the place of its first partition, pinned by their digest.
fn replaced(place: &Place, manifest: &Checked<DatasetManifest>, bytes: &[u8]) -> Checked<DatasetManifest> {
    let key = ObjectKey::new("run-1/replaced").unwrap();
    let reference = store::write_once::<Partition>(&place.store, &key, bytes).unwrap();
    forged(manifest, |manifest| {
        manifest.partitions[0].uri = reference.uri.clone();
        manifest.partitions[0].digest = reference.digest;
        manifest.partitions[0].bytes = bytes.len() as u64;
    })
}

/// Also in a row of no window: it is decoded with the others.
#[test]
fn a_feature_that_is_not_finite_is_refused_as_it_is_cut() {
    let place = Place::new();
    let manifest = built(&place, 60).manifest;
    let bytes = store::read(&place.store, &manifest.partitions[0].reference()).unwrap();
    let rewritten = |value: f64| {
        let file = bytes::Bytes::from(bytes.clone());
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
        let batch = reader.build().unwrap().next().unwrap().unwrap();
        let amounts: &Float64Array = batch.column_by_name("amount").unwrap().as_any().downcast_ref().unwrap();
        let amounts: Float64Array = amounts
            .iter()
            .enumerate()
            .map(|(row, amount)| if row == 1 { Some(value) } else { amount })
            .collect();
        let mut columns = batch.columns().to_vec();
        columns[batch.schema().index_of("amount").unwrap()] = Arc::new(amounts);
        let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
        let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        replaced(&place, &manifest, &writer.into_inner().unwrap())
    };
    let selection = Selection { features: vec![column("amount")], ..Selection::default() };
    for (value, refused) in [(7.0, false), (f64::INFINITY, true)] {
        let manifest = rewritten(value);
        let (_, features) = read(&place.store, &[manifest], &selection, &Silent, &|_| {}).unwrap();
        let cut = features.cut([&[0]], &Silent);
        assert_eq!(cut.err().map(|failure| failure.code), refused.then_some(Code::PartitionInvalid));
        std::fs::remove_file(place.store.root().join("run-1/replaced")).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Even a manifest that pins a damaged file by its digest gets a typed failure, or data, but no panic.
    #[test]
    fn damaged_partitions_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..6)) {
        let place = Place::new();
        let manifest = built(&place, 40).manifest;
        let entry = &manifest.partitions[0];
        let mut bytes = store::read(&place.store, &entry.reference()).unwrap();
        for (index, flip) in flips {
            let position = index.index(bytes.len());
            bytes[position] ^= flip;
        }
        let damaged = replaced(&place, &manifest, &bytes);
        if let Err(failure) = read_whole(&place.store, &[damaged], &everything()) {
            prop_assert!([Code::PartitionInvalid, Code::DuplicateEvent].contains(&failure.code), "{}", failure);
        }
    }
}
