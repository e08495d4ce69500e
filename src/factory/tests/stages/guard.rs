//! The leakage guards, each tripped by documents or by rows, and what a good run's audit says.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray,
};
use contracts::Code;
use factory::store;
use serde_json::{Value, json};

use crate::support::{
    day, forge,
    place::{Place, assert_refusal, quick_config, quick_profile},
};

type Edit = fn(&Place, &mut Value, &mut Value);

/// What a run that a guard refuses may leave: request, plan, and the receipt that says why.
const LEAVES: &[&str] = &["train_requests/", "run_receipt_fail.json", "resolved_train_plan/"];
const DAY: i64 = 86_400_000_000_000;

fn window(place: &Place, config: &mut Value, name: &str, start: i64, end: i64) {
    config["split"][name] = json!({"start": day(&place.payments, start), "end": day(&place.payments, end)});
}

#[rustfmt::skip]
const BY_DOCUMENTS: &[(&str, Code, &str, Edit)] = &[
    ("a cut that is still to come", Code::LabelAsofInFuture, "/label_basis/label_asof_utc", |place, _, _| {
        let cut: contracts::time::Timestamp = day(&place.payments, 75).parse().unwrap();
        place.clock.set(contracts::time::Timestamp::from_nanoseconds(cut.nanoseconds() - 1));
    }),
    ("a policy of more maturity", Code::LabelImmature, "/label_basis/maturity_days", |_, _, profile| {
        profile["leakage_policy"] = json!({"min_maturity_days": 8});
    }),
    ("a test window of young labels", Code::LabelImmature, "/split/test", |place, config, _| {
        window(place, config, "test", 42, 69);
    }),
    ("test before the end of train", Code::SplitOverlap, "/split/test", |place, config, _| {
        config["split"]["gap"] = json!("0d");
        window(place, config, "test", 34, 60);
    }),
    ("validation before the end of train", Code::SplitOverlap, "/split/validation", |place, config, _| {
        config["split"]["gap"] = json!("0d");
        window(place, config, "validation", 34, 40);
    }),
    ("test before the end of validation", Code::SplitOverlap, "/split/test", |place, config, _| {
        window(place, config, "validation", 42, 43);
    }),
    ("test before train", Code::SplitOverlap, "/split/test", |place, config, _| {
        window(place, config, "train", 40, 60);
        window(place, config, "test", 10, 30);
    }),
    ("less than the gap", Code::EmbargoViolation, "/split/test", |place, config, _| window(place, config, "test", 41, 60)),
    ("no gap, where labels need days to be known", Code::EmbargoViolation, "/split/test", |place, config, _| {
        config["split"]["gap"] = json!("0d");
        window(place, config, "test", 35, 60);
    }),
    ("less than the policy's gap", Code::EmbargoViolation, "/split/test", |_, _, profile| {
        profile["leakage_policy"] = json!({"min_gap": "8d"});
    }),
    ("a config that states less than the policy's gap", Code::EmbargoViolation, "/split/gap", |_, config, profile| {
        config["split"]["gap"] = json!("6d");
        profile["leakage_policy"] = json!({"min_gap": "7d"});
    }),
];

#[test]
fn leakage_that_documents_show_is_refused() {
    for (name, code, place_named, edit) in BY_DOCUMENTS {
        let place = Place::new();
        let (mut config, mut profile) = (quick_config(&place), quick_profile());
        edit(&place, &mut config, &mut profile);
        let failure = place.refusal(place.request_with(config, profile), LEAVES);
        assert_refusal(name, &failure, *code, place_named);
    }
}

/// The bounds themselves are no leakage: a gap of just the policy's, labels that are just mature.
#[test]
fn windows_may_touch_their_bounds() {
    let place = Place::new();
    let (mut config, mut profile) = (quick_config(&place), quick_profile());
    window(&place, &mut config, "test", 42, 68);
    profile["leakage_policy"] = json!({"min_gap": "7d", "min_maturity_days": 7});
    let cut: contracts::time::Timestamp = day(&place.payments, 75).parse().unwrap();
    place.clock.set(cut);
    let run = place.carry_out(place.request_with(config, profile));
    assert_eq!(run.progress.state, factory::ledger::State::Published);
}

