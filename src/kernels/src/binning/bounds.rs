//! Where bins begin and end.
//!
//! Flows in: the values of a column in rising order, as [`Stretch`]es. Flows out: the smallest and the largest value of each
//! bin. Invariant: the same as if all values were sorted, of which only those of stretches that a bin ends in are.

use super::key::value;

/// Neighbouring values of a column.
#[derive(Debug)]
pub(super) enum Stretch<'k> {
    /// One value, and the number of its rows.
    Value(f64, usize),
    /// Values as the keys of their rows, of which there is one at least, in any order.
    Keys(&'k mut [u64]),
}

impl Stretch<'_> {
    /// Number of rows.
    fn rows(&self) -> usize {
        match self {
            Self::Value(_, rows) => *rows,
            Self::Keys(keys) => keys.len(),
        }
    }

    fn lowest(&self) -> f64 {
        match self {
            Self::Value(value, _) => *value,
            Self::Keys(keys) => value(keys.iter().fold(u64::MAX, |lowest, &key| lowest.min(key))),
        }
    }

    fn highest(&self) -> f64 {
        match self {
            Self::Value(value, _) => *value,
            Self::Keys(keys) => value(keys.iter().fold(0, |highest, &key| highest.max(key))),
        }
    }

    /// Its values, rising, each with the number of its rows.
    fn values(&mut self) -> Vec<(f64, usize)> {
        match self {
            Self::Value(value, rows) => vec![(*value, *rows)],
            Self::Keys(keys) => {
                if keys.iter().fold(0, |unlike, &key| unlike | (key ^ keys[0])) == 0 {
                    return vec![(value(keys[0]), keys.len())];
                }
                keys.sort_unstable();
                keys.chunk_by(|a, b| a == b).map(|alike| (value(alike[0]), alike.len())).collect()
            }
        }
    }

    /// Each of its values as a stretch, falling: as a stack takes them of which the lowest comes first.
    fn falling(mut self) -> impl Iterator<Item = Self> {
        self.values().into_iter().rev().map(|(value, rows)| Self::Value(value, rows))
    }
}

/// The smallest and the largest value of each bin, at most `most` of them; equal values are never parted.
pub(super) fn bounds_of_bins(mut stretches: Vec<Stretch<'_>>, most: usize) -> Vec<[f64; 2]> {
    if stretches.len() <= most {
        let distinct: Vec<f64> =
            stretches.iter_mut().flat_map(Stretch::values).map(|(value, _)| value).collect();
        if distinct.len() <= most {
            return distinct.into_iter().map(|value| [value; 2]).collect();
        }
    }
    let Some(last) = stretches.last().map(Stretch::highest) else { return Vec::new() };
    let rows = stretches.iter().fold(0, |rows, stretch| rows + stretch.rows());
    let is_heavy = |count: usize| count * most >= rows;
    // Bins and rows left for values that are not heavy: their ratio is the size to reach.
    let (mut bins, mut left) = (most, rows);
    for stretch in stretches.iter_mut().filter(|stretch| is_heavy(stretch.rows())) {
        let values = stretch.values();
        for &(_, count) in values.iter().filter(|&&(_, count)| is_heavy(count)) {
            bins = bins.saturating_sub(1);
            left -= count;
        }
        if let [(value, rows)] = values[..] {
            *stretch = Stretch::Value(value, rows);
        }
    }
    // The next one is on top. A stretch in which a value may be heavy is taken apart before it is looked at.
    stretches.reverse();
    let take_apart = |stretches: &mut Vec<Stretch<'_>>| {
        if let Some(stretch) = stretches.pop_if(|next| is_heavy(next.rows())) {
            stretches.extend(stretch.falling());
        }
    };
    let mut bounds = Vec::with_capacity(most.min(rows));
    let (mut lowest, mut size) = (None, 0);
    take_apart(&mut stretches);
    while let Some(stretch) = stretches.pop() {
        take_apart(&mut stretches);
        let count = stretch.rows();
        let heavy = is_heavy(count);
        let with_it = size + count;
        let left_after = if heavy { left } else { left - count };
        let full = with_it * bins >= left_after + with_it;
        if full && matches!(stretch, Stretch::Keys(_)) {
            stretches.extend(stretch.falling());
            continue;
        }
        let low = *lowest.get_or_insert_with(|| stretch.lowest());
        if bounds.len() + 1 == most {
            break;
        }
        let Some(next) = stretches.last() else { break };
        (size, left) = (with_it, left_after);
        let half_full = 2 * size * bins >= left + size;
        if heavy || full || is_heavy(next.rows()) && half_full {
            bounds.push([low, stretch.highest()]);
            lowest = None;
            size = 0;
            if !heavy {
                bins = bins.saturating_sub(1);
            }
        }
    }
    bounds.push([lowest.unwrap_or(last), last]);
    bounds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::key::key, *};

    proptest! {
        /// However neighbours are put together, of few rows or of most.
        #[test]
        fn stretches_of_many_values_are_bounded_as_their_values(
            counts in prop::collection::vec(prop_oneof![8 => 1..4_usize, 1 => 1..300_usize], 1..200),
            ends in prop::collection::btree_set(1..200_usize, 0..60),
            most in prop_oneof![1..30_usize, Just(300)],
        ) {
            let values: Vec<(f64, usize)> =
                counts.iter().enumerate().map(|(at, &count)| (at as f64 * 0.3 - 9.0, count)).collect();
            let mut parts: Vec<Vec<u64>> = vec![Vec::new()];
            for (at, &(value, count)) in values.iter().enumerate() {
                if ends.contains(&at) {
                    parts.push(Vec::new());
                }
                // In falling order, which nobody may rely on either.
                let part = parts.len() - 1;
                parts[part].splice(..0, vec![key(value); count]);
            }
            let together = parts.iter_mut().map(|part| Stretch::Keys(part)).collect();
            let alone = values.iter().map(|&(value, count)| Stretch::Value(value, count)).collect();
            prop_assert_eq!(bounds_of_bins(together, most), bounds_of_bins(alone, most));
        }
    }
}
