//! The sweep against the definition: every row's window looked up in full.

// Every number here is exact: equal means equal.
#![allow(clippy::unwrap_used, clippy::float_cmp)]

use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use super::*;
use crate::{
    label::{NO_VALUE, tests::Owned},
    rng::Rng,
};

/// Rows of a few entities, with labels and a column; small times, so that ties are common.
#[derive(Debug, Clone)]
struct Case {
    entity: Vec<u32>,
    time: Vec<i64>,
    values: Vec<f64>,
    /// (row, value, effective, observed)
    assertions: Vec<(u32, u8, i64, i64)>,
}

const ENTITIES: usize = 4;
const POSITIVE: [u8; 2] = [1, 2];

impl Case {
    /// The same rows in another order: row `order[i]` comes to stand at `i`.
    fn reordered(&self, order: &[usize]) -> Self {
        let mut position = vec![0_u32; order.len()];
        for (new, &old) in order.iter().enumerate() {
            position[old] = new as u32;
        }
        let moved = |row: &(u32, u8, i64, i64)| (position[row.0 as usize], row.1, row.2, row.3);
        Self {
            entity: order.iter().map(|&row| self.entity[row]).collect(),
            time: order.iter().map(|&row| self.time[row]).collect(),
            values: order.iter().map(|&row| self.values[row]).collect(),
            assertions: self.assertions.iter().rev().map(moved).collect(),
        }
    }

    fn labels(&self) -> Owned {
        Owned { events: self.time.len(), rows: self.assertions.clone() }
    }

    fn compute(&self, entities: usize, as_of: i64, features: &[Feature]) -> Vec<Vec<f64>> {
        let grouped = Grouped::new(&self.entity, entities, &self.time).unwrap();
        let timeline = self.labels().with(|checked| Timeline::new(&checked.unwrap(), as_of)).unwrap();
        let columns = [Column::new("values", &self.values).unwrap()];
        let labels = [Labels::new(timeline, &POSITIVE)];
        let inputs = Inputs { columns: &columns, labels: &labels };
        Staged::new(grouped, &inputs, features).unwrap().compute()
    }

    /// Rows whose events lie in the window of `row`.
    fn window(&self, row: usize, width: i64, delay: i64) -> Vec<usize> {
        let age = |other: usize| i128::from(self.time[row]) - i128::from(self.time[other]);
        let (delay, end) = (i128::from(delay), i128::from(delay) + i128::from(width));
        let inside =
            |other: &usize| self.entity[*other] == self.entity[row] && (delay..end).contains(&age(*other));
        (0..self.time.len()).filter(inside).collect()
    }

    /// One feature of one row by definition. `f64` sums of the column must be exact.
    fn expected(&self, row: usize, (width, delay): (i64, i64), aggregate: Aggregate, as_of: i64) -> f64 {
        let events = self.window(row, width, delay);
        let values: Vec<f64> = events.iter().map(|&event| self.values[event]).collect();
        let (count, sum) = (values.len() as f64, values.iter().fold(0.0, |sum, value| sum + value));
        match aggregate {
            Aggregate::Count => count,
            Aggregate::Sum(_) => sum,
            Aggregate::Mean(_) if events.is_empty() => f64::NAN,
            Aggregate::Mean(_) => sum / count,
            Aggregate::Min(_) => values.into_iter().fold(f64::NAN, f64::min),
            Aggregate::Max(_) => values.into_iter().fold(f64::NAN, f64::max),
            Aggregate::Std(_) if values.len() < 2 => f64::NAN,
            Aggregate::Std(_) => {
                let squares = values.iter().map(|value| value * value).sum::<f64>();
                ((count * squares - sum * sum) / (count * (count - 1.0))).sqrt()
            }
            Aggregate::Rate(_) => {
                let labels = self.labels();
                let cut = as_of.min(self.time[row]);
                let known: Vec<u8> = events.iter().filter_map(|&event| labels.rule(event, cut)?).collect();
                let positive = known.iter().filter(|value| POSITIVE.contains(value)).count();
                if known.is_empty() { 0.0 } else { positive as f64 / known.len() as f64 }
            }
            Aggregate::SinceLast => {
                let before =
                    events.iter().map(|&event| self.time[event]).filter(|&time| time < self.time[row]);
                before.max().map_or(f64::NAN, |last| (self.time[row] - last) as f64 / 1e9)
            }
        }
    }
}

fn feature((width, delay): (i64, i64), aggregate: Aggregate) -> Feature {
    Feature { window: Window::new(width, delay).unwrap(), aggregate }
}

const AGGREGATES: [Aggregate; 8] = [
    Aggregate::Count,
    Aggregate::Sum(0),
    Aggregate::Mean(0),
    Aggregate::Min(0),
    Aggregate::Max(0),
    Aggregate::Std(0),
    Aggregate::Rate(0),
    Aggregate::SinceLast,
];

