//! Rows in the order of their scores.
//!
//! Flows in: a [`Scored`] with both classes. Flows out: a [`Ranking`], sorted once, that answers whatever its
//! [`Curve`] does and knows the rows behind it.

use std::ops::Deref;

use contracts::Result;

use super::curve::Curve;
use super::order::Order;
use super::scored::Scored;
use super::sum::Sum;

/// Rows sorted by falling score, with the curve that they make.
#[derive(Debug, Clone)]
pub struct Ranking<'a> {
    scored: Scored<'a>,
    order: Order,
    curve: Curve,
}

impl<'a> Ranking<'a> {
    /// Sorts the rows once. Refuses with `DEGENERATE_LABELS` unless both classes have weight.
    pub fn new(scored: &Scored<'a>) -> Result<Self> {
        scored.both_classes()?;
        let order = Order::of(scored);
        let curve = if scored.is_weighted() { by_weight(scored, &order) } else { by_count(scored, &order) };
        Ok(Self { scored: *scored, order, curve })
    }

    /// What was ranked.
    pub const fn scored(&self) -> Scored<'a> {
        self.scored
    }

    /// Rows with weight, highest score first; of equal scores the earlier row.
    pub fn order(&self) -> &[u32] {
        &self.order.rows
    }

    /// For each distinct score, falling: one past the last place in [`Self::order`] that has it.
    pub fn ends(&self) -> &[u32] {
        &self.order.ends
    }

    /// The curve alone, which borrows nothing.
    pub fn into_curve(self) -> Curve {
        self.curve
    }
}

impl Deref for Ranking<'_> {
    type Target = Curve;

    fn deref(&self) -> &Curve {
        &self.curve
    }
}

/// The curve of rows that count once each.
fn by_count(scored: &Scored, order: &Order) -> Curve {
    let mut positives = 0;
    walk(scored, order, |rows, end| {
        positives += rows.iter().map(|&row| u32::from(scored.positive()[row as usize])).sum::<u32>();
        (f64::from(positives), f64::from(end - positives))
    })
}

/// The curve of rows that count by their weights.
fn by_weight(scored: &Scored, order: &Order) -> Curve {
    let (mut positives, mut negatives) = (Sum::default(), Sum::default());
    walk(scored, order, |rows, _| {
        for row in rows.iter().map(|&row| row as usize) {
            let sum = if scored.positive()[row] { &mut positives } else { &mut negatives };
            sum.add(scored.weight(row));
        }
        (positives.value(), negatives.value())
    })
}

/// A point for each distinct score: what `so_far` makes of its rows and of the place where they end.
fn walk(scored: &Scored, order: &Order, mut so_far: impl FnMut(&[u32], u32) -> (f64, f64)) -> Curve {
    let points = order.ends.len();
    let [mut thresholds, mut true_positives, mut false_positives] =
        [(); 3].map(|()| Vec::with_capacity(points));
    let mut start = 0;
    for &end in &order.ends {
        let rows = &order.rows[start as usize..end as usize];
        let (positives, negatives) = so_far(rows, end);
        // The sum turns -0.0 into 0.0.
        thresholds.push(scored.scores()[rows[0] as usize] + 0.0);
        true_positives.push(positives);
        false_positives.push(negatives);
        start = end;
    }
    Curve { thresholds, true_positives, false_positives }
}

#[cfg(test)]
mod tests;
