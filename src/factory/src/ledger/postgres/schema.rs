//! The ledger's tables and how older ones are brought up to date.
//!
//! Invariant: a ledger is at one of the versions listed here, and all steps up are one transaction, so that a
//! crash leaves the version before. Whoever migrates holds the advisory lock, and others wait for it.
//! A role that may change no tables can work in a ledger that is up to date.

use contracts::Result;

use super::{
    super::{Absent, versions},
    transaction::Open,
};

/// What brings a ledger from each version to the next; the first makes it. Never edited, only appended to.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("v1.sql"), include_str!("v2.sql")];

/// Brings the ledger to the version that these migrations lead to; the transaction is the caller's.
pub(super) fn migrate(open: &mut Open<'_>, absent: Absent, migrations: &[&'static str]) -> Result<()> {
    // The number says nothing: it only has to be the same in every release.
    open.batch("SELECT pg_advisory_xact_lock(7811887436511)")?;
    let there =
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'model_factory' AND tablename = 'versions'";
    let version = match open.integer(there)? {
        0 => 0,
        _ => open.integer("SELECT coalesce(max(version), 0) FROM model_factory.versions")?,
    };
    let missing = versions::missing(version, absent, migrations)?;
    if version == 0 {
        open.batch(
            "CREATE SCHEMA IF NOT EXISTS model_factory; \
             CREATE TABLE IF NOT EXISTS model_factory.versions (version bigint NOT NULL PRIMARY KEY)",
        )?;
    }
    for (step, migration) in (version + 1..).zip(missing) {
        open.batch(migration)?;
        open.batch(&format!("INSERT INTO model_factory.versions (version) VALUES ({step})"))?;
    }
    Ok(())
}
