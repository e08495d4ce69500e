//! What is built: the same bytes for the same content, and labels that say what is known.

use std::sync::Mutex;

use arrow_array::{StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, TimeUnit};
use contracts::dataset_manifest::{ColumnRole, PrivacyClass};

use super::*;
use LabelOutcome::{Censored, Conflict, Immature, Known};

fn shuffled(rows: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    let rng = Rng::from_u64(2);
    order.sort_by_key(|&row| rng.bits(0, u64::from(row)));
    order
}

fn pieces(batch: &RecordBatch, count: usize) -> Vec<RecordBatch> {
    let size = batch.num_rows().div_ceil(count);
    (0..count)
        .map(|piece| {
            let start = piece * size;
            batch.slice(start, size.min(batch.num_rows() - start))
        })
        .collect()
}

#[test]
fn neither_order_nor_cuts_nor_files_nor_threads_change_a_byte() {
    let (events, spec) = (events(500), spec());
    let labels = assertions(&events);
    let place = Place::new();
    let first = place
        .build(&spec, Source::Batches(vec![events.clone()]), Source::Batches(vec![labels.clone()]))
        .unwrap();
    assert!(first.manifest.partitions.len() > 3, "{:?}", first.manifest.partitions);
    let keys = place.keys();
    let events = take_rows(&events, &shuffled(events.num_rows()));
    let labels = take_rows(&labels, &shuffled(labels.num_rows()));
    let again =
        place.build(&spec, Source::Batches(pieces(&events, 7)), Source::Batches(pieces(&labels, 3))).unwrap();
    assert_eq!(again, first);
    for count in [1, 5] {
        let elsewhere = Place::new();
        let files = elsewhere.files(&pieces(&events, count));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
        let labels = Source::Batches(vec![labels.clone()]);
        let other = pool.install(|| elsewhere.build(&spec, files, labels)).unwrap();
        assert_eq!(other, first);
        assert_eq!(elsewhere.keys(), keys);
    }
    assert_eq!(place.keys(), keys);
}

#[test]
fn the_width_of_a_type_is_not_content() {
    let (events, spec) = (events(200), spec());
    let labels = assertions(&events);
    let place = Place::new();
    let first = place
        .build(&spec, Source::Batches(vec![events.clone()]), Source::Batches(vec![labels.clone()]))
        .unwrap();
    let cast = |batch: &RecordBatch, name: &str, to: &DataType| {
        with(batch, name, Some(arrow_cast::cast(batch.column_by_name(name).unwrap(), to).unwrap()))
    };
    let text = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
    let events = cast(&events, "id", &DataType::Int32);
    let events = cast(&events, "card", &DataType::UInt8);
    let events = cast(&cast(&events, "shop", &text), "time", &milliseconds);
    let labels = cast(&cast(&labels, "event_id", &DataType::UInt64), "value", &DataType::Int8);
    let again = place.build(&spec, Source::Batches(vec![events]), Source::Batches(vec![labels])).unwrap();
    assert_eq!(again, first);
}