fn changed_at(times: &TimestampNanosecondArray, row: usize, change: impl Fn(i64) -> i64) -> ArrayRef {
    forge::times(
        times
            .iter()
            .enumerate()
            .map(|(index, time)| time.map(|time| if index == row { change(time) } else { time })),
    )
}

fn first_known(rows: &RecordBatch) -> usize {
    let labels: &BooleanArray = forge::column(rows, "label");
    (0..labels.len()).find(|&row| labels.is_valid(row)).unwrap()
}

/// Rows with a label of this window of days, and whether each is positive.
fn labels(rows: &RecordBatch) -> Vec<Option<bool>> {
    forge::column::<BooleanArray>(rows, "label").iter().collect()
}

fn day_of(rows: &RecordBatch, first: i64) -> Vec<i64> {
    let times: &TimestampNanosecondArray = forge::column(rows, "time");
    times.values().iter().map(|time| time.div_euclid(DAY) - first).collect()
}

type Rows = fn(&Place, &RecordBatch) -> RecordBatch;

#[rustfmt::skip]
const BY_ROWS: &[(&str, Code, &str, Rows)] = &[
    ("a label seen after the cut", Code::LabelAfterAsof, "label_observed_time", |place, rows| {
        let cut: contracts::time::Timestamp = day(&place.payments, 75).parse().unwrap();
        let late = changed_at(forge::column(rows, "label_observed_time"), first_known(rows), |_| cut.nanoseconds() + 1);
        forge::with_column(rows, "label_observed_time", late)
    }),
    ("a feature that knows the next second", Code::FeatureAfterEvent, "feature_asof", |_, rows| {
        let asof = changed_at(forge::column(rows, "feature_asof"), 5, |time| time + 1);
        forge::with_column(rows, "feature_asof", asof)
    }),
    ("an event twice", Code::DuplicateEvent, "dataset_manifests", |_, rows| {
        let ids: &Int64Array = forge::column(rows, "event_id");
        let mut ids = ids.values().to_vec();
        ids[3] = ids[4];
        forge::with_column(rows, "event_id", Arc::new(Int64Array::from(ids)))
    }),
    ("a feature that is the label", Code::TargetLeakageSuspected, "amount", |_, rows| {
        let copied: Float64Array = labels(rows).iter().map(|label| Some(f64::from(u8::from(*label == Some(true))))).collect();
        forge::with_column(rows, "amount", Arc::new(copied))
    }),
    ("a feature that is the label upside down", Code::TargetLeakageSuspected, "amount", |_, rows| {
        let copied: Float64Array = labels(rows).iter().map(|label| Some(-f64::from(u8::from(*label == Some(true))))).collect();
        forge::with_column(rows, "amount", Arc::new(copied))
    }),
    ("a feature that is missing where the label is positive", Code::TargetLeakageSuspected, "customer_mean_7d", |_, rows| {
        let copied: Float64Array = labels(rows).iter().zip([-1.0, 1.0].into_iter().cycle()).map(|(label, value)| (*label != Some(true)).then_some(value)).collect();
        forge::with_column(rows, "customer_mean_7d", Arc::new(copied))
    }),
    ("a label without a time", Code::PartitionInvalid, "outcome", |_, rows| {
        let row = first_known(rows);
        let times: &TimestampNanosecondArray = forge::column(rows, "label_observed_time");
        let times = times.iter().enumerate().map(|(index, time)| time.filter(|_| index != row));
        forge::with_column(rows, "label_observed_time", forge::times(times))
    }),
    ("negatives alone in train", Code::DegenerateLabels, "/split/train", |place, rows| one_class(place, rows, 0, 40, false)),
    ("positives alone in train", Code::DegenerateLabels, "/split/train", |place, rows| one_class(place, rows, 0, 40, true)),
    ("negatives alone in test", Code::DegenerateLabels, "/split/test", |place, rows| one_class(place, rows, 40, 60, false)),
];

