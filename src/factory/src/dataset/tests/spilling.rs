//! Rows that are set aside and read back: over how many buckets and in how small blocks does not show.

use std::{
    fs::File,
    os::unix::fs::{FileExt, MetadataExt},
};

use arrow_array::StringArray;
use contracts::Code;
use proptest::prelude::*;

use super::*;
use crate::{
    dataset::{build::build_over, in_memory::ResolveSpec, meter::Meter, spill::Spread},
    store::{Object, Put},
};

/// Everything in memory, in one bucket.
const WHOLE: Spread = Spread { buckets: 1, block_bytes: 1 << 20, swept_rows: 1 << 16 };

fn build_spread(store: &dyn Store, spec: &DatasetSpec, spread: Spread, sources: Sources) -> Result<Built> {
    build_over((store, spread), spec, sources, &Meter::new(&Silent, 0))
}

/// An event: its hour, card, shop and amount. Ties are common.
type Event = (i64, i64, i64, i64);
/// An assertion: the number of its event, which need not be there, the value, and by how many days the fact and the
/// knowledge of it are late.
type Assertion = (usize, bool, i64, i64);

fn event_batch(rows: &[Event], texts: bool) -> RecordBatch {
    let column = |of: fn(&Event) -> i64| rows.iter().map(of);
    batch([
        ("id", ids((0..rows.len()).map(|row| row * 37 % 101), texts)),
        ("time", utc(column(|row| START + row.0 * HOUR).collect())),
        ("card", Arc::new(column(|row| row.1).map(Some).collect::<Int64Array>())),
        (
            "shop",
            Arc::new(StringArray::from_iter_values(column(|row| row.2).map(|shop| format!("shop-{shop}")))),
        ),
        (
            "amount",
            Arc::new(column(|row| row.3).map(|cents| Some(cents as f64 / 100.0)).collect::<Float64Array>()),
        ),
        (
            "distance",
            Arc::new(
                column(|row| row.3).map(|cents| (cents % 3 > 0).then_some(0.5)).collect::<Float64Array>(),
            ),
        ),
    ])
}

fn label_batch(rows: &[Assertion], of: &[Event], texts: bool) -> RecordBatch {
    let time = |row: &Assertion| START + of.get(row.0).map_or(0, |event| event.0) * HOUR;
    batch([
        ("event_id", ids(rows.iter().map(|row| row.0 * 37 % 101), texts)),
        ("value", Arc::new(rows.iter().map(|row| Some(row.1)).collect::<BooleanArray>())),
        ("effective_time", utc(rows.iter().map(|row| time(row) + row.2 * DAY).collect())),
        ("observed_time", utc(rows.iter().map(|row| time(row) + (row.2 + row.3) * DAY).collect())),
    ])
}

fn ids(numbers: impl Iterator<Item = usize>, texts: bool) -> ArrayRef {
    if texts {
        Arc::new(StringArray::from_iter_values(numbers.map(|number| format!("id-{number:03}"))))
    } else {
        Arc::new(numbers.map(|number| Some(number as i64)).collect::<Int64Array>())
    }
}

fn event_rows() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec((0..DAYS * 24, 0_i64..4, 0_i64..3, 0_i64..500), 1..90)
}

fn label_rows() -> impl Strategy<Value = Vec<Assertion>> {
    prop::collection::vec((0_usize..100, any::<bool>(), 0_i64..3, 0_i64..6), 0..120)
}

fn spreads() -> impl Strategy<Value = Spread> {
    (1_usize..7, 1_usize..500, 1_usize..200).prop_map(|(buckets, block_bytes, swept_rows)| Spread {
        buckets,
        block_bytes,
        swept_rows,
    })
}

fn cut(batch: &RecordBatch, rows: usize) -> Source {
    let starts = (0..batch.num_rows()).step_by(rows);
    Source::Batches(starts.map(|start| batch.slice(start, rows.min(batch.num_rows() - start))).collect())
}