#[test]
fn unknown_labels_are_null_and_never_negative() {
    let spec = DatasetSpec { features: vec![window("n", "card", "0s", Aggregate::Count, None)], ..spec() };
    let cut = spec.labels.label_asof_utc.nanoseconds();
    let old = START + DAY;
    let ids = [1, 2, 3, 4, 5, 6];
    let times = vec![old, old, old, old, cut - DAY, old];
    let events = batch([
        ("id", Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef),
        ("time", utc(times)),
        ("card", Arc::new(StringArray::from(vec!["a"; 6]))),
        ("amount", Arc::new(Float64Array::from(vec![1.0; 6]))),
    ]);
    // (event, value, observed): 3 is seen after the cut, 4 contradicts itself, 5 is too young, 9 is no event.
    let said: [(i64, bool, i64); 8] = [
        (1, true, old),
        (2, true, old),
        (2, false, old + DAY),
        (3, true, cut + 1),
        (4, true, old),
        (4, false, old),
        (5, true, cut - DAY),
        (9, true, old),
    ];
    let labels = batch([
        ("event_id", Arc::new(said.iter().map(|said| Some(said.0)).collect::<Int64Array>()) as ArrayRef),
        ("value", Arc::new(said.iter().map(|said| Some(said.1)).collect::<BooleanArray>())),
        ("effective_time", utc(vec![old; 8])),
        ("observed_time", utc(said.iter().map(|said| said.2).collect())),
    ]);
    let place = Place::new();
    let built = place.build(&spec, Source::Batches(vec![events]), Source::Batches(vec![labels])).unwrap();
    let basis = &built.manifest.label_basis;
    let counts = (basis.positive, basis.negative, basis.censored, basis.conflicting, basis.immature);
    assert_eq!(counts, (1, 1, 2, 1, 1));
    let proof = built.manifest.pass_proof.as_ref().unwrap();
    assert_eq!(proof.dataset_fingerprint, built.manifest.dataset_fingerprint);
    let orphans = proof.checks.iter().find(|check| check.check.as_str() == "orphan_assertions_left_out");
    assert_eq!(orphans.unwrap().rows, 1);
    let observed = Mutex::new(Vec::new());
    let look =
        |moments: &Moments<'_>| observed.lock().unwrap().extend_from_slice(moments.label_observed_time);
    let (table, _) = read(&place.store, &[built.manifest], &Selection::default(), &Silent, &look).unwrap();
    assert_eq!(table.label, [Some(true), Some(false), None, None, None, None]);
    assert_eq!(table.label_outcome, [Known, Known, Censored, Conflict, Immature, Censored]);
    let observed = observed.into_inner().unwrap();
    assert_eq!(observed.iter().flatten().collect::<Vec<_>>(), [&old, &(old + DAY)]);
    assert_eq!(observed.len(), 6);
}

#[test]
fn the_manifest_says_what_each_column_is() {
    let events = events(50);
    let labels = Source::Batches(vec![assertions(&events)]);
    let spec = DatasetSpec { weight: Some(column("amount")), slices: [column("amount")].into(), ..spec() };
    let spec = DatasetSpec { features: spec.features[2..].to_vec(), slices: [].into(), ..spec };
    let built = Place::new().build(&spec, Source::Batches(vec![events]), labels).unwrap();
    let roles: Vec<_> =
        built.manifest.schema.iter().map(|column| (column.name.as_str(), column.role)).collect();
    assert_eq!(
        roles[..5],
        [
            ("id", ColumnRole::EventId),
            ("time", ColumnRole::EventTime),
            ("feature_asof", ColumnRole::FeatureAsof),
            ("card", ColumnRole::Entity),
            ("shop", ColumnRole::Entity),
        ]
    );
    assert_eq!(built.manifest.columns(ColumnRole::Weight).count(), 1);
    let joined: Vec<_> = built.manifest.join_keys.iter().map(ColumnName::as_str).collect();
    assert_eq!(joined, ["id", "card", "shop"]);
    let pseudonymous =
        built.manifest.schema.iter().filter(|column| column.privacy_class != PrivacyClass::None);
    assert_eq!(pseudonymous.map(|column| column.name.as_str()).collect::<Vec<_>>(), ["card"]);
}

#[test]
fn another_revision_of_a_request_describes_the_same_data_beside_the_first() {
    let events = events(50);
    let sources = || (Source::Batches(vec![events.clone()]), Source::Batches(vec![assertions(&events)]));
    let place = Place::new();
    let (first_events, first_labels) = sources();
    let first = place.build(&spec(), first_events, first_labels).unwrap();
    let (later_events, later_labels) = sources();
    let spec = DatasetSpec { config_revision: name("r2"), ..spec() };
    let later = place.build(&spec, later_events, later_labels).unwrap();
    assert_eq!(later.manifest.dataset_manifest_id, first.manifest.dataset_manifest_id);
    assert_eq!(later.manifest.partitions, first.manifest.partitions);
    assert_ne!(later.reference, first.reference);
}