/// The rows with every known label of some days set to one value.
fn one_class(place: &Place, rows: &RecordBatch, first: i64, end: i64, value: bool) -> RecordBatch {
    let days = day_of(rows, place.payments.time[0].div_euclid(DAY));
    let labels = labels(rows).into_iter().zip(days);
    let labels: BooleanArray = labels
        .map(|(label, day)| label.map(|label| if (first..end).contains(&day) { value } else { label }))
        .collect();
    forge::with_column(rows, "label", Arc::new(labels))
}

#[test]
fn leakage_that_only_rows_show_is_refused() {
    for (name, code, place_named, edit) in BY_ROWS {
        let place = Place::new();
        let rows = edit(&place, &forge::rows(&place));
        let mut request = place.quick();
        request["dataset_manifests"][0] = forge::dataset(&place, &rows);
        let failure = place.refusal(request, LEAVES);
        assert_refusal(name, &failure, *code, place_named);
    }
}

#[test]
fn rows_that_are_written_anew_and_unchanged_pass() {
    let place = Place::new();
    let mut request = place.quick();
    request["dataset_manifests"][0] = forge::dataset(&place, &forge::rows(&place));
    assert_eq!(place.carry_out(request).progress.state, factory::ledger::State::Published);
}

#[test]
fn two_manifests_of_one_event_are_refused() {
    let place = Place::new();
    let mut request = place.quick();
    let twin = forge::manifest(&place, |_| {}, |value| value["provenance"]["config_revision"] = json!("2"));
    request["dataset_manifests"].as_array_mut().unwrap().push(twin);
    assert_refusal("twins", &place.refusal(request, LEAVES), Code::DuplicateEvent, "dataset_manifests");
}

#[rustfmt::skip]
const BY_SPLIT: &[(&str, Code, &str, Edit)] = &[
    ("customers in train and test", Code::EntityOverlap, "customer", |_, config, _| {
        config["split"]["entity_disjoint"] = json!("customer");
    }),
    ("unknown labels that are not wanted", Code::LabelImmature, "/split/train", |_, config, _| {
        config["label"]["unknown"] = json!("refuse");
    }),
    ("a train window without rows", Code::DatasetEmpty, "/split/train", |place, config, _| {
        window(place, config, "train", -20, -10);
    }),
    ("a test window without rows", Code::DatasetEmpty, "/split/test", |place, config, _| {
        window(place, config, "test", 62, 66);
    }),
    ("a validation window without rows", Code::DatasetEmpty, "/split/validation", |place, config, _| {
        window(place, config, "train", 10, 22);
        window(place, config, "test", 37, 60);
        let start = day(&place.payments, 29);
        config["split"]["validation"] = json!({"start": start, "end": start.replace("00:00:00Z", "00:00:00.000000001Z")});
    }),
    ("a policy that suspects a good feature", Code::TargetLeakageSuspected, "ROC AUC", |_, _, profile| {
        profile["leakage_policy"] = json!({"max_single_feature_auc": 0.501});
    }),
];

#[test]
fn windows_and_policies_that_cannot_be_met_are_refused() {
    for (name, code, place_named, edit) in BY_SPLIT {
        let place = Place::new();
        let rows = forge::rows(&place);
        let (mut config, mut profile) = (quick_config(&place), quick_profile());
        edit(&place, &mut config, &mut profile);
        let mut request = place.request_with(config, profile);
        request["dataset_manifests"][0] = forge::dataset(&place, &one_unknown(&rows));
        let failure = place.refusal(request, LEAVES);
        assert_refusal(name, &failure, *code, place_named);
    }
}

/// The rows with the label of one row in the train window unknown.
fn one_unknown(rows: &RecordBatch) -> RecordBatch {
    let days = day_of(rows, rows_first_day(rows));
    let row = (0..days.len()).find(|&row| days[row] == 20).unwrap();
    let labels: BooleanArray =
        labels(rows).iter().enumerate().map(|(index, label)| label.filter(|_| index != row)).collect();
    let times: &TimestampNanosecondArray = forge::column(rows, "label_observed_time");
    let times = forge::times(times.iter().enumerate().map(|(index, time)| time.filter(|_| index != row)));
    let outcomes: &arrow_array::StringArray = forge::column(rows, "label_outcome");
    let outcomes =
        outcomes.iter().enumerate().map(|(index, text)| if index == row { Some("censored") } else { text });
    let outcomes: arrow_array::StringArray = outcomes.collect();
    let rows = forge::with_column(rows, "label", Arc::new(labels));
    let rows = forge::with_column(&rows, "label_observed_time", times);
    forge::with_column(&rows, "label_outcome", Arc::new(outcomes))
}

