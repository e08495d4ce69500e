//! Learners and models.

use contracts::{Code, Failure, model_config::ModelConfig};
use kernels::{Frame, Learner, Model, Rng, boosting::BoostingModel};
use ndarray::{Array2, arr2};
use numpy::{IntoPyArray, PyArray1, PyArray2, ToPyArray};
use pyo3::{exceptions::PyTypeError, prelude::*};

use crate::{
    array::{Matrix, Rows, Vector, with_view},
    failure::{Error, Result},
    progress::watch,
    threads::{Threads, alone_or_on, on},
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

    /// Probability of the negative and of the positive class for each row.
    #[pyo3(signature = (features, *, threads = None))]
    fn predict_proba<'py>(&self, py: Python<'py>, features: Rows<'py>, threads: Threads) -> Matrices<'py> {
        let positive = with_view!(features, |view| alone_or_on(py, threads, view.nrows(), || {
            self.0.predict_proba(view)
        }))?;
        Ok(both_classes(py, &positive.to_vec()))
    }

    /// Log-odds of the positive class for each row of a boosted model.
    #[pyo3(signature = (features, *, threads = None))]
    fn log_odds<'py>(
        &self,
        py: Python<'py>,
        features: Rows<'py>,
        threads: Threads,
    ) -> Result<Bound<'py, PyArray1<f64>>> {
        let model = boosted(&self.0)?;
        let scores =
            with_view!(features, |view| alone_or_on(py, threads, view.nrows(), || { model.log_odds(view) }))?;
        Ok(scores.into_pyarray(py))
    }

    /// Position in each tree of the leaf that each row falls into.
    #[pyo3(signature = (features, *, threads = None))]
    fn leaves<'py>(&self, py: Python<'py>, features: Rows<'py>, threads: Threads) -> Matrices<'py, u32> {
        let leaves =
            with_view!(features, |view| alone_or_on(py, threads, view.nrows(), || { self.0.leaves(view) }))?;
        Ok(leaves.into_pyarray(py))
    }

    /// Shapley value of each feature for each row.
    #[pyo3(signature = (features, *, threads = None))]
    fn shap_values<'py>(&self, py: Python<'py>, features: Rows<'py>, threads: Threads) -> Matrices<'py> {
        let values = with_view!(features, |view| py.detach(|| on(threads, || self.0.shap_values(view))))?;
        Ok(values.into_pyarray(py))
    }

    /// The mean score of the training data, to which each row's Shapley values are added.
    #[getter]
    fn expected_value(&self) -> Result<f64> {
        Ok(self.0.expected_value()?)
    }

    /// Probabilities after the first tree of a boosted model, after the second, and so on.
    #[pyo3(signature = (features, *, threads = None))]
    fn stages(
        model: Bound<'_, Self>,
        features: Bound<'_, PyArray2<f64>>,
        threads: Threads,
    ) -> Result<PyStages> {
        let rows = features.extract::<Matrix<'_>>()?.view().nrows();
        let scores = vec![boosted(&model.get().0)?.base(); rows];
        Ok(PyStages { model: model.unbind(), features: features.unbind(), threads, scores, trees: 0 })
    }
}

/// What scoring stage by stage has come to.
#[pyclass(module = "model_factory._native", name = "Stages")]
pub(crate) struct PyStages {
    model: Py<PyModel>,
    features: Py<PyArray2<f64>>,
    threads: Threads,
    /// Log-odds after so many trees.
    scores: Vec<f64>,
    trees: usize,
}

#[pymethods]
impl PyStages {
    const fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> Result<Option<Bound<'py, PyArray2<f64>>>> {
        let features: Matrix<'py> = self.features.bind(py).extract()?;
        let (view, scores, trees) = (features.view(), &mut self.scores, self.trees);
        let model = boosted(&self.model.get().0)?;
        let found = alone_or_on(py, self.threads, view.nrows(), || model.add_stage(view, trees, scores))?;
        self.trees += 1;
        Ok(found.map(|positive| both_classes(py, &positive)))
    }
}

type Matrices<'py, T = f64> = Result<Bound<'py, PyArray2<T>>>;

fn boosted(model: &Model) -> contracts::Result<&BoostingModel> {
    match model {
        Model::Boosting(model) => Ok(model),
        _ => Err(Failure::at(Code::ParameterInvalid, "model", "a boosted one", "another family")),
    }
}

fn both_classes<'py>(py: Python<'py>, positive: &[f64]) -> Bound<'py, PyArray2<f64>> {
    if let &[positive] = positive {
        return arr2(&[[1.0 - positive, positive]]).to_pyarray(py);
    }
    let both: Vec<[f64; 2]> = positive.iter().map(|&positive| [1.0 - positive, positive]).collect();
    Array2::from(both).into_pyarray(py)
}

/// Fits a model; `validation` serves early stopping alone, and `start` is a boosted model to carry on with.
#[pyfunction]
#[pyo3(signature = (config, seed, train, *, validation = None, start = None, threads = None, progress = None))]
#[allow(clippy::too_many_arguments, reason = "the Python package gives them names")]
pub(crate) fn fit(
    py: Python<'_>,
    config: PyModelConfig,
    seed: u64,
    train: PyFrame<'_>,
    validation: Option<PyFrame<'_>>,
    start: Option<Py<PyModel>>,
    threads: Threads,
    progress: Option<Py<PyAny>>,
) -> Result<PyModel> {
    let learner = Learner { config: config.0, columns: Vec::new(), rng: Rng::from_u64(seed) };
    let train = Parts::of(&train);
    let validation = validation.as_ref().map(Parts::of);
    let model = watch(py, threads, progress, |progress| {
        let validation = validation.as_ref().map(Parts::frame).transpose()?;
        let (train, validation) = (train.frame()?, validation.as_ref());
        match &start {
            None => learner.fit(&train, validation, progress),
            Some(start) => learner.carry_on(&start.get().0, &train, validation, progress),
        }
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
