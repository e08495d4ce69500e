//! Failures as the exceptions of `model_factory.errors`.

use contracts::{Code, Failure};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::PyDict,
};

/// What a call can end with, besides a result.
pub(crate) enum Error {
    /// A refusal of the core.
    Refused(Failure),
    /// An exception that Python itself raised, passed on as it is.
    Raised(PyErr),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<PyErr> for Error {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Raised(error) => error,
            Error::Refused(failure) => {
                Python::attach(|py| exception(py, &failure).map_or_else(|error| error, PyErr::from_value))
            }
        }
    }
}

/// `model_factory.errors.build`, looked up once.
static BUILD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn exception<'py>(py: Python<'py>, failure: &Failure) -> PyResult<Bound<'py, PyAny>> {
    let build = BUILD.import(py, "model_factory.errors", "build")?;
    let problems = failure.problems.iter().map(|problem| {
        let fields = PyDict::new(py);
        fields.set_item("pointer", &problem.pointer)?;
        fields.set_item("expected", &problem.expected)?;
        fields.set_item("found", &problem.found)?;
        Ok(fields)
    });
    let problems = problems.collect::<PyResult<Vec<_>>>()?;
    build.call1((
        failure.to_string(),
        failure.code.as_str(),
        failure.code.category().as_str(),
        failure.retryable(),
        &failure.detail,
        problems,
        failure.hint(),
    ))
}

/// Every stable code with its category, whether it is retryable, and its hint, in the order of the table.
#[pyfunction]
pub(crate) fn codes() -> Vec<(&'static str, &'static str, bool, &'static str)> {
    let row = |code: &Code| (code.as_str(), code.category().as_str(), code.retryable(), code.hint());
    Code::ALL.iter().map(row).collect()
}

/// A code by its stable text.
pub(crate) struct PyCode(Code);

impl<'a, 'py> FromPyObject<'a, 'py> for PyCode {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let text: &str = object.extract().map_err(|_| PyTypeError::new_err("expected a code's text"))?;
        let code = Code::ALL.iter().find(|code| code.as_str() == text);
        code.map(|code| Self(*code)).ok_or_else(|| PyValueError::new_err("expected a stable code"))
    }
}

/// The exception for something found wrong at one place by the Python package itself; `hint` stands in for the code's.
#[pyfunction]
#[pyo3(signature = (code, pointer, expected, found, *, hint = None))]
pub(crate) fn refusal<'py>(
    py: Python<'py>,
    code: PyCode,
    pointer: &str,
    expected: &str,
    found: &str,
    hint: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let failure = Failure::at(code.0, pointer, expected, found);
    exception(
        py,
        &match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        },
    )
}
