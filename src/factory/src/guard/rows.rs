//! Guards that look at every row.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicUsize, Ordering},
};

use contracts::{Code, Failure, Result, resolved_plan::ResolvedTrainPlan};
use kernels::metric::{Scored, separates};
use ndarray::ArrayView1;
use rayon::prelude::*;

use super::{Audit, Window};
use crate::dataset::Moments;

/// Labels are known by the cut, and features know nothing from after their event: what was seen of the rows as they were
/// read. Counts, so that it does not show who looked at which rows first.
#[derive(Debug)]
pub(super) struct Seen {
    /// The as-of cut.
    cut: i64,
    rows: AtomicUsize,
    /// Labels observed after the cut.
    late: AtomicUsize,
    /// Labels that nobody observed.
    timeless: AtomicUsize,
    /// Rows whose features know of later than their event.
    ahead: AtomicUsize,
}

impl Seen {
    pub(super) fn new(plan: &ResolvedTrainPlan) -> Self {
        let cuts = plan.label_basis.iter().map(|labels| labels.label_asof_utc.nanoseconds());
        Self::by(cuts.min().unwrap_or(i64::MIN))
    }

    fn by(cut: i64) -> Self {
        let none = AtomicUsize::default;
        Self { cut, rows: none(), late: none(), timeless: none(), ahead: none() }
    }

    /// Looks at some rows.
    pub(super) fn look(&self, moments: &Moments<'_>) {
        let Moments { event_time, feature_asof, label, label_observed_time } = moments;
        let add = |to: &AtomicUsize, rows| to.fetch_add(rows, Ordering::Relaxed);
        add(&self.rows, event_time.len());
        add(
            &self.late,
            label_observed_time.iter().flatten().filter(|&&observed| observed > self.cut).count(),
        );
        let labels = label.iter().zip(*label_observed_time);
        add(&self.timeless, labels.filter(|(label, observed)| label.is_some() && observed.is_none()).count());
        add(&self.ahead, feature_asof.iter().zip(*event_time).filter(|(asof, event)| asof > event).count());
    }

    /// Refuses what was seen and must not be; all `rows` were to be looked at.
    pub(super) fn check(self, rows: usize, audit: &mut Audit) -> Result<()> {
        let [seen, late, timeless, ahead] =
            [self.rows, self.late, self.timeless, self.ahead].map(AtomicUsize::into_inner);
        if seen != rows {
            return Err(Failure::new(Code::InternalError, "the guards were not shown every row"));
        }
        if late > 0 {
            return Err(Failure::at(
                Code::LabelAfterAsof,
                "label_observed_time",
                "at or before the as-of cut",
                format!("{late} labels observed later"),
            ));
        }
        if timeless > 0 {
            return Err(Failure::at(
                Code::LabelAfterAsof,
                "label_observed_time",
                "a time for each label",
                format!("{timeless} labels without one"),
            ));
        }
        audit.note(Code::LabelAfterAsof, seen)?;
        if ahead > 0 {
            return Err(Failure::at(
                Code::FeatureAfterEvent,
                "feature_asof",
                "at or before the event",
                format!("{ahead} rows that know more"),
            ));
        }
        audit.note(Code::FeatureAfterEvent, seen)?;
        // Reading the partitions has refused repeated event ids.
        audit.note(Code::DuplicateEvent, seen)
    }
}

/// No single feature may separate the training rows as only the label itself would.
pub(super) fn check_features(plan: &ResolvedTrainPlan, train: &Window, audit: &mut Audit) -> Result<()> {
    let limit = plan.governance_profile.leakage_policy.max_single_feature_auc;
    let suspects = (0..plan.features.len())
        .into_par_iter()
        .map(|index| {
            // A missing value ranks below all others, so that missingness that tells the label is seen too.
            let values = lowest_where_missing(train.features.column(index));
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

fn lowest_where_missing(column: ArrayView1<'_, f64>) -> Cow<'_, [f64]> {
    match column.to_slice() {
        // Without a branch for each value, so that several are looked at together.
        Some(values) if !values.iter().fold(false, |missing, value| missing | value.is_nan()) => {
            values.into()
        }
        _ => column.iter().map(|&value| if value.is_nan() { f64::MIN } else { value }).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const CUT: i64 = 100;

    #[derive(Clone)]
    struct Rows {
        event_time: Vec<i64>,
        feature_asof: Vec<i64>,
        label: Vec<Option<bool>>,
        label_observed_time: Vec<Option<i64>>,
    }

    fn rows() -> Rows {
        Rows {
            event_time: vec![10, 20],
            feature_asof: vec![10, 20],
            label: vec![Some(true), None],
            label_observed_time: vec![Some(CUT), None],
        }
    }

    fn look(seen: &Seen, rows: &Rows) {
        seen.look(&Moments {
            event_time: &rows.event_time,
            feature_asof: &rows.feature_asof,
            label: &rows.label,
            label_observed_time: &rows.label_observed_time,
        });
    }

    /// Reading refuses some of these rows already; the guard does not lean on it.
    #[test]
    fn each_row_is_looked_at_by_itself() {
        let code = |edit: fn(&mut Rows)| {
            let mut edited = rows();
            edit(&mut edited);
            let seen = Seen::by(CUT);
            // What is wrong may stand in any batch.
            look(&seen, &edited);
            look(&seen, &rows());
            seen.check(4, &mut Audit::default()).err().map(|failure| failure.code)
        };
        assert_eq!(code(|_| {}), None);
        assert_eq!(code(|rows| rows.label_observed_time[0] = Some(CUT + 1)), Some(Code::LabelAfterAsof));
        assert_eq!(code(|rows| rows.label_observed_time[1] = Some(CUT + 1)), Some(Code::LabelAfterAsof));
        assert_eq!(code(|rows| rows.label_observed_time[0] = None), Some(Code::LabelAfterAsof));
        assert_eq!(code(|rows| rows.feature_asof[1] = 21), Some(Code::FeatureAfterEvent));
        assert_eq!(code(|rows| rows.feature_asof[1] = 19), None);
    }

    #[test]
    fn a_row_that_nobody_was_shown_stops_the_run() {
        let seen = Seen::by(CUT);
        look(&seen, &rows());
        assert_eq!(seen.check(3, &mut Audit::default()).unwrap_err().code, Code::InternalError);
    }

    #[test]
    fn what_is_missing_ranks_below_all_others() {
        let column = ndarray::arr1(&[1.0, f64::NAN, -2.0]);
        assert_eq!(*lowest_where_missing(column.view()), [1.0, f64::MIN, -2.0]);
        assert_eq!(*lowest_where_missing(column.slice(ndarray::s![2..])), [-2.0]);
    }
}
