//! What a team that can look at k entities a day would find, and which entities it knows already.
//!
//! Flows in: the day and the entity (card, account) of each row. Flows out: a precision for each day, or the
//! rows that are still worth judging. Both follow the *Reproducible Machine Learning for Credit Card Fraud
//! Detection* handbook (Le Borgne, Siblini, Lebichot, Bontempi, 2022), except that its ties fall as they may
//! while ours fall to the lower entity code.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use contracts::Result;

use super::scored::{Scored, below_row_limit, same_length};
use super::threshold::check_k;

/// The entity and the day of each row.
#[derive(Debug, Clone, Copy)]
pub struct EntityDays<'a> {
    entities: &'a [u64],
    days: &'a [i64],
}

impl<'a> EntityDays<'a> {
    /// Joins the parts, one value a row each; days are counted from any fixed one.
    ///
    /// Refuses with `SHAPE_MISMATCH`, and with `RESOURCE_EXHAUSTED` at 2^32 rows or more.
    pub fn new(entities: &'a [u64], days: &'a [i64]) -> Result<Self> {
        same_length("days", entities.len(), days.len())?;
        below_row_limit("entities", entities.len())?;
        Ok(Self { entities, days })
    }
}

/// One day of [`EntityPrecision`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayPrecision {
    /// The day.
    pub day: i64,
    /// Entities that stood in the ranking.
    pub entities: usize,
    /// Positive entities among the k highest.
    pub found: usize,
    /// `found / k`, however few entities there were.
    pub precision: f64,
}

/// Precision of the k highest entities, day by day.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityPrecision {
    /// The days that have rows, rising.
    pub days: Vec<DayPrecision>,
    /// Mean precision over these days.
    pub mean: f64,
}

/// Ranks each day's entities by their highest score and counts the positive ones among the `k` highest.
///
/// An entity found (positive and among the k highest) leaves the ranking of all later days. Of equal scores
/// the lower entity code goes first. Weights play no part. A day whose entities have all been found counts
/// with a precision of 0, as in the handbook.
///
/// Refuses with `SHAPE_MISMATCH`, and a `k` of zero with `PARAMETER_INVALID`.
pub fn entity_precision(scored: &Scored, rows: EntityDays, k: usize) -> Result<EntityPrecision> {
    same_length("entities", scored.rows(), rows.entities.len())?;
    check_k(k)?;
    let mut order: Vec<usize> = (0..scored.rows()).collect();
    order.sort_unstable_by_key(|&row| (rows.days[row], rows.entities[row], row));
    let mut found = BTreeSet::new();
    let mut days = Vec::new();
    for day in order.chunk_by(|&left, &right| rows.days[left] == rows.days[right]) {
        let mut candidates: Vec<_> = day
            .chunk_by(|&left, &right| rows.entities[left] == rows.entities[right])
            .filter(|of_entity| !found.contains(&rows.entities[of_entity[0]]))
            .map(|of_entity| Candidate::new(rows.entities[of_entity[0]], of_entity, scored))
            .collect();
        let entities = candidates.len();
        candidates.sort_unstable_by(Candidate::rank);
        candidates.truncate(k);
        candidates.retain(|candidate| candidate.positive);
        found.extend(candidates.iter().map(|candidate| candidate.entity));
        let precision = candidates.len() as f64 / k as f64;
        days.push(DayPrecision { day: rows.days[day[0]], entities, found: candidates.len(), precision });
    }
    let found: usize = days.iter().map(|day| day.found).sum();
    let mean = found as f64 / (k as f64 * days.len() as f64);
    Ok(EntityPrecision { days, mean })
}

/// An entity on one day.
struct Candidate {
    entity: u64,
    score: f64,
    positive: bool,
}

impl Candidate {
    fn new(entity: u64, rows: &[usize], scored: &Scored) -> Self {
        Self {
            entity,
            score: rows.iter().map(|&row| scored.scores()[row] + 0.0).fold(f64::NEG_INFINITY, f64::max),
            positive: rows.iter().any(|&row| scored.positive()[row]),
        }
    }

    fn rank(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.entity.cmp(&other.entity))
    }
}

