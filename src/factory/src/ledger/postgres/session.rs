//! One connection, and a transaction that is open on it.
//!
//! Flows in: an address, statements. Flows out: rows, and what became of the transaction. Invariants: every
//! answer is waited for within a bound; what a transaction rests on (isolation, durability, the schema) is
//! said by each transaction itself, whatever the server, the role or a pooler between has set; of what is sent
//! together, in its order, the first thing that fails is what failed.

use std::{collections::BTreeMap, error::Error, future::Future, mem, time::Duration};

use bytes::BytesMut;
use contracts::{Code, Failure, Result, time::Timestamp};
use futures_util::future::{join, join_all};
use tokio::{runtime::Runtime, time::timeout};
use tokio_postgres::{
    Client, NoTls, Row, SimpleQueryMessage, Statement,
    types::{IsNull, ToSql, Type, to_sql_checked},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    address::Address,
    trouble::{Standing, Trouble, silent, trouble},
};
use crate::{
    clock::Clock,
    ledger::database::{Cell, Columns, Lock, Query, Transaction, Unreadable},
};

/// How long to wait for any one answer.
const ANSWER: Duration = Duration::from_mins(1);

/// Rows that are added together at the most.
const MOST_INSERTS: usize = 16;
/// The present moment of the server, in nanoseconds.
const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000";

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// A connection that serves: a server of an age and in a state that a ledger can rest on.
pub(super) struct Session {
    client: Client,
    statements: BTreeMap<String, Statement>,
    /// The setting of `synchronous_commit` that writes are to have.
    durability: &'static str,
}

impl Session {
    /// Connects within the address's bound, and looks at who answers.
    pub(super) fn connect(runtime: &Runtime, address: &Address) -> Result<Self> {
        let connecting = async {
            match address.tls.clone() {
                None => {
                    let (client, connection) = address.config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    Ok(client)
                }
                Some(tls) => {
                    let (client, connection) = address.config.connect(MakeRustlsConnect::new(tls)).await?;
                    tokio::spawn(connection);
                    Ok(client)
                }
            }
        };
        let client = wait(runtime, address.patience, connecting).map_err(|trouble| trouble.failure)?;
        let settings = "SELECT current_setting('server_version_num')::bigint, current_setting('fsync'),
            current_setting('server_encoding'), current_setting('synchronous_commit')";
        let row =
            wait(runtime, ANSWER, client.query_one(settings, &[])).map_err(|trouble| trouble.failure)?;
        let durability = required(row.get(0), [row.get(1), row.get(2), row.get(3)])?;
        Ok(Self { client, statements: BTreeMap::new(), durability })
    }

    /// What starts a transaction: everything that it rests on, in one message.
    fn start(&self, purpose: Purpose) -> String {
        let kind = match purpose {
            Purpose::Read => "ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Purpose::Write => "ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        // Who stopped in the middle of a write keeps the others from its run for ten seconds.
        format!(
            "BEGIN {kind}; SET LOCAL search_path = model_factory, pg_temp; \
             SET LOCAL synchronous_commit = {}; SET LOCAL lock_timeout = '30s'; \
             SET LOCAL idle_in_transaction_session_timeout = '10s'",
            self.durability
        )
    }
}

/// The setting of `synchronous_commit` that holds here; a server that would lose what it acknowledged is refused.
pub(super) fn required(version: i64, [fsync, encoding, commit]: [&str; 3]) -> Result<&'static str> {
    let refuse = |what: &str| Err(Failure::new(Code::LedgerUnavailable, what).lasting());
    if version < 140_000 {
        return refuse("the ledger's server is older than PostgreSQL 14");
    }
    if fsync != "on" {
        return refuse("the ledger's server runs with fsync off, and would lose what it acknowledged");
    }
    if encoding != "UTF8" {
        return refuse("the ledger's database is not in UTF-8");
    }
    Ok(if commit == "remote_apply" { "remote_apply" } else { "on" })
}

/// Waits for an answer, and not for ever.
fn wait<T>(
    runtime: &Runtime,
    bound: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Trouble> {
    match runtime.block_on(async { timeout(bound, answer).await }) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(trouble(&error)),
        Err(_) => Err(silent(bound)),
    }
}

/// A transaction that is open.
pub(super) struct Open<'a> {
    pub(super) session: Session,
    /// What the last failure of the database left of the transaction.
    pub(super) standing: Standing,
    runtime: &'a Runtime,
    clock: Option<&'a dyn Clock>,
    /// Rows that are added with whatever is asked next.
    inserts: Vec<(Statement, Vec<Cell>)>,
    /// The moment of the server once it had locked the last row.
    locked_at: Option<Timestamp>,
}

impl<'a> Open<'a> {
    pub(super) fn begin(
        session: Session,
        purpose: Purpose,
        (runtime, clock): (&'a Runtime, Option<&'a dyn Clock>),
    ) -> Result<Self> {
        let start = session.start(purpose);
        let (inserts, locked_at) = (Vec::new(), None);
        let mut open = Self { session, standing: Standing::Whole, runtime, clock, inserts, locked_at };
        open.batch(&start)?;
        Ok(open)
    }

