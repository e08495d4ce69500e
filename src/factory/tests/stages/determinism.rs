//! The same data and request give the same bytes: in any folder, with any number of threads, however the rows
//! come in, with any instructions.

use std::{fs::File, path::Path, sync::Arc};

use arrow_array::{DictionaryArray, RecordBatch, UInt32Array};
use contracts::names::ObjectKey;
use factory::{
    Factory,
    clock::FixedClock,
    dataset::{Built, DatasetSpec, Source, Sources},
    ledger::State,
};
use kernels::{
    dispatch::{self, Instructions},
    progress::Silent,
};
use ndarray::Array2;
use parquet::arrow::ArrowWriter;
use rayon::ThreadPoolBuilder;
use serde_json::{Value, json};

use crate::support::{
    Bench, config, events, forge, labels, payments,
    place::{Files, Place, files, folder, line, quick_profile, today},
    spec, worker,
};

/// The ids of the line on these payments. A change of any of them is a change of every identity that users hold:
/// it needs a new recipe and a line in the changelog, not a new vector.
const DATASET: &str = "dm_41d0b728a3e8f9ed9388338455f257e9";
const GOLDEN: [(&str, &str, &str); 4] = [
    ("logistic_regression", "tr_b20f85ae62fa14c8d864ddbbdd112ccc", "mb_5b7ed72c41ddb3b1e0dc91daec4b7eb8"),
    ("decision_tree", "tr_de0e156c68ec09c85bcf6c1bd417e213", "mb_d6612dc34ac7dcdc8e95e4c664166baf"),
    ("random_forest", "tr_ef8622616b540c3285aa982ba9e78f2a", "mb_a2cfac2725ed7193037b83eb14f8c736"),
    ("gradient_boosting", "tr_4557ebf35cda6f5a8e1da055476952bd", "mb_b23c3b16706e9ea29c9977735edac921"),
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

fn build(factory: &Factory, events: Source) -> Built {
    let payments = payments();
    let spec: DatasetSpec = serde_json::from_value(spec(&payments)).unwrap();
    let labels = Source::Batches(vec![labels(&payments)]);
    factory.build_dataset(&spec, Sources { events, labels }, &Silent).unwrap()
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
fn everything(root: &Path) -> Files {
    let mut objects = files(&root.join("objects"));
    objects.retain(|path, _| {
        let path = path.to_str().unwrap();
        !["measurements", "run_receipt", "/events/"].iter().any(|part| path.contains(part))
    });
    objects
}

/// One way to carry out the whole line.
#[derive(Debug, Clone, Copy)]
struct Way {
    threads: usize,
    /// No wider ones are used than these.
    instructions: Instructions,
    shuffled: bool,
    /// Parquet files that the rows come in; none are rows in memory.
    files: usize,
    /// The factory's folder.
    below: &'static str,
}

const PLAIN: Way =
    Way { threads: 1, instructions: Instructions::Avx512, shuffled: false, files: 0, below: "one" };

/// Events in an order of their own.
fn shuffled(rows: &RecordBatch) -> RecordBatch {
    let count = rows.num_rows() as u64;
    // 7919 is prime and no divisor, so its multiples visit every row once.
    assert_ne!(count % 7_919, 0);
    let order: UInt32Array = (0..count).map(|row| Some((row * 7_919 % count) as u32)).collect();
    let columns = rows.columns().iter().map(|column| {
        let picked = DictionaryArray::new(order.clone(), Arc::clone(column));
        arrow_cast::cast(&picked, column.data_type()).unwrap()
    });
    RecordBatch::try_new(rows.schema(), columns.collect()).unwrap()
}

/// The rows in so many Parquet files.
fn in_files(rows: &RecordBatch, count: usize, folder: &Path) -> Source {
    let step = rows.num_rows().div_ceil(count);
    let paths = (0..count).map(|part| {
        let path = folder.join(format!("{part}.parquet"));
        let rows = rows.slice(part * step, step.min(rows.num_rows() - part * step));
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        path
    });
    Source::Parquet(paths.collect())
}

impl Way {
    /// Every object that the line leaves, and the bits of every family's scores of the first rows.
    fn carried_out(self) -> (Files, Vec<Vec<u64>>) {
        let folder = folder();
        let root = folder.path().join(self.below);
        dispatch::limit(self.instructions);
        let pool = ThreadPoolBuilder::new().num_threads(self.threads).build().unwrap();
        let scores = pool.install(|| {
            let clock = Arc::new(FixedClock::new(today()));
            let factory = Factory::of(line(&root, &clock));
            let rows = events(&payments());
            let rows = if self.shuffled { shuffled(&rows) } else { rows };
            let source = match self.files {
                0 => Source::Batches(vec![rows]),
                count => in_files(&rows, count, folder.path()),
            };
            let manifest = build(&factory, source).reference;
            let bench = Bench { factory, payments: payments(), manifest };
            GOLDEN.iter().map(|(family, ..)| scores(&bench, &ids(&bench, family).1)).collect()
        });
        dispatch::limit(Instructions::Avx512);
        (everything(&root), scores)
    }
}

/// What a published bundle says of made-up rows, as bits.
fn scores(bench: &Bench, bundle: &str) -> Vec<u64> {
    let bundle = bench.factory.line().registry.find(&bundle.parse().unwrap()).unwrap();
    let scorer = bench.factory.load(&bundle).unwrap();
    let columns = scorer.bundle().input_schema.len();
    let rows = Array2::from_shape_fn((500, columns), |(row, column)| (row * (column + 3) % 97) as f64 * 0.7);
    scorer.predict_proba(rows.view()).unwrap().iter().map(|score| score.to_bits()).collect()
}

/// The promise of the README, each part of it in turn and all together.
#[test]
fn no_way_to_carry_out_the_line_changes_a_byte() {
    let expected = PLAIN.carried_out();
    let threads = [2, 4, 7].map(|threads| Way { threads, ..PLAIN });
    let sets = [Instructions::Baseline, Instructions::Avx2].map(|instructions| Way { instructions, ..PLAIN });
    let rows = [
        Way { shuffled: true, ..PLAIN },
        Way { files: 1, ..PLAIN },
        Way { files: 5, ..PLAIN },
        Way { below: "a/longer/way", ..PLAIN },
    ];
    let together = [
        Way { threads: 7, instructions: Instructions::Avx2, shuffled: true, files: 5, below: "two" },
        Way { threads: 2, instructions: Instructions::Baseline, shuffled: true, files: 1, below: "x" },
    ];
    for way in threads.into_iter().chain(sets).chain(rows).chain(together) {
        let (objects, scores) = way.carried_out();
        assert_eq!(objects.keys().collect::<Vec<_>>(), expected.0.keys().collect::<Vec<_>>(), "{way:?}");
        assert!(objects == expected.0, "{way:?}: other bytes");
        assert!(scores == expected.1, "{way:?}: other scores");
    }
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
