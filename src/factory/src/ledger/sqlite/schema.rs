//! The ledger's tables and how older ones are brought up to date.
//!
//! Invariant: a ledger is at one of the versions listed here, and all steps up are one transaction, so that a
//! crash leaves the version before.

use contracts::{Code, Failure, Result};
use rusqlite::{Connection, TransactionBehavior};

use super::{
    super::{Absent, versions},
    trouble::trouble,
};

/// What brings a ledger from each version to the next; the first makes it. Never edited, only appended to.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("v1.sql"),
    include_str!("v2.sql"),
    include_str!("v3.sql"),
    include_str!("v4.sql"),
    include_str!("v5.sql"),
];

/// What a ledger still needs; refuses one that is to be there and is not.
pub(super) fn missing(connection: &Connection, absent: Absent) -> Result<&'static [&'static str]> {
    versions::missing(version(connection)?, absent, MIGRATIONS)
}

/// Brings the ledger to the version that these migrations lead to.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&'static str]) -> Result<()> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(trouble)?;
    for migration in versions::missing(version(&transaction)?, Absent::Make, migrations)? {
        transaction.execute_batch(migration).map_err(trouble)?;
    }
    transaction.pragma_update(None, "user_version", migrations.len() as i64).map_err(trouble)?;
    transaction.commit().map_err(trouble)
}

/// Refuses a ledger that this release would first have to bring up to date, which takes writing.
pub(super) fn require_current(connection: &Connection) -> Result<()> {
    if missing(connection, Absent::Refuse)?.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Code::LedgerUnavailable,
        "the ledger is of an earlier release, and can only be read here",
    )
    .with_hint("Open it once with this release where it can be written to.")
    .lasting())
}

fn version(connection: &Connection) -> Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(trouble)
}
