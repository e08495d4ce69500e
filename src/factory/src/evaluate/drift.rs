//! How far things moved: from train to test, and from day to day of the test window.

use contracts::{
    Result,
    eval_report::{Drift, StabilityDay},
    names::ColumnName,
    time::DAY,
};
use kernels::metric::{Ranking, Scored, kolmogorov_smirnov, population_stability};
use rayon::prelude::*;

use super::ScoredWindow;

/// Drift of the score and of each feature.
pub(super) fn between(
    features: &[ColumnName],
    train: &ScoredWindow<'_>,
    test: &ScoredWindow<'_>,
) -> Result<Vec<Drift>> {
    let drift = |name: ColumnName, before: &[f64], after: &[f64]| -> Result<Drift> {
        Ok(Drift {
            name,
            psi: Some(population_stability(before, after)?),
            ks: kolmogorov_smirnov(before, after)?,
        })
    };
    let mut all = vec![drift(ColumnName::new("score")?, &train.scores, &test.scores)?];
    let of_features = features
        .par_iter()
        .enumerate()
        .map(|(index, name)| {
            drift(
                name.clone(),
                &train.of.features.column(index).to_vec(),
                &test.of.features.column(index).to_vec(),
            )
        })
        .collect::<Result<Vec<_>>>()?;
    all.extend(of_features);
    Ok(all)
}

impl ScoredWindow<'_> {
    /// The day (UTC, since the epoch) of each row.
    pub(super) fn days(&self) -> Vec<i64> {
        self.of.rows.event_time.iter().map(|time| time.div_euclid(DAY)).collect()
    }
}

/// Rows, rate, mean score and ROC AUC of each day of the window.
pub(super) fn by_day(window: &ScoredWindow<'_>) -> Result<Vec<StabilityDay>> {
    let days = window.days();
    let first = days.iter().copied().min().unwrap_or_default();
    let last = days.iter().copied().max().unwrap_or_default();
    let mut report = Vec::new();
    for day in first..=last {
        let rows: Vec<usize> = (0..days.len()).filter(|&row| days[row] == day).collect();
        if rows.is_empty() {
            continue;
        }
        let scores: Vec<_> = rows.iter().map(|&row| window.scores[row]).collect();
        let positive: Vec<_> = rows.iter().map(|&row| window.of.positive[row]).collect();
        let scored = Scored::new(&scores, &positive, None)?;
        let roc_auc = scored
            .both_classes()
            .is_ok()
            .then(|| Ranking::new(&scored))
            .transpose()?
            .map(|ranking| ranking.roc_auc());
        report.push(StabilityDay {
            day: (day - first) as u32,
            rows: rows.len() as u64,
            positive: positive.iter().filter(|&&positive| positive).count() as u64,
            mean_score: scores.iter().sum::<f64>() / scores.len() as f64,
            roc_auc,
        });
    }
    Ok(report)
}
