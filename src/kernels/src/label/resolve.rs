//! One outcome an event, as of a cut.

use contracts::{Code, Failure, Result};

use super::{Assertions, NO_VALUE};

/// What became of an event's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// One value is known and had its time to mature.
    Known = 0,
    /// Nothing was known at the cut: not a negative.
    Censored = 1,
    /// Equally late assertions disagree.
    Conflict = 2,
    /// The event is younger than the maturity time at the cut, whatever is said about it.
    Immature = 3,
}

/// How many events came to each outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events with one mature value.
    pub known: usize,
    /// Events that nothing was known of.
    pub censored: usize,
    /// Events whose latest assertions disagree.
    pub conflict: usize,
    /// Events too young to be judged.
    pub immature: usize,
}

/// Resolved labels as columns, one entry an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What became of each label.
    pub outcome: Vec<Outcome>,
    /// The value's code where the outcome is `Known`, else [`NO_VALUE`].
    pub value: Vec<u8>,
    /// When the winning assertion was observed where the outcome is `Known`, else `i64::MIN`.
    pub observed_time: Vec<i64>,
    /// When the winning assertion became true where the outcome is `Known`, else `i64::MIN`.
    pub effective_time: Vec<i64>,
    /// The outcomes counted.
    pub counts: Counts,
}

/// Resolves every event's label as of `as_of`, in time linear in events and assertions.
///
/// `event_time` has one entry an event; `maturity` is in nanoseconds. Refuses with `SHAPE_MISMATCH` and, for a
/// negative maturity, `PARAMETER_INVALID`.
pub fn resolve(
    event_time: &[i64],
    assertions: &Assertions<'_>,
    as_of: i64,
    maturity: i64,
) -> Result<Resolved> {
    let events = assertions.events();
    if event_time.len() != events {
        let found = format!("{} values", event_time.len());
        let expected = format!("{events} values, one an event");
        return Err(Failure::at(Code::ShapeMismatch, "event_time", expected, found));
    }
    if maturity < 0 {
        return Err(Failure::at(Code::ParameterInvalid, "maturity", "zero or more", "a negative time"));
    }
    let mut resolved = winners(assertions, as_of);
    for (event, &time) in event_time.iter().enumerate() {
        // An end of maturity beyond the last representable time lies after any cut.
        let mature = time.checked_add(maturity).is_some_and(|end| end <= as_of);
        resolved.settle(event, mature);
    }
    Ok(resolved)
}

/// The winning assertion of each event, whatever its age. Taking a maximum is commutative, and a conflict lasts until
/// a later assertion beats it, so the order of the assertions cannot show.
fn winners(assertions: &Assertions<'_>, as_of: i64) -> Resolved {
    let columns = assertions.columns();
    let events = assertions.events();
    let mut best = Resolved {
        outcome: vec![Outcome::Censored; events],
        value: vec![NO_VALUE; events],
        observed_time: vec![i64::MIN; events],
        effective_time: vec![i64::MIN; events],
        counts: Counts::default(),
    };
    let times = columns.observed_time.iter().zip(columns.effective_time);
    for ((&event, &value), (&observed, &effective)) in columns.event.iter().zip(columns.value).zip(times) {
        if observed > as_of {
            continue;
        }
        let event = event as usize;
        let so_far = (best.observed_time[event], best.effective_time[event]);
        if best.outcome[event] == Outcome::Censored || (observed, effective) > so_far {
            best.outcome[event] = Outcome::Known;
            best.value[event] = value;
            (best.observed_time[event], best.effective_time[event]) = (observed, effective);
        } else if (observed, effective) == so_far && value != best.value[event] {
            best.outcome[event] = Outcome::Conflict;
        }
    }
    best
}

impl Resolved {
    /// Counts the outcome of an event, and leaves nothing of an assertion that does not stand.
    fn settle(&mut self, event: usize, mature: bool) {
        let outcome = if mature { self.outcome[event] } else { Outcome::Immature };
        self.outcome[event] = outcome;
        if outcome != Outcome::Known {
            self.value[event] = NO_VALUE;
            self.observed_time[event] = i64::MIN;
            self.effective_time[event] = i64::MIN;
        }
        *match outcome {
            Outcome::Known => &mut self.counts.known,
            Outcome::Censored => &mut self.counts.censored,
            Outcome::Conflict => &mut self.counts.conflict,
            Outcome::Immature => &mut self.counts.immature,
        } += 1;
    }

