//! Each criterion against the report: finite and on the passing side, or it fails.

use contracts::{
    Checked,
    eval_report::{Estimate, EvalReport, Metrics},
    gate_receipt::{ChampionResult, CriterionResult, Reason, Verdict},
    governance_profile::{ChampionComparison, Comparison, Criterion, JudgedOn, SliceSelection},
    identity::ids::BundleId,
    metric::SplitName,
};

/// The bundle to beat with its report.
pub(super) type Champion = (BundleId, Checked<EvalReport>);

/// The results of one criterion: one, or one for each group of a slice that is judged whole.
pub(super) fn judge(criterion: &Criterion, report: &EvalReport) -> Vec<CriterionResult> {
    let result = |group: Option<u32>, metrics: Option<&Metrics>| {
        let observed = metrics
            .and_then(|metrics| metrics.get(criterion.metric.as_str()))
            .and_then(|estimate| pick(estimate, criterion.judged_on));
        let (verdict, reason) = verdict(observed, criterion.comparison, criterion.threshold);
        CriterionResult {
            criterion: criterion.clone(),
            group,
            observed: observed.filter(|value| value.is_finite()),
            verdict,
            reason,
        }
    };
    let split = report.split(criterion.split);
    match &criterion.slice {
        None => vec![result(None, split.map(|split| &split.metrics))],
        Some(SliceSelection { column, group }) => {
            let groups: Vec<_> = split
                .into_iter()
                .flat_map(|split| &split.slices)
                .filter(|slice| slice.column == *column && group.is_none_or(|group| group == slice.group))
                .map(|slice| result(Some(slice.group), Some(&slice.metrics)))
                .collect();
            if groups.is_empty() { vec![result(*group, None)] } else { groups }
        }
    }
}

/// A gate written as "fail if below" would pass NaN; this one passes what is finite and on the right side.
fn verdict(observed: Option<f64>, comparison: Comparison, threshold: f64) -> (Verdict, Reason) {
    match observed {
        Some(value) if value.is_finite() && holds(value, comparison, threshold) => {
            (Verdict::Pass, Reason::Met)
        }
        Some(value) if value.is_finite() => (Verdict::Fail, Reason::NotMet),
        _ => (Verdict::Fail, Reason::Missing),
    }
}

fn holds(value: f64, comparison: Comparison, threshold: f64) -> bool {
    match comparison {
        Comparison::AtLeast => value >= threshold,
        Comparison::AtMost => value <= threshold,
    }
}

fn pick(estimate: &Estimate, judged_on: JudgedOn) -> Option<f64> {
    match judged_on {
        JudgedOn::Point => estimate.value,
        JudgedOn::LowerBound => estimate.lower,
        JudgedOn::UpperBound => estimate.upper,
    }
}

/// The candidate beside the champion. Without a champion there is nothing to beat; a value that is missing on
/// either side fails.
pub(super) fn against_champion(
    comparison: &ChampionComparison,
    report: &EvalReport,
    champion: Option<&Champion>,
) -> ChampionResult {
    let value = |report: &EvalReport| {
        report
            .split(SplitName::Test)
            .and_then(|split| split.metrics.get(comparison.metric.as_str()))
            .and_then(|estimate| estimate.value)
            .filter(|value| value.is_finite())
    };
    let candidate_value = value(report);
    let champion_value = champion.and_then(|(_, report)| value(report));
    let improvement =
        candidate_value.zip(champion_value).map(|(candidate, champion)| match comparison.comparison {
            Comparison::AtLeast => candidate - champion,
            Comparison::AtMost => champion - candidate,
        });
    let passes = champion.is_none()
        || improvement
            .is_some_and(|improvement| improvement.is_finite() && improvement >= comparison.min_improvement);
    let (champion, champion_report) =
        champion.map(|(bundle, report)| (bundle.clone(), report.digest())).unzip();
    ChampionResult {
        champion,
        champion_report,
        metric: comparison.metric.clone(),
        champion_value,
        candidate_value,
        min_improvement: comparison.min_improvement,
        verdict: if passes { Verdict::Pass } else { Verdict::Fail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_absence_fail_both_ways() {
        for comparison in [Comparison::AtLeast, Comparison::AtMost] {
            for observed in [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
                assert_eq!(verdict(observed, comparison, 0.5), (Verdict::Fail, Reason::Missing));
            }
        }
    }

    #[test]
    fn the_threshold_itself_passes() {
        assert_eq!(verdict(Some(0.5), Comparison::AtLeast, 0.5), (Verdict::Pass, Reason::Met));
        assert_eq!(verdict(Some(0.5), Comparison::AtMost, 0.5), (Verdict::Pass, Reason::Met));
        assert_eq!(verdict(Some(0.4), Comparison::AtLeast, 0.5), (Verdict::Fail, Reason::NotMet));
        assert_eq!(verdict(Some(0.6), Comparison::AtMost, 0.5), (Verdict::Fail, Reason::NotMet));
    }
}
