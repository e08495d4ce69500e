//! The as-of join: the latest fact about each event's key that had come true and was known in time.
//!
//! ```text
//!   facts  (key, effective, observed) ──┐  buckets   ┌─ sorted once ──► latest fact by knowledge
//!                                       ├─ of keys ──┤                         │ looked up
//!   events (key, time, known by)  ──────┘            └─────────────────────────┴──► one answer an event
//! ```
//!
//! A fact is *eligible* for an event of the same key where `effective <= time` and `observed <= known by`. Of the
//! eligible facts the latest effective wins, of those the latest observed: a correction replaces what it corrects,
//! and a late message about the far past does not replace the present. (A label asks otherwise: all its assertions
//! speak about one event, so the latest observed wins; see [`super::resolve`].)
//!
//! Both sides come in any order. They are dealt into buckets by key, so that a bucket's work stays in a cache, and
//! buckets are worked on in parallel. An answer is a function of the set of facts, ties apart, which are told.

use std::collections::BTreeMap;

use contracts::{Code, Failure, Result};
use rayon::prelude::*;

use super::refuse_early;

/// Rows of a bucket, about, on the longer side.
const BUCKET_ROWS: usize = 1 << 12;
/// Buckets at most, as a power of two: a processor follows only so many streams.
const MAX_BUCKET_BITS: u32 = 11;
/// Rows that are dealt out by one task.
const CHUNK_ROWS: usize = 1 << 20;

/// Facts about keys, as parallel columns in any order.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What the fact is about.
    pub key: &'a [i64],
    /// When it became true, in nanoseconds.
    pub effective_time: &'a [i64],
    /// When it became known; no earlier.
    pub observed_time: &'a [i64],
}

/// Events that ask for a fact, as parallel columns in any order.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// What is asked about.
    pub key: &'a [i64],
    /// The moment asked about, in nanoseconds.
    pub time: &'a [i64],
    /// The moment up to which facts were known; the moment asked about where nothing is given.
    pub known_by: Option<&'a [i64]>,
}

/// The answer to one event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answer {
    /// No fact was known.
    #[default]
    Nothing,
    /// The row of the fact.
    Fact(u32),
    /// The first row of several facts of the same effective and the same observed time.
    Tied(u32),
}

/// Answers every event, in the order of the events.
///
/// Uses the current rayon pool; the result does not depend on its size. Takes n log n time and, beside its input,
/// some 80 bytes a row. Refuses with `SHAPE_MISMATCH` (lengths differ), `PARAMETER_INVALID` (a fact that was known
/// before it was true) and `RESOURCE_EXHAUSTED` (2^32 rows).
pub fn asof_join(asking: &Asking<'_>, facts: &Facts<'_>) -> Result<Vec<Answer>> {
    check(asking, facts)?;
    let longer = asking.key.len().max(facts.key.len());
    let bits = (longer / BUCKET_ROWS).max(1).ilog2().min(MAX_BUCKET_BITS);
    let dealt_facts = Dealt::new(facts.key, bits, |row| Fact {
        key: facts.key[row],
        observed: facts.observed_time[row],
        effective: facts.effective_time[row],
        row: row as u32,
    });
    let dealt = Dealt::new(asking.key, bits, |row| Question {
        key: asking.key[row],
        time: asking.time[row],
        row: row as u32,
    });
    let answers: Vec<Vec<Answer>> = (0..1 << bits)
        .into_par_iter()
        .map(|bucket| {
            let mut facts: Vec<Fact> = dealt_facts.pieces(bucket).flatten().copied().collect();
            facts.sort_unstable_by_key(|fact| (fact.key, fact.observed, fact.effective, fact.row));
            match asking.known_by {
                None => by_time(&facts, dealt.pieces(bucket).flatten()),
                Some(known_by) => by_knowledge(&facts, dealt.pieces(bucket).flatten(), known_by),
            }
        })
        .collect();
    let mut by_row = vec![Answer::Nothing; asking.key.len()];
    by_row.par_chunks_mut(CHUNK_ROWS).enumerate().for_each(|(chunk, by_row)| {
        for (bucket, answers) in answers.iter().enumerate() {
            let before = dealt.pieces(bucket).take(chunk).map(<[_]>::len).sum::<usize>();
            for (question, &answer) in dealt.piece(chunk, bucket).iter().zip(&answers[before..]) {
                by_row[question.row as usize - chunk * CHUNK_ROWS] = answer;
            }
        }
    });
    Ok(by_row)
}

