//! A model that is loaded from its bundle, ready to score.

use arrow_array::{Array, Float64Array, RecordBatch, types::Float64Type};
use arrow_cast::cast;
use arrow_schema::DataType;
use contracts::{Code, Failure, Problems, names::ColumnName};
use factory::bundle::LoadedModel;
use ndarray::{Array2, ShapeBuilder};
use numpy::{IntoPyArray, PyArray1};
use pyo3::{exceptions::PyTypeError, prelude::*};

use crate::{
    array::{Rows, with_view},
    failure::Result,
    table::PyTable,
    threads::{Threads, alone_or_on, on},
};

/// Name of the table of features in refusals.
const TABLE: &str = "features";
/// What to do instead of sending a loaded model to another process.
const UNPICKLED: &str = "a loaded model is not pickled: open the factory in each process and load the bundle there, which verifies it";

/// A model with its bundle.
#[pyclass(frozen, module = "model_factory._native", name = "LoadedModel")]
pub(crate) struct PyLoadedModel {
    model: LoadedModel,
    threads: Threads,
}

#[pymethods]
impl PyLoadedModel {
    /// Names of the features, in the model's order.
    #[getter]
    fn feature_names(&self) -> Vec<&str> {
        self.model.feature_names().map(ColumnName::as_str).collect()
    }

    /// Scores the rows of a table whose columns have the features' names; other columns are left out.
    fn score_table<'py>(&self, py: Python<'py>, features: PyTable<'_>) -> Result<Bound<'py, PyArray1<f64>>> {
        let batches = features.batches(py, TABLE)?;
        let scores = py.detach(|| {
            let features = gather(&batches, self.model.feature_names())?;
            on(self.threads, || self.model.predict_proba(features.view()))
        })?;
        Ok(scores.into_pyarray(py))
    }

    /// Scores the rows of a matrix whose columns stand in the model's order.
    fn score_matrix<'py>(&self, py: Python<'py>, features: Rows<'py>) -> Result<Bound<'py, PyArray1<f64>>> {
        let scores = with_view!(features, |view| alone_or_on(py, self.threads, view.nrows(), || {
            self.model.predict_proba(view)
        }))?;
        Ok(scores.into_pyarray(py))
    }

    /// Refuses to be pickled, which asks for a `TypeError`: what was verified here would have to be taken on trust there.
    #[allow(clippy::unused_self, reason = "Python calls it as a method")]
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(UNPICKLED))
    }
}

impl PyLoadedModel {
    pub(crate) const fn of(model: LoadedModel, threads: Threads) -> Self {
        Self { model, threads }
    }
}

/// Rows x features, column by column, NaN where a value is missing.
///
/// Refuses with `FEATURE_SCHEMA_INCOMPATIBLE` every feature that is not there or is no column of numbers.
fn gather<'a>(
    batches: &[RecordBatch],
    names: impl Iterator<Item = &'a ColumnName>,
) -> contracts::Result<Array2<f64>> {
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let (mut values, mut columns, mut problems) = (Vec::new(), 0, Problems::default());
    for name in names {
        columns += 1;
        for batch in batches {
            match numbers(batch, name) {
                Ok(array) => values.extend(array.iter().map(|value| value.unwrap_or(f64::NAN))),
                Err(found) => {
                    problems.add(format!("{TABLE}/{name}"), "a column of numbers", found);
                    break;
                }
            }
        }
    }
    problems.refuse(Code::FeatureSchemaIncompatible, TABLE)?;
    Array2::from_shape_vec((rows, columns).f(), values)
        .map_err(|_| Failure::new(Code::InternalError, "columns of different lengths"))
}

fn numbers(batch: &RecordBatch, name: &ColumnName) -> contracts::Result<Float64Array, &'static str> {
    let column = batch.column_by_name(name.as_str()).ok_or("nothing")?;
    let of_numbers = column.data_type().is_numeric() || *column.data_type() == DataType::Boolean;
    let array = of_numbers.then(|| cast(column, &DataType::Float64).ok()).flatten();
    let array = array.ok_or("values of another type")?;
    let array = array.as_any().downcast_ref::<arrow_array::PrimitiveArray<Float64Type>>();
    array.cloned().ok_or("values of another type")
}