fn rows_first_day(rows: &RecordBatch) -> i64 {
    let times: &TimestampNanosecondArray = forge::column(rows, "time");
    times.values().iter().min().unwrap().div_euclid(DAY)
}

/// A row whose label is not known is left out and counted, never taken for a negative.
#[test]
fn an_unknown_label_is_left_out_and_counted() {
    let place = Place::new();
    let mut request = place.quick();
    let before = place.carry_out(request.clone());
    request["dataset_manifests"][0] = forge::dataset(&place, &one_unknown(&forge::rows(&place)));
    request["request_id"] = json!("request-2");
    let after = place.carry_out(request);
    let counts = |run: &factory::ledger::Run| {
        let record = place.evidence(&run.run_id).execution_record.unwrap();
        store::read_document(place.store(), &record).unwrap().windows["train"].clone()
    };
    let (before, after) = (counts(&before), counts(&after));
    assert_eq!((before.rows - 1, before.unknown_label + 1), (after.rows, after.unknown_label));
}

#[test]
fn a_good_run_says_which_guards_looked_and_at_how_much() {
    let (place, run) = Place::passed();
    let report = place.evidence(&run).eval_report.unwrap();
    let report = store::read_document(place.store(), &report).unwrap();
    let looked: Vec<_> = report.leakage_audit.iter().map(|check| check.guard.as_str()).collect();
    for code in [
        Code::LabelAsofInFuture,
        Code::LabelImmature,
        Code::SplitOverlap,
        Code::EmbargoViolation,
        Code::LabelAfterAsof,
        Code::FeatureAfterEvent,
        Code::DuplicateEvent,
        Code::TargetLeakageSuspected,
    ] {
        assert!(looked.contains(&code.as_str()), "{code} did not look");
    }
    assert!(report.leakage_audit.iter().all(|check| check.checked > 0));
}

/// Who was known to be defrauded on the day of an event is not judged again, and nobody else is left out: not for
/// a fraud from before the training window.
#[test]
fn entities_known_to_be_positive_are_left_out_of_the_test() {
    for train_start in [10, 28] {
        left_out_as_known(train_start);
    }
}

fn left_out_as_known(train_start: i64) {
    let place = Place::new();
    let mut config = quick_config(&place);
    config["split"]["train"]["start"] = json!(day(&place.payments, train_start));
    let run = place.carry_out(place.request_with(config, quick_profile())).run_id;
    let record =
        store::read_document(place.store(), &place.evidence(&run).execution_record.unwrap()).unwrap();
    let rows = forge::rows(&place);
    let label: &BooleanArray = forge::column(&rows, "label");
    let customer: &Int64Array = forge::column(&rows, "customer");
    let time: &TimestampNanosecondArray = forge::column(&rows, "time");
    let first = place.payments.time[0].div_euclid(DAY);
    let day_of = |row: usize| time.value(row).div_euclid(DAY) - first;
    let defrauded = |row: usize| label.is_valid(row) && label.value(row);
    let known = |row: usize| {
        (0..rows.num_rows()).any(|other| {
            let seen = (train_start..day_of(row) - 7).contains(&day_of(other));
            seen && defrauded(other) && customer.value(other) == customer.value(row)
        })
    };
    let judged = (0..rows.num_rows()).filter(|&row| label.is_valid(row) && (42..60).contains(&day_of(row)));
    let (out, left): (Vec<_>, Vec<_>) = judged.partition(|&row| known(row));
    let counts = &record.windows["test"];
    assert!(out.len() > 100 && left.len() > 100);
    assert_eq!((counts.known_positive, counts.rows), (out.len() as u64, left.len() as u64));
    assert_eq!(counts.positive, left.iter().filter(|&&row| defrauded(row)).count() as u64);
}