    /// Ends the transaction. Where the answer is lost, nobody can say whether it stands.
    pub(super) fn commit(&mut self) -> Result<()> {
        if self.standing != Standing::Whole {
            return Err(Failure::new(Code::InternalError, "a write went on after the database refused it"));
        }
        self.batch("COMMIT").map_err(|mut failure| {
            if self.standing == Standing::Broken {
                failure.detail.push_str("; the write may stand, and can be sent again");
            }
            failure
        })
    }

    /// Takes everything back; none if the connection is of no more use.
    pub(super) fn roll_back(mut self) -> Option<Session> {
        if self.standing == Standing::Broken {
            return None;
        }
        self.inserts.clear();
        self.batch("ROLLBACK").ok().map(|()| self.session)
    }

    /// Statements without parameters, whose rows nobody looks at.
    pub(super) fn batch(&mut self, sql: &str) -> Result<()> {
        self.ask(async |client| client.batch_execute(sql).await)
    }

    /// The number that a query answers.
    pub(super) fn integer(&mut self, sql: &str) -> Result<i64> {
        number(&self.ask(async |client| client.simple_query(sql).await)?)
    }

    fn statement(&mut self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.session.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.ask(async |client| client.prepare(sql).await)?;
        self.session.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Sends what is to be added and one thing more, without waiting in between, and waits for all answers.
    fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T> {
        let inserts = mem::take(&mut self.inserts);
        let client = &self.session.client;
        let added =
            join_all(inserts.iter().map(|(statement, cells)| async move {
                client.execute(statement, &parameters(cells)).await
            }));
        let answers = async {
            let (added, answer) = join(added, question(client)).await;
            added.into_iter().collect::<Result<Vec<_>, _>>().and(answer)
        };
        let answer = wait(self.runtime, ANSWER, answers);
        self.noted(answer)
    }

    fn noted<T>(&mut self, answer: Result<T, Trouble>) -> Result<T> {
        answer.map_err(|trouble| {
            self.standing = trouble.standing;
            trouble.failure
        })
    }
}

/// The number that is all of an answer.
fn number(messages: &[SimpleQueryMessage]) -> Result<i64> {
    let number = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    number.ok_or_else(|| Failure::new(Code::LedgerCorrupt, "the ledger gave an answer of another form"))
}

fn parameters(cells: &[Cell]) -> Vec<&(dyn ToSql + Sync)> {
    cells.iter().map(|cell| cell as _).collect()
}

impl Transaction for Open<'_> {
    fn now(&mut self) -> Result<Timestamp> {
        match (self.clock, self.locked_at) {
            (Some(clock), _) => Ok(clock.now()),
            (None, Some(moment)) => Ok(moment),
            (None, None) => self.integer(CLOCK).map(Timestamp::from_nanoseconds),
        }
    }

    fn select(
        &mut self,
        query: Query,
        cells: &[Cell],
        take: &mut dyn FnMut(&dyn Columns) -> Result<()>,
    ) -> Result<()> {
        let lock = match query.lock {
            Lock::None => "",
            Lock::Rows => " FOR UPDATE",
            Lock::FreeRows => " FOR UPDATE SKIP LOCKED",
        };
        let statement = self.statement(&format!("{}{lock}", query.sql))?;
        let cells = parameters(cells);
        let rows = if query.lock == Lock::None || self.clock.is_some() {
            self.ask(async |client| client.query(&statement, &cells).await)?
        } else {
            // Whoever locks a row decides by the moment at which it was locked: the server tells both at once.
            let (rows, moment) = self.ask(async |client| {
                let (rows, moment) = join(client.query(&statement, &cells), client.simple_query(CLOCK)).await;
                rows.and_then(|rows| Ok((rows, moment?)))
            })?;
            self.locked_at = Some(Timestamp::from_nanoseconds(number(&moment)?));
            rows
        };
        rows.iter().try_for_each(|row| take(row))
    }

    fn insert(&mut self, sql: &'static str, cells: &[Cell]) -> Result<()> {
        if self.inserts.len() == MOST_INSERTS {
            self.ask(async |_| Ok(()))?;
        }
        let statement = self.statement(sql)?;
        self.inserts.push((statement, cells.to_vec()));
        Ok(())
    }

    fn execute(&mut self, sql: &'static str, cells: &[Cell]) -> Result<u64> {
        let statement = self.statement(sql)?;
        self.ask(async |client| client.execute(&statement, &parameters(cells)).await)
    }

    fn check(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Columns for Row {
    fn text(&self, column: &str) -> Result<Option<String>, Unreadable> {
        self.try_get(column).map_err(|_| Unreadable)
    }

    fn integer(&self, column: &str) -> Result<Option<i64>, Unreadable> {
        self.try_get(column).map_err(|_| Unreadable)
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
