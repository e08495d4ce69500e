//! Which steps bring an older ledger up to date, whatever database keeps it.
//!
//! Invariant: a ledger is at one of the versions that this release knows; one of a newer release is refused
//! rather than guessed at.

use contracts::{Code, Failure, Result};

/// The migrations that a ledger of this version still needs.
pub(super) fn missing<'a>(version: i64, migrations: &'a [&'static str]) -> Result<&'a [&'static str]> {
    usize::try_from(version).ok().and_then(|version| migrations.get(version..)).ok_or_else(|| {
        let detail = format!("the ledger has version {version}, and this release knows {}", migrations.len());
        Failure::new(Code::LedgerCorrupt, detail)
            .with_hint("Open the ledger with the release that wrote it, or a later one.")
    })
}
