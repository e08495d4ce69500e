//! Which steps bring an older ledger up to date, whatever database keeps it.
//!
//! Invariant: a ledger is at one of the versions that this release knows; one of a newer release is refused
//! rather than guessed at.

use contracts::{Code, Failure, Result};

use super::Absent;

/// The migrations that a ledger of this version still needs; there is none yet at version 0.
pub(super) fn missing<'a>(
    version: i64,
    absent: Absent,
    migrations: &'a [&'static str],
) -> Result<&'a [&'static str]> {
    if version == 0 && absent == Absent::Refuse {
        return Err(none());
    }
    usize::try_from(version).ok().and_then(|version| migrations.get(version..)).ok_or_else(|| {
        let detail = format!("the ledger has version {version}, and this release knows {}", migrations.len());
        Failure::new(Code::LedgerCorrupt, detail)
            .with_hint("Open the ledger with the release that wrote it, or a later one.")
    })
}

/// Refuses a place that holds no ledger.
pub(super) fn none() -> Failure {
    Failure::at(Code::SourceUnreadable, "ledger", "the ledger of a factory", "none there")
        .with_hint("Name the place of a factory that was made before, its ledger and its keys.")
}