/// The entities with a positive event in a window, and since when it has been known.
///
/// ```text
///   window_start            D - (delay + 1)   D - delay ... D - 1     D
///        ├──── known on day D ─────┤          └─ not yet known ─┘  judged
/// ```
#[derive(Debug, Clone)]
pub struct KnownPositives {
    /// (entity, day of its first positive event in the window), by entity.
    first: Vec<(u64, i64)>,
    delay_days: u32,
}

impl KnownPositives {
    /// Collects the positive events from `window_start` (a day, included) on.
    ///
    /// An event of day E is known on day D where `E <= D - (delay_days + 1)`: `delay_days` whole days have then
    /// passed when day D begins. Refuses with `SHAPE_MISMATCH`.
    pub fn new(events: EntityDays, positive: &[bool], window_start: i64, delay_days: u32) -> Result<Self> {
        same_length("labels", events.days.len(), positive.len())?;
        let rows = (0..positive.len()).filter(|&row| positive[row] && events.days[row] >= window_start);
        let mut first: Vec<_> = rows.map(|row| (events.entities[row], events.days[row])).collect();
        first.sort_unstable();
        first.dedup_by_key(|&mut (entity, _)| entity);
        Ok(Self { first, delay_days })
    }

    /// Whether the entity has a positive event in the window that is known on `day`.
    pub fn knows(&self, entity: u64, day: i64) -> bool {
        let place = self.first.binary_search_by_key(&entity, |&(entity, _)| entity);
        place.is_ok_and(|place| {
            let elapsed = i128::from(day) - i128::from(self.first[place].1);
            elapsed > i128::from(self.delay_days)
        })
    }

