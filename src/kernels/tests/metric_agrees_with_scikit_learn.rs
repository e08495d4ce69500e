//! The metrics held against scikit-learn's and scipy's own answers, to 1e-12.
//!
//! `tests/evaluate/make_metric_golden.py` writes the answers.
#![allow(clippy::unwrap_used, clippy::panic)]

use kernels::metric::{Bins, Confusion, Probabilities, Ranking, Scored, kolmogorov_smirnov};
use serde_json::Value;

const GOLDEN: &str = include_str!("metric_golden.json");
const TOLERANCE: f64 = 1e-12;

fn golden(part: &str) -> Vec<Value> {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    golden[part].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Calls `check` with every case that has an answer under `key`.
fn each(key: &str, check: impl Fn(&Value, &Scored, &Checker)) {
    let cases = golden("scored");
    let answered = cases.iter().filter(|case| !case[key].is_null());
    let mut checked = 0;
    for case in answered {
        let scores = numbers(&case["scores"]);
        let positive: Vec<_> = numbers(&case["positive"]).iter().map(|&label| label > 0.0).collect();
        let weights = (!case["weights"].is_null()).then(|| numbers(&case["weights"]));
        let scored = Scored::new(&scores, &positive, weights.as_deref()).unwrap();
        check(&case[key], &scored, &Checker(format!("{key} of {}", case["name"])));
        checked += 1;
    }
    assert!(checked >= 5, "{key} was checked {checked} times");
}

/// Names what is compared.
struct Checker(String);

impl Checker {
    fn close(&self, found: f64, expected: f64) {
        assert!((found - expected).abs() <= TOLERANCE, "{}: {found} instead of {expected}", self.0);
    }

    fn all_close(&self, found: &[f64], expected: &Value) {
        let expected = numbers(expected);
        assert_eq!(found.len(), expected.len(), "{}", self.0);
        found.iter().zip(expected).for_each(|(&found, expected)| self.close(found, expected));
    }

    fn agree(&self, found: Option<f64>, expected: &Value) {
        match (found, expected.as_f64()) {
            (Some(found), Some(expected)) => self.close(found, expected),
            (found, expected) => assert_eq!(found, expected, "{}", self.0),
        }
    }
}

#[test]
fn roc_auc() {
    each("roc_auc", |expected, scored, checker| {
        checker.close(Ranking::new(scored).unwrap().roc_auc(), expected.as_f64().unwrap());
    });
}

#[test]
fn average_precision() {
    each("average_precision", |expected, scored, checker| {
        checker.close(Ranking::new(scored).unwrap().average_precision(), expected.as_f64().unwrap());
    });
}

#[test]
fn log_loss() {
    each("log_loss", |expected, scored, checker| {
        checker.close(Probabilities::new(scored).unwrap().log_loss(), expected.as_f64().unwrap());
    });
}

#[test]
fn brier() {
    each("brier", |expected, scored, checker| {
        checker.close(Probabilities::new(scored).unwrap().brier(), expected.as_f64().unwrap());
    });
}

#[test]
fn recall_at_false_positive_rates() {
    each("recall_at", |expected, scored, checker| {
        let ranking = Ranking::new(scored).unwrap();
        for pair in expected.as_array().unwrap() {
            let found = ranking.recall_at_false_positive_rate(pair[0].as_f64().unwrap()).unwrap();
            checker.close(found, pair[1].as_f64().unwrap());
        }
    });
}

#[test]
fn precision_recall_and_f1_at_thresholds() {
    each("at_threshold", |expected, scored, checker| {
        for answers in expected.as_array().unwrap() {
            let found = Confusion::at(scored, answers[0].as_f64().unwrap()).unwrap();
            checker.agree(found.precision(), &answers[1]);
            checker.agree(found.recall(), &answers[2]);
            checker.agree(found.f1(), &answers[3]);
        }
    });
}

#[test]
fn roc_curve() {
    each("roc", |expected, scored, checker| {
        let points = Ranking::new(scored).unwrap().roc_curve(usize::MAX).collect::<Vec<_>>();
        let rates: Vec<_> = points.iter().map(|point| point.false_positive_rate).collect();
        checker.all_close(&rates, &expected[0]);
        let rates: Vec<_> = points.iter().map(|point| point.true_positive_rate).collect();
        checker.all_close(&rates, &expected[1]);
    });
}

#[test]
fn precision_recall_curve() {
    each("precision_recall", |expected, scored, checker| {
        let points = Ranking::new(scored).unwrap().precision_recall_curve(usize::MAX).collect::<Vec<_>>();
        let precisions: Vec<_> = points.iter().map(|point| point.precision).collect();
        checker.all_close(&precisions, &expected[0]);
        let recalls: Vec<_> = points.iter().map(|point| point.recall).collect();
        checker.all_close(&recalls, &expected[1]);
    });
}

#[test]
fn reliability_diagram() {
    each("reliability", |expected, scored, checker| {
        let bins = Probabilities::new(scored).unwrap().reliability(Bins::Width(8)).unwrap().bins;
        let foreseen: Vec<_> = bins.iter().map(|bin| bin.mean_score).collect();
        checker.all_close(&foreseen, &expected[0]);
        let observed: Vec<_> = bins.iter().map(|bin| bin.observed_rate).collect();
        checker.all_close(&observed, &expected[1]);
    });
}

#[test]
fn two_sample_distance() {
    for case in golden("samples") {
        let found = kolmogorov_smirnov(&numbers(&case["reference"]), &numbers(&case["current"])).unwrap();
        Checker(format!("distance of {}", case["name"])).agree(found, &case["statistic"]);
    }
}
