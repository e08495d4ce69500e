//! Metrics: rows in, numbers and columns of numbers out.
//!
//! Rows are a tuple of scores, labels and, where rows do not all count alike, weights.

use std::borrow::Cow;

use contracts::{Code, Failure};
use kernels::{
    Rng,
    metric::{
        Bins, Confusion, EntityDays, Interval, Metric, Probabilities, Ranking, Resampling, Scored, TopK,
        bootstrap as resample, entity_precision as precision_of_entities, kolmogorov_smirnov as distance,
        population_stability as stability,
    },
};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use crate::{
    array::Vector,
    failure::{Error, Result},
    progress::watch,
    threads::Threads,
};

/// Scores, labels, weights.
#[derive(FromPyObject)]
pub(crate) struct Rows<'py>(Vector<'py, f64>, Vector<'py, bool>, Option<Vector<'py, f64>>);

impl Rows<'_> {
    /// Checks the rows and measures them without the interpreter.
    pub(crate) fn measure<T: Send>(
        &self,
        py: Python<'_>,
        measure: impl FnOnce(&Scored<'_>) -> contracts::Result<T> + Send,
    ) -> Result<T> {
        let (scores, positive) = (self.0.values(), self.1.values());
        let weights = self.2.as_ref().map(Vector::values);
        Ok(py.detach(|| measure(&Scored::new(&scores, &positive, weights.as_deref())?))?)
    }
}

pub(crate) type Column<'py, T = f64> = Bound<'py, PyArray1<T>>;

/// Mean negative log-likelihood in nats.
#[pyfunction]
pub(crate) fn log_loss(py: Python<'_>, rows: Rows<'_>) -> Result<f64> {
    rows.measure(py, |scored| Ok(Probabilities::new(scored)?.log_loss()))
}

/// Mean squared distance of probability and outcome.
#[pyfunction]
pub(crate) fn brier(py: Python<'_>, rows: Rows<'_>) -> Result<f64> {
    rows.measure(py, |scored| Ok(Probabilities::new(scored)?.brier()))
}

/// How scores are grouped, from its name.
#[derive(Clone, Copy)]
pub(crate) enum Binning {
    Width,
    Count,
}

impl<'a, 'py> FromPyObject<'a, 'py> for Binning {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<&str>()? {
            "width" => Ok(Self::Width),
            "count" => Ok(Self::Count),
            _ => Err(unknown("binning", "width or count")),
        }
    }
}

/// Expected calibration error and the bins' columns: lower and upper edge, rows, weight, mean score, observed rate.
type ReliabilityColumns<'py> =
    (f64, Column<'py>, Column<'py>, Column<'py, u64>, Column<'py>, Column<'py>, Column<'py>);

/// What share came true, by bins of score.
#[pyfunction]
pub(crate) fn reliability<'py>(
    py: Python<'py>,
    rows: Rows<'py>,
    bins: u32,
    binning: Binning,
) -> Result<ReliabilityColumns<'py>> {
    let bins = match binning {
        Binning::Width => Bins::Width(bins),
        Binning::Count => Bins::Count(bins),
    };
    let found = rows.measure(py, |scored| Probabilities::new(scored)?.reliability(bins))?;
    let bins = || found.bins.iter();
    Ok((
        found.expected_calibration_error,
        PyArray1::from_iter(py, bins().map(|bin| bin.lower)),
        PyArray1::from_iter(py, bins().map(|bin| bin.upper)),
        PyArray1::from_iter(py, bins().map(|bin| bin.rows)),
        PyArray1::from_iter(py, bins().map(|bin| bin.weight)),
        PyArray1::from_iter(py, bins().map(|bin| bin.mean_score)),
        PyArray1::from_iter(py, bins().map(|bin| bin.observed_rate)),
    ))
}

/// Weights of true positives, false positives, true negatives and false negatives at a threshold.
#[pyfunction]
pub(crate) fn confusion(py: Python<'_>, rows: Rows<'_>, threshold: f64) -> Result<(f64, f64, f64, f64)> {
    let found = rows.measure(py, |scored| Confusion::at(scored, threshold))?;
    Ok((found.true_positives, found.false_positives, found.true_negatives, found.false_negatives))
}

/// Precision and recall of the k highest scores.
#[pyfunction]
pub(crate) fn top_k(py: Python<'_>, rows: Rows<'_>, k: usize) -> Result<(f64, Option<f64>)> {
    let found = rows.measure(py, |scored| TopK::of(scored, k))?;
    Ok((found.precision(), found.recall()))
}

