//! Evaluation: a fitted model and its rows in, a report out.
//!
//! ```text
//!   Trained ──► scores by window ──► metrics, curves, slices, drift ──► EvalReport (identity) ──► Candidate
//!                              └──► latency ──► Measurements (outside every identity)
//! ```

mod drift;
mod split;

use std::collections::BTreeMap;

use contracts::{
    Artifact, Checked, Code, Digest, Failure, Reference, Result, eval_report::EvalReport,
    measurements::Measurements, metric::SplitName, names::ObjectKey, schema::SchemaVersion,
};
use kernels::{Model, Progress, Rng};

use crate::{
    candidate::Candidate,
    clock::Stopwatch,
    failpoint::{self, Failpoint},
    guard::Window,
    layout,
    store::Store,
    train::Trained,
};

/// One window with its scores.
struct ScoredWindow<'a> {
    split: SplitName,
    of: &'a Window,
    scores: Vec<f64>,
}

impl<'a> ScoredWindow<'a> {
    fn new(split: SplitName, window: &'a Window, model: &Model) -> Result<Self> {
        let scores = model.predict_proba(window.features.view())?.to_vec();
        Ok(Self { split, of: window, scores })
    }
}

/// Rows that are scored alone to see how long one takes.
const LATENCY_ROWS: usize = 256;

/// Scores every window, writes model, record, report and measurements, and lets go of the data.
///
/// Refuses with the `IMMUTABILITY_VIOLATION` of a kind, such as `MODEL_ARTIFACT_IMMUTABILITY_VIOLATION`, where the
/// store holds other bytes for this run.
pub fn evaluate(
    store: &dyn Store,
    mut trained: Trained,
    mut stage_seconds: BTreeMap<String, f64>,
    progress: &dyn Progress,
) -> Result<Candidate> {
    let watch = Stopwatch::start();
    let plan = trained.guarded.resolved.plan();
    let windows = &trained.guarded.windows;
    let model = &trained.model;
    let train = ScoredWindow::new(SplitName::Train, &windows.train, model)?;
    let validation = windows.validation.as_ref();
    let validation =
        validation.map(|window| ScoredWindow::new(SplitName::Validation, window, model)).transpose()?;
    let throughput = Stopwatch::start();
    let test = ScoredWindow::new(SplitName::Test, &windows.test, model)?;
    let score_rows_per_second =
        Some(test.scores.len() as f64 / throughput.seconds()).filter(|rate| rate.is_finite());

    let config = &plan.training_config.evaluation;
    let rng = Rng::from_seed(*plan.evaluate_seed.as_bytes());
    let mut splits = Vec::new();
    for window in [Some(&train), validation.as_ref(), Some(&test)].into_iter().flatten() {
        splits.push(split::report(config, window, rng, progress)?);
    }
    let report = Checked::new(EvalReport {
        schema_version: SchemaVersion::default(),
        train_run_id: plan.train_run_id.clone(),
        train_run_key: plan.train_run_key.digest()?,
        model: trained.model_ref.digest,
        interval_level: (config.bootstrap.replicates > 0).then_some(config.bootstrap.level),
        replicates: config.bootstrap.replicates,
        splits,
        drift: drift::between(&plan.features, &train, &test)?,
        stability: drift::by_day(&test)?,
        leakage_audit: trained.guarded.audit.clone(),
    })?;
    let key = |name: &str| layout::of_run(&plan.platform_run_id, &plan.train_run_id, name);
    let (report_key, measurements_key) = (key("eval_report.json")?, key("measurements.json")?);
    let score_one_row_microseconds = latency(model, test.of)?;
    stage_seconds.insert("evaluate".to_owned(), watch.seconds());
    let measurements = Checked::new(Measurements {
        schema_version: SchemaVersion::default(),
        train_run_id: plan.train_run_id.clone(),
        stage_seconds,
        score_one_row_microseconds,
        score_rows_per_second,
        threads: rayon::current_num_threads() as u32,
    })?;
    let eval_report = trained.unwritten.add_document(report_key, &report);
    // What a clock measured differs each time.
    trained.unwritten.add_first(measurements_key.clone(), &measurements);
    trained.unwritten.write(store)?;
    failpoint::hit(Failpoint::AfterEvaluation)?;

    Ok(Candidate {
        plan: trained.guarded.resolved.reference().clone(),
        model: trained.model_ref,
        execution_record: trained.record,
        eval_report,
        measurements: Some(standing(store, measurements_key)?),
        champion: None,
    })
}

/// The reference to whatever stands under a key, which may be of a worker that died.
fn standing<T: Artifact>(store: &dyn Store, uri: ObjectKey) -> Result<Reference<T>> {
    let bytes = store.get(&uri)?.ok_or_else(|| {
        Failure::new(Code::StoreUnavailable, format!("{uri} is not there after it was put"))
    })?;
    Ok(Reference { digest: Digest::of(&bytes), uri })
}

/// Median microseconds to score one row alone.
fn latency(model: &Model, test: &Window) -> Result<Option<f64>> {
    let mut microseconds = Vec::new();
    for row in test.features.rows().into_iter().take(LATENCY_ROWS) {
        let watch = Stopwatch::start();
        model.predict_proba(row.insert_axis(ndarray::Axis(0)))?;
        microseconds.push(watch.seconds() * 1e6);
    }
    microseconds.sort_unstable_by(f64::total_cmp);
    Ok(microseconds.get(microseconds.len() / 2).copied())
}
