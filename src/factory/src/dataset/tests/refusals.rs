//! What is refused: each with its code and place, and with nothing written.

use arrow_array::{BinaryArray, Float32Array, StringArray, UInt64Array};
use contracts::Code;
use proptest::prelude::*;

use super::*;

/// Builds with other events and other labels.
fn refused(
    change_events: impl Fn(&RecordBatch) -> RecordBatch,
    change_labels: impl Fn(&RecordBatch) -> RecordBatch,
) -> Failure {
    let events = events(60);
    let labels = change_labels(&assertions(&events));
    Place::new().refusal(
        &spec(),
        Source::Batches(vec![change_events(&events)]),
        Source::Batches(vec![labels]),
    )
}

fn same(batch: &RecordBatch) -> RecordBatch {
    batch.clone()
}

/// The column with the value of one row replaced by null.
fn holed(batch: &RecordBatch, name: &str) -> RecordBatch {
    let rows: Vec<Option<u32>> = (0..batch.num_rows() as u32).map(|row| (row != 3).then_some(row)).collect();
    let array = batch.column_by_name(name).unwrap();
    let holes =
        arrow_array::DictionaryArray::new(rows.into_iter().collect::<UInt32Array>(), Arc::clone(array));
    with(batch, name, Some(arrow_cast::cast(&holes, array.data_type()).unwrap()))
}

fn assert_refusal(failure: &Failure, code: Code, pointer: &str) {
    assert_eq!(failure.code, code, "{failure}");
    assert!(failure.problems.iter().any(|problem| problem.pointer == pointer), "{failure:?}");
}

#[test]
fn missing_columns_are_named_all_at_once() {
    let failure = refused(|events| with(&with(events, "card", None), "amount", None), same);
    assert_refusal(&failure, Code::ColumnMissing, "events/card");
    assert_refusal(&failure, Code::ColumnMissing, "events/amount");
    let failure = refused(same, |labels| with(labels, "observed_time", None));
    assert_refusal(&failure, Code::ColumnMissing, "labels/observed_time");
}

#[test]
fn columns_of_another_type_are_refused() {
    let floats = || Arc::new(Float32Array::from(vec![1.0; 60])) as ArrayRef;
    let texts = |rows: usize| Arc::new(StringArray::from(vec!["2020-01-01"; rows])) as ArrayRef;
    for (name, array) in [
        ("id", floats()),
        ("card", floats()),
        ("time", texts(60)),
        ("time", Arc::new(Int64Array::from(vec![0; 60])) as ArrayRef),
        ("amount", texts(60)),
        ("id", Arc::new(BinaryArray::from(vec![b"x".as_slice(); 60])) as ArrayRef),
        ("id", Arc::new(UInt64Array::from(vec![u64::MAX; 60])) as ArrayRef),
        ("shop", Arc::new(StringArray::from(vec!["x".repeat(5_000); 60])) as ArrayRef),
    ] {
        let failure = refused(|events| with(events, name, Some(Arc::clone(&array))), same);
        assert_refusal(&failure, Code::ColumnTypeInvalid, &format!("events/{name}"));
    }
    let zoned = |events: &RecordBatch| {
        let times = TimestampNanosecondArray::from(times_of(events)).with_timezone("Europe/Brussels");
        with(events, "time", Some(Arc::new(times)))
    };
    let failure = refused(zoned, same);
    assert_refusal(&failure, Code::ColumnTypeInvalid, "events/time");
    assert!(failure.hint().contains("tz_convert(\"UTC\")"), "{}", failure.hint());
    assert!(failure.hint().contains("convert_time_zone(\"UTC\")"), "{}", failure.hint());
    let naive = |events: &RecordBatch| {
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times_of(events)));
        with(events, "time", Some(times))
    };
    let failure = refused(naive, same);
    assert_refusal(&failure, Code::ColumnTypeInvalid, "events/time");
    assert!(failure.hint().contains("naive_times_are_utc"), "{}", failure.hint());
    let failure = refused(|events| with(events, "distance", Some(texts(60))), same);
    assert_refusal(&failure, Code::ColumnTypeInvalid, "events/distance");
    assert!(failure.hint().contains("categorical_features"), "{}", failure.hint());
    for (name, array) in
        [("value", texts(54)), ("event_id", texts(54)), ("value", Arc::new(Int64Array::from(vec![2; 54])))]
    {
        let failure = refused(same, |labels| with(labels, name, Some(Arc::clone(&array))));
        assert_refusal(&failure, Code::ColumnTypeInvalid, &format!("labels/{name}"));
    }
}

