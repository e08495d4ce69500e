//! A grower as plain as can be: what the real one must agree with, node by node.
//!
//! Every way to part a leaf is tried row by row; nothing is subtracted, packed, bundled or marked. It knows numbers
//! alone: that no set of categories gains more than the one that is found is checked beside [`super::categories`],
//! where all sets are tried.
#![allow(clippy::unwrap_used)]

use contracts::{
    constraint::{Direction, Interactions},
    model_config::{GradientBoosting, GrowPolicy},
    names::ColumnName,
};
use ndarray::Array2;
use proptest::prelude::*;

use super::{
    Categories, Constraints,
    fixed::{Gradient, Sums},
    gradient::Loss,
    grow::Grower,
    histogram::Codes,
    split::Rules,
};
use crate::{
    binning::{Binned, Bins},
    ensemble::Node,
    frame::Frame,
    rng::Rng,
};

struct Leaf {
    node: usize,
    way: Way,
    best: Option<Cut>,
}

/// What the way from the root says of a leaf.
#[derive(Clone)]
struct Way {
    depth: u32,
    bounds: [f64; 2],
    columns: Vec<usize>,
}

struct Cut {
    gain: f64,
    column: usize,
    bin: usize,
    missing_left: bool,
    /// Between the children's steps.
    middle: f64,
    parts: [Vec<usize>; 2],
}

struct Plain<'a> {
    config: &'a GradientBoosting,
    features: &'a Array2<f64>,
    bins: &'a [Bins],
    gradients: &'a [Gradient],
    unit: f64,
    /// 1, -1 or 0 for each column.
    directions: &'a [i8],
    /// Every column is in one.
    groups: &'a [Vec<usize>],
}

