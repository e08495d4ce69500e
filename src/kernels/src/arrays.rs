//! Models as named one-dimensional arrays: what stands in the model artifact.

use std::collections::BTreeMap;

use contracts::{Code, Failure, Result};

/// One array of a model artifact.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 32-bit unsigned integers.
    U32(Vec<u32>),
    /// Bytes; flags are 0 or 1.
    U8(Vec<u8>),
}

/// All arrays of a model, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arrays(pub BTreeMap<String, Array>);

impl Arrays {
    /// Takes the named array of floats, all of which must be finite.
    pub fn take_f64(&mut self, name: &str) -> Result<Vec<f64>> {
        match self.0.remove(name) {
            Some(Array::F64(values)) if values.iter().all(|value| value.is_finite()) => Ok(values),
            other => Err(unexpected(name, "an array of finite f64", other.as_ref())),
        }
    }

    /// Takes the named array of integers.
    pub fn take_u32(&mut self, name: &str) -> Result<Vec<u32>> {
        match self.0.remove(name) {
            Some(Array::U32(values)) => Ok(values),
            other => Err(unexpected(name, "an array of u32", other.as_ref())),
        }
    }

    /// Takes the named array of bytes.
    pub fn take_u8(&mut self, name: &str) -> Result<Vec<u8>> {
        match self.0.remove(name) {
            Some(Array::U8(values)) => Ok(values),
            other => Err(unexpected(name, "an array of u8", other.as_ref())),
        }
    }

    /// Refuses arrays that nobody took.
    pub fn finish(self) -> Result<()> {
        match self.0.first_key_value() {
            None => Ok(()),
            Some((name, array)) => Err(unexpected(name, "no such array", Some(array))),
        }
    }
}

fn unexpected(name: &str, expected: &str, found: Option<&Array>) -> Failure {
    let found = match found {
        None => "nothing".to_owned(),
        Some(Array::F64(values)) => format!("{} values of f64", values.len()),
        Some(Array::U32(values)) => format!("{} values of u32", values.len()),
        Some(Array::U8(values)) => format!("{} values of u8", values.len()),
    };
    Failure::at(Code::ModelInvalid, name, expected, found)
}
