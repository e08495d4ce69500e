//! Rows of the ledger's tables, in and out.
//!
//! Invariant: a row that is read was compared with its digest or hash; one that cannot be read, or does not
//! match, is `LEDGER_CORRUPT`, and never a value.

use std::str::FromStr;

use contracts::{
    Code, Failure, Result, identity::canonical, identity::ids::TrainRunId, names::RequestId, time::Timestamp,
};
use rusqlite::{
    Connection, OptionalExtension, Params, Row, ToSql,
    types::{FromSql, Value},
};

use super::{
    super::{
        event::{Event, EventKind},
        run::{Holder, RequestRow, Run, corrupt, lease_lost},
        state::{Mode, Progress, State},
    },
    trouble,
};

/// A row with the name that failures call it by.
struct Cells<'row> {
    row: &'row Row<'row>,
    run: String,
}

impl<'row> Cells<'row> {
    fn of(row: &'row Row<'row>) -> Self {
        Self { row, run: row.get("run_id").unwrap_or_else(|_| "of unreadable id".to_owned()) }
    }

    fn unreadable(&self, column: &str) -> Failure {
        corrupt(&self.run, &format!("the column {column} cannot be read"))
    }

    fn cell<T: FromSql>(&self, column: &str) -> Result<T> {
        self.row.get(column).map_err(|_| self.unreadable(column))
    }

    fn parsed<T: FromStr>(&self, column: &str) -> Result<T> {
        self.cell::<String>(column)?.parse().map_err(|_| self.unreadable(column))
    }

    fn optional<T: FromStr>(&self, column: &str) -> Result<Option<T>> {
        let text: Option<String> = self.cell(column)?;
        text.map(|text| text.parse().map_err(|_| self.unreadable(column))).transpose()
    }

    fn chosen<T>(&self, column: &str, choose: fn(&str) -> Option<T>) -> Result<T> {
        choose(&self.cell::<String>(column)?).ok_or_else(|| self.unreadable(column))
    }

    fn count(&self, column: &str) -> Result<u64> {
        u64::try_from(self.cell::<i64>(column)?)
            .ok()
            .filter(|count| *count <= canonical::MAX_INTEGER)
            .ok_or_else(|| self.unreadable(column))
    }

    fn flag(&self, column: &str) -> Result<bool> {
        match self.cell::<i64>(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.unreadable(column)),
        }
    }

    fn time(&self, column: &str) -> Result<Timestamp> {
        self.cell(column).map(Timestamp::from_nanoseconds)
    }

    fn reason(&self) -> Result<Option<Code>> {
        let text: Option<String> = self.cell("reason")?;
        text.map(|text| {
            let code = Code::ALL.iter().find(|code| code.as_str() == text);
            code.copied().ok_or_else(|| self.unreadable("reason"))
        })
        .transpose()
    }

    fn holder(&self) -> Result<Option<Holder>> {
        match (self.optional("worker")?, self.cell::<Option<i64>>("lease_expires")?) {
            (Some(worker), Some(expires)) => {
                Ok(Some(Holder { worker, expires_at: Timestamp::from_nanoseconds(expires) }))
            }
            (None, None) => Ok(None),
            _ => Err(self.unreadable("worker")),
        }
    }

    fn compare(&self, computed: &str) -> Result<()> {
        if self.cell::<String>("digest")? == computed {
            Ok(())
        } else {
            Err(corrupt(&self.run, "a row does not match its digest"))
        }
    }
}

