//! The best split of one node by one feature.
//!
//! Flows in: the samples of a node and the codes of a feature. Flows out: the split after which the two sides are
//! least impure. Invariant: sides are compared by exact integer sums, rounded once each.

use super::Sample;

/// Empty bins that are worth passing over, for each sample, to avoid sorting.
const BINS_A_SAMPLE: usize = 6;

/// What stands on one side of a split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Side {
    /// Rows, each counted once whatever its weight.
    pub(super) rows: usize,
    /// Units of the negative and of the positive class.
    pub(super) units: [u64; 2],
}

impl Side {
    /// All of these samples.
    pub(super) fn of(samples: &[Sample]) -> Self {
        let mut side = Self::default();
        for sample in samples {
            side.add(sample);
        }
        side
    }

    #[inline]
    fn add(&mut self, sample: &Sample) {
        self.rows += 1;
        self.units[usize::from(sample.positive)] += sample.units;
    }

    #[inline]
    fn join(&mut self, other: &Self) {
        self.rows += other.rows;
        self.units[0] += other.units[0];
        self.units[1] += other.units[1];
    }

    /// What is left without `part`.
    #[inline]
    pub(super) fn without(&self, part: &Self) -> Self {
        Self {
            rows: self.rows - part.rows,
            units: [self.units[0] - part.units[0], self.units[1] - part.units[1]],
        }
    }

    /// Whether one class stands alone.
    pub(super) fn is_pure(&self) -> bool {
        self.units.contains(&0)
    }

    /// Units in all.
    pub(super) fn total(&self) -> u64 {
        self.units[0] + self.units[1]
    }

    /// Weighted share of the positive class.
    pub(super) fn share(&self) -> f64 {
        self.units[1] as f64 / self.total() as f64
    }

    /// Half the Gini impurity, times the weight.
    #[inline]
    fn impurity(&self) -> f64 {
        let [negative, positive] = self.units.map(|units| units as f64);
        negative * positive / (negative + positive)
    }
}

/// A split between two codes of a feature that both occur in the node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    /// Weighted impurity of both sides: less is better.
    pub(super) impurity: f64,
    /// Largest code that goes left.
    pub(super) left_code: u16,
    /// Smallest code that goes right.
    pub(super) right_code: u16,
    /// What goes left.
    pub(super) left: Side,
}

/// Buffers that one grower uses again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    codes: Vec<u16>,
    sides: Vec<Side>,
    keys: Vec<u64>,
}

/// The least impure split of `samples` with at least `rows_in_leaf` rows on each side, the lowest of equals;
/// `None` where there is none.
pub(super) fn best(
    samples: &[Sample],
    node: &Side,
    codes: &[u16],
    rows_in_leaf: usize,
    scratch: &mut Scratch,
) -> Option<Split> {
    scratch.codes.clear();
    scratch.codes.extend(samples.iter().map(|sample| codes[sample.row as usize]));
    let lowest = scratch.codes.iter().copied().min()?;
    let highest = scratch.codes.iter().copied().max()?;
    let mut search = Search { node, rows_in_leaf, left: Side::default(), last: None, best: None };
    let range = usize::from(highest - lowest) + 1;
    if range == 1 {
        return None;
    }
    if range <= BINS_A_SAMPLE * samples.len() {
        by_counting(samples, lowest, range, scratch, &mut search);
    } else {
        by_sorting(samples, scratch, &mut search);
    }
    search.best
}

fn by_counting(
    samples: &[Sample],
    lowest: u16,
    range: usize,
    scratch: &mut Scratch,
    search: &mut Search<'_>,
) {
    scratch.sides.clear();
    scratch.sides.resize(range, Side::default());
    for (sample, code) in samples.iter().zip(&scratch.codes) {
        scratch.sides[usize::from(code - lowest)].add(sample);
    }
    for (side, code) in scratch.sides.iter().zip(lowest..=u16::MAX) {
        if side.rows > 0 {
            search.visit(code, side);
        }
    }
}

fn by_sorting(samples: &[Sample], scratch: &mut Scratch, search: &mut Search<'_>) {
    scratch.keys.clear();
    let keys = scratch.codes.iter().zip(0_u64..).map(|(&code, position)| u64::from(code) << 32 | position);
    scratch.keys.extend(keys);
    scratch.keys.sort_unstable();
    for run in scratch.keys.chunk_by(|a, b| a >> 32 == b >> 32) {
        let mut side = Side::default();
        for &key in run {
            side.add(&samples[key as u32 as usize]);
        }
        search.visit((run[0] >> 32) as u16, &side);
    }
}

/// A walk over the codes of a node in rising order.
struct Search<'a> {
    node: &'a Side,
    rows_in_leaf: usize,
    left: Side,
    last: Option<u16>,
    best: Option<Split>,
}

impl Search<'_> {
    /// Judges the split before `code`, whose samples are `side`, and walks on.
    #[inline]
    fn visit(&mut self, code: u16, side: &Side) {
        if let Some(last) = self.last {
            let right = self.node.without(&self.left);
            if self.left.rows >= self.rows_in_leaf && right.rows >= self.rows_in_leaf {
                let impurity = self.left.impurity() + right.impurity();
                if self.best.is_none_or(|best| impurity < best.impurity) {
                    self.best = Some(Split { impurity, left_code: last, right_code: code, left: self.left });
                }
            }
        }
        self.left.join(side);
        self.last = Some(code);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counting_and_sorting_find_the_same_split(
            rows in prop::collection::vec((0..200_u16, any::<bool>(), 1..9_u64), 2..60),
            rows_in_leaf in 1..5_usize,
        ) {
            let samples: Vec<Sample> = rows
                .iter()
                .zip(0..)
                .map(|(&(_, positive, units), row)| Sample { row, positive, units })
                .collect();
            let codes: Vec<u16> = rows.iter().map(|row| row.0).collect();
            let node = Side::of(&samples);
            let search = || Search { node: &node, rows_in_leaf, left: Side::default(), last: None, best: None };
            let mut scratch = Scratch { codes, ..Scratch::default() };
            let (mut counted, mut sorted) = (search(), search());
            by_counting(&samples, 0, 200, &mut scratch, &mut counted);
            by_sorting(&samples, &mut scratch, &mut sorted);
            prop_assert_eq!(counted.best, sorted.best);
            prop_assert_eq!(counted.left, node);
        }
    }
}
