//! Guards that look at every row.

use contracts::{Code, Failure, Result, resolved_plan::ResolvedTrainPlan};
use kernels::metric::{Scored, separates};
use rayon::prelude::*;

use super::{Audit, Window};
use crate::dataset::Table;

/// Labels are known by the cut, and features know nothing from after their event.
pub(super) fn check(plan: &ResolvedTrainPlan, table: &Table, audit: &mut Audit) -> Result<()> {
    let cut =
        plan.label_basis.iter().map(|labels| labels.label_asof_utc.nanoseconds()).min().unwrap_or(i64::MIN);
    check_times(cut, table, audit)
}

fn check_times(cut: i64, table: &Table, audit: &mut Audit) -> Result<()> {
    let late = table.label_observed_time.iter().flatten().filter(|&&observed| observed > cut).count();
    if late > 0 {
        return Err(Failure::at(
            Code::LabelAfterAsof,
            "label_observed_time",
            "at or before the as-of cut",
            format!("{late} labels observed later"),
        ));
    }
    let timeless = table
        .label
        .iter()
        .zip(&table.label_observed_time)
        .filter(|(label, observed)| label.is_some() && observed.is_none())
        .count();
    if timeless > 0 {
        return Err(Failure::at(
            Code::LabelAfterAsof,
            "label_observed_time",
            "a time for each label",
            format!("{timeless} labels without one"),
        ));
    }
    audit.note(Code::LabelAfterAsof, table.rows())?;
    let ahead = table.feature_asof.iter().zip(&table.event_time).filter(|(asof, event)| asof > event).count();
    if ahead > 0 {
        return Err(Failure::at(
            Code::FeatureAfterEvent,
            "feature_asof",
            "at or before the event",
            format!("{ahead} rows that know more"),
        ));
    }
    audit.note(Code::FeatureAfterEvent, table.rows())?;
    // Reading the partitions has refused repeated event ids.
    audit.note(Code::DuplicateEvent, table.rows())
}

/// No single feature may separate the training rows as only the label itself would.
pub(super) fn check_features(plan: &ResolvedTrainPlan, train: &Window, audit: &mut Audit) -> Result<()> {
    let limit = plan.governance_profile.leakage_policy.max_single_feature_auc;
    let suspects = (0..plan.features.len())
        .into_par_iter()
        .map(|index| {
            // A missing value ranks below all others, so that missingness that tells the label is seen too.
            let values = train.features.column(index);
            let values: Vec<_> =
                values.iter().map(|&value| if value.is_nan() { f64::MIN } else { value }).collect();
            let suspected = separates(&Scored::new(&values, &train.positive, None)?, limit)?;
            Ok(suspected.then(|| plan.features[index].clone()))
        })
        .collect::<Result<Vec<_>>>()?;
    if let Some(name) = suspects.into_iter().flatten().next() {
        return Err(Failure::at(
            Code::TargetLeakageSuspected,
            name.as_str(),
            format!("a ROC AUC below {limit} on the training rows, taken alone"),
            "at least that",
        ));
    }
    audit.note(Code::TargetLeakageSuspected, plan.features.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;
    use crate::dataset::{Ids, LabelOutcome};

    const CUT: i64 = 100;

    fn table() -> Table {
        Table {
            event_ids: Ids::Int(vec![1, 2]),
            event_time: vec![10, 20],
            feature_asof: vec![10, 20],
            label: vec![Some(true), None],
            label_outcome: vec![LabelOutcome::Known, LabelOutcome::Censored],
            label_observed_time: vec![Some(CUT), None],
            entities: BTreeMap::new(),
            slices: BTreeMap::new(),
            weights: None,
        }
    }

    /// Reading refuses some of these tables already; the guard does not lean on it.
    #[test]
    fn each_row_is_looked_at_by_itself() {
        let code = |edit: fn(&mut Table)| {
            let mut table = table();
            edit(&mut table);
            check_times(CUT, &table, &mut Audit::default()).err().map(|failure| failure.code)
        };
        assert_eq!(code(|_| {}), None);
        assert_eq!(code(|table| table.label_observed_time[0] = Some(CUT + 1)), Some(Code::LabelAfterAsof));
        assert_eq!(code(|table| table.label_observed_time[1] = Some(CUT + 1)), Some(Code::LabelAfterAsof));
        assert_eq!(code(|table| table.label_observed_time[0] = None), Some(Code::LabelAfterAsof));
        assert_eq!(code(|table| table.feature_asof[1] = 21), Some(Code::FeatureAfterEvent));
        assert_eq!(code(|table| table.feature_asof[1] = 19), None);
    }
}