/// Mean precision and, day by day: the day, its entities, those found, the precision.
type EntityColumns<'py> = (f64, Column<'py, i64>, Column<'py, u64>, Column<'py, u64>, Column<'py>);

/// Precision of each day's k highest entities.
#[pyfunction]
pub(crate) fn entity_precision<'py>(
    py: Python<'py>,
    rows: Rows<'py>,
    entities: Vector<'py, u64>,
    days: Vector<'py, i64>,
    k: usize,
) -> Result<EntityColumns<'py>> {
    let (entities, days) = (entities.values(), days.values());
    let found =
        rows.measure(py, |scored| precision_of_entities(scored, EntityDays::new(&entities, &days)?, k))?;
    let days = || found.days.iter();
    Ok((
        found.mean,
        PyArray1::from_iter(py, days().map(|day| day.day)),
        PyArray1::from_iter(py, days().map(|day| day.entities as u64)),
        PyArray1::from_iter(py, days().map(|day| day.found as u64)),
        PyArray1::from_iter(py, days().map(|day| day.precision)),
    ))
}

/// Population stability index of `current` against the deciles of `reference`.
#[pyfunction]
pub(crate) fn population_stability(
    py: Python<'_>,
    reference: Vector<'_, f64>,
    current: Vector<'_, f64>,
) -> Result<f64> {
    let (reference, current) = (reference.values(), current.values());
    Ok(py.detach(|| stability(&reference, &current))?)
}

/// Largest distance of the two empirical distributions; none where a side has missing values only.
#[pyfunction]
pub(crate) fn kolmogorov_smirnov(
    py: Python<'_>,
    reference: Vector<'_, f64>,
    current: Vector<'_, f64>,
) -> Result<Option<f64>> {
    let (reference, current) = (reference.values(), current.values());
    Ok(py.detach(|| distance(&reference, &current))?)
}

/// A metric that has an interval, from its name or, for recall, its name and a false-positive rate.
pub(crate) struct PyMetric(Metric);

impl<'a, 'py> FromPyObject<'a, 'py> for PyMetric {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let (name, rate): (Cow<'_, str>, Option<f64>) = object.extract()?;
        match (name.as_ref(), rate) {
            ("roc_auc", None) => Ok(Self(Metric::RocAuc)),
            ("average_precision", None) => Ok(Self(Metric::AveragePrecision)),
            ("recall_at_fpr", Some(rate)) => Ok(Self(Metric::RecallAtFalsePositiveRate(rate))),
            ("brier", None) => Ok(Self(Metric::Brier)),
            ("log_loss", None) => Ok(Self(Metric::LogLoss)),
            _ => Err(unknown(
                "metric",
                "roc_auc, average_precision, brier, log_loss, or recall_at_fpr with a rate",
            )),
        }
    }
}

/// Estimates, lower ends, upper ends (one a metric), and how many replicates were used and skipped.
type IntervalColumns<'py> = (Column<'py>, Column<'py>, Column<'py>, u32, u32);

/// Percentile intervals of several metrics from the same replicates.
#[pyfunction]
#[pyo3(signature = (rows, metrics, replicates, level, seed, *, threads = None, progress = None))]
#[allow(clippy::too_many_arguments, reason = "the Python package gives them names")]
pub(crate) fn bootstrap<'py>(
    py: Python<'py>,
    rows: Rows<'py>,
    metrics: Vec<PyMetric>,
    replicates: u32,
    level: f64,
    seed: u64,
    threads: Threads,
    progress: Option<Py<PyAny>>,
) -> Result<IntervalColumns<'py>> {
    let metrics: Vec<_> = metrics.into_iter().map(|metric| metric.0).collect();
    let resampling = Resampling { replicates, level, rng: Rng::from_u64(seed) };
    let (scores, positive) = (rows.0.values(), rows.1.values());
    let weights = rows.2.as_ref().map(Vector::values);
    let found = watch(py, threads, progress, |progress| {
        let scored = Scored::new(&scores, &positive, weights.as_deref())?;
        resample(&Ranking::new(&scored)?, &metrics, &resampling, progress)
    })?;
    let column =
        |part: fn(&Interval) -> f64| found.intervals.iter().map(part).collect::<Vec<_>>().into_pyarray(py);
    Ok((
        column(|interval| interval.estimate),
        column(|interval| interval.lower),
        column(|interval| interval.upper),
        found.used,
        found.skipped,
    ))
}

fn unknown(name: &str, expected: &str) -> PyErr {
    Error::Refused(Failure::at(Code::ParameterInvalid, name, expected, "another name")).into()
}
