//! The steps of a dataset on tables in memory: tables and a request in, columns out.

use factory::dataset::{
    AsofSpec, FeatureSpec, ResolveSpec, asof_join as join, compute_features, resolve_labels,
};
use kernels::label::Answer;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use crate::{
    failure::Result,
    json::request,
    progress::watch,
    table::PyTable,
    threads::{Threads, on},
};

type Column<'py, T = f64> = Bound<'py, PyArray1<T>>;

/// One column a feature, NaN meaning missing, in the order of the events.
#[pyfunction]
#[pyo3(signature = (spec, events, labels = None, *, threads = None))]
pub(crate) fn features<'py>(
    py: Python<'py>,
    spec: &str,
    events: PyTable<'py>,
    labels: Option<PyTable<'py>>,
    threads: Threads,
) -> Result<Vec<Column<'py>>> {
    let spec: FeatureSpec = request(spec)?;
    spec.check()?;
    let events = events.source(py, "events")?;
    let labels = labels.map(|labels| labels.source(py, "labels")).transpose()?;
    let columns = watch(py, threads, None, |watched| compute_features(&spec, events, labels, watched))?;
    Ok(columns.into_iter().map(|column| column.into_pyarray(py)).collect())
}

/// Outcomes by number, values (255 where there is none), and when the winning assertion was observed and became
/// true (the least integer where there is none).
type ResolvedColumns<'py> = (Column<'py, u8>, Column<'py, u8>, Column<'py, i64>, Column<'py, i64>);

/// The label of each event, as of a cut.
#[pyfunction]
#[pyo3(signature = (spec, events, labels, *, threads = None))]
pub(crate) fn resolve<'py>(
    py: Python<'py>,
    spec: &str,
    events: PyTable<'py>,
    labels: PyTable<'py>,
    threads: Threads,
) -> Result<ResolvedColumns<'py>> {
    let spec: ResolveSpec = request(spec)?;
    let (events, labels) = (events.source(py, "events")?, labels.source(py, "labels")?);
    let resolved = py.detach(|| on(threads, || resolve_labels(&spec, &events, &labels)))?;
    let outcomes: Vec<u8> = resolved.outcome.iter().map(|outcome| *outcome as u8).collect();
    Ok((
        outcomes.into_pyarray(py),
        resolved.value.into_pyarray(py),
        resolved.observed_time.into_pyarray(py),
        resolved.effective_time.into_pyarray(py),
    ))
}

/// For each event the row of its fact, -1 where there is none, and whether it is one of several.
#[pyfunction]
#[pyo3(signature = (spec, events, facts, *, threads = None))]
pub(crate) fn asof_join<'py>(
    py: Python<'py>,
    spec: &str,
    events: PyTable<'py>,
    facts: PyTable<'py>,
    threads: Threads,
) -> Result<(Column<'py, i64>, Column<'py, bool>)> {
    let spec: AsofSpec = request(spec)?;
    let (events, facts) = (events.source(py, "events")?, facts.source(py, "facts")?);
    let answers = py.detach(|| on(threads, || join(&spec, &events, &facts)))?;
    let columns = answers.into_iter().map(|answer| match answer {
        Answer::Nothing => (-1, false),
        Answer::Fact(row) => (i64::from(row), false),
        Answer::Tied(row) => (i64::from(row), true),
    });
    let (rows, tied): (Vec<i64>, Vec<bool>) = columns.unzip();
    Ok((rows.into_pyarray(py), tied.into_pyarray(py)))
}
