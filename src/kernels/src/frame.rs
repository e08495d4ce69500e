//! The checked view that every learner and metric works on.
//!
//! Flows in: a feature matrix, labels, weights. Flows out: a [`Frame`] whose parts have one length, hold no
//! infinity and, where a column is categorical, nothing but categories, and show both classes. Rows stand in the
//! caller's canonical order (by event id).

use contracts::{Code, Failure, Result};
use ndarray::{ArrayView1, ArrayView2};

use crate::ensemble::Value;

/// A column whose values are names and no amounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Categorical {
    /// Its position among the features.
    pub column: usize,
    /// What refusals call it.
    pub name: String,
}

/// Rows by features, with the positive class named and a weight for each row.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    features: ArrayView2<'a, f64>,
    positive: &'a [bool],
    weights: Option<&'a [f64]>,
    categorical: &'a [Categorical],
}

impl<'a> Frame<'a> {
    /// Checks and joins the parts. `features` is rows x columns, NaN meaning missing.
    ///
    /// Refuses with `DATASET_EMPTY`, `SHAPE_MISMATCH`, `NON_FINITE_INPUT` (an infinity, or a weight that is
    /// not finite and positive or zero) and `DEGENERATE_LABELS` (a class without weight).
    pub fn new(
        features: ArrayView2<'a, f64>,
        positive: &'a [bool],
        weights: Option<&'a [f64]>,
    ) -> Result<Self> {
        let rows = features.nrows();
        if rows == 0 || features.ncols() == 0 {
            return Err(Failure::at(
                Code::DatasetEmpty,
                "features",
                "at least one row and one column",
                format!("{rows} rows x {} columns", features.ncols()),
            ));
        }
        if rows > u32::MAX as usize {
            return Err(Failure::at(
                Code::ResourceExhausted,
                "features",
                "fewer than 2^32 rows",
                format!("{rows} rows"),
            ));
        }
        for (name, length) in [("labels", Some(positive.len())), ("weights", weights.map(<[f64]>::len))] {
            if let Some(length) = length.filter(|&length| length != rows) {
                return Err(Failure::at(
                    Code::ShapeMismatch,
                    name,
                    format!("{rows} values, one a row"),
                    format!("{length} values"),
                ));
            }
        }
        if features.iter().any(|value| value.is_infinite()) {
            return Err(Failure::at(
                Code::NonFiniteInput,
                "features",
                "finite numbers, or NaN for missing",
                "an infinity",
            ));
        }
        if weights.is_some_and(|weights| weights.iter().any(|weight| !weight.is_finite() || *weight < 0.0)) {
            return Err(Failure::at(
                Code::NonFiniteInput,
                "weights",
                "finite numbers of zero or more",
                "another number",
            ));
        }
        let frame = Self { features, positive, weights, categorical: &[] };
        for class in [true, false] {
            if !(0..rows).any(|row| positive[row] == class && frame.weight(row) > 0.0) {
                let name = if class { "positive" } else { "negative" };
                return Err(Failure::at(
                    Code::DegenerateLabels,
                    "labels",
                    "both classes",
                    format!("no {name} among {rows} rows"),
                ));
            }
        }
        Ok(frame)
    }

