//! Sums whose error does not grow with the number of terms.

/// A compensated sum (Neumaier, *Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen*,
/// 1974). Whole numbers below 2^53 add exactly.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    total: f64,
    lost: f64,
}

impl Sum {
    /// Adds one term.
    pub(super) fn add(&mut self, term: f64) {
        let total = self.total + term;
        self.lost += if self.total.abs() >= term.abs() {
            (self.total - total) + term
        } else {
            (term - total) + self.total
        };
        self.total = total;
    }

    /// The sum of the terms so far.
    pub(super) fn value(self) -> f64 {
        self.total + self.lost
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<T: IntoIterator<Item = f64>>(terms: T) -> Self {
        let mut sum = Self::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp)]
    fn keeps_what_a_plain_sum_loses() {
        let terms = [1e16, 1.0, -1e16, 1.0];
        assert_ne!(terms.iter().sum::<f64>(), 2.0);
        assert_eq!(terms.into_iter().collect::<Sum>().value(), 2.0);
    }
}
