//! Guards that need no row.

use contracts::{
    Code, Failure, Result,
    resolved_plan::ResolvedTrainPlan,
    time::{DAY, Timestamp},
};

use super::Audit;

pub(super) fn check(plan: &ResolvedTrainPlan, now: Timestamp, audit: &mut Audit) -> Result<()> {
    let split = &plan.training_config.split;
    let policy = &plan.governance_profile.leakage_policy;
    for labels in &plan.label_basis {
        if labels.label_asof_utc > now {
            return Err(Failure::at(
                Code::LabelAsofInFuture,
                "/label_basis/label_asof_utc",
                "a moment in the past",
                "one that is still to come",
            ));
        }
        if labels.maturity_days < policy.min_maturity_days {
            return Err(Failure::at(
                Code::LabelImmature,
                "/label_basis/maturity_days",
                format!("at least {} days, as the profile asks", policy.min_maturity_days),
                format!("{} days", labels.maturity_days),
            ));
        }
        let mature_until =
            labels.label_asof_utc.nanoseconds().saturating_sub(i64::from(labels.maturity_days) * DAY);
        if split.test.end.nanoseconds() > mature_until {
            return Err(Failure::at(
                Code::LabelImmature,
                "/split/test",
                format!("a window that ends {} days before the as-of cut", labels.maturity_days),
                "one that ends later",
            ));
        }
    }
    audit.note(Code::LabelAsofInFuture, plan.label_basis.len())?;
    audit.note(Code::LabelImmature, plan.label_basis.len())?;

    let windows: Vec<_> = [
        Some(("train", split.train)),
        split.validation.map(|window| ("validation", window)),
        Some(("test", split.test)),
    ]
    .into_iter()
    .flatten()
    .collect();
    // A label is final once it is mature: until then the next window would begin on labels that nobody had yet.
    let maturity = plan.label_basis.iter().map(|labels| i64::from(labels.maturity_days) * DAY).max();
    let least = split.gap.nanoseconds().max(policy.min_gap.nanoseconds()).max(maturity.unwrap_or(0));
    for pair in windows.windows(2) {
        let [(before, earlier), (after, later)] = pair else { continue };
        let between = later.start.nanoseconds().saturating_sub(earlier.end.nanoseconds());
        if between < 0 {
            return Err(Failure::at(
                Code::SplitOverlap,
                format!("/split/{after}"),
                format!("a start after the end of {before}"),
                "an earlier one",
            ));
        }
        if between < least {
            return Err(Failure::at(
                Code::EmbargoViolation,
                format!("/split/{after}"),
                format!("a start {} seconds after the end of {before}", least / 1_000_000_000),
                format!("{} seconds", between / 1_000_000_000),
            )
            .with_hint(
                "The longest of the config's gap, the profile's least gap and the labels' maturity counts.",
            ));
        }
    }
    if split.gap.nanoseconds() < policy.min_gap.nanoseconds() {
        return Err(Failure::at(
            Code::EmbargoViolation,
            "/split/gap",
            format!("at least {}, as the profile asks", policy.min_gap),
            split.gap.to_string(),
        ));
    }
    audit.note(Code::SplitOverlap, windows.len())?;
    audit.note(Code::EmbargoViolation, windows.len())
}