#[test]
fn batches_that_disagree_on_the_type_of_an_id_are_refused() {
    let events = events(60);
    let texts: Vec<String> = (0..60).map(|row| format!("{row}")).collect();
    let other = with(&events, "card", Some(Arc::new(StringArray::from(texts))));
    let labels = Source::Batches(vec![assertions(&events)]);
    let failure = Place::new().refusal(&spec(), Source::Batches(vec![events, other]), labels);
    assert_refusal(&failure, Code::ColumnTypeInvalid, "events/card");
}

#[test]
fn nulls_are_refused_and_counted_unless_they_are_missing_features() {
    for name in ["id", "time", "card", "shop", "amount"] {
        let failure = refused(|events| holed(events, name), same);
        assert_refusal(&failure, Code::NullNotAllowed, &format!("events/{name}"));
        assert!(failure.detail.contains("1 nulls"), "{failure}");
    }
    for name in ["event_id", "value", "effective_time", "observed_time"] {
        let failure = refused(same, |labels| holed(labels, name));
        assert_refusal(&failure, Code::NullNotAllowed, &format!("labels/{name}"));
    }
    let events = events(60);
    let labels = Source::Batches(vec![assertions(&events)]);
    Place::new().build(&spec(), Source::Batches(vec![holed(&events, "distance")]), labels).unwrap();
}

/// A number of the data is the number of the dataset, or there is no dataset.
#[test]
fn whole_numbers_that_a_float_would_round_are_refused() {
    let amounts = |last: i64| -> ArrayRef {
        Arc::new((0..60).map(|row| Some(if row == 59 { last } else { row })).collect::<Int64Array>())
    };
    for strange in [1 << 53, -(1 << 53), (1 << 53) + 1, i64::MAX, i64::MIN] {
        let failure = refused(|events| with(events, "amount", Some(amounts(strange))), same);
        assert_refusal(&failure, Code::ColumnTypeInvalid, "events/amount");
        assert!(failure.detail.contains("2^53"), "{failure}");
        assert_eq!(failure.problems[0].found, "another in row 59, counted from 0");
    }
    let events = events(60);
    let labels = Source::Batches(vec![assertions(&events)]);
    let largest = with(&events, "amount", Some(amounts((1 << 53) - 1)));
    Place::new().build(&spec(), Source::Batches(vec![largest]), labels).unwrap();
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for strange in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for name in ["amount", "distance"] {
            let mut numbers = vec![1.0; 60];
            numbers[7] = strange;
            let array: ArrayRef = Arc::new(Float64Array::from(numbers));
            let failure = refused(|events| with(events, name, Some(Arc::clone(&array))), same);
            assert_refusal(&failure, Code::NonFiniteInput, &format!("events/{name}"));
            // Nulls are taken of the plain feature alone, so that nulls are advised there alone.
            assert_eq!(failure.hint().contains("as null"), name == "distance", "{}", failure.hint());
            assert_eq!(failure.hint().contains("Fill or drop"), name == "amount", "{}", failure.hint());
        }
    }
}

#[test]
fn a_feature_that_overflows_is_refused() {
    let spec = DatasetSpec {
        features: vec![window("sum", "card", "0s", Aggregate::Sum, Some("amount"))],
        slices: [].into(),
        ..spec()
    };
    // Only rows of the last days overflow: all other partitions could be written before that shows.
    let whole = events(2_000);
    let late = START + 18 * DAY;
    let amounts = times_of(&whole).into_iter().map(|time| if time < late { 1.0 } else { 1e308 });
    let events = with(&whole, "amount", Some(Arc::new(amounts.collect::<Float64Array>())));
    let labels = Source::Batches(vec![assertions(&events)]);
    let failure = Place::new().refusal(&spec, Source::Batches(vec![events]), labels);
    assert_refusal(&failure, Code::NonFiniteInput, "features/sum");
}