impl Plain<'_> {
    fn sums(&self, rows: &[usize]) -> Sums {
        rows.iter().fold(Sums::default(), |sum, &row| sum + self.gradients[row].cell().unpack())
    }

    /// Slope after the L1 penalty, and curvature with the L2 penalty.
    fn terms(&self, rows: &[usize]) -> (f64, f64) {
        let sums = self.sums(rows);
        let slope = sums.slope as f64 * self.unit;
        let shrunken = (slope.abs() - self.config.l1_regularization).max(0.0).copysign(slope);
        (shrunken, sums.curvature as f64 * self.unit + self.config.l2_regularization)
    }

    fn step(&self, rows: &[usize]) -> f64 {
        let (slope, curvature) = self.terms(rows);
        if curvature > 0.0 { -slope / curvature } else { 0.0 }
    }

    fn value(&self, rows: &[usize], [least, most]: [f64; 2]) -> f64 {
        self.config.learning_rate * self.step(rows).max(least).min(most) + 0.0
    }

    fn reduction(&self, rows: &[usize], [least, most]: [f64; 2]) -> f64 {
        let (slope, curvature) = self.terms(rows);
        let step = self.step(rows);
        if (least..=most).contains(&step) {
            return if curvature > 0.0 { 0.5 * (slope * slope / curvature) } else { 0.0 };
        }
        let (step, slope) = (step.max(least).min(most), self.sums(rows).slope as f64 * self.unit);
        -(slope * step + 0.5 * (curvature * (step * step)) + self.config.l1_regularization * step.abs())
    }

    fn allows(&self, rows: &[usize]) -> bool {
        let sums = self.sums(rows);
        sums.count >= i64::from(self.config.min_samples_leaf)
            && sums.curvature as f64 * self.unit >= self.config.min_child_weight
    }

    fn leaf(&self, node: usize, way: Way, rows: &[usize]) -> Leaf {
        Leaf { node, best: self.best(&way, rows), way }
    }

    fn best(&self, way: &Way, rows: &[usize]) -> Option<Cut> {
        if self.config.max_depth.is_some_and(|most| way.depth >= most) {
            return None;
        }
        let before = self.reduction(rows, way.bounds);
        let mut best: Option<Cut> = None;
        let open: Vec<_> = self
            .groups
            .iter()
            .filter(|group| way.columns.iter().all(|column| group.contains(column)))
            .collect();
        for column in 0..self.features.ncols() {
            if !open.iter().any(|group| group.contains(&column)) {
                continue;
            }
            let bins = &self.bins[column];
            let code = |row: usize| bins.index_of(self.features[[row, column]]);
            let drawn = |row: usize| self.gradients[row].cell().unpack().count > 0;
            let is_missing = |row: usize| code(row) == bins.missing();
            let some_missing = rows.iter().any(|&row| drawn(row) && is_missing(row));
            for bin in 0..bins.len() {
                // Where no row has the bin, the bin before it is the same cut.
                if !rows.iter().any(|&row| drawn(row) && code(row) == bin) {
                    continue;
                }
                for missing_left in [true, false] {
                    let goes_left =
                        |row: usize| if is_missing(row) { missing_left } else { code(row) <= bin };
                    let parts: [Vec<usize>; 2] =
                        rows.iter().partition::<Vec<usize>, _>(|&&row| goes_left(row)).into();
                    let counts = [0, 1].map(|side| self.sums(&parts[side]).count);
                    if !some_missing && missing_left != (counts[0] >= counts[1]) {
                        continue;
                    }
                    if !parts.iter().all(|part| self.allows(part)) {
                        continue;
                    }
                    let [left, right] = [0, 1].map(|side| {
                        let [least, most] = way.bounds;
                        self.step(&parts[side]).max(least).min(most)
                    });
                    if f64::from(self.directions[column]) * (right - left) < 0.0 {
                        continue;
                    }
                    let gain = self.reduction(&parts[0], way.bounds) + self.reduction(&parts[1], way.bounds)
                        - before;
                    if gain > best.as_ref().map_or(self.config.min_split_gain, |best| best.gain) {
                        let middle = (left + right) * 0.5;
                        best = Some(Cut { gain, column, bin, missing_left, middle, parts });
                    }
                }
            }
        }
        best
    }

    fn grow(&self) -> Vec<Node> {
        let rows: Vec<usize> = (0..self.features.nrows()).collect();
        let root = Way { depth: 0, bounds: [f64::NEG_INFINITY, f64::INFINITY], columns: Vec::new() };
        let mut nodes = vec![Node::leaf(self.value(&rows, root.bounds))];
        let mut leaves = vec![self.leaf(0, root, &rows)];
        while leaves.len() < self.config.max_leaf_nodes as usize {
            let level = |leaf: &Leaf| match self.config.grow_policy {
                GrowPolicy::LeafWise => 0,
                GrowPolicy::DepthWise => leaf.way.depth,
            };
            let gain = |leaf: &Leaf| leaf.best.as_ref().map_or(0.0, |cut| cut.gain);
            let next = (0..leaves.len()).filter(|&at| leaves[at].best.is_some()).min_by(|&a, &b| {
                let (a, b) = (&leaves[a], &leaves[b]);
                level(a).cmp(&level(b)).then(gain(b).total_cmp(&gain(a))).then(a.node.cmp(&b.node))
            });
            let Some(leaf) = next.map(|at| leaves.remove(at)) else { break };
            let Some(cut) = leaf.best else { break };
            let bins = &self.bins[cut.column];
            nodes[leaf.node] = Node {
                feature: cut.column as u32,
                threshold: if cut.bin + 1 < bins.len() { bins.cut(cut.bin) } else { f64::MAX },
                left: nodes.len() as u32,
                right: nodes.len() as u32 + 1,
                missing_left: cut.missing_left,
                ..Node::leaf(0.0)
            };
            for (side, rows) in cut.parts.into_iter().enumerate() {
                let mut way = leaf.way.clone();
                way.depth += 1;
                way.columns.push(cut.column);
                match self.directions[cut.column] {
                    0 => {}
                    // The end that the other side lies at: the upper one of the left where the score rises.
                    direction => way.bounds[usize::from((side == 0) == (direction > 0))] = cut.middle,
                }
                nodes.push(Node::leaf(self.value(&rows, way.bounds)));
                leaves.push(self.leaf(nodes.len() - 1, way, &rows));
            }
        }
        nodes
    }
}