fn check(asking: &Asking<'_>, facts: &Facts<'_>) -> Result<()> {
    let (events, rows) = (asking.key.len(), facts.key.len());
    for (name, found, expected) in [
        ("time", asking.time.len(), events),
        ("known_by", asking.known_by.map_or(events, <[_]>::len), events),
        ("effective_time", facts.effective_time.len(), rows),
        ("observed_time", facts.observed_time.len(), rows),
    ] {
        if found != expected {
            let expected = format!("{expected} values, one a key");
            return Err(Failure::at(Code::ShapeMismatch, name, expected, format!("{found} values")));
        }
    }
    for (name, rows) in [("events", events), ("facts", rows)] {
        if rows > u32::MAX as usize {
            let found = format!("{rows} rows");
            return Err(Failure::at(Code::ResourceExhausted, name, "fewer than 2^32 rows", found));
        }
    }
    let times = facts.observed_time.par_iter().zip(facts.effective_time);
    let early = times.filter(|(observed, effective)| observed < effective).count();
    refuse_early(early)
}

#[derive(Debug, Clone, Copy, Default)]
struct Fact {
    key: i64,
    observed: i64,
    effective: i64,
    row: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Question {
    key: i64,
    time: i64,
    row: u32,
}

/// Rows dealt into buckets by key, chunk by chunk; those of one bucket and chunk stay in their order.
struct Dealt<T> {
    /// By chunk: its rows by bucket, and where each bucket starts.
    chunks: Vec<(Vec<T>, Vec<u32>)>,
}

impl<T: Copy + Default + Send + Sync> Dealt<T> {
    fn new(keys: &[i64], bits: u32, entry: impl Fn(usize) -> T + Sync) -> Self {
        let deal = |(chunk, keys): (usize, &[i64])| {
            let mut starts = vec![0_u32; (1 << bits) + 1];
            for &key in keys {
                starts[bucket(key, bits) + 1] += 1;
            }
            for bucket in 0..1 << bits {
                starts[bucket + 1] += starts[bucket];
            }
            let mut next = starts.clone();
            let mut rows = vec![T::default(); keys.len()];
            for (row, &key) in keys.iter().enumerate() {
                let place = &mut next[bucket(key, bits)];
                rows[*place as usize] = entry(chunk * CHUNK_ROWS + row);
                *place += 1;
            }
            (rows, starts)
        };
        Self { chunks: keys.par_chunks(CHUNK_ROWS).enumerate().map(deal).collect() }
    }

    fn piece(&self, chunk: usize, bucket: usize) -> &[T] {
        let (rows, starts) = &self.chunks[chunk];
        &rows[starts[bucket] as usize..starts[bucket + 1] as usize]
    }