fn bits(features: &[Vec<f64>]) -> Vec<Vec<u64>> {
    features.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

/// A row: entity, time, value, and assertions as (value, effective lag, observed lag).
type Row = (u32, i64, f64, Vec<(u8, i64, i64)>);

fn cases(value: impl Strategy<Value = f64>) -> impl Strategy<Value = Case> {
    let assertion = (0u8..3, 0i64..3, 0i64..8);
    let row = (0..ENTITIES as u32, 0i64..25, value, prop::collection::vec(assertion, 0..4));
    prop::collection::vec(row, 0..60).prop_map(|rows: Vec<Row>| {
        let mut case = Case { entity: vec![], time: vec![], values: vec![], assertions: vec![] };
        for (row, (entity, time, value, labels)) in rows.into_iter().enumerate() {
            let stamp =
                |(value, effective, lag)| (row as u32, value, time + effective, time + effective + lag);
            case.entity.push(entity);
            case.time.push(time);
            case.values.push(value);
            case.assertions.extend(labels.into_iter().map(stamp));
        }
        case
    })
}

/// Multiples of 1/8 whose sums, and sums of squares, f64 holds exactly.
fn dyadic() -> impl Strategy<Value = f64> {
    (-400i32..400).prop_map(|eighths| f64::from(eighths) / 8.0)
}

/// Magnitudes that f64 sums lose each other's digits of.
fn wild() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(1e300),
        Just(-1e300),
        Just(1e16),
        Just(-1e16),
        Just(1.0),
        Just(0.1),
        Just(-0.0),
        Just(0.0),
        Just(1e-300),
        Just(5e-324),
        Just(-5e-324),
        Just(f64::MAX),
        (-1e3..1e3f64),
    ]
}

