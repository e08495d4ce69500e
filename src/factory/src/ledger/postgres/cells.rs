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

impl Cell {
    /// The type that it has where nobody prepared the statement; the server finds out that of nothing by its place.
    pub(super) fn kind(&self) -> Type {
        match self {
            Self::Null => Type::UNKNOWN,
            Self::Integer(_) => Type::INT8,
            Self::Text(_) => Type::TEXT,
        }
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