#[test]
fn times_without_a_zone_are_utc_only_if_the_request_says_so() {
    let events = events(50);
    let labels = || Source::Batches(vec![assertions(&events)]);
    let naive: Vec<i64> = times_of(&events).iter().map(|time| time / 1_000_000).collect();
    let naive = with(&events, "time", Some(Arc::new(TimestampMillisecondArray::from(naive))));
    let place = Place::new();
    let refusal = place.refusal(&spec(), Source::Batches(vec![naive.clone()]), labels());
    assert_eq!(refusal.code, contracts::Code::ColumnTypeInvalid);
    assert!(refusal.hint().contains("naive_times_are_utc"), "{refusal}");
    let first = place.build(&spec(), Source::Batches(vec![events.clone()]), labels()).unwrap();
    let spec = DatasetSpec { naive_times_are_utc: true, ..spec() };
    let built = place.build(&spec, Source::Batches(vec![naive]), labels()).unwrap();
    assert_eq!(built.manifest.dataset_fingerprint, first.manifest.dataset_fingerprint);
}

#[test]
fn a_rate_knows_only_what_was_observed_by_the_event() {
    let spec = DatasetSpec { features: vec![window("rate", "card", "0s", Aggregate::Rate, None)], ..spec() };
    let at = |hour: i64| START + hour * HOUR;
    let events = batch([
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ("time", utc(vec![at(0), at(1), at(2)])),
        ("card", Arc::new(Int64Array::from(vec![7, 7, 7]))),
        ("amount", Arc::new(Float64Array::from(vec![1.0; 3]))),
    ]);
    let labels = batch([
        ("event_id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("value", Arc::new(Int64Array::from(vec![1, 0]))),
        ("effective_time", utc(vec![at(0), at(1)])),
        ("observed_time", utc(vec![at(2), at(2) + 1])),
    ]);
    let place = Place::new();
    let built = place.build(&spec, Source::Batches(vec![events]), Source::Batches(vec![labels])).unwrap();
    let selection = Selection { features: vec![column("rate")], ..Selection::default() };
    let (_, features) = read_whole(&place.store, std::slice::from_ref(&built.manifest), &selection).unwrap();
    assert_eq!(features.column(0).to_vec(), [0.0, 0.0, 1.0]);
    let look = |moments: &Moments<'_>| assert_eq!(moments.feature_asof, moments.event_time);
    read(&place.store, &[built.manifest], &selection, &Silent, &look).unwrap();
}

/// Counts up to a limit and then says stop.
struct Impatient(std::sync::atomic::AtomicU64, u64);

impl kernels::Progress for Impatient {
    fn step(&self, done: u64, total: u64) -> Result<()> {
        assert!(done <= total);
        let steps = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if steps < self.1 { Ok(()) } else { Err(Failure::new(contracts::Code::LeaseLost, "stopped")) }
    }
}

#[test]
fn a_build_that_is_stopped_anywhere_shows_no_dataset_and_can_be_run_again() {
    let events = events(150);
    let sources = Sources {
        events: Source::Batches(vec![events.clone()]),
        labels: Source::Batches(vec![assertions(&events)]),
    };
    let place = Place::new();
    let manifests = ObjectKey::new("run-1/ofs/manifests").unwrap();
    let mut stops = 0;
    let built = loop {
        let progress = Impatient(std::sync::atomic::AtomicU64::new(0), stops);
        match build(&place.store, &spec(), sources.clone(), now(), &progress) {
            Ok(built) => break built,
            Err(failure) => assert_eq!(failure.code, contracts::Code::LeaseLost),
        }
        assert_eq!(place.store.list(&manifests).unwrap().keys, []);
        stops += 1;
    };
    assert!(stops > 4, "{stops}");
    let Sources { events, labels } = sources;
    assert_eq!(Place::new().build(&spec(), events, labels).unwrap(), built);
}

#[test]
fn a_request_reads_back_and_takes_no_unknown_field() {
    let text = serde_json::to_string(&spec()).unwrap();
    assert_eq!(serde_json::from_str::<DatasetSpec>(&text).unwrap(), spec());
    let unknown = text.replacen('{', "{\"latest\":true,", 1);
    assert!(serde_json::from_str::<DatasetSpec>(&unknown).is_err());
}
