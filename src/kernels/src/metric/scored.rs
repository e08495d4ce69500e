//! The door of the metrics: scores beside the labels that they should have foreseen.

use std::ops::RangeInclusive;

use contracts::{Code, Failure, Result};

use super::sum::Sum;

/// Products of two sums of weights over 2^32 rows neither overflow nor vanish within these bounds.
const WEIGHTS: RangeInclusive<f64> = 1e-100..=1e100;

/// Finite scores with the label of each row and, where rows do not all count alike, its weight.
///
/// A higher score means "more likely positive"; only [`super::Probabilities`] asks that it be one.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    scores: &'a [f64],
    positive: &'a [bool],
    weights: Option<&'a [f64]>,
    positive_weight: f64,
    negative_weight: f64,
}

impl<'a> Scored<'a> {
    /// Checks and joins the parts, one value a row each.
    ///
    /// Refuses with `SHAPE_MISMATCH`, `DATASET_EMPTY` (no row, or none with weight), `RESOURCE_EXHAUSTED`
    /// (2^32 rows or more) and `NON_FINITE_INPUT` (a score that is not finite, or a weight other than zero
    /// and 1e-100 to 1e100).
    pub fn new(scores: &'a [f64], positive: &'a [bool], weights: Option<&'a [f64]>) -> Result<Self> {
        let rows = scores.len();
        for (name, length) in [("labels", Some(positive.len())), ("weights", weights.map(<[f64]>::len))] {
            if let Some(length) = length {
                same_length(name, rows, length)?;
            }
        }
        below_row_limit("scores", rows)?;
        // Without leaving early, so that several are looked at together: most scores are all finite.
        if !scores.iter().fold(true, |finite, score| finite & score.is_finite()) {
            return Err(Failure::at(Code::NonFiniteInput, "scores", "finite numbers", "NaN or an infinity"));
        }
        if !weights.unwrap_or_default().iter().all(|weight| *weight == 0.0 || WEIGHTS.contains(weight)) {
            return Err(Failure::at(
                Code::NonFiniteInput,
                "weights",
                "zero, or numbers from 1e-100 to 1e100",
                "another number",
            ));
        }
        let [positive_weight, negative_weight] = match weights {
            None => {
                let count = positive.iter().filter(|&&positive| positive).count();
                [count as f64, (rows - count) as f64]
            }
            Some(weights) => [true, false].map(|class| {
                let rows = weights.iter().zip(positive).filter(|&(_, &positive)| positive == class);
                rows.map(|(weight, _)| *weight).collect::<Sum>().value()
            }),
        };
        if positive_weight + negative_weight == 0.0 {
            return Err(Failure::at(
                Code::DatasetEmpty,
                "scores",
                "at least one row with weight",
                format!("{rows} rows without"),
            ));
        }
        Ok(Self { scores, positive, weights, positive_weight, negative_weight })
    }

    /// Refuses with `DEGENERATE_LABELS` unless both classes have weight.
    pub fn both_classes(&self) -> Result<()> {
        for (name, weight) in [("positive", self.positive_weight), ("negative", self.negative_weight)] {
            if weight == 0.0 {
                return Err(Failure::at(
                    Code::DegenerateLabels,
                    "labels",
                    "both classes",
                    format!("no {name} among {} rows", self.rows()),
                ));
            }
        }
        Ok(())
    }

    /// Number of rows, those without weight included.
    pub fn rows(&self) -> usize {
        self.scores.len()
    }

    /// The scores, one a row.
    pub const fn scores(&self) -> &'a [f64] {
        self.scores
    }

    /// Whether each row is of the positive class.
    pub const fn positive(&self) -> &'a [bool] {
        self.positive
    }

    /// The weight of one row.
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Whether rows have weights of their own.
    pub const fn is_weighted(&self) -> bool {
        self.weights.is_some()
    }

    /// Summed weight of the positive rows.
    pub const fn positive_weight(&self) -> f64 {
        self.positive_weight
    }

    /// Summed weight of the negative rows.
    pub const fn negative_weight(&self) -> f64 {
        self.negative_weight
    }

    /// Weighted mean of `loss(score, positive)`.
    pub(super) fn mean(&self, loss: impl Fn(f64, bool) -> f64) -> f64 {
        let rows = 0..self.rows();
        let losses = rows.map(|row| self.weight(row) * loss(self.scores[row], self.positive[row]));
        losses.collect::<Sum>().value() / (self.positive_weight + self.negative_weight)
    }
}

/// Refuses with `SHAPE_MISMATCH` unless the named part has a value for each row.
pub(super) fn same_length(name: &str, rows: usize, length: usize) -> Result<()> {
    if length == rows {
        return Ok(());
    }
    Err(Failure::at(
        Code::ShapeMismatch,
        name,
        format!("{rows} values, one a row"),
        format!("{length} values"),
    ))
}

/// Refuses with `RESOURCE_EXHAUSTED` what 32-bit row numbers cannot count.
pub(super) fn below_row_limit(name: &str, rows: usize) -> Result<()> {
    if u32::try_from(rows).is_ok() {
        return Ok(());
    }
    Err(Failure::at(Code::ResourceExhausted, name, "fewer than 2^32 rows", format!("{rows} rows")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;

    fn code(scores: &[f64], positive: &[bool], weights: Option<&[f64]>) -> Code {
        Scored::new(scores, positive, weights).unwrap_err().code
    }

    #[test]
    fn the_door_refuses_what_no_metric_can_use() {
        assert_eq!(code(&[], &[], None), Code::DatasetEmpty);
        assert_eq!(code(&[0.1, 0.2], &[true, false], Some(&[0.0, 0.0])), Code::DatasetEmpty);
        assert_eq!(code(&[0.1, 0.2], &[true], None), Code::ShapeMismatch);
        assert_eq!(code(&[0.1], &[true], Some(&[1.0, 1.0])), Code::ShapeMismatch);
        assert_eq!(code(&[f64::NAN], &[true], None), Code::NonFiniteInput);
        assert_eq!(code(&[f64::INFINITY], &[true], None), Code::NonFiniteInput);
        for weight in [-1.0, f64::NAN, f64::INFINITY, 1e101, 1e-101] {
            assert_eq!(code(&[0.1], &[true], Some(&[weight])), Code::NonFiniteInput);
        }
    }

    #[test]
    fn a_class_without_weight_is_degenerate() {
        for positive in [[true, true], [false, false]] {
            let scored = Scored::new(&[0.1, 0.2], &positive, None).unwrap();
            assert_eq!(scored.both_classes().unwrap_err().code, Code::DegenerateLabels);
        }
        let scored = Scored::new(&[0.1, 0.2], &[true, false], Some(&[0.0, 1.0])).unwrap();
        assert_eq!(scored.both_classes().unwrap_err().code, Code::DegenerateLabels);
        assert!(Scored::new(&[0.1, 0.2], &[true, false], None).unwrap().both_classes().is_ok());
    }
}
