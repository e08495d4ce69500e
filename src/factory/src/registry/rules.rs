//! What each verb asks for, in one place: the registry asks before it records, a check of the whole history after.

use contracts::{
    Code, Failure, Result,
    governance_profile::{Allowed, GovernanceProfile},
    lifecycle_event::{BundleState, LifecycleKind},
    names::Principal,
};

use super::history::Entry;

/// Whether a principal may do this to a bundle that stands so in its scope, or is not there yet.
///
/// Refuses with `BUNDLE_NOT_FOUND`, `BUNDLE_RETIRED`, `PUBLISH_NOT_ALLOWED`, `ACTOR_NOT_ALLOWED`,
/// `FOUR_EYES_VIOLATION`, `APPROVAL_MISSING`, or with `INVALID_TRANSITION` where the bundle is so already.
pub(crate) fn permit(
    kind: LifecycleKind,
    entry: Option<&Entry>,
    profile: &GovernanceProfile,
    actor: &Principal,
) -> Result<()> {
    let roles = &profile.roles;
    if kind == LifecycleKind::BundlePublished {
        refuse_if(entry.is_some(), Code::InvalidTransition, "the bundle is PUBLISHED already")?;
        return allow(&roles.publish, actor, "publish")
            .map_err(|failure| failure.with_code(Code::PublishNotAllowed));
    }
    let Some(Entry { published, state, approver }) = entry else {
        return Err(Failure::new(Code::BundleNotFound, "it is not published in this scope"));
    };
    if *state == BundleState::Retired {
        let detail = format!("{} is retired in {}", published.bundle_id, published.target_scope);
        return Err(Failure::new(Code::BundleRetired, detail));
    }
    let active = *state == BundleState::Active;
    let own_approval = profile.four_eyes && approver.as_ref() == Some(actor);
    match kind {
        LifecycleKind::BundlePublished => Ok(()),
        LifecycleKind::BundleApproved => {
            allow(&roles.approve, actor, "approve")?;
            let own = published.actor == *actor || published.requester.as_ref() == Some(actor);
            refuse_if(
                profile.four_eyes && own,
                Code::FourEyesViolation,
                "who asked for it cannot approve it",
            )?;
            refuse_active(active, "an ACTIVE bundle needs no approval")
        }
        LifecycleKind::BundlePromotedActive => {
            allow(&roles.promote, actor, "promote")?;
            require_approval(approver.as_ref(), profile)?;
            refuse_if(own_approval, Code::FourEyesViolation, "the approver cannot promote")?;
            refuse_active(active, "the bundle is ACTIVE already")
        }
        LifecycleKind::BundleRolledBack => {
            allow(&roles.promote, actor, "roll back")?;
            refuse_if(own_approval, Code::FourEyesViolation, "the approver cannot bring it back")
        }
        LifecycleKind::BundleRetired => allow(&roles.promote, actor, "retire"),
    }
}

/// Refuses with `APPROVAL_MISSING` where the profile asks for an approval before a bundle serves and there is none.
pub(super) fn require_approval(approver: Option<&Principal>, profile: &GovernanceProfile) -> Result<()> {
    let unseen = approver.is_none() && (profile.approval_required || profile.four_eyes);
    refuse_if(unseen, Code::ApprovalMissing, "the governance profile asks for an approval first")
}

fn allow(allowed: &Allowed, actor: &Principal, verb: &str) -> Result<()> {
    let detail = format!("the governance profile does not let this actor {verb}");
    refuse_if(!allowed.allows(actor), Code::ActorNotAllowed, &detail)
}

/// A verb is an event with its own actor and reason. One that changes nothing would record a change that there was
/// not, or lose who asked and why: neither is an answer.
fn refuse_active(active: bool, detail: &str) -> Result<()> {
    refuse_if(active, Code::InvalidTransition, detail).map_err(|failure| {
        failure
            .with_hint("It serves its scope, and nothing is to be done: the scope's history says since when.")
    })
}

fn refuse_if(refused: bool, code: Code, detail: &str) -> Result<()> {
    if refused { Err(Failure::new(code, detail)) } else { Ok(()) }
}
