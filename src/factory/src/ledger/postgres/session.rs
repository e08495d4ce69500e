//! One connection to a server that a ledger can rest on.
//!
//! Flows in: an address. Flows out: a connection, and what is known by it. Invariants: every answer is waited for within
//! a bound; a server that would lose what it acknowledged is refused.

use std::{collections::BTreeMap, future::Future, time::Duration};

use contracts::{Code, Failure, Result};
use tokio::{runtime::Runtime, time::timeout};
use tokio_postgres::{Client, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    address::Address,
    known::Known,
    statements,
    trouble::{Trouble, silent},
};

/// How long to wait for any one answer.
pub(super) const ANSWER: Duration = Duration::from_mins(1);

/// A connection that serves: a server of an age and in a state that a ledger can rest on.
pub(super) struct Session {
    pub(super) client: Client,
    /// The process of the server that is at the other end, in which statements are prepared; none where that may be now one
    /// and now another, and nothing is.
    pub(super) process: Option<i64>,
    pub(super) statements: BTreeMap<String, Statement>,
    /// The setting of `synchronous_commit` that writes are to have.
    pub(super) durability: &'static str,
    pub(super) known: Known,
    /// How often an answer was waited for.
    #[cfg(test)]
    pub(super) waits: u64,
}

impl Session {
    /// Connects within the address's bound, and looks at who answers.
    pub(super) fn connect(runtime: &Runtime, address: &Address) -> Result<Self> {
        let connecting = async {
            match address.tls.clone() {
                None => {
                    let (client, connection) = address.config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    Ok::<_, tokio_postgres::Error>(client)
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
            current_setting('server_encoding'), current_setting('synchronous_commit'), pg_backend_pid()::bigint";
        // By its text: where a pooler is, what is prepared now may be in another process of the server a moment later.
        let asking = client.query_typed_one(settings, &[]);
        let row = wait(runtime, ANSWER, asking).map_err(|trouble| trouble.failure)?;
        let durability = required(row.get(0), [row.get(1), row.get(2), row.get(3)])?;
        let settings = statements::settings("SET", durability);
        wait(runtime, ANSWER, client.batch_execute(&settings)).map_err(|trouble| trouble.failure)?;
        Ok(Self {
            client,
            process: Some(row.get(4)),
            statements: BTreeMap::new(),
            durability,
            known: Known::default(),
            #[cfg(test)]
            waits: 0,
        })
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
pub(super) fn wait<T, E: Into<Trouble>>(
    runtime: &Runtime,
    bound: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble> {
    match runtime.block_on(async { timeout(bound, answer).await }) {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(silent(bound)),
    }
}
