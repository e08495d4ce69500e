//! The report of one window.

use contracts::{
    Code, Failure, Result,
    eval_report::{
        CapacityDay, Estimate, Metrics, PrecisionRecallPoint, ReliabilityBin, RocPoint, SliceReport,
        SplitReport, ThresholdRow,
    },
    training_config::{Bootstrap, Evaluation, Slice},
};
use kernels::{
    Progress, Rng,
    metric::{
        self, Bins, Confusion, EntityDays, Intervals, Metric, Probabilities, Ranking, Resampling, Scored,
        TopK, bootstrap, entity_precision,
    },
};

use super::ScoredWindow;

/// Points of a curve at the most.
const CURVE_POINTS: usize = 256;

/// Everything that is said of one window.
pub(super) fn report(
    config: &Evaluation,
    window: &ScoredWindow<'_>,
    rng: Rng,
    progress: &dyn Progress,
) -> Result<SplitReport> {
    let scored = window.scored()?;
    let ranking = Ranking::new(&scored)?;
    let mut metrics = metrics(config, &scored, rng, progress)?;
    let capacity = capacity(config, window, &scored)?;
    if let (Some(settings), Some(found)) = (&config.capacity, &capacity) {
        metrics.insert(format!("capacity_precision_at_k_{}", settings.k), point(Some(found.mean)));
    }
    let first_day = capacity.as_ref().and_then(|found| found.days.first()).map_or(0, |day| day.day);
    Ok(SplitReport {
        split: window.split,
        rows: window.of.counts.clone(),
        metrics,
        roc_curve: ranking
            .roc_curve(CURVE_POINTS)
            .map(|point| RocPoint {
                false_positive_rate: point.false_positive_rate,
                true_positive_rate: point.true_positive_rate,
            })
            .collect(),
        precision_recall_curve: ranking
            .precision_recall_curve(CURVE_POINTS)
            .map(|point| PrecisionRecallPoint { recall: point.recall, precision: point.precision })
            .collect(),
        reliability: Probabilities::new(&scored)?
            .reliability(Bins::Count(config.calibration_bins))?
            .bins
            .into_iter()
            .map(|bin| ReliabilityBin {
                rows: bin.rows,
                mean_score: bin.mean_score,
                observed_rate: bin.observed_rate,
            })
            .collect(),
        thresholds: config
            .thresholds
            .iter()
            .map(|&threshold| threshold_row(&scored, threshold))
            .collect::<Result<_>>()?,
        capacity: capacity
            .into_iter()
            .flat_map(|found| found.days)
            .map(|day| CapacityDay { day: (day.day - first_day) as u32, precision: day.precision })
            .collect(),
        slices: config
            .slices
            .iter()
            .map(|slice| groups(config, slice, window, rng, progress))
            .collect::<Result<Vec<_>>>()?
            .concat(),
    })
}

impl ScoredWindow<'_> {
    pub(super) fn scored(&self) -> Result<Scored<'_>> {
        Scored::new(&self.scores, &self.of.positive, self.of.rows.weights.as_deref())
    }
}

/// All metrics of some rows, with intervals where they have one. Metrics that need both classes are null where
/// one is missing.
fn metrics(config: &Evaluation, scored: &Scored<'_>, rng: Rng, progress: &dyn Progress) -> Result<Metrics> {
    let mut metrics = Metrics::new();
    let probabilities = Probabilities::new(scored)?;
    let error = probabilities.reliability(Bins::Count(config.calibration_bins))?.expected_calibration_error;
    metrics.insert("calibration_error".to_owned(), point(Some(error)));
    for &threshold in &config.thresholds {
        let confusion = Confusion::at(scored, threshold)?;
        for (name, value) in
            [("precision", confusion.precision()), ("recall", confusion.recall()), ("f1", confusion.f1())]
        {
            metrics.insert(format!("{name}_at_threshold_{threshold}"), point(value));
        }
    }
    for &k in &config.top_k {
        let top = TopK::of(scored, k as usize)?;
        metrics.insert(format!("precision_at_k_{k}"), point(Some(top.precision())));
        metrics.insert(format!("recall_at_k_{k}"), point(top.recall()));
    }
    let mut wanted = vec![
        ("roc_auc".to_owned(), Metric::RocAuc),
        ("average_precision".to_owned(), Metric::AveragePrecision),
        ("log_loss".to_owned(), Metric::LogLoss),
        ("brier".to_owned(), Metric::Brier),
    ];
    wanted.extend(
        config
            .false_positive_rates
            .iter()
            .map(|&rate| (format!("recall_at_fpr_{rate}"), Metric::RecallAtFalsePositiveRate(rate))),
    );
    if scored.both_classes().is_err() {
        metrics.extend(wanted.into_iter().map(|(name, metric)| {
            let value = match metric {
                Metric::LogLoss => Some(probabilities.log_loss()),
                Metric::Brier => Some(probabilities.brier()),
                _ => None,
            };
            (name, point(value))
        }));
        return Ok(metrics);
    }
    let ranking = Ranking::new(scored)?;
    let intervals = intervals(&config.bootstrap, &ranking, &wanted, rng, progress)?;
    for (index, (name, metric)) in wanted.into_iter().enumerate() {
        let interval = intervals.as_ref().map(|intervals| intervals.intervals[index]);
        let estimate = Estimate {
            value: Some(metric.of(&ranking)?),
            lower: interval.map(|interval| interval.lower),
            upper: interval.map(|interval| interval.upper),
        };
        metrics.insert(name, estimate);
    }
    Ok(metrics)
}