/// What is read from the rows of one table.
trait FromCells: Sized {
    fn read(cells: &Cells<'_>) -> Result<Self>;
}

impl FromCells for Run {
    fn read(cells: &Cells<'_>) -> Result<Self> {
        let run = Run {
            run_id: cells.parsed("run_id")?,
            run_key: cells.parsed("run_key")?,
            progress: Progress {
                state: cells.chosen("state", State::from_text)?,
                mode: cells.chosen("mode", Mode::from_text)?,
                epoch: cells.count("epoch")?,
                publish_allowed: cells.flag("publish_allowed")?,
                full_attempts: cells.count("full_attempts")?,
                publish_attempts: cells.count("publish_attempts")?,
            },
            holder: cells.holder()?,
            reason: cells.reason()?,
            submitted_at: cells.time("submitted_at")?,
            updated_at: cells.time("updated_at")?,
            events: cells.count("events")?,
            head: cells.parsed("head")?,
            request: cells.cell::<String>("request")?.into_bytes(),
        };
        cells.compare(&run.row_digest()?.to_string()).map(|()| run)
    }
}

impl FromCells for Event {
    fn read(cells: &Cells<'_>) -> Result<Self> {
        let detail: String = cells.cell("detail")?;
        let event = Event {
            run_id: cells.parsed("run_id")?,
            sequence: cells.count("sequence")?,
            kind: cells.chosen("kind", EventKind::from_text)?,
            state: cells.chosen("state", State::from_text)?,
            mode: cells.chosen("mode", Mode::from_text)?,
            epoch: cells.count("epoch")?,
            publish_allowed: cells.flag("publish_allowed")?,
            recorded_at: cells.time("recorded_at")?,
            reason: cells.reason()?,
            detail: canonical::read(detail.as_bytes()).map_err(|_| cells.unreadable("detail"))?,
            previous: cells.optional("previous")?,
            hash: cells.parsed("hash")?,
        };
        if event.detail_text()? == detail { Ok(event) } else { Err(cells.unreadable("detail")) }
    }
}

impl FromCells for RequestRow {
    fn read(cells: &Cells<'_>) -> Result<Self> {
        let request = RequestRow {
            request_id: cells.cell("request_id")?,
            payload_hash: cells.cell("payload_hash")?,
            run_id: cells.cell("run_id")?,
            requester: cells.cell("requester")?,
            publish_allowed: cells.flag("publish_allowed")?,
            submitted_at: cells.time("submitted_at")?,
            sequence: cells.count("sequence")?,
        };
        cells.compare(&request.row_digest()?.to_string()).map(|()| request)
    }
}

fn select<T: FromCells>(connection: &Connection, sql: &str, parameters: impl Params) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(trouble)?;
    let mut rows = statement.query(parameters).map_err(trouble)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(trouble)? {
        found.push(T::read(&Cells::of(row))?);
    }
    Ok(found)
}

pub(super) fn run(connection: &Connection, id: &TrainRunId) -> Result<Option<Run>> {
    select(connection, "SELECT * FROM runs WHERE run_id = ?1", [id.as_str()]).map(|mut runs| runs.pop())
}

/// As the index `runs_waiting` has them: whatever a worker could take up, the one that has waited longest first.
pub(super) const WAITING: &str = "SELECT * FROM runs INDEXED BY runs_waiting
    WHERE state IN ('QUEUED', 'RUNNING', 'EVAL_READY', 'PASS', 'PUBLISH_PENDING')
      AND (state <> 'PASS' OR publish_allowed = 1)
      AND (state <> 'PUBLISH_PENDING' OR publish_attempts <= 3)
    ORDER BY updated_at, run_id";