proptest! {
    #[test]
    fn every_feature_of_every_row_is_what_the_definition_says(
        case in cases(dyadic()),
        windows in prop::collection::vec((1i64..12, 0i64..6), 1..4),
        as_of in 0i64..40,
    ) {
        let asked: Vec<_> =
            windows.iter().flat_map(|&window| AGGREGATES.map(|aggregate| (window, aggregate))).collect();
        let features: Vec<_> = asked.iter().map(|&(window, aggregate)| feature(window, aggregate)).collect();
        let found = case.compute(ENTITIES, as_of, &features);
        for (values, &(window, aggregate)) in found.iter().zip(&asked) {
            for (row, value) in values.iter().enumerate() {
                let expected = case.expected(row, window, aggregate, as_of);
                prop_assert!(value.to_bits() == expected.to_bits(), "{aggregate:?} {window:?} row {row}: {value} for {expected}");
            }
        }
    }

    #[test]
    fn rates_of_labels_that_settle_within_the_delay_are_what_the_definition_says(
        case in cases(dyadic()),
        window in (1i64..12, 3i64..6),
        as_of in 0i64..40,
    ) {
        let settle = |&(row, value, effective, observed): &(u32, u8, i64, i64)| {
            (row, value, effective, observed.min(case.time[row as usize] + 3))
        };
        let case = Case { assertions: case.assertions.iter().map(settle).collect(), ..case.clone() };
        let found = case.compute(ENTITIES, as_of, &[feature(window, Aggregate::Rate(0))]);
        for (row, value) in found[0].iter().enumerate() {
            prop_assert_eq!(*value, case.expected(row, window, Aggregate::Rate(0), as_of));
        }
    }

    #[test]
    fn the_order_of_the_rows_does_not_show(
        (case, order) in cases(wild()).prop_flat_map(|case| {
            let order: Vec<usize> = (0..case.time.len()).collect();
            (Just(case), Just(order).prop_shuffle())
        }),
        window in (1i64..12, 0i64..6),
    ) {
        let features = AGGREGATES.map(|aggregate| feature(window, aggregate));
        let given = bits(&case.compute(ENTITIES, 30, &features));
        let shuffled = bits(&case.reordered(&order).compute(ENTITIES, 30, &features));
        for (given, shuffled) in given.iter().zip(&shuffled) {
            let expected: Vec<u64> = order.iter().map(|&row| given[row]).collect();
            prop_assert_eq!(&expected, shuffled);
        }
    }

    #[test]
    fn a_stretch_alone_is_the_stretch_of_the_whole(
        case in cases(wild()),
        window in (1i64..12, 0i64..6),
        (from, to) in (0usize..60, 0usize..60),
    ) {
        let mut in_time: Vec<usize> = (0..case.time.len()).collect();
        in_time.sort_by_key(|&row| case.time[row]);
        let features = AGGREGATES.map(|aggregate| feature(window, aggregate));
        let (to, from) = (to.min(case.time.len()), from.min(to).min(case.time.len()));
        for case in [case.reordered(&in_time), case] {
            let whole = bits(&case.compute(ENTITIES, 30, &features));
            let ordered = case.time.is_sorted();
            let horizon = features[0].window.horizon();
            let start = if ordered && from < to {
                case.time[..from].partition_point(|&time| case.time[from].abs_diff(time) >= horizon)
            } else {
                0
            };
            let end = if ordered && from < to {
                case.time.partition_point(|&time| time <= case.time[to - 1])
            } else {
                case.time.len()
            };
            let timeline = case.labels().with(|checked| Timeline::new(&checked.unwrap(), 30)).unwrap();
            let columns = [Column::new("values", &case.values).unwrap().range(start..end)];
            let labels = [Labels::new(timeline, &POSITIVE).range(start..end)];
            let grouped = Grouped::new(&case.entity[start..end], ENTITIES, &case.time[start..end]).unwrap();
            let inputs = Inputs { columns: &columns, labels: &labels };
            let grouped = grouped.asking(from - start..to - start);
            let alone = bits(&Staged::new(grouped, &inputs, &features).unwrap().compute());
            for (whole, alone) in whole.iter().zip(&alone) {
                prop_assert_eq!(&whole[from..to], &alone[..]);
            }
        }
    }

    #[test]
    fn rows_outside_the_window_do_not_show(case in cases(wild()), cut in 0i64..25, window in (1i64..12, 0i64..6)) {
        // What comes later, or is far larger, may change the column's grid but not the past.
        let features = AGGREGATES.map(|aggregate| feature(window, aggregate));
        let past: Vec<usize> = (0..case.time.len()).filter(|&row| case.time[row] <= cut).collect();
        let known = |row: &&(u32, u8, i64, i64)| case.time[row.0 as usize] <= cut;
        let kept = Case { assertions: case.assertions.iter().filter(known).copied().collect(), ..case.clone() };
        let whole = bits(&case.compute(ENTITIES, 30, &features));
        let alone = bits(&subset(&kept, &past).compute(ENTITIES, 30, &features));
        for (whole, alone) in whole.iter().zip(&alone) {
            let expected: Vec<u64> = past.iter().map(|&row| whole[row]).collect();
            prop_assert_eq!(&expected, alone);
        }
    }

    #[test]
    fn sums_are_the_exact_sums_rounded_once(case in cases(wild()), window in (1i64..12, 0i64..6)) {
        let features = [Aggregate::Sum(0), Aggregate::Mean(0)].map(|aggregate| feature(window, aggregate));
        let found = case.compute(ENTITIES, 30, &features);
        for (row, (&sum, &average)) in found[0].iter().zip(&found[1]).enumerate() {
            let events = case.window(row, window.0, window.1);
            // Scaling down keeps the partial sums of the oracle finite; it costs subnormals their last bits.
            let parts: Vec<f64> = events.iter().map(|&event| case.values[event] / 1024.0).collect();
            let exact = parts.iter().zip(&events).all(|(&part, &event)| part * 1024.0 == case.values[event]);
            if exact {
                prop_assert_eq!(sum, exact_sum(&parts) * 1024.0);
                let mean = exact_sum(&parts) / events.len() as f64 * 1024.0;
                prop_assert!(average == mean || mean.is_nan() && average.is_nan());
            }
        }
    }
}

/// The rows of `order` alone.
fn subset(case: &Case, order: &[usize]) -> Case {
    let position = |row: u32| order.iter().position(|&kept| kept == row as usize);
    let assertions = case.assertions.iter();
    Case {
        entity: order.iter().map(|&row| case.entity[row]).collect(),
        time: order.iter().map(|&row| case.time[row]).collect(),
        values: order.iter().map(|&row| case.values[row]).collect(),
        assertions: assertions
            .filter_map(|&(row, value, effective, observed)| {
                Some((position(row)? as u32, value, effective, observed))
            })
            .collect(),
    }
}

/// The correctly rounded sum by error-free transformations (Shewchuk 1997), an oracle unlike the kernel.
fn exact_sum(values: &[f64]) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for &value in values {
        let mut carry = value;
        let mut kept = Vec::new();
        for &partial in &partials {
            let (large, small) =
                if carry.abs() < partial.abs() { (partial, carry) } else { (carry, partial) };
            let high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                kept.push(low);
            }
            carry = high;
        }
        kept.push(carry);
        partials = kept;
    }
    let mut total = partials.pop().unwrap_or(0.0);
    while let Some(partial) = partials.pop() {
        let high = total + partial;
        let low = partial - (high - total);
        total = high;
        if low != 0.0 {
            // Half-way cases round by the sign of what is left.
            let next = partials.last().copied().unwrap_or(0.0);
            if low < 0.0 && next < 0.0 || low > 0.0 && next > 0.0 {
                let doubled = low * 2.0;
                let rounded = total + doubled;
                if doubled == rounded - total {
                    total = rounded;
                }
            }
            break;
        }
    }
    total
}

