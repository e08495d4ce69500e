//! Metrics that need the order of the scores alone: sorted once, asked often.

use kernels::metric::{Curve, Ranking};
use numpy::PyArray1;
use pyo3::prelude::*;

use crate::{
    failure::Result,
    metric::{Column, Rows},
};

/// Rows in the order of their scores.
#[pyclass(frozen, module = "model_factory._native", name = "Ranking")]
pub(crate) struct PyRanking(Curve);

/// Thresholds (infinite above every score) and the two coordinates of each point.
type Points<'py> = (Column<'py>, Column<'py>, Column<'py>);

#[pymethods]
impl PyRanking {
    #[new]
    fn new(py: Python<'_>, rows: Rows<'_>) -> Result<Self> {
        rows.measure(py, |scored| Ok(Self(Ranking::new(scored)?.into_curve())))
    }

    /// Area under the receiver operating characteristic.
    fn roc_auc(&self, py: Python<'_>) -> f64 {
        py.detach(|| self.0.roc_auc())
    }

    /// Sum of precision times the gain in recall.
    fn average_precision(&self, py: Python<'_>) -> f64 {
        py.detach(|| self.0.average_precision())
    }

    /// Largest recall at a threshold whose false-positive rate is at most `rate`.
    fn recall_at_false_positive_rate(&self, py: Python<'_>, rate: f64) -> Result<f64> {
        Ok(py.detach(|| self.0.recall_at_false_positive_rate(rate))?)
    }

    /// Thresholds, false-positive rates, true-positive rates.
    fn roc_curve<'py>(&self, py: Python<'py>, at_most: usize) -> Points<'py> {
        let points = self.0.roc_curve(at_most);
        (
            thresholds(py, points.clone().map(|point| point.threshold)),
            PyArray1::from_iter(py, points.clone().map(|point| point.false_positive_rate)),
            PyArray1::from_iter(py, points.map(|point| point.true_positive_rate)),
        )
    }

    /// Thresholds, precisions, recalls.
    fn precision_recall_curve<'py>(&self, py: Python<'py>, at_most: usize) -> Points<'py> {
        let points = self.0.precision_recall_curve(at_most);
        (
            thresholds(py, points.clone().map(|point| point.threshold)),
            PyArray1::from_iter(py, points.clone().map(|point| point.precision)),
            PyArray1::from_iter(py, points.map(|point| point.recall)),
        )
    }
}

fn thresholds(py: Python<'_>, thresholds: impl Iterator<Item = Option<f64>>) -> Column<'_> {
    PyArray1::from_iter(py, thresholds.map(|threshold| threshold.unwrap_or(f64::INFINITY)))
}
