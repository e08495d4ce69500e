//! The same data and request give the same bytes: in any folder, with any number of threads, however the rows
//! come in.

use contracts::{Reference, names::ObjectKey};
use factory::{
    Factory,
    dataset::{Built, DatasetSpec, Source, Sources},
    ledger::State,
};
use kernels::progress::Silent;
use rayon::ThreadPoolBuilder;
use serde_json::{Value, json};

use crate::support::{
    Bench, config, events, forge, labels, payments,
    place::{Files, Place, files, folder, line, quick_profile, today},
    spec, worker,
};

/// The ids of the line on these payments. A change of any of them is a change of every identity that users hold:
/// it needs a new recipe and a line in the changelog, not a new vector.
const DATASET: &str = "dm_a12018fb4b41c9f31f9b35824d439cb6";
const GOLDEN: [(&str, &str, &str); 4] = [
    ("logistic_regression", "tr_ecb3fd850e80f2d67a625c1993e1e349", "mb_bcdad2e220b5e38be594b3d183f6b6f5"),
    ("decision_tree", "tr_fa530ff25f5af2ae24dfe085790404c2", "mb_45929ec2500a03743a4579ce6d843f80"),
    ("random_forest", "tr_cdff1dc4c9160f251f08cff47dea7462", "mb_11e6ef451d45ca05d6b943e8ccd56900"),
    ("gradient_boosting", "tr_e404ed2688d34d353821144d006f1d15", "mb_48c8811649eda7ac36bce178b5d66d24"),
];

fn model(family: &str) -> Value {
    match family {
        "decision_tree" => json!({"family": family, "max_depth": 4}),
        "random_forest" => json!({"family": family, "n_estimators": 8, "max_depth": 6}),
        "gradient_boosting" => {
            json!({"family": family, "n_estimators": 10, "subsample": 0.8, "colsample": 0.8})
        }
        _ => json!({"family": family}),
    }
}

fn request(bench: &Bench, family: &str) -> Value {
    let mut config = config(&bench.payments);
    config["model"] = model(family);
    if family != "gradient_boosting" {
        config["features"] = json!(["amount", "customer_count_7d", "terminal_count_14d", "weekend"]);
        config["split"]["validation"] = json!(null);
    }
    let mut profile = quick_profile();
    profile["criteria"][0]["threshold"] = json!(0.0);
    let mut request = bench.request_with(config, profile);
    request["request_id"] = json!(format!("request-{family}"));
    request
}

fn build(factory: &Factory, events: Vec<arrow_array::RecordBatch>) -> Built {
    let payments = payments();
    let spec: DatasetSpec = serde_json::from_value(spec(&payments)).unwrap();
    let labels = Source::Batches(vec![labels(&payments)]);
    factory.build_dataset(&spec, Sources { events: Source::Batches(events), labels }, &Silent).unwrap()
}

/// Run id and bundle id of a family.
fn ids(bench: &Bench, family: &str) -> (String, String) {
    let run = bench.factory.submit(Bench::checked(request(bench, family))).unwrap().run.run_id;
    let row = bench.factory.work(&worker(), Some(&run), &Silent).unwrap().unwrap();
    assert_eq!(row.progress.state, State::Published, "{family}");
    let evidence = bench.factory.line().evidence(&run).unwrap();
    let bundle = bench.factory.load(&evidence.bundle.unwrap()).unwrap();
    (run.to_string(), bundle.bundle().bundle_id.to_string())
}

#[test]
fn the_ids_of_every_family_are_fixed() {
    let mut place = Place::new();
    // A manifest names the release that built it: the vectors are those of one release.
    let of_release =
        |value: &mut Value| value["provenance"]["builder_release"] = json!("model_factory-0.1.0");
    let manifest = forge::manifest(&place, |_| {}, of_release);
    place.bench.manifest = serde_json::from_value(manifest).unwrap();
    let manifest = factory::store::read_document(place.store(), &place.manifest).unwrap();
    let found: Vec<_> = GOLDEN.iter().map(|(family, ..)| (*family, ids(&place, family))).collect();
    let found: Vec<_> =
        found.iter().map(|(family, (run, bundle))| (*family, run.as_str(), bundle.as_str())).collect();
    assert_eq!((manifest.dataset_manifest_id.as_str(), found), (DATASET, GOLDEN.to_vec()));
}

/// Everything that is built, without what a clock measured and recorded.
fn everything(root: &std::path::Path) -> Files {
    let mut objects = files(&root.join("objects"));
    objects.retain(|path, _| {
        let path = path.to_str().unwrap();
        !["measurements", "run_receipt", "/events/"].iter().any(|part| path.contains(part))
    });
    objects
}

#[test]
fn threads_and_folders_change_no_byte() {
    let whole = |threads: usize, below: &str| {
        let folder = folder();
        let root = folder.path().join(below);
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let clock = std::sync::Arc::new(factory::clock::FixedClock::new(today()));
            let factory = Factory::of(line(&root, &clock));
            let manifest = build(&factory, vec![events(&payments())]).reference;
            let bench = Bench { factory, payments: payments(), manifest };
            for (family, ..) in GOLDEN {
                ids(&bench, family);
            }
        });
        everything(&root)
    };
    let expected = whole(1, "one");
    for (threads, below) in [(2, "a/longer/way"), (4, "another")] {
        let found = whole(threads, below);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "{threads} threads"
        );
        assert!(found == expected, "{threads} threads: other bytes");
    }
}

#[test]
fn the_order_and_the_batches_of_rows_change_no_byte() {
    let place = Place::new();
    let all = events(&place.payments);
    let rows = all.num_rows();
    // 7919 is prime and no divisor, so its multiples visit every row once.
    assert_ne!(rows % 7_919, 0);
    let order: arrow_array::UInt32Array =
        (0..rows as u64).map(|row| Some((row * 7_919 % rows as u64) as u32)).collect();
    let columns = all.columns().iter().map(|column| {
        let picked = arrow_array::DictionaryArray::new(order.clone(), std::sync::Arc::clone(column));
        arrow_cast::cast(&picked, column.data_type()).unwrap()
    });
    let shuffled = arrow_array::RecordBatch::try_new(all.schema(), columns.collect()).unwrap();
    let step = rows / 5 + 1;
    let batches = (0..5).map(|part| shuffled.slice(part * step, step.min(rows - part * step))).collect();
    let other = folder();
    let built = build(&Factory::open(other.path(), None).unwrap(), batches);
    let expected: &Reference<_> = &place.manifest;
    assert_eq!(built.reference, *expected);
    assert!(everything(other.path()) == place.objects());
}

/// Where a manifest stands is no part of what the run and the bundle are.
#[test]
fn the_same_manifest_under_another_key_gives_the_same_ids() {
    let expected = ids(&Place::new(), "decision_tree");
    let mut place = Place::new();
    let bytes = factory::store::read(place.store(), &place.manifest).unwrap();
    let elsewhere = "platform-1/ofs/elsewhere/manifest.json";
    place.put(elsewhere, &bytes);
    place.bench.manifest.uri = ObjectKey::new(elsewhere).unwrap();
    assert_eq!(ids(&place, "decision_tree"), expected);
}
