//! numpy arrays as views: nothing is copied that lies in order.

use std::borrow::Cow;

use ndarray::ArrayView2;
use numpy::{Element, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::{exceptions::PyTypeError, prelude::*};

/// Rows x columns of 64-bit floats, seen where they lie whatever their strides.
pub(crate) struct Matrix<'py>(PyReadonlyArray2<'py, f64>);

impl Matrix<'_> {
    pub(crate) fn view(&self) -> ArrayView2<'_, f64> {
        self.0.as_array()
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Matrix<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let array: PyReadonlyArray2<'py, f64> = object
            .extract()
            .map_err(|_| PyTypeError::new_err("expected a two-dimensional numpy array of native float64"))?;
        aligned(array.is_aligned())?;
        Ok(Self(array))
    }
}

/// Rows x columns of 64-bit or 32-bit floats, seen where they lie whatever their strides.
pub(crate) enum Rows<'py> {
    F64(Matrix<'py>),
    F32(PyReadonlyArray2<'py, f32>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Rows<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = object.extract::<PyReadonlyArray2<'py, f32>>() {
            aligned(array.is_aligned())?;
            return Ok(Self::F32(array));
        }
        object.extract().map(Self::F64)
    }
}

/// Does with the view of [`Rows`] whatever is done for either width of numbers.
macro_rules! with_view {
    ($rows:expr, |$view:ident| $body:expr) => {
        match $rows {
            $crate::array::Rows::F64(rows) => {
                let $view = rows.view();
                $body
            }
            $crate::array::Rows::F32(rows) => {
                let $view = rows.as_array();
                $body
            }
        }
    };
}

pub(crate) use with_view;

/// One value a row.
pub(crate) struct Vector<'py, T: Element>(PyReadonlyArray1<'py, T>);

impl<T: Element + Copy> Vector<'_, T> {
    /// The values in order; copied only where they do not lie side by side.
    pub(crate) fn values(&self) -> Cow<'_, [T]> {
        match self.0.as_slice() {
            Ok(values) => Cow::Borrowed(values),
            Err(_) => Cow::Owned(self.0.as_array().iter().copied().collect()),
        }
    }
}

impl<'a, 'py, T: Element> FromPyObject<'a, 'py> for Vector<'py, T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let array: PyReadonlyArray1<'py, T> = object.extract().map_err(|_| {
            let name = std::any::type_name::<T>();
            PyTypeError::new_err(format!("expected a one-dimensional numpy array of native {name}"))
        })?;
        aligned(array.is_aligned())?;
        Ok(Self(array))
    }
}

/// Reading what is not aligned would be undefined.
fn aligned(aligned: bool) -> PyResult<()> {
    if aligned { Ok(()) } else { Err(PyTypeError::new_err("expected an aligned numpy array")) }
}

/// Looks numpy's functions up. Where the core works before the first array is made, an interrupt that came meanwhile
/// would else be raised within that look, which nothing survives.
#[pyfunction]
pub(crate) fn look_numpy_up(py: Python<'_>) {
    drop(numpy::PyArray1::<f64>::zeros(py, 0, false).readonly());
}
