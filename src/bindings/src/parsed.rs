//! Texts that become checked names at the door.

use std::str::FromStr;

use contracts::Failure;
use pyo3::{exceptions::PyTypeError, prelude::*};

use crate::failure::Error;

/// A name, an id, a key or a scope, from its text; refused with its own code.
pub(crate) struct Parsed<T>(pub(crate) T);

impl<'a, 'py, T: FromStr<Err = Failure>> FromPyObject<'a, 'py> for Parsed<T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let text: &str = object.extract().map_err(|_| PyTypeError::new_err("expected a text"))?;
        Ok(Self(text.parse().map_err(Error::Refused)?))
    }
}
