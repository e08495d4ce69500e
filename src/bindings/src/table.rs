//! Tables: anything that speaks Arrow, columns of numpy values, or paths of Parquet files.
//!
//! ```text
//!   ("stream", Arrow producer)                ──► batches ──┐
//!   ("columns", [(name, kind, values, mask)]) ──► batch   ──┼──► Source
//!   ("parquet", [path])                       ──► paths   ──┘
//! ```
//!
//! Invariants: what an Arrow producer raises never reaches the caller in its own words, which may hold values; a
//! stream is opened when it is read, so that of two queries of one connection none runs while the other is open.

use std::{path::PathBuf, sync::Arc};

use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch, RecordBatchReader, StringArray,
    types::{Float64Type, Int64Type, TimestampNanosecondType},
};
use contracts::{Code, Failure};
use factory::dataset::Source;
use pyo3::{
    exceptions::{PyException, PyTypeError},
    prelude::*,
};
use pyo3_arrow::input::AnyRecordBatch;

use crate::{array::Vector, failure::Result};

/// A table as the Python package hands it over.
pub(crate) enum PyTable<'py> {
    /// An Arrow producer, that was asked for nothing yet.
    Stream(Bound<'py, PyAny>),
    Columns(Vec<PyColumn<'py>>),
    Parquet(Vec<PathBuf>),
}

/// Name, kind, values, and which of them are missing.
#[derive(FromPyObject)]
pub(crate) struct PyColumn<'py>(String, Kind, Bound<'py, PyAny>, Option<Vector<'py, bool>>);

/// What the values of a column are.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// int64.
    Integer,
    /// float64.
    Number,
    /// Booleans.
    Flag,
    /// Nanoseconds since the epoch as int64, of no zone.
    Time,
    /// Nanoseconds since the epoch as int64, in UTC.
    TimeUtc,
    /// A list of texts and None.
    Text,
}

impl<'a, 'py> FromPyObject<'a, 'py> for Kind {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<&str>()? {
            "integer" => Ok(Self::Integer),
            "number" => Ok(Self::Number),
            "flag" => Ok(Self::Flag),
            "time" => Ok(Self::Time),
            "time_utc" => Ok(Self::TimeUtc),
            "text" => Ok(Self::Text),
            _ => Err(PyTypeError::new_err("expected a kind of column")),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for PyTable<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let (kind, table): (String, Bound<'py, PyAny>) = object.extract()?;
        match kind.as_str() {
            "stream" => Ok(Self::Stream(table)),
            "columns" => Ok(Self::Columns(table.extract()?)),
            "parquet" => Ok(Self::Parquet(table.extract()?)),
            _ => Err(PyTypeError::new_err("expected a stream, columns or paths of Parquet files")),
        }
    }
}

impl PyTable<'_> {
    /// The table as a source of rows; `name` is its place in refusals.
    pub(crate) fn source(self, py: Python<'_>, name: &str) -> Result<Source> {
        match self {
            Self::Parquet(paths) => Ok(Source::Parquet(paths)),
            table => Ok(Source::Batches(table.batches(py, name)?)),
        }
    }

    /// The table's rows in memory, at least one batch, so that there is a schema even where there is no row.
    ///
    /// Refuses with `SOURCE_UNREADABLE` a producer that fails, and files, with `SHAPE_MISMATCH` columns of
    /// different lengths.
    pub(crate) fn batches(self, py: Python<'_>, name: &str) -> Result<Vec<RecordBatch>> {
        let unreadable = |found: &str| {
            Failure::at(Code::SourceUnreadable, name, "a table that can be read to its end", found)
        };
        match self {
            Self::Stream(stream) => {
                let reader = opened(&stream, name)?.into_reader()?;
                // A producer may be a query that runs now, and may ask for the interpreter itself.
                let read = py.detach(|| {
                    let schema = reader.schema();
                    let batches = reader.collect::<std::result::Result<Vec<_>, _>>().ok()?;
                    Some(if batches.is_empty() { vec![RecordBatch::new_empty(schema)] } else { batches })
                });
                Ok(read.ok_or_else(|| unreadable("an error of its producer"))?)
            }
            Self::Columns(columns) => Ok(vec![batch(columns, name)?]),
            Self::Parquet(_) => Err(unreadable("paths of files").into()),
        }
    }
}

/// The record batches of an Arrow producer. Refuses with `PARAMETER_INVALID` one that gives none: it is one column, or
/// fails.
fn opened(producer: &Bound<'_, PyAny>, name: &str) -> Result<AnyRecordBatch> {
    match producer.extract() {
        Ok(stream) => Ok(stream),
        // An interrupt stays what it is.
        Err(error) if !error.is_instance_of::<PyException>(producer.py()) => Err(error.into()),
        Err(_) => {
            let kind = producer.get_type().name()?.to_string();
            Err(Failure::at(Code::ParameterInvalid, name, "a table of named columns", kind).into())
        }
    }
}

fn batch(columns: Vec<PyColumn<'_>>, table: &str) -> Result<RecordBatch> {
    let mut arrays: Vec<(String, ArrayRef, bool)> = Vec::with_capacity(columns.len());
    for PyColumn(name, kind, values, missing) in columns {
        let array = array(kind, &values, missing.as_ref())?;
        let rows = arrays.first().map_or(array.len(), |(_, first, _)| first.len());
        if array.len() != rows {
            let found = format!("{}", array.len());
            let failure =
                Failure::at(Code::ShapeMismatch, format!("{table}/{name}"), format!("{rows} values"), found);
            return Err(failure.into());
        }
        arrays.push((name, array, true));
    }
    RecordBatch::try_from_iter_with_nullable(arrays)
        .map_err(|_| Failure::at(Code::ShapeMismatch, table, "at least one column", "none").into())
}

fn array(kind: Kind, values: &Bound<'_, PyAny>, missing: Option<&Vector<'_, bool>>) -> Result<ArrayRef> {
    let missing = missing.map(Vector::values);
    let missing = missing.as_deref();
    let integers = || -> PyResult<Vector<'_, i64>> { values.extract() };
    Ok(match kind {
        Kind::Integer => Arc::new(primitive::<Int64Type>(&integers()?.values(), missing)),
        Kind::Time => Arc::new(primitive::<TimestampNanosecondType>(&integers()?.values(), missing)),
        Kind::TimeUtc => {
            let times = primitive::<TimestampNanosecondType>(&integers()?.values(), missing);
            Arc::new(times.with_timezone("UTC"))
        }
        Kind::Number => {
            let numbers: Vector<'_, f64> = values.extract()?;
            Arc::new(primitive::<Float64Type>(&numbers.values(), missing))
        }
        Kind::Flag => {
            let flags: Vector<'_, bool> = values.extract()?;
            Arc::new(present(&flags.values(), missing).collect::<BooleanArray>())
        }
        Kind::Text => Arc::new(StringArray::from(values.extract::<Vec<Option<String>>>()?)),
    })
}

fn primitive<T: ArrowPrimitiveType>(values: &[T::Native], missing: Option<&[bool]>) -> PrimitiveArray<T> {
    match missing {
        None => PrimitiveArray::from_iter_values(values.iter().copied()),
        Some(_) => present(values, missing).collect(),
    }
}

/// The values, none where they are missing.
fn present<'a, T: Copy>(
    values: &'a [T],
    missing: Option<&'a [bool]>,
) -> impl Iterator<Item = Option<T>> + 'a {
    let is_missing = move |row: usize| missing.is_some_and(|missing| missing.get(row) == Some(&true));
    values.iter().enumerate().map(move |(row, value)| (!is_missing(row)).then_some(*value))
}
