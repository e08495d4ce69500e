//! The anchors' table.

use contracts::{Code, Digest, Failure, Result, identity::recipe, scope::TargetScope};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use super::{super::Anchor, SqliteLedger, trouble};
use crate::ledger::Anchors;

/// What the digest of a row covers: the recipe `ledger_anchor.v1`.
#[derive(Serialize)]
struct AnchorRow<'a> {
    scope: &'a str,
    sequence: u64,
    event: String,
}

impl AnchorRow<'_> {
    fn digest(&self) -> Result<Digest<Self>> {
        recipe::derive("ledger_anchor.v1", self)
    }
}

impl Anchors for SqliteLedger {
    fn anchor(&self, scope: &TargetScope) -> Result<Option<Anchor>> {
        let scope = scope.to_string();
        self.read(|transaction| find(transaction, &scope))
    }

    fn raise(&self, scope: &TargetScope, anchor: Anchor) -> Result<()> {
        let scope = scope.to_string();
        self.write(|transaction, _| {
            if find(transaction, &scope)?.is_some_and(|standing| standing.sequence >= anchor.sequence) {
                return Ok(());
            }
            let row = AnchorRow { scope: &scope, sequence: anchor.sequence, event: anchor.event.to_string() };
            let digest = row.digest()?.to_string();
            let sql = "INSERT INTO anchors (scope, sequence, event, digest) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (scope) DO UPDATE SET sequence = ?2, event = ?3, digest = ?4";
            transaction
                .prepare_cached(sql)
                .and_then(|mut insert| insert.execute((row.scope, row.sequence as i64, row.event, digest)))
                .map_err(trouble)
                .map(drop)
        })
    }

    fn anchored(&self) -> Result<Vec<TargetScope>> {
        self.read(|transaction| all(transaction)?.iter().map(|(scope, _)| scope.parse()).collect())
    }
}

/// Compares every anchor with its digest.
pub(super) fn verify(connection: &Connection) -> Result<()> {
    all(connection).map(drop)
}

fn all(connection: &Connection) -> Result<Vec<(String, Anchor)>> {
    let mut statement = connection
        .prepare("SELECT scope, sequence, event, digest FROM anchors ORDER BY scope")
        .map_err(trouble)?;
    let rows = statement.query_map([], |row| Ok(read(row))).map_err(trouble)?;
    rows.map(|row| row.map_err(trouble)?).collect()
}

fn find(connection: &Connection, scope: &str) -> Result<Option<Anchor>> {
    let row = connection
        .prepare_cached("SELECT scope, sequence, event, digest FROM anchors WHERE scope = ?1")
        .and_then(|mut statement| statement.query_row((scope,), |row| Ok(read(row))).optional())
        .map_err(trouble)?;
    row.map(|row| row.map(|(_, anchor)| anchor)).transpose()
}

fn read(row: &Row<'_>) -> Result<(String, Anchor)> {
    let cells = || -> rusqlite::Result<(String, i64, String, String)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    };
    let (scope, sequence, event, digest) = cells().map_err(|_| corrupt())?;
    let sequence = u64::try_from(sequence).map_err(|_| corrupt())?;
    if (AnchorRow { scope: &scope, sequence, event: event.clone() }).digest()?.to_string() != digest {
        return Err(corrupt());
    }
    let event = event.parse().map_err(|_| corrupt())?;
    Ok((scope, Anchor { sequence, event }))
}

fn corrupt() -> Failure {
    Failure::new(Code::LedgerCorrupt, "the anchor of a scope does not match its digest")
}
