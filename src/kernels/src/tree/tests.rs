#![allow(clippy::unwrap_used, clippy::float_cmp)]

use contracts::{
    Code,
    model_config::{ClassWeight, DecisionTree},
};
use ndarray::{Array2, array};
use proptest::prelude::*;

use super::*;
use crate::{ensemble::Node, forest::predict_proba, progress::Silent};

fn fit_on(
    config: &DecisionTree,
    features: &Array2<f64>,
    positive: &[bool],
    weights: Option<&[f64]>,
) -> Ensemble {
    fit(config, &Frame::new(features.view(), positive, weights).unwrap(), &Silent).unwrap()
}

fn nodes(tree: &Ensemble) -> &[Node] {
    tree.trees().next().unwrap()
}

#[test]
fn xor_is_learnt_although_its_first_split_gains_nothing() {
    let features = array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
    let tree = fit_on(&DecisionTree::default(), &features, &[false, true, true, false], None);
    assert_eq!(predict_proba(&tree, features.view()).unwrap().to_vec(), [0.0, 1.0, 1.0, 0.0]);
    let root = nodes(&tree)[0];
    assert_eq!((root.feature, root.threshold, root.value), (0, 0.5, 0.5));
}

#[test]
fn thresholds_lie_half_way_between_values_of_the_node() {
    // 5 stands in the right half only, so that the left half's cut ignores it.
    let features = array![[0.0, 1.0], [0.0, 9.0], [7.0, 5.0], [7.0, 5.0]];
    let tree = fit_on(&DecisionTree::default(), &features, &[false, true, true, true], None);
    let inner: Vec<_> = nodes(&tree)
        .iter()
        .filter(|node| !node.is_leaf())
        .map(|node| (node.feature, node.threshold))
        .collect();
    assert_eq!(inner, [(1, 3.0)]);
    let features = array![[0.0, 1.0], [0.0, 9.0], [7.0, 5.0], [7.0, 1.0]];
    let tree = fit_on(&DecisionTree::default(), &features, &[false, true, false, false], None);
    assert_eq!((nodes(&tree)[0].feature, nodes(&tree)[0].threshold), (1, 7.0));
}

#[test]
fn limits_hold() {
    let features = Array2::from_shape_fn((64, 1), |(row, _)| row as f64);
    let positive: Vec<bool> = (0..64).map(|row| row % 2 == 0).collect();
    let count = |config: &DecisionTree| nodes(&fit_on(config, &features, &positive, None)).len();
    let unlimited = DecisionTree::default();
    assert_eq!(count(&unlimited), 127);
    assert_eq!(count(&DecisionTree { max_depth: Some(1), ..unlimited.clone() }), 3);
    assert_eq!(count(&DecisionTree { min_samples_split: 65, ..unlimited.clone() }), 1);
    assert_eq!(count(&DecisionTree { min_samples_leaf: 33, ..unlimited.clone() }), 1);
    assert_eq!(count(&DecisionTree { min_samples_leaf: 32, ..unlimited }), 3);
}

#[test]
fn a_tree_may_be_as_deep_as_it_has_rows() {
    // Where labels alternate, no split is better than parting off one row at an end.
    let rows = 5_000;
    let features = Array2::from_shape_fn((rows, 1), |(row, _)| row as f64);
    let positive: Vec<bool> = (0..rows).map(|row| row % 2 == 0).collect();
    let tree = fit_on(&DecisionTree::default(), &features, &positive, None);
    let nodes = nodes(&tree);
    let mut depths = vec![0; nodes.len()];
    for (position, node) in nodes.iter().enumerate().filter(|(_, node)| !node.is_leaf()) {
        depths[node.left as usize] = depths[position] + 1;
        depths[node.right as usize] = depths[position] + 1;
    }
    assert!(depths.iter().max() > Some(&1_000), "{:?}", depths.iter().max());
    let scores = predict_proba(&tree, features.view()).unwrap();
    assert!(scores.iter().zip(&positive).all(|(score, positive)| (*score == 1.0) == *positive));
}

#[test]
fn balanced_classes_meet_at_one_half() {
    let features = array![[0.0], [0.0], [0.0], [0.0]];
    let config = DecisionTree { class_weight: ClassWeight::Balanced, ..DecisionTree::default() };
    let tree = fit_on(&config, &features, &[true, false, false, false], Some(&[2.0, 1.0, 1.0, 0.5]));
    assert!((nodes(&tree)[0].value - 0.5).abs() < 1e-12);
}

#[test]
fn missing_values_are_refused() {
    let features = array![[0.0, 0.0], [0.0, f64::NAN]];
    let frame = Frame::new(features.view(), &[true, false], None).unwrap();
    let failure = fit(&DecisionTree::default(), &frame, &Silent).unwrap_err();
    assert_eq!((failure.code, failure.problems[0].pointer.as_str()), (Code::NonFiniteInput, "features/1"));
}

type Rows = Vec<([u8; 3], bool, u8)>;

