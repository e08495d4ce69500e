//! Simulated card payments.

use kernels::{
    Rng,
    simulate::{self, Scale},
};
use numpy::{Element, IntoPyArray};
use pyo3::{prelude::*, types::PyDict};

use crate::failure::Result;

/// Payments and the timeline of what was asserted about them, as two dicts of columns.
#[pyfunction]
pub(crate) fn payments(
    py: Python<'_>,
    customers: u32,
    terminals: u32,
    days: u32,
    seed: u64,
) -> Result<(Bound<'_, PyDict>, Bound<'_, PyDict>)> {
    let scale = Scale { customers, terminals, days };
    let payments = py.detach(|| simulate::payments(scale, Rng::from_u64(seed)))?;
    let (events, labels) = (PyDict::new(py), PyDict::new(py));
    column(&events, "event_id", payments.event_id)?;
    column(&events, "time", payments.time)?;
    column(&events, "customer", payments.customer)?;
    column(&events, "terminal", payments.terminal)?;
    column(&events, "amount", payments.amount)?;
    column(&events, "fraud", payments.fraud)?;
    column(&events, "report_delay", payments.report_delay)?;
    column(&labels, "event_id", payments.labels.event_id)?;
    column(&labels, "fraud", payments.labels.fraud)?;
    column(&labels, "effective_time", payments.labels.effective_time)?;
    column(&labels, "observed_time", payments.labels.observed_time)?;
    Ok((events, labels))
}

fn column<T: Element>(table: &Bound<'_, PyDict>, name: &str, values: Vec<T>) -> PyResult<()> {
    table.set_item(name, values.into_pyarray(table.py()))
}