/// A hundred thousand rows of a skewed set of entities.
fn large() -> Case {
    let rng = Rng::from_u64(3);
    let rows = 100_000;
    let draw = |stream, row, bound| rng.below(stream, row, bound);
    let entity = (0..rows).map(|row| draw(0, row, draw(1, row, 900) + 1) as u32).collect();
    let time: Vec<i64> = (0..rows).map(|row| draw(2, row, 1_000_000) as i64).collect();
    let values = (0..rows).map(|row| draw(3, row, 100_000) as f64 / 100.0).collect();
    let stamp = |row: u64| (row as u32, draw(4, row, 2) as u8, time[row as usize], time[row as usize] + 500);
    let assertions = (0..rows).map(stamp).collect();
    Case { entity, time, values, assertions }
}

#[test]
fn threads_do_not_show() {
    let case = large();
    let features = AGGREGATES.map(|aggregate| feature((50_000, 500), aggregate));
    let run = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bits(&case.compute(1_000, i64::MAX, &features)))
    };
    let alone = run(1);
    assert_eq!(alone, run(2));
    assert_eq!(alone, run(4));
}

#[test]
fn amounts_in_cents_do_not_drift() {
    let case = large();
    let found = case.compute(1_000, 0, &[feature((50_000, 0), Aggregate::Sum(0))]);
    for row in (0..case.time.len()).step_by(997) {
        let cents: i64 = case
            .window(row, 50_000, 0)
            .iter()
            .map(|&event| (case.values[event] * 100.0).round() as i64)
            .sum();
        let expected = cents as f64 / 100.0;
        assert!((found[0][row] - expected).abs() <= 1e-12 * expected, "{} for {expected}", found[0][row]);
    }
}

#[test]
fn a_constant_column_has_no_deviation_at_all() {
    let case = Case { entity: vec![0; 5], time: (0..5).collect(), values: vec![0.1; 5], assertions: vec![] };
    let found = case.compute(1, 0, &[feature((9, 0), Aggregate::Std(0))]);
    assert!(found[0][0].is_nan());
    assert_eq!(found[0][1..], [0.0; 4]);
}

#[test]
fn windows_reach_over_the_whole_range_of_time() {
    let time = vec![i64::MIN, 0, i64::MAX];
    let case = Case { entity: vec![0; 3], time, values: vec![1.0; 3], assertions: vec![] };
    let features = [(1, 0), (i64::MAX, 0), (i64::MAX, i64::MAX), (i64::MAX, 1)]
        .map(|window| feature(window, Aggregate::Count));
    let expected: [[f64; 3]; 4] = [[1.0; 3], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]];
    let found = case.compute(1, 0, &features);
    for (window, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found[..], expected, "window {window}");
    }
}

#[test]
fn wrong_inputs_are_refused() {
    let code = |failure: Failure| failure.code;
    assert_eq!(code(Window::new(0, 0).unwrap_err()), Code::ParameterInvalid);
    assert_eq!(code(Window::new(1, -1).unwrap_err()), Code::ParameterInvalid);
    assert_eq!(code(Grouped::new(&[0], 1, &[]).unwrap_err()), Code::ShapeMismatch);
    assert_eq!(code(Grouped::new(&[0, 1], 1, &[0, 0]).unwrap_err()), Code::ParameterInvalid);
    for value in [f64::NAN, f64::INFINITY] {
        assert_eq!(code(Column::new("amount", &[1.0, value]).unwrap_err()), Code::NonFiniteInput);
    }
    let refusal = |inputs: &Inputs<'_>, asked: &[Feature]| {
        let grouped = Grouped::new(&[0, 0], 1, &[0, 0]).unwrap();
        code(Staged::new(grouped, inputs, asked).map(drop).unwrap_err())
    };
    let short = [Column::new("amount", &[1.0]).unwrap()];
    let inputs = Inputs { columns: &short, labels: &[] };
    assert_eq!(refusal(&inputs, &[]), Code::ShapeMismatch);
    let no_events = Owned::default().with(|checked| Timeline::new(&checked.unwrap(), 0)).unwrap();
    let labels = [Labels::new(no_events, &[1])];
    let inputs = Inputs { columns: &[], labels: &labels };
    assert_eq!(refusal(&inputs, &[]), Code::ShapeMismatch);
    for aggregate in [Aggregate::Mean(0), Aggregate::Rate(0)] {
        let asked = [feature((1, 0), aggregate)];
        assert_eq!(refusal(&Inputs::default(), &asked), Code::ParameterInvalid);
    }
    assert!(!POSITIVE.contains(&NO_VALUE));
}