/// Rows of few and many values, some of them missing, with a class that depends on several columns at once.
fn rows(count: usize, columns: usize, rng: Rng) -> (Array2<f64>, Vec<bool>) {
    let features = Array2::from_shape_fn((count, columns), |(row, column)| {
        let value = rng.uniform(column as u64, row as u64);
        let is_missing = column % 3 == 0 && rng.uniform(100 + column as u64, row as u64) < 0.2;
        if is_missing { f64::NAN } else { (value * [40.0, 4.0, 12.0][column % 3]).floor() }
    });
    let positive = (0..count).map(|row| {
        let logit: f64 = features
            .row(row)
            .iter()
            .enumerate()
            .map(|(column, value)| if value.is_nan() { 0.7 } else { (value * (1.0 + column as f64)).sin() })
            .sum();
        row == 0 || row != 1 && rng.uniform(200, row as u64) < 1.0 / (1.0 + (-logit).exp())
    });
    let positive = positive.collect();
    (features, positive)
}

fn name(column: usize) -> ColumnName {
    ColumnName::new(format!("column {column}")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn trees_are_those_of_a_plain_grower(
        seed in any::<u64>(),
        count in 20..150_usize,

        depth_wise in any::<bool>(),
        max_leaf_nodes in 2..24_u32,
        max_depth in prop::option::of(1..6_u32),
        min_samples_leaf in 1..6_u32,
        min_child_weight in prop_oneof![Just(0.0), 0.1..2.0_f64],
        l1_regularization in prop_oneof![Just(0.0), 0.1..2.0_f64],
        share in prop_oneof![Just(1.0), 0.3..1.0_f64],
        directions in prop_oneof![Just(vec![0; 4]), prop::collection::vec(-1..=1_i8, 4)],
        groups in prop::option::of(prop::collection::vec(prop::collection::btree_set(0..4_usize, 1..4), 1..4)),
    ) {
        let rng = Rng::from_u64(seed);
        let (features, positive) = rows(count, 4, rng);
        let config = GradientBoosting {
            grow_policy: if depth_wise { GrowPolicy::DepthWise } else { GrowPolicy::LeafWise },
            max_leaf_nodes, max_depth, min_samples_leaf, min_child_weight, l1_regularization,
            max_bins: 12,
            monotonic_cst: Some(
                (0..4).zip(&directions).map(|(at, &number)| (name(at), Direction::try_from(number).unwrap())).collect(),
            ),
            interaction_cst: groups.as_ref().map(|groups| {
                Interactions::Groups(groups.iter().map(|group| group.iter().copied().map(name).collect()).collect())
            }),
            ..GradientBoosting::default()
        };
        let mut groups: Vec<Vec<usize>> =
            groups.into_iter().flatten().map(|group| group.into_iter().collect()).collect();
        groups.push((0..4).filter(|column| !groups.iter().any(|group| group.contains(column))).collect());
        let weights: Vec<f64> = (0..count).map(|row| rng.uniform(300, row as u64)).collect();
        let frame = Frame::new(features.view(), &positive, Some(&weights)).unwrap();
        let loss = Loss::new(&frame, [1.0; 2]).unwrap();
        let mut gradients = vec![Gradient::default(); count];
        let drawn = |row: usize| rng.uniform(301, row as u64) < share;
        loss.gradients(0, &vec![0.0; count], Some(&drawn), &mut gradients);
        let codes = Codes::new(Binned::new(features.view(), config.max_bins as usize));
        let in_order = codes.order.arrange(&gradients);
        let plain = Plain {
            config: &config,
            features: &features,
            bins: codes.binned.bins(),
            gradients: &gradients,
            unit: loss.unit,
            directions: &directions,
            groups: &groups,
        };
        let rules = Rules::new(&config, loss.unit);
        let constraints = Constraints::new(&config, "", &[0, 1, 2, 3].map(name)).unwrap();
        let numbers = Categories::new(&frame, &config).unwrap();
        let mut grower = Grower::new(&codes, &numbers, &config, rules).under(constraints);
        prop_assert_eq!(grower.grow(&in_order, codes.histogram_of_all(&in_order), &[0, 1, 2, 3]).nodes, plain.grow());
    }
}
