//! Statements as they are sent to the server.
//!
//! Flows in: a text and its parameters. Flows out: rows. Invariant: a name stands for a text in one process of the server, and
//! is used where that is known to be the one at the other end; elsewhere each statement brings its text.

use tokio_postgres::{Client, Error, Row, Statement, types::ToSql};

use crate::ledger::database::Cell;

/// A statement on its way.
#[derive(Clone)]
pub(super) enum Sent {
    /// By the name that it was prepared under.
    Named(Statement),
    /// With its text.
    Text(String),
}

impl Sent {
    /// The rows that it finds, or answers with.
    pub(super) async fn rows(
        &self,
        client: &Client,
        cells: impl Iterator<Item = &Cell>,
    ) -> Result<Vec<Row>, Error> {
        match self {
            Self::Named(statement) => {
                let cells: Vec<_> = cells.map(|cell| cell as &(dyn ToSql + Sync)).collect();
                client.query(statement, &cells).await
            }
            Self::Text(sql) => {
                let cells: Vec<_> = cells.map(|cell| (cell as &(dyn ToSql + Sync), cell.kind())).collect();
                client.query_typed(sql, &cells).await
            }
        }
    }
}
