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
use kernels::{Progress, Rng};

use crate::{
    candidate::Candidate,
    clock::Stopwatch,
    dataset::Table,
    failpoint::{self, Failpoint},
    guard::Window,
    layout,
    store::{self, Put, Store},
    train::Trained,
};

/// One window with its scores.
struct ScoredWindow {
    split: SplitName,
    window: Window,
    rows: Table,
    positive: Vec<bool>,
    scores: Vec<f64>,
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
    let split = |split: SplitName, window: &Window| -> Result<ScoredWindow> {
        let rows = trained.guarded.table.select(&window.rows);
        let scores = trained.model.predict_proba(rows.features.view())?.to_vec();
        Ok(ScoredWindow {
            split,
            positive: window.positive(&trained.guarded.table),
            window: window.clone(),
            rows,
            scores,
        })
    };
    let train = split(SplitName::Train, &windows.train)?;
    let validation =
        windows.validation.as_ref().map(|window| split(SplitName::Validation, window)).transpose()?;
    let throughput = Stopwatch::start();
    let test = split(SplitName::Test, &windows.test)?;
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

    let score_one_row_microseconds = latency(&trained, &test)?;
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
fn latency(trained: &Trained, test: &ScoredWindow) -> Result<Option<f64>> {
    let mut microseconds = Vec::new();
    for row in test.rows.features.rows().into_iter().take(LATENCY_ROWS) {
        let watch = Stopwatch::start();
        trained.model.predict_proba(row.insert_axis(ndarray::Axis(0)))?;
        microseconds.push(watch.seconds() * 1e6);
    }
    microseconds.sort_unstable_by(f64::total_cmp);
    Ok(microseconds.get(microseconds.len() / 2).copied())
}
