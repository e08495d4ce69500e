//! Learners and models.

use contracts::model_config::ModelConfig;
use kernels::{Frame, Learner, Model, Rng};
use numpy::{IntoPyArray, PyArray1, ToPyArray};
use pyo3::{exceptions::PyTypeError, prelude::*};

use crate::{
    array::{Matrix, Vector},
    failure::{Error, Result},
    progress::watch,
    threads::{Threads, on},
};

/// A model family with its hyper-parameters, from JSON text through the core's own door.
pub(crate) struct PyModelConfig(ModelConfig);

impl<'a, 'py> FromPyObject<'a, 'py> for PyModelConfig {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let text: &str = object.extract().map_err(|_| PyTypeError::new_err("expected JSON text"))?;
        Ok(Self(ModelConfig::read(text.as_bytes()).map_err(Error::Refused)?))
    }
}

/// Features, labels and, where rows do not all count alike, weights.
#[derive(FromPyObject)]
pub(crate) struct PyFrame<'py>(Matrix<'py>, Vector<'py, bool>, Option<Vector<'py, f64>>);

/// A fitted model.
#[pyclass(frozen, module = "model_factory._native", name = "Model")]
pub(crate) struct PyModel(Model);

#[pymethods]
impl PyModel {
    /// Number of features a row must have.
    #[getter]
    fn columns(&self) -> usize {
        self.0.columns()
    }

    /// Coefficients, intercept and Newton steps of a logistic regression; none of another family.
    #[getter]
    fn linear<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyArray1<f64>>, f64, u32)> {
        let Model::Logistic(model) = &self.0 else { return None };
        Some((model.coefficients().into_pyarray(py), model.intercept(), model.steps()))
    }

    /// Probability of the positive class for each row.
    #[pyo3(signature = (features, *, threads = None))]
    fn predict_proba<'py>(
        &self,
        py: Python<'py>,
        features: Matrix<'py>,
        threads: Threads,
    ) -> Result<Bound<'py, PyArray1<f64>>> {
        let view = features.view();
        let scores = py.detach(|| on(threads, || self.0.predict_proba(view)))?;
        Ok(scores.to_pyarray(py))
    }
}

/// Fits a model; `validation` serves early stopping alone.
#[pyfunction]
#[pyo3(signature = (config, seed, train, *, validation = None, threads = None, progress = None))]
pub(crate) fn fit(
    py: Python<'_>,
    config: PyModelConfig,
    seed: u64,
    train: PyFrame<'_>,
    validation: Option<PyFrame<'_>>,
    threads: Threads,
    progress: Option<Py<PyAny>>,
) -> Result<PyModel> {
    let learner = Learner { config: config.0, rng: Rng::from_u64(seed) };
    let train = Parts::of(&train);
    let validation = validation.as_ref().map(Parts::of);
    let model = watch(py, threads, progress, |progress| {
        let validation = validation.as_ref().map(Parts::frame).transpose()?;
        learner.fit(&train.frame()?, validation.as_ref(), progress)
    })?;
    Ok(PyModel(model))
}

/// What a [`Frame`] borrows from.
struct Parts<'a> {
    features: ndarray::ArrayView2<'a, f64>,
    positive: std::borrow::Cow<'a, [bool]>,
    weights: Option<std::borrow::Cow<'a, [f64]>>,
}

impl<'a> Parts<'a> {
    fn of(PyFrame(features, positive, weights): &'a PyFrame<'_>) -> Self {
        let weights = weights.as_ref().map(Vector::values);
        Self { features: features.view(), positive: positive.values(), weights }
    }

    fn frame(&self) -> contracts::Result<Frame<'_>> {
        Frame::new(self.features.reborrow(), &self.positive, self.weights.as_deref())
    }
}

/// The configuration with every default written out, as JSON text.
#[pyfunction]
pub(crate) fn model_config(config: PyModelConfig) -> Result<String> {
    let text = contracts::identity::canonical::to_bytes(&config.0)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