/// Intervals of the metrics, or none where none are asked for or the rows are too few to draw both classes.
fn intervals(
    settings: &Bootstrap,
    ranking: &Ranking<'_>,
    wanted: &[(String, Metric)],
    rng: Rng,
    progress: &dyn Progress,
) -> Result<Option<Intervals>> {
    if settings.replicates == 0 {
        return Ok(None);
    }
    let metrics: Vec<_> = wanted.iter().map(|(_, metric)| *metric).collect();
    let resampling = Resampling { replicates: settings.replicates, level: settings.level, rng };
    match bootstrap(ranking, &metrics, &resampling, progress) {
        Err(failure) if failure.code == Code::DegenerateLabels => Ok(None),
        other => other.map(Some),
    }
}

fn capacity(
    config: &Evaluation,
    window: &ScoredWindow<'_>,
    scored: &Scored<'_>,
) -> Result<Option<metric::EntityPrecision>> {
    let Some(settings) = &config.capacity else { return Ok(None) };
    let codes = window.of.rows.entities.get(&settings.entity).ok_or_else(|| {
        Failure::at(
            Code::FeatureSchemaIncompatible,
            settings.entity.as_str(),
            "an entity of the manifest",
            "nothing",
        )
    })?;
    let entities: Vec<u64> = codes.iter().map(|&code| u64::from(code)).collect();
    let days: Vec<i64> = window.days();
    entity_precision(scored, EntityDays::new(&entities, &days)?, settings.k as usize).map(Some)
}

fn threshold_row(scored: &Scored<'_>, threshold: f64) -> Result<ThresholdRow> {
    let confusion = Confusion::at(scored, threshold)?;
    Ok(ThresholdRow {
        threshold,
        true_positives: confusion.true_positives,
        false_positives: confusion.false_positives,
        false_negatives: confusion.false_negatives,
        true_negatives: confusion.true_negatives,
    })
}

/// The groups of one slice that have rows. A missing value belongs to no group.
fn groups(
    config: &Evaluation,
    slice: &Slice,
    window: &ScoredWindow<'_>,
    rng: Rng,
    progress: &dyn Progress,
) -> Result<Vec<SliceReport>> {
    let values = window.of.rows.slices.get(&slice.column).ok_or_else(|| {
        Failure::at(
            Code::FeatureSchemaIncompatible,
            slice.column.as_str(),
            "a slice of the manifest",
            "nothing",
        )
    })?;
    let group_of = |value: f64| (!value.is_nan()).then(|| slice.edges.partition_point(|&edge| edge <= value));
    let mut reports = Vec::new();
    for group in 0..=slice.edges.len() {
        let rows: Vec<usize> =
            (0..values.len()).filter(|&row| group_of(values[row]) == Some(group)).collect();
        if rows.is_empty() {
            continue;
        }
        let scores: Vec<_> = rows.iter().map(|&row| window.scores[row]).collect();
        let positive: Vec<_> = rows.iter().map(|&row| window.of.positive[row]).collect();
        let weights: Option<Vec<_>> =
            window.of.rows.weights.as_ref().map(|weights| rows.iter().map(|&row| weights[row]).collect());
        let scored = Scored::new(&scores, &positive, weights.as_deref())?;
        reports.push(SliceReport {
            column: slice.column.clone(),
            group: group as u32,
            lower: group.checked_sub(1).map(|edge| slice.edges[edge]),
            upper: slice.edges.get(group).copied(),
            rows: rows.len() as u64,
            positive: positive.iter().filter(|&&positive| positive).count() as u64,
            metrics: metrics(config, &scored, rng, progress)?,
        });
    }
    Ok(reports)
}

fn point(value: Option<f64>) -> Estimate {
    Estimate { value, lower: None, upper: None }
}