    /// The value of one event, if it is known and mature.
    pub fn known(&self, event: usize) -> Option<u8> {
        (self.outcome[event] == Outcome::Known).then(|| self.value[event])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::label::tests::{Owned, assertions};

    fn resolved(owned: &Owned, event_time: &[i64], as_of: i64, maturity: i64) -> Resolved {
        owned.with(|checked| resolve(event_time, &checked.unwrap(), as_of, maturity)).unwrap()
    }

    proptest! {
        #[test]
        fn every_event_resolves_by_the_rule_in_any_order(
            (owned, shuffled) in assertions(8).prop_flat_map(|owned| {
                (Just(owned.clone()), Just(owned.rows).prop_shuffle())
            }),
            event_time in prop::collection::vec(0i64..10, 8),
            as_of in -1i64..12,
            maturity in 0i64..6,
        ) {
            let found = resolved(&owned, &event_time, as_of, maturity);
            let again = resolved(&Owned { events: 8, rows: shuffled }, &event_time, as_of, maturity);
            prop_assert_eq!(&found, &again);
            let mut counts = Counts::default();
            for (event, &time) in event_time.iter().enumerate() {
                let expected = if time + maturity > as_of {
                    counts.immature += 1;
                    (Outcome::Immature, None)
                } else {
                    match owned.rule(event, as_of) {
                        None => { counts.censored += 1; (Outcome::Censored, None) }
                        Some(None) => { counts.conflict += 1; (Outcome::Conflict, None) }
                        Some(Some(value)) => { counts.known += 1; (Outcome::Known, Some(value)) }
                    }
                };
                prop_assert_eq!((found.outcome[event], found.known(event)), expected);
                prop_assert!(found.observed_time[event] <= as_of);
                prop_assert_eq!(found.value[event] == NO_VALUE, expected.1.is_none());
            }
            prop_assert_eq!(found.counts, counts);
        }
    }

    #[test]
    fn a_later_assertion_settles_a_conflict() {
        let tied = vec![(0, 0, 1, 5), (0, 1, 1, 5)];
        assert_eq!(
            resolved(&Owned { events: 1, rows: tied.clone() }, &[0], 9, 0).outcome,
            [Outcome::Conflict]
        );
        let settled = Owned { events: 1, rows: [tied, vec![(0, 1, 2, 5)]].concat() };
        let found = resolved(&settled, &[0], 9, 0);
        assert_eq!((found.known(0), found.effective_time[0]), (Some(1), 2));
    }

    #[test]
    fn the_cut_and_the_maturity_are_closed_at_the_exact_nanosecond() {
        let owned = Owned { events: 1, rows: vec![(0, 1, 3, 10)] };
        assert_eq!(resolved(&owned, &[4], 9, 0).outcome, [Outcome::Censored]);
        assert_eq!(resolved(&owned, &[4], 10, 6).outcome, [Outcome::Known]);
        assert_eq!(resolved(&owned, &[4], 10, 7).outcome, [Outcome::Immature]);
        assert_eq!(resolved(&owned, &[i64::MAX], i64::MAX, 1).outcome, [Outcome::Immature]);
        let first = Owned { events: 1, rows: vec![(0, 1, i64::MIN, i64::MIN)] };
        assert_eq!(resolved(&first, &[i64::MIN], i64::MIN, 0).known(0), Some(1));
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let owned = Owned { events: 2, rows: Vec::new() };
        let short = owned.with(|checked| resolve(&[0], &checked.unwrap(), 0, 0)).unwrap_err();
        assert_eq!(short.code, Code::ShapeMismatch);
        let negative = owned.with(|checked| resolve(&[0, 0], &checked.unwrap(), 0, -1)).unwrap_err();
        assert_eq!(negative.code, Code::ParameterInvalid);
    }
}