    /// The same rows with some columns categorical: those hold whole numbers from 0, and NaN where the category is
    /// missing.
    ///
    /// Refuses with `PARAMETER_INVALID` a column that is not there or named twice, and with `CATEGORY_INVALID` any
    /// other value.
    pub fn with_categorical<'b>(&self, categorical: &'b [Categorical]) -> Result<Frame<'b>>
    where
        'a: 'b,
    {
        for (index, Categorical { column, name }) in categorical.iter().enumerate() {
            let repeated = categorical[..index].iter().any(|other| other.column == *column);
            if *column >= self.columns() || repeated {
                return Err(Failure::at(
                    Code::ParameterInvalid,
                    format!("categorical_features/{index}"),
                    format!("each a different one of {} columns", self.columns()),
                    if repeated { "a repetition" } else { "another column" },
                ));
            }
            require_categories(self.features.column(*column), name)?;
        }
        let features = self.features.reborrow();
        Ok(Frame { features, positive: self.positive, weights: self.weights, categorical })
    }

    /// The columns whose values are names and no amounts.
    pub const fn categorical(&self) -> &'a [Categorical] {
        self.categorical
    }

    /// The features, rows x columns.
    pub const fn features(&self) -> ArrayView2<'a, f64> {
        self.features
    }

    /// Whether each row is of the positive class.
    pub const fn positive(&self) -> &'a [bool] {
        self.positive
    }

    /// The weights, where rows do not all count alike.
    pub const fn weights(&self) -> Option<&'a [f64]> {
        self.weights
    }

    /// The weight of one row.
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.positive.len()
    }

    /// Number of features.
    pub fn columns(&self) -> usize {
        self.features.ncols()
    }

    /// Refuses missing values with `NON_FINITE_INPUT`, naming the column, for families that cannot use them.
    pub fn without_missing(&self) -> Result<()> {
        // In the order of memory, and without leaving early: most frames have none.
        if !self.features.fold(false, |found, value| found | value.is_nan()) {
            return Ok(());
        }
        for (column, values) in self.features.columns().into_iter().enumerate() {
            let missing = values.iter().filter(|value| value.is_nan()).count();
            if missing > 0 {
                let found = format!("{missing} missing values");
                return Err(not_finite(column, &found).with_hint(FILL_MISSING));
            }
        }
        Ok(())
    }
}

/// Refuses with `CATEGORY_INVALID`, naming the column, any value that is neither missing nor a whole number from 0.
pub fn require_categories<T: Value>(values: ArrayView1<'_, T>, name: &str) -> Result<()> {
    let is_other = |&value: &T| {
        let value: f64 = value.into();
        !(value.is_nan() || value >= 0.0 && value.fract() == 0.0)
    };
    match values.iter().filter(|value| is_other(value)).count() {
        0 => Ok(()),
        count => Err(Failure::at(
            Code::CategoryInvalid,
            format!("features/{name}"),
            "whole numbers from 0, or missing values",
            format!("{count} other values"),
        )),
    }
}

/// Whether every value is finite.
pub fn is_finite<T: Value>(features: ArrayView2<'_, T>) -> bool {
    let finite = |value: &T| -> bool {
        let value: f64 = (*value).into();
        value.is_finite()
    };
    match features.as_slice_memory_order() {
        // Without stopping early inside a run, which lets the compiler test several values at once.
        Some(values) => {
            values.chunks(1_024).all(|run| run.iter().fold(true, |all, value| all & finite(value)))
        }
        None => features.iter().all(finite),
    }
}

/// Refuses the first row's missing or infinite value with `NON_FINITE_INPUT`, naming its column, for families
/// that cannot use them.
pub fn without_missing_or_infinite<T: Value>(features: ArrayView2<'_, T>) -> Result<()> {
    if is_finite(features) {
        return Ok(());
    }
    let mut values = features.indexed_iter().map(|((_, column), &value)| (column, value.into()));
    let Some((column, value)) = values.find(|(_, value): &(usize, f64)| !value.is_finite()) else {
        return Ok(());
    };
    Err(if value.is_nan() {
        not_finite(column, "a missing value").with_hint(FILL_MISSING)
    } else {
        not_finite(column, "an infinity")
    })
}

/// The refusal of a value in a column.
pub(crate) fn not_finite(column: usize, found: &str) -> Failure {
    Failure::at(Code::NonFiniteInput, format!("features/{column}"), "finite numbers", found)
}

/// What to do about a missing value, for families that cannot use one.
pub(crate) const FILL_MISSING: &str =
    "This family takes no missing values; fill them, or use gradient_boosting.";