#[test]
fn a_negative_weight_is_refused() {
    let spec = DatasetSpec { weight: Some(column("unused")), ..spec() };
    let mut weights = vec![1.0; 60];
    weights[0] = -1.0;
    let events = with(&events(60), "unused", Some(Arc::new(Float64Array::from(weights))));
    let labels = Source::Batches(vec![assertions(&events)]);
    let failure = Place::new().refusal(&spec, Source::Batches(vec![events]), labels);
    assert_refusal(&failure, Code::NonFiniteInput, "events/unused");
}

#[test]
fn no_event_and_an_event_twice_are_refused() {
    let failure = refused(|events| events.slice(0, 0), same);
    assert_refusal(&failure, Code::DatasetEmpty, "events");
    let place = Place::new();
    let failure = place.refusal(&spec(), Source::Batches(Vec::new()), Source::Batches(Vec::new()));
    assert_refusal(&failure, Code::DatasetEmpty, "events");
    let twice = |events: &RecordBatch| take_rows(events, &[0, 1, 2, 1, 0]);
    let failure = refused(twice, same);
    assert_refusal(&failure, Code::DuplicateEvent, "events/id");
    assert!(failure.detail.contains("2 repetitions"), "{failure}");
}

#[test]
fn a_label_known_before_it_was_true_is_refused() {
    let failure = refused(same, |labels| {
        with(labels, "observed_time", Some(utc(vec![START - DAY; labels.num_rows()])))
    });
    assert_eq!(failure.code, Code::ParameterInvalid, "{failure}");
}

#[test]
fn a_cut_in_the_future_is_refused() {
    let mut spec = spec();
    spec.labels.label_asof_utc = Timestamp::from_nanoseconds(now().nanoseconds() + 1);
    let events = events(60);
    let labels = Source::Batches(vec![assertions(&events)]);
    let failure = Place::new().refusal(&spec, Source::Batches(vec![events]), labels);
    assert_refusal(&failure, Code::LabelAsofInFuture, "/labels/label_asof_utc");
}

#[test]
fn a_wrong_request_is_refused_with_every_place() {
    let mut wrong = spec();
    wrong.features.push(window("card", "card", "0s", Aggregate::Count, Some("amount")));
    wrong
        .features
        .push(Feature { name: column("late"), definition: Definition::HourBetween { first: 0, last: 24 } });
    wrong.privacy_classes.insert(column("nobody"), contracts::dataset_manifest::PrivacyClass::Personal);
    wrong.partition_rows = 0;
    wrong.labels.maturity_days = 40_000;
    let events = events(60);
    let labels = Source::Batches(vec![assertions(&events)]);
    let failure = Place::new().refusal(&wrong, Source::Batches(vec![events]), labels);
    for place in [
        "/features/card",
        "/features/8/definition/column",
        "/features/9/definition",
        "/privacy_classes/nobody",
        "/partition_rows",
        "/labels/maturity_days",
    ] {
        assert_refusal(&failure, Code::ParameterInvalid, place);
    }
}

#[test]
fn the_label_is_no_feature() {
    let own = Feature { name: column("seen"), definition: Definition::Column { column: column("value") } };
    for (feature, aggregated) in
        [(own, false), (window("mean", "card", "0s", Aggregate::Mean, Some("value")), true)]
    {
        let mut wrong = spec();
        wrong.features.push(feature);
        let events = events(60);
        let labels = Source::Batches(vec![assertions(&events)]);
        let failure = Place::new().refusal(&wrong, Source::Batches(vec![events]), labels);
        assert_refusal(&failure, Code::FeatureAfterEvent, "/features/8/definition/column");
        assert_eq!(failure.problems.len(), 1, "aggregated: {aggregated}");
    }
}

