//! Documents by name: their schemas and their canonical bytes.

use contracts::{
    Code,
    catalogue::{self, Entry},
    identity::{self, canonical::MAX_BYTES, written},
};
use pyo3::{prelude::*, types::PyBytes};

use crate::{
    failure::{Error, Result},
    json::json,
};

/// A kind of document, from its name.
pub(crate) struct PyEntry(&'static Entry);

impl<'a, 'py> FromPyObject<'a, 'py> for PyEntry {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let name: &str = object.extract()?;
        Ok(Self(catalogue::find(name).map_err(Error::Refused)?))
    }
}

/// The names of all kinds of documents.
#[pyfunction]
pub(crate) fn documents() -> Vec<&'static str> {
    catalogue::ALL.iter().map(|entry| entry.name).collect()
}

/// Bytes of the largest document that is read.
#[pyfunction]
pub(crate) const fn largest_document() -> usize {
    MAX_BYTES
}

/// The JSON Schema of a document, as JSON text.
#[pyfunction]
pub(crate) fn schema(name: PyEntry) -> String {
    (name.0.schema)().to_string()
}

/// The canonical bytes of a document given as JSON.
#[pyfunction]
pub(crate) fn canonical<'py>(py: Python<'py>, name: PyEntry, json: &[u8]) -> Result<Bound<'py, PyBytes>> {
    let bytes = py.detach(|| (name.0.canonical)(json))?;
    Ok(PyBytes::new(py, &bytes))
}

/// A JSON or TOML text as JSON text, well-formed but unchecked; refused with the named kind's own code.
#[pyfunction]
#[pyo3(signature = (text, *, toml, name = None))]
pub(crate) fn as_json(py: Python<'_>, text: &[u8], toml: bool, name: Option<PyEntry>) -> Result<String> {
    let code = name.map_or(Code::DocumentInvalid, |name| name.0.invalid);
    let read = if toml { written::read_toml } else { identity::canonical::read };
    Ok(py.detach(|| json(&read(text).map_err(|failure| failure.with_code(code))?))?)
}