/// Few values, so that ties, constants and rows that nothing parts all occur.
fn rows() -> impl Strategy<Value = Rows> {
    prop::collection::vec((prop::array::uniform3(0..6_u8), any::<bool>(), 1..4_u8), 2..40)
        .prop_filter("both classes", |rows: &Rows| {
            rows.iter().any(|row| row.1) && rows.iter().any(|row| !row.1)
        })
}

/// Features, labels and weights of rows, each row repeated as often as `times` says.
fn parts(rows: &Rows, times: impl Fn(&([u8; 3], bool, u8)) -> usize) -> (Array2<f64>, Vec<bool>, Vec<f64>) {
    let rows: Vec<_> = rows.iter().flat_map(|row| std::iter::repeat_n(row, times(row))).collect();
    let features = Array2::from_shape_fn((rows.len(), 3), |(row, column)| {
        let value = f64::from(rows[row].0[column]);
        value * value * value
    });
    let positive = rows.iter().map(|row| row.1).collect();
    (features, positive, rows.iter().map(|row| f64::from(row.2)).collect())
}

/// Weighted Gini impurity of both sides after a split, by its definition; `None` where a side is too small.
fn impurity(
    rows: &[usize],
    positive: &[bool],
    weights: &[f64],
    least: usize,
    left: impl Fn(usize) -> bool,
) -> Option<f64> {
    let mut sum = 0.0;
    for side in [true, false] {
        let rows: Vec<usize> = rows.iter().copied().filter(|&row| left(row) == side).collect();
        if rows.len() < least {
            return None;
        }
        let total: f64 = rows.iter().map(|&row| weights[row]).sum();
        let share = rows.iter().filter(|&&row| positive[row]).map(|&row| weights[row]).sum::<f64>() / total;
        sum += total * (1.0 - share * share - (1.0 - share) * (1.0 - share));
    }
    Some(sum)
}

proptest! {
    #[test]
    fn every_split_is_the_best_of_all(rows in rows(), least in 1..4_usize) {
        let (features, positive, weights) = parts(&rows, |_| 1);
        let config = DecisionTree { min_samples_leaf: least as u32, ..DecisionTree::default() };
        let tree = fit_on(&config, &features, &positive, Some(&weights));
        let nodes = nodes(&tree);
        let mut stack = vec![(0, (0..rows.len()).collect::<Vec<usize>>())];
        while let Some((position, here)) = stack.pop() {
            let node: &Node = &nodes[position];
            let best = (0..3)
                .flat_map(|column| here.iter().map(move |&row| (column, row)))
                .filter_map(|(column, row)| {
                    impurity(&here, &positive, &weights, least, |other| {
                        features[[other, column]] <= features[[row, column]]
                    })
                })
                .min_by(f64::total_cmp);
            let total: f64 = here.iter().map(|&row| weights[row]).sum();
            let share = here.iter().filter(|&&row| positive[row]).map(|&row| weights[row]).sum::<f64>() / total;
            prop_assert_eq!(node.value, share);
            if node.is_leaf() {
                prop_assert!(share == 0.0 || share == 1.0 || best.is_none());
                continue;
            }
            let goes_left = |row: usize| features[[row, node.feature as usize]] <= node.threshold;
            let found = impurity(&here, &positive, &weights, least, goes_left);
            prop_assert!((found.unwrap() - best.unwrap()).abs() < 1e-9, "{:?} {:?}", found, best);
            let (left, right) = here.into_iter().partition(|&row| goes_left(row));
            stack.extend([(node.left as usize, left), (node.right as usize, right)]);
        }
    }

    #[test]
    fn weights_repeat_rows(rows in rows()) {
        let (features, positive, weights) = parts(&rows, |_| 1);
        let (repeated, labels, _) = parts(&rows, |row| usize::from(row.2));
        let config = DecisionTree::default();
        let weighted = fit_on(&config, &features, &positive, Some(&weights));
        prop_assert_eq!(weighted, fit_on(&config, &repeated, &labels, None));
    }

    #[test]
    fn rows_in_any_order_grow_one_tree(rows in rows()) {
        let (features, positive, weights) = parts(&rows, |_| 1);
        let turned: Rows = rows.iter().rev().copied().collect();
        let (features_turned, positive_turned, weights_turned) = parts(&turned, |_| 1);
        let config = DecisionTree::default();
        prop_assert_eq!(
            fit_on(&config, &features, &positive, Some(&weights)),
            fit_on(&config, &features_turned, &positive_turned, Some(&weights_turned))
        );
    }

    #[test]
    fn distinct_rows_are_learnt_by_heart(labels in prop::collection::vec(any::<bool>(), 2..200)) {
        prop_assume!(labels.contains(&true) && labels.contains(&false));
        let features = Array2::from_shape_fn((labels.len(), 2), |(row, column)| {
            if column == 0 { (row % 7) as f64 } else { (row / 7) as f64 }
        });
        let tree = fit_on(&DecisionTree::default(), &features, &labels, None);
        let scores = predict_proba(&tree, features.view()).unwrap();
        for (score, label) in scores.iter().zip(labels) {
            prop_assert_eq!(*score, f64::from(u8::from(label)));
        }
    }
}
