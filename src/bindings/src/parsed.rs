//! Texts that become checked names at the door.

use std::str::FromStr;

use contracts::{Code, Failure};
use pyo3::prelude::*;

use crate::failure::Error;

/// A name, an id, a key, a scope or a reason, from its text; refused with its own code, but that an argument is no
/// document.
pub(crate) struct Parsed<T>(pub(crate) T);

impl<'a, 'py, T: FromStr<Err = Failure>> FromPyObject<'a, 'py> for Parsed<T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let text: &str = object.extract().map_err(|_| {
            let found = object.get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
            Error::Refused(Failure::at(Code::ParameterInvalid, "argument", "text", found))
        })?;
        Ok(Self(text.parse().map_err(|failure: Failure| {
            let of_argument = failure.code == Code::DocumentInvalid;
            Error::Refused(if of_argument { failure.with_code(Code::ParameterInvalid) } else { failure })
        })?))
    }
}