/// What is made of the first waiting run of which something is made. Runs behind it are not read.
pub(super) fn first_waiting<T>(
    connection: &Connection,
    mut take: impl FnMut(&Run) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(WAITING).map_err(trouble)?;
    let mut rows = statement.query([]).map_err(trouble)?;
    while let Some(row) = rows.next().map_err(trouble)? {
        if let Some(taken) = take(&Run::read(&Cells::of(row))?)? {
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

pub(super) const LATEST: &str = "SELECT * FROM runs ORDER BY submitted_at DESC, run_id LIMIT ?1";
/// Two texts rather than one with a condition on its parameter, which no index could serve.
pub(super) const LATEST_IN_STATE: &str =
    "SELECT * FROM runs WHERE state = ?2 ORDER BY submitted_at DESC, run_id LIMIT ?1";

pub(super) fn latest(connection: &Connection, state: Option<State>, limit: u32) -> Result<Vec<Run>> {
    match state {
        None => select(connection, LATEST, [limit]),
        Some(state) => select(connection, LATEST_IN_STATE, (limit, state.as_str())),
    }
}

pub(super) const AT_REST_SINCE: &str = "SELECT * FROM runs INDEXED BY runs_at_rest
    WHERE state IN ('PASS', 'FAIL', 'PUBLISHED') AND updated_at >= ?1
    ORDER BY updated_at";

pub(super) fn at_rest_since(connection: &Connection, moment: Timestamp) -> Result<Vec<Run>> {
    select(connection, AT_REST_SINCE, [moment.nanoseconds()])
}

pub(super) fn all_runs(connection: &Connection) -> Result<Vec<Run>> {
    select(connection, "SELECT * FROM runs ORDER BY run_id", [])
}

pub(super) fn events(connection: &Connection, id: &TrainRunId) -> Result<Vec<Event>> {
    let sql = "SELECT * FROM events WHERE run_id = ?1 ORDER BY sequence";
    select(connection, sql, [id.as_str()])
}

pub(super) fn request(connection: &Connection, id: &RequestId) -> Result<Option<RequestRow>> {
    let sql = "SELECT * FROM requests WHERE request_id = ?1";
    select(connection, sql, [id.as_str()]).map(|mut requests| requests.pop())
}

pub(super) fn requests(connection: &Connection, id: &TrainRunId) -> Result<Vec<RequestRow>> {
    let sql = "SELECT * FROM requests WHERE run_id = ?1 ORDER BY sequence";
    select(connection, sql, [id.as_str()])
}

/// The run that a row belongs to whose run is not there, if there is such a row.
pub(super) fn orphan(connection: &Connection) -> Result<Option<String>> {
    let sql = "SELECT run_id FROM events WHERE run_id NOT IN (SELECT run_id FROM runs)
        UNION SELECT run_id FROM requests WHERE run_id NOT IN (SELECT run_id FROM runs)";
    connection.query_row(sql, [], |row| row.get(0)).optional().map_err(trouble)
}

pub(super) fn insert_run(connection: &Connection, run: &Run) -> Result<()> {
    let sql = "INSERT INTO runs (run_id, run_key, request, state, mode, epoch, publish_allowed,
            full_attempts, publish_attempts, worker, lease_expires, reason, submitted_at, updated_at,
            events, head, digest)
        VALUES (:run_id, :run_key, :request, :state, :mode, :epoch, :publish_allowed,
            :full_attempts, :publish_attempts, :worker, :lease_expires, :reason, :submitted_at, :updated_at,
            :events, :head, :digest)";
    write_run(connection, sql, run, None).map(drop)
}

/// Replaces a run's row if it is still at this epoch, or refuses with `LEASE_LOST`.
pub(super) fn update_run(connection: &Connection, run: &Run, epoch: u64) -> Result<()> {
    let sql = "UPDATE runs SET run_key = :run_key, request = :request, state = :state, mode = :mode,
            epoch = :epoch, publish_allowed = :publish_allowed, full_attempts = :full_attempts,
            publish_attempts = :publish_attempts, worker = :worker, lease_expires = :lease_expires,
            reason = :reason, submitted_at = :submitted_at, updated_at = :updated_at, events = :events,
            head = :head, digest = :digest
        WHERE run_id = :run_id AND epoch = :fence";
    match write_run(connection, sql, run, Some(epoch))? {
        0 => Err(lease_lost(&run.run_id)),
        _ => Ok(()),
    }
}

fn write_run(connection: &Connection, sql: &str, run: &Run, fence: Option<u64>) -> Result<usize> {
    let mut cells = run_cells(run)?;
    cells.extend(fence.map(|fence| (":fence", Value::Integer(fence as i64))));
    let parameters: Vec<(&str, &dyn ToSql)> = cells.iter().map(|(name, value)| (*name, value as _)).collect();
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute(&*parameters)).map_err(trouble)
}

fn run_cells(run: &Run) -> Result<Vec<(&'static str, Value)>> {
    let request = String::from_utf8(run.request.clone())
        .map_err(|_| Failure::new(Code::InternalError, "a canonical request is UTF-8"))?;
    let (progress, holder) = (&run.progress, run.holder.as_ref());
    Ok(vec![
        (":run_id", run.run_id.to_string().into()),
        (":run_key", run.run_key.to_string().into()),
        (":request", request.into()),
        (":state", progress.state.to_string().into()),
        (":mode", progress.mode.to_string().into()),
        (":epoch", (progress.epoch as i64).into()),
        (":publish_allowed", progress.publish_allowed.into()),
        (":full_attempts", (progress.full_attempts as i64).into()),
        (":publish_attempts", (progress.publish_attempts as i64).into()),
        (":worker", holder.map(|holder| holder.worker.to_string()).into()),
        (":lease_expires", holder.map(|holder| holder.expires_at.nanoseconds()).into()),
        (":reason", run.reason.map(|code| code.to_string()).into()),
        (":submitted_at", run.submitted_at.nanoseconds().into()),
        (":updated_at", run.updated_at.nanoseconds().into()),
        (":events", (run.events as i64).into()),
        (":head", run.head.to_string().into()),
        (":digest", run.row_digest()?.to_string().into()),
    ])
}

pub(super) fn insert_event(connection: &Connection, event: &Event) -> Result<()> {
    let sql = "INSERT INTO events (run_id, sequence, kind, state, mode, epoch, publish_allowed, recorded_at,
            reason, detail, previous, hash)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let parameters = (
        event.run_id.as_str(),
        event.sequence as i64,
        event.kind.as_str(),
        event.state.as_str(),
        event.mode.as_str(),
        event.epoch as i64,
        event.publish_allowed,
        event.recorded_at.nanoseconds(),
        event.reason.map(Code::as_str),
        event.detail_text()?,
        event.previous.map(|previous| previous.to_string()),
        event.hash.to_string(),
    );
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(parameters))
        .map_err(trouble)
        .map(drop)
}

pub(super) fn insert_request(connection: &Connection, request: &RequestRow) -> Result<()> {
    let sql = "INSERT INTO requests (request_id, payload_hash, run_id, requester, publish_allowed,
            submitted_at, sequence, digest)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let parameters = (
        &request.request_id,
        &request.payload_hash,
        &request.run_id,
        &request.requester,
        request.publish_allowed,
        request.submitted_at.nanoseconds(),
        request.sequence as i64,
        request.row_digest()?.to_string(),
    );
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(parameters))
        .map_err(trouble)
        .map(drop)
}