    fn pieces(&self, bucket: usize) -> impl Iterator<Item = &[T]> {
        (0..self.chunks.len()).map(move |chunk| self.piece(chunk, bucket))
    }
}

/// The leading bits of a multiplicative hash (Knuth, TAOCP 3, 6.4); zero bits are one bucket.
const fn bucket(key: i64, bits: u32) -> usize {
    ((key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as u128 >> (64 - bits)) as usize
}

/// Answers where what is known by the moment asked about counts. A fact is never known before it is true, so
/// whatever is known by then is eligible: the winner is the best of a prefix by observed time.
fn by_time<'a>(facts: &[Fact], questions: impl Iterator<Item = &'a Question>) -> Vec<Answer> {
    let order: Vec<(i64, i64)> = facts.iter().map(|fact| (fact.key, fact.observed)).collect();
    let mut winners: Vec<Answer> = Vec::with_capacity(facts.len());
    let mut best = Fact::default();
    for fact in facts {
        let answer = match winners.last() {
            Some(&winner) if best.key == fact.key && fact.effective < best.effective => winner,
            Some(_) if same(&best, fact) => Answer::Tied(best.row),
            _ => {
                best = *fact;
                Answer::Fact(fact.row)
            }
        };
        winners.push(answer);
    }
    questions
        .map(|question| {
            let known = order.partition_point(|&fact| fact <= (question.key, question.time));
            let last = known.checked_sub(1).filter(|&last| order[last].0 == question.key);
            last.map_or(Answer::Nothing, |last| winners[last])
        })
        .collect()
}

const fn same(a: &Fact, b: &Fact) -> bool {
    a.key == b.key && a.effective == b.effective && a.observed == b.observed
}

/// Answers where the moment of knowledge is another than the moment asked about: facts come in by observed time,
/// and among those that are in the latest that was true is looked up.
fn by_knowledge<'a>(
    facts: &[Fact],
    questions: impl Iterator<Item = &'a Question>,
    known_by: &[i64],
) -> Vec<Answer> {
    let mut order: Vec<_> = questions
        .zip(0_usize..)
        .map(|(question, place)| (question.key, known_by[question.row as usize], question.time, place))
        .collect();
    order.sort_unstable();
    let mut answers = vec![Answer::Nothing; order.len()];
    let mut known: BTreeMap<(i64, i64), Answer> = BTreeMap::new();
    let mut pending = facts.iter().peekable();
    for of_key in order.chunk_by(|a, b| a.0 == b.0) {
        known.clear();
        let key = of_key[0].0;
        while pending.next_if(|fact| fact.key < key).is_some() {}
        for &(_, by, time, place) in of_key {
            while let Some(fact) = pending.next_if(|fact| fact.key == key && fact.observed <= by) {
                let entry = known.entry((fact.effective, fact.observed));
                entry
                    .and_modify(|answer| {
                        if let Answer::Fact(row) | Answer::Tied(row) = *answer {
                            *answer = Answer::Tied(row);
                        }
                    })
                    .or_insert(Answer::Fact(fact.row));
            }
            let latest = known.range(..=(time, i64::MAX)).next_back();
            answers[place] = latest.map_or(Answer::Nothing, |(_, &answer)| answer);
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::rng::Rng;

    /// (key, effective, observed)
    type Rows = Vec<(i64, i64, i64)>;

    fn join(events: &Rows, with_knowledge: bool, facts: &Rows) -> Vec<Answer> {
        let column =
            |rows: &Rows, take: fn(&(i64, i64, i64)) -> i64| rows.iter().map(take).collect::<Vec<_>>();
        let (key, time, by) = (column(events, |r| r.0), column(events, |r| r.1), column(events, |r| r.2));
        let (of, effective, observed) =
            (column(facts, |r| r.0), column(facts, |r| r.1), column(facts, |r| r.2));
        let asking = Asking { key: &key, time: &time, known_by: with_knowledge.then_some(&by) };
        let facts = Facts { key: &of, effective_time: &effective, observed_time: &observed };
        asof_join(&asking, &facts).unwrap()
    }

    /// The rule, word for word.
    fn rule((key, time, by): (i64, i64, i64), facts: &Rows) -> Answer {
        let eligible = |fact: &&(i64, i64, i64)| fact.0 == key && fact.1 <= time && fact.2 <= by;
        let Some(best) = facts.iter().filter(eligible).map(|fact| (fact.1, fact.2)).max() else {
            return Answer::Nothing;
        };
        let tied: Vec<u32> = (0_u32..)
            .zip(facts)
            .filter(|(_, fact)| **fact == (key, best.0, best.1))
            .map(|(row, _)| row)
            .collect();
        if tied.len() > 1 { Answer::Tied(tied[0]) } else { Answer::Fact(tied[0]) }
    }

    fn rows(most: usize) -> impl Strategy<Value = Rows> {
        let row = (-2i64..3, -3i64..6, 0i64..5).prop_map(|(key, time, lag)| (key, time, time + lag));
        prop::collection::vec(row, 0..most)
    }

    proptest! {
        #[test]
        fn every_event_gets_the_fact_that_the_rule_says(
            (facts, shuffled) in rows(40).prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
            events in rows(40),
            shift in -3i64..4,
        ) {
            // Knowledge may be older or newer than the moment asked about.
            let events: Rows = events.iter().map(|&(key, time, by)| (key, time, by + shift)).collect();
            let at_once: Rows = events.iter().map(|&(key, time, _)| (key, time, time)).collect();
            for (found, events) in
                [(join(&events, true, &facts), &events), (join(&events, false, &facts), &at_once), (join(&at_once, true, &facts), &at_once)]
            {
                let expected: Vec<Answer> = events.iter().map(|&event| rule(event, &facts)).collect();
                prop_assert_eq!(found, expected);
            }
            // Another order of the facts: another row, the same fact.
            let fact = |answer: &Answer, facts: &Rows| match *answer {
                Answer::Nothing => None,
                Answer::Fact(row) => Some((facts[row as usize], false)),
                Answer::Tied(row) => Some((facts[row as usize], true)),
            };
            let given: Vec<_> = join(&events, true, &facts).iter().map(|answer| fact(answer, &facts)).collect();
            let again = join(&events, true, &shuffled);
            prop_assert_eq!(given, again.iter().map(|answer| fact(answer, &shuffled)).collect::<Vec<_>>());
        }
    }

    /// Enough rows for many buckets and several chunks, keys of any bits.
    fn large(stream: u64, rows: u64) -> Rows {
        let rng = Rng::from_u64(9);
        let key = |row| (rng.below(stream, row, 40_000) as i64).wrapping_mul(0x5851_f42d_4c95_7f2d);
        let time = |row| rng.below(stream + 1, row, 1_000_000) as i64;
        (0..rows)
            .map(|row| (key(row), time(row), time(row) + rng.below(stream + 2, row, 9_000) as i64))
            .collect()
    }

    #[test]
    fn neither_threads_nor_chunks_nor_the_way_taken_show() {
        let (events, facts) = (large(0, 1_200_000), large(3, 300_000));
        let events: Rows = events.iter().map(|&(key, time, _)| (key, time, time)).collect();
        let run = |threads, with_knowledge| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| join(&events, with_knowledge, &facts))
        };
        let alone = run(1, false);
        assert!(alone == run(2, false));
        assert!(alone == run(4, true));
        let mut by_key: BTreeMap<i64, Rows> = BTreeMap::new();
        for &fact in &facts {
            by_key.entry(fact.0).or_default().push(fact);
        }
        for row in (0..events.len()).step_by(1_009) {
            let of_key = by_key.get(&events[row].0).cloned().unwrap_or_default();
            let expected = match rule(events[row], &of_key) {
                Answer::Nothing => None,
                Answer::Fact(row) | Answer::Tied(row) => Some(of_key[row as usize]),
            };
            let found = match alone[row] {
                Answer::Nothing => None,
                Answer::Fact(row) | Answer::Tied(row) => Some(facts[row as usize]),
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn wrong_columns_are_refused() {
        let code = |asking: &Asking<'_>, facts: &Facts<'_>| asof_join(asking, facts).unwrap_err().code;
        let asking = Asking { key: &[1], time: &[1], known_by: None };
        let facts = Facts { key: &[1], effective_time: &[1], observed_time: &[1] };
        assert_eq!(asof_join(&asking, &facts).unwrap(), [Answer::Fact(0)]);
        assert_eq!(code(&Asking { time: &[], ..asking }, &facts), Code::ShapeMismatch);
        assert_eq!(code(&Asking { known_by: Some(&[]), ..asking }, &facts), Code::ShapeMismatch);
        assert_eq!(code(&asking, &Facts { observed_time: &[], ..facts }), Code::ShapeMismatch);
        assert_eq!(code(&asking, &Facts { observed_time: &[0], ..facts }), Code::ParameterInvalid);
    }
}
