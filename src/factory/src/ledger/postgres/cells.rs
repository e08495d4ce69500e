//! Cells on their way to the server, and from it.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::{
    Row,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use crate::ledger::database::{Cell, Columns, Unreadable};

impl Columns for Row {
    fn text(&self, place: usize) -> Result<Option<&str>, Unreadable> {
        self.try_get(place).map_err(|_| Unreadable)
    }

    fn integer(&self, place: usize) -> Result<Option<i64>, Unreadable> {
        self.try_get(place).map_err(|_| Unreadable)
    }
}

impl ToSql for Cell {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(value) => value.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        <i64 as ToSql>::accepts(kind) || <String as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}