#[test]
fn a_file_that_is_not_parquet_is_refused() {
    let place = Place::new();
    let events = events(60);
    let labels = || Source::Batches(vec![assertions(&events)]);
    let Source::Parquet(files) = place.files(std::slice::from_ref(&events)) else { unreachable!() };
    let path = place.folder.path().join("other");
    let whole = std::fs::read(&files[0]).unwrap();
    let cases: [&[u8]; 4] = [b"", b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1", &whole[..whole.len() / 2]];
    for bytes in cases {
        std::fs::write(&path, bytes).unwrap();
        let failure = place.refusal(&spec(), Source::Parquet(vec![files[0].clone(), path.clone()]), labels());
        assert_refusal(&failure, Code::SourceUnreadable, "events/1");
    }
    // Two thousand million row groups, by a footer of ten bytes: no decoder may reserve room for them.
    let footer = b"\x15\x02\x39\xfc\xff\xff\xff\xff\x07\x00\x0a\x00\x00\x00PAR1";
    std::fs::write(&path, [b"PAR1", &footer[..]].concat()).unwrap();
    let failure = place.refusal(&spec(), Source::Parquet(vec![path.clone()]), labels());
    assert_refusal(&failure, Code::SourceUnreadable, "events/0");
    for path in [place.folder.path().to_owned(), place.folder.path().join("nothing")] {
        let failure = place.refusal(&spec(), Source::Parquet(vec![path]), labels());
        assert_refusal(&failure, Code::SourceUnreadable, "events/0");
    }
}

#[test]
fn texts_that_a_dictionary_repeats_out_of_proportion_are_refused() {
    let place = Place::new();
    let rows = 40_000;
    let events = events(rows);
    // Some kilobytes on disk, a hundred and fifty megabytes in memory.
    let long = Arc::new(StringArray::from_iter_values((0..rows).map(|_| "x".repeat(4_000))));
    let bomb = batch([
        ("id", Arc::clone(events.column_by_name("id").unwrap())),
        ("time", utc(vec![START; rows])),
        ("card", Arc::new(Int64Array::from(vec![0; rows]))),
        ("shop", long),
        ("amount", Arc::new(Float64Array::from(vec![1.0; rows]))),
        ("distance", Arc::new(Float64Array::from(vec![1.0; rows]))),
    ]);
    let sorted: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(parquet::basic::ZstdLevel::default()))
        .set_column_encoding("id".into(), parquet::basic::Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled("id".into(), false)
        .build();
    let bomb = with(&bomb, "id", Some(sorted));
    let path = place.folder.path().join("bomb.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, bomb.schema(), Some(properties)).unwrap();
    writer.write(&bomb).unwrap();
    writer.close().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 1 << 16);
    let failure =
        place.refusal(&spec(), Source::Parquet(vec![path]), Source::Batches(vec![assertions(&events)]));
    assert_refusal(&failure, Code::SourceUnreadable, "events/0");
    assert!(failure.detail.contains("proportion"), "{failure}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Parquet has no digest of its own, so a flipped byte may pass for data; it must never be a panic.
    #[test]
    fn damaged_files_never_panic(
        packed in any::<bool>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..6),
    ) {
        use parquet::basic::Compression::{LZ4_RAW, UNCOMPRESSED};
        let place = Place::new();
        let events = events(60);
        let compression = if packed { LZ4_RAW } else { UNCOMPRESSED };
        let properties =
            parquet::file::properties::WriterProperties::builder().set_compression(compression).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), events.schema(), Some(properties)).unwrap();
        writer.write(&events).unwrap();
        let mut bytes = writer.into_inner().unwrap();
        for (index, flip) in flips {
            let position = index.index(bytes.len());
            bytes[position] ^= flip;
        }
        let file = place.folder.path().join("damaged.parquet");
        std::fs::write(&file, bytes).unwrap();
        let labels = Source::Batches(vec![assertions(&events)]);
        let _ = place.build(&spec(), Source::Parquet(vec![file]), labels);
    }
}

/// The row is counted over all batches, whatever came before it.
#[test]
fn a_value_that_does_not_fit_is_named_by_its_row() {
    let (first, mut second) = (events(60), events(40));
    let amounts = (0..40).map(|row| if row == 3 { 1 << 60 } else { row }).collect::<Int64Array>();
    second = with(&second, "amount", Some(Arc::new(amounts)));
    let labels = Source::Batches(vec![assertions(&first)]);
    let failure = Place::new().refusal(&spec(), Source::Batches(vec![first, second]), labels);
    assert_refusal(&failure, Code::ColumnTypeInvalid, "events/amount");
    assert_eq!(failure.problems[0].found, "another in row 63, counted from 0");
}

#[test]
fn labels_of_text_are_told_what_a_label_is() {
    let texts = Arc::new(StringArray::from(vec!["fraud"; 54])) as ArrayRef;
    let failure = refused(same, |labels| with(labels, "value", Some(Arc::clone(&texts))));
    assert_refusal(&failure, Code::ColumnTypeInvalid, "labels/value");
    assert!(failure.hint().contains("positive_values"), "{}", failure.hint());
    assert!(!failure.hint().contains("categorical_features"), "{}", failure.hint());
}