    /// For each row, whether it is still worth judging: its entity is not known to be positive on its day.
    pub fn remaining(&self, rows: EntityDays) -> Vec<bool> {
        let rows = rows.entities.iter().zip(rows.days);
        rows.map(|(&entity, &day)| !self.knows(entity, day)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use contracts::Code;
    use proptest::prelude::*;

    use super::*;

    fn precision(rows: &[(i64, u64, f64, bool)], k: usize) -> Result<EntityPrecision> {
        let days: Vec<_> = rows.iter().map(|row| row.0).collect();
        let entities: Vec<_> = rows.iter().map(|row| row.1).collect();
        let scores: Vec<_> = rows.iter().map(|row| row.2).collect();
        let positive: Vec<_> = rows.iter().map(|row| row.3).collect();
        entity_precision(&Scored::new(&scores, &positive, None)?, EntityDays::new(&entities, &days)?, k)
    }

    #[test]
    fn one_positive_row_makes_the_entity_positive_that_day() {
        let rows = [(1, 7, 0.9, false), (1, 7, 0.1, true), (1, 8, 0.5, false), (2, 8, 0.4, true)];
        let found = precision(&rows, 1).unwrap();
        let days: Vec<_> = found.days.iter().map(|day| (day.day, day.entities, day.found)).collect();
        assert_eq!(days, [(1, 2, 1), (2, 1, 1)]);
        assert_eq!(found.mean, 1.0);
    }

    #[test]
    fn what_was_found_leaves_and_the_divisor_stays_k() {
        let rows = [(1, 7, 0.9, true), (2, 7, 0.9, true), (2, 8, 0.2, true), (3, 7, 0.9, true)];
        let found = precision(&rows, 2).unwrap();
        let days: Vec<_> = found.days.iter().map(|day| (day.entities, day.found, day.precision)).collect();
        assert_eq!(days, [(1, 1, 0.5), (1, 1, 0.5), (0, 0, 0.0)]);
        assert_eq!(found.mean, 2.0 / 6.0);
    }

    #[test]
    fn ties_go_to_the_lower_code() {
        let rows = [(1, 9, 0.0, true), (1, 8, -0.0, false)];
        assert_eq!(precision(&rows, 1).unwrap().mean, 0.0);
    }

    #[test]
    fn refusals() {
        let rows = [(1, 9, 0.5, true)];
        assert_eq!(precision(&rows, 0).unwrap_err().code, Code::ParameterInvalid);
        assert_eq!(EntityDays::new(&[1, 2], &[1]).unwrap_err().code, Code::ShapeMismatch);
        let scored = Scored::new(&[0.1, 0.2], &[true, false], None).unwrap();
        let one = EntityDays::new(&[1], &[1]).unwrap();
        assert_eq!(entity_precision(&scored, one, 1).unwrap_err().code, Code::ShapeMismatch);
        assert_eq!(KnownPositives::new(one, &[], 0, 7).unwrap_err().code, Code::ShapeMismatch);
    }

    #[test]
    fn a_fraud_is_known_when_the_whole_delay_has_passed() {
        let events = EntityDays::new(&[5, 5, 6, 7], &[12, 10, 9, 10]).unwrap();
        let known = KnownPositives::new(events, &[true, true, true, false], 10, 7).unwrap();
        assert!(!known.knows(5, 17));
        assert!(known.knows(5, 18));
        assert!(!known.knows(6, 100), "before the window");
        assert!(!known.knows(7, 100), "no fraud");
        assert!(!known.knows(5, i64::MIN));
        let rows = EntityDays::new(&[5, 5, 6], &[17, 18, 18]).unwrap();
        assert_eq!(known.remaining(rows), [true, false, true]);
    }

    /// The handbook's loop, day by day and card by card.
    fn handbook(rows: &[(i64, u64, f64, bool)], k: usize) -> Vec<f64> {
        let mut found: Vec<u64> = Vec::new();
        let days: BTreeSet<i64> = rows.iter().map(|row| row.0).collect();
        let mut precisions = Vec::new();
        for day in days {
            let today: Vec<_> = rows.iter().filter(|row| row.0 == day && !found.contains(&row.1)).collect();
            let cards: BTreeSet<u64> = today.iter().map(|row| row.1).collect();
            let best = |card: u64| {
                today.iter().filter(|row| row.1 == card).map(|row| row.2).fold(f64::NEG_INFINITY, f64::max)
            };
            let before = |card: u64, other: u64| {
                best(other) > best(card) || (best(other) == best(card) && other < card)
            };
            let top = cards.iter().filter(|&&card| cards.iter().filter(|&&o| before(card, o)).count() < k);
            let hits: Vec<u64> =
                top.filter(|&&card| today.iter().any(|row| row.1 == card && row.3)).copied().collect();
            precisions.push(hits.len() as f64 / k as f64);
            found.extend(hits);
        }
        precisions
    }

    proptest! {
        #[test]
        fn agrees_with_the_handbooks_loop(
            rows in prop::collection::vec((-3_i64..4, 0_u64..12, 0_u32..6, any::<bool>()), 1..80),
            k in 1_usize..7,
        ) {
            let rows: Vec<_> = rows.into_iter().map(|row| (row.0, row.1, f64::from(row.2), row.3)).collect();
            let found = precision(&rows, k).unwrap();
            let precisions: Vec<_> = found.days.iter().map(|day| day.precision).collect();
            let expected = handbook(&rows, k);
            prop_assert!((found.mean - expected.iter().sum::<f64>() / expected.len() as f64).abs() < 1e-15);
            prop_assert_eq!(precisions, expected);
        }

        #[test]
        fn known_is_a_positive_event_in_the_window_long_enough_ago(
            events in prop::collection::vec((0_u64..6, 0_i64..20, any::<bool>()), 0..40),
            rows in prop::collection::vec((0_u64..6, 0_i64..30), 1..20),
            start in 0_i64..20, delay in 0_u32..9,
        ) {
            let entities: Vec<_> = events.iter().map(|event| event.0).collect();
            let days: Vec<_> = events.iter().map(|event| event.1).collect();
            let positive: Vec<_> = events.iter().map(|event| event.2).collect();
            let history = EntityDays::new(&entities, &days).unwrap();
            let known = KnownPositives::new(history, &positive, start, delay).unwrap();
            for (entity, day) in rows {
                let expected = events.iter().any(|event| {
                    event.0 == entity && event.2 && event.1 >= start && event.1 + i64::from(delay) < day
                });
                prop_assert_eq!(known.knows(entity, day), expected);
            }
        }
    }
}
