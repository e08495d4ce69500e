//! The ledger's tables and how older ones are brought up to date.
//!
//! Invariant: a ledger is at one of the versions listed here, and all steps up are one transaction, so that a
//! crash leaves the version before.

use contracts::Result;
use rusqlite::{Connection, TransactionBehavior};

use super::{super::versions, trouble};

/// What brings a ledger from each version to the next; the first makes it. Never edited, only appended to.
pub(super) const MIGRATIONS: &[&str] =
    &[include_str!("v1.sql"), include_str!("v2.sql"), include_str!("v3.sql"), include_str!("v4.sql")];

/// Brings the ledger to the version that these migrations lead to.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&'static str]) -> Result<()> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(trouble)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(trouble)?;
    for migration in versions::missing(version, migrations)? {
        transaction.execute_batch(migration).map_err(trouble)?;
    }
    transaction.pragma_update(None, "user_version", migrations.len() as i64).map_err(trouble)?;
    transaction.commit().map_err(trouble)
}
