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
    Checked, Result, eval_report::EvalReport, measurements::Measurements, metric::SplitName,
    schema::SchemaVersion,
};
use kernels::{Model, Progress, Rng};

use crate::{
    candidate::Candidate,
    clock::Stopwatch,
    failpoint::{self, Failpoint},
    guard::Window,
    layout,
    store::{self, Put, Store},
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
        let scores = model.predict_proba(window.rows.features.view())?.to_vec();
        Ok(Self { split, of: window, scores })
    }
}

/// Rows that are scored alone to see how long one takes.
const LATENCY_ROWS: usize = 256;

/// Scores every window, writes the report and the measurements, and lets go of the data.
pub fn evaluate(
    store: &dyn Store,
    trained: Trained,
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
    let eval_report = store::write_document(store, &key("eval_report.json")?, &report)?;
    failpoint::hit(Failpoint::AfterReport)?;

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
    // What a clock measured differs each time: the first one stands, and another is no violation.
    let (Put::Created | Put::Exists) =
        store.put_if_absent(&key("measurements.json")?, measurements.bytes())?;

    Ok(Candidate {
        plan: trained.guarded.resolved.reference().clone(),
        model: trained.model_ref,
        execution_record: trained.record,
        eval_report,
        champion: None,
    })
}

/// Median microseconds to score one row alone.
fn latency(model: &Model, test: &Window) -> Result<Option<f64>> {
    let mut microseconds = Vec::new();
    for row in test.rows.features.rows().into_iter().take(LATENCY_ROWS) {
        let watch = Stopwatch::start();
        model.predict_proba(row.insert_axis(ndarray::Axis(0)))?;
        microseconds.push(watch.seconds() * 1e6);
    }
    microseconds.sort_unstable_by(f64::total_cmp);
    Ok(microseconds.get(microseconds.len() / 2).copied())
}