/// Column by column, to the bit, in the order of the ids.
fn bits(columns: &[Vec<f64>], order: &[usize]) -> Vec<Vec<u64>> {
    columns.iter().map(|column| order.iter().map(|&row| column[row].to_bits()).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_set_aside_does_not_show(
        (events, shuffled) in event_rows().prop_flat_map(|rows| {
            let order: Vec<u32> = (0..rows.len() as u32).collect();
            (Just(rows), Just(order).prop_shuffle())
        }),
        labels in label_rows(),
        texts in any::<bool>(),
        spread in spreads(),
        batch_rows in 1_usize..50,
    ) {
        let spec = DatasetSpec { partition_rows: 30, ..spec() };
        let (of_events, of_labels) = (event_batch(&events, texts), label_batch(&labels, &events, texts));
        let whole = Place::new();
        let sources = |events: &RecordBatch, rows| Sources { events: cut(events, rows), labels: cut(&of_labels, rows) };
        let expected = build_spread(&whole.store, &spec, WHOLE, sources(&of_events, 1_000)).unwrap();
        let place = Place::new();
        let moved = take_rows(&of_events, &shuffled);
        let built = build_spread(&place.store, &spec, spread, sources(&moved, batch_rows)).unwrap();
        prop_assert_eq!(&built, &expected);
        prop_assert_eq!(place.keys(), whole.keys());

        // What the steps in memory say, which set nothing aside.
        let selection = Selection {
            features: spec.features.iter().map(|feature| feature.name.clone()).collect(),
            ..Selection::default()
        };
        let (table, features) = read_whole(&place.store, &[built.manifest], &selection).unwrap();
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_key(|row| row * 37 % 101);
        let alone = FeatureSpec {
            event_id: Some(spec.event_id.clone()),
            event_time: spec.event_time.clone(),
            naive_times_are_utc: false,
            features: spec.features.clone(),
            labels: Some(spec.labels.clone()),
        };
        let Sources { events, labels } = sources(&of_events, 1_000);
        let computed = compute_features(&alone, events.clone(), Some(labels.clone()), &Silent).unwrap();
        let found: Vec<Vec<f64>> = features.columns().into_iter().map(|column| column.to_vec()).collect();
        prop_assert_eq!(bits(&found, &(0..order.len()).collect::<Vec<_>>()), bits(&computed, &order));
        let alone = ResolveSpec {
            event_id: spec.event_id.clone(),
            event_time: spec.event_time.clone(),
            naive_times_are_utc: false,
            labels: spec.labels,
        };
        let resolved = resolve_labels(&alone, &events, &labels).unwrap();
        let known: Vec<_> = order.iter().map(|&row| resolved.known(row).map(|value| value == 1)).collect();
        prop_assert_eq!(table.label, known);
        let outcomes: Vec<_> = order.iter().map(|&row| resolved.outcome[row] as usize).collect();
        prop_assert_eq!(table.label_outcome.iter().map(|outcome| *outcome as usize).collect::<Vec<_>>(), outcomes);
    }

    #[test]
    fn repetitions_are_counted_over_all_buckets(
        events in event_rows(),
        again in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        spread in spreads(),
        texts in any::<bool>(),
    ) {
        let whole = event_batch(&events, texts);
        let rows = (0..events.len() as u32).chain(again.iter().map(|row| row.index(events.len()) as u32));
        let events = take_rows(&whole, &rows.collect::<Vec<_>>());
        // What the events are refused for is told before what the labels are refused for.
        let strange = with(&assertions(&super::events(20)), "value", Some(Arc::new(Int64Array::from(vec![7; 18]))));
        for labels in [label_batch(&[], &[], texts), strange] {
            let place = Place::new();
            let sources = Sources { events: cut(&events, 9), labels: Source::Batches(vec![labels]) };
            let failure = build_spread(&place.store, &spec(), spread, sources).unwrap_err();
            prop_assert_eq!(failure.code, Code::DuplicateEvent);
            let told = format!("{} repetitions", again.len());
            prop_assert!(failure.detail.contains(&told), "{}", failure);
            prop_assert_eq!(place.keys(), []);
        }
    }

    #[test]
    fn facts_known_before_they_were_true_are_counted_over_all_buckets(
        events in event_rows(),
        labels in prop::collection::vec((0_usize..100, any::<bool>(), 0_i64..3, -1_i64..2), 1..60),
        spread in spreads(),
    ) {
        // Of assertions about events that are not there nothing is asked.
        let early = labels.iter().filter(|row| row.0 < events.len() && row.3 < 0).count();
        prop_assume!(early > 0);
        let place = Place::new();
        let labels = Source::Batches(vec![label_batch(&labels, &events, false)]);
        let sources = Sources { events: cut(&event_batch(&events, false), 9), labels };
        let failure = build_spread(&place.store, &spec(), spread, sources).unwrap_err();
        prop_assert_eq!(failure.code, Code::ParameterInvalid);
        let told = format!("{early} assertions");
        prop_assert!(failure.detail.contains(&told), "{}", failure);
    }
}

/// A store whose disk is full for everything but objects.
struct Full(LocalStore);

impl Store for Full {
    fn put_if_absent(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put> {
        self.0.put_if_absent(key, bytes)
    }

    fn put_all_if_absent(&self, objects: &[Object<'_>]) -> Result<Vec<Put>> {
        self.0.put_all_if_absent(objects)
    }

    fn get(&self, key: &ObjectKey) -> Result<Option<Vec<u8>>> {
        self.0.get(key)
    }

    fn list(&self, prefix: &ObjectKey) -> Result<crate::store::Listing> {
        self.0.list(prefix)
    }

    fn scratch(&self) -> Result<File> {
        Ok(File::options().read(true).write(true).open("/dev/full").unwrap())
    }
}

#[test]
fn a_full_disk_is_one_of_resources_and_shows_no_dataset() {
    let place = Place::new();
    let store = Full(LocalStore::open(place.folder.path().join("store")).unwrap());
    let events = events(60);
    let sources = || Sources {
        events: Source::Batches(vec![events.clone()]),
        labels: Source::Batches(vec![assertions(&events)]),
    };
    let spread = Spread { buckets: 2, block_bytes: 500, ..WHOLE };
    let failure = build_spread(&store, &spec(), spread, sources()).unwrap_err();
    assert_eq!(failure.code, Code::ResourceExhausted, "{failure}");
    assert_eq!(place.keys(), []);
    // Rows that are few ask for no file.
    build_spread(&store, &spec(), WHOLE, sources()).unwrap();
}

#[test]
fn scratch_is_private_and_has_no_name() {
    let place = Place::new();
    let scratch = place.store.scratch().unwrap();
    let about = scratch.metadata().unwrap();
    assert_eq!((about.mode() & 0o777, about.nlink()), (0o600, 0));
    scratch.write_all_at(b"rows", 7).unwrap();
    let root = std::fs::metadata(place.folder.path()).unwrap();
    assert_eq!(about.dev(), root.dev());
    let staged = std::fs::read_dir(place.folder.path().join("store/.staging")).unwrap();
    assert_eq!(staged.count(), 0);
}

/// A batch without rows says what its ids are all the same.
#[test]
fn no_event_of_texts_is_none_of_another_type() {
    let labels = label_batch(&[(0, true, 0, 0)], &[], true);
    let spec = ResolveSpec {
        event_id: column("id"),
        event_time: column("time"),
        naive_times_are_utc: false,
        labels: spec().labels,
    };
    let none = Source::Batches(vec![event_batch(&[], true)]);
    let resolved = resolve_labels(&spec, &none, &Source::Batches(vec![labels])).unwrap();
    assert_eq!(resolved.outcome, []);
}
