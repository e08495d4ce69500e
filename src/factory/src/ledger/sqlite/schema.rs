//! The ledger's tables and how older ones are brought up to date.
//!
//! Invariant: a ledger is at one of the versions listed here, and each step up is one transaction, so that a
//! crash leaves the version before. A ledger of a newer release is refused rather than guessed at.

use contracts::{Code, Failure, Result};
use rusqlite::{Connection, TransactionBehavior};

use super::trouble;

/// What brings a ledger from each version to the next; the first makes it. Never edited, only appended to.
pub(super) const MIGRATIONS: &[&str] =
    &[include_str!("v1.sql"), include_str!("v2.sql"), include_str!("v3.sql"), include_str!("v4.sql")];

/// Brings the ledger to the version that these migrations lead to.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<()> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(trouble)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(trouble)?;
    let missing =
        usize::try_from(version).ok().and_then(|version| migrations.get(version..)).ok_or_else(|| {
            let detail =
                format!("the ledger has version {version}, and this release knows {}", migrations.len());
            Failure::new(Code::LedgerCorrupt, detail)
                .with_hint("Open the ledger with the release that wrote it, or a later one.")
        })?;
    for migration in missing {
        transaction.execute_batch(migration).map_err(trouble)?;
    }
    transaction.pragma_update(None, "user_version", migrations.len() as i64).map_err(trouble)?;
    transaction.commit().map_err(trouble)
}
