//! Rows of the ledger's tables on their way out.
//!
//! Invariant: a row that is read was compared with its digest or hash; one that cannot be read, or does not
//! match, is `LEDGER_CORRUPT`, and never a value.

use std::str::FromStr;

use contracts::{Code, Digest, Failure, Result, identity::canonical, time::Timestamp};

use super::{
    anchor::AnchorRow,
    database::Columns,
    event::{Event, EventKind},
    run::{Holder, RequestRow, Run, corrupt},
    signer::SignerRow,
    state::{Mode, Progress, State},
};

const UNEQUAL: &str = "a row does not match its digest";

/// A row with the name that failures call it by.
pub(super) struct Cells<'row> {
    row: &'row dyn Columns,
    run: String,
}

impl<'row> Cells<'row> {
    pub(super) fn of(row: &'row dyn Columns) -> Self {
        let run = row.text("run_id").ok().flatten().unwrap_or_else(|| "of unreadable id".to_owned());
        Self { row, run }
    }

    fn unreadable(&self, column: &str) -> Failure {
        corrupt(&self.run, &format!("the column {column} cannot be read"))
    }

    fn optional_text(&self, column: &str) -> Result<Option<String>> {
        self.row.text(column).map_err(|_| self.unreadable(column))
    }

    fn optional_integer(&self, column: &str) -> Result<Option<i64>> {
        self.row.integer(column).map_err(|_| self.unreadable(column))
    }

    pub(super) fn text(&self, column: &str) -> Result<String> {
        self.optional_text(column)?.ok_or_else(|| self.unreadable(column))
    }

    fn integer(&self, column: &str) -> Result<i64> {
        self.optional_integer(column)?.ok_or_else(|| self.unreadable(column))
    }

    fn parsed<T: FromStr>(&self, column: &str) -> Result<T> {
        self.text(column)?.parse().map_err(|_| self.unreadable(column))
    }

    fn optional<T: FromStr>(&self, column: &str) -> Result<Option<T>> {
        let text = self.optional_text(column)?;
        text.map(|text| text.parse().map_err(|_| self.unreadable(column))).transpose()
    }

    fn chosen<T>(&self, column: &str, choose: fn(&str) -> Option<T>) -> Result<T> {
        choose(&self.text(column)?).ok_or_else(|| self.unreadable(column))
    }

    fn count(&self, column: &str) -> Result<u64> {
        u64::try_from(self.integer(column)?)
            .ok()
            .filter(|count| *count <= canonical::MAX_INTEGER)
            .ok_or_else(|| self.unreadable(column))
    }

    fn flag(&self, column: &str) -> Result<bool> {
        match self.integer(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.unreadable(column)),
        }
    }

    fn time(&self, column: &str) -> Result<Timestamp> {
        self.integer(column).map(Timestamp::from_nanoseconds)
    }

    fn reason(&self) -> Result<Option<Code>> {
        let text = self.optional_text("reason")?;
        text.map(|text| {
            let code = Code::ALL.iter().find(|code| code.as_str() == text);
            code.copied().ok_or_else(|| self.unreadable("reason"))
        })
        .transpose()
    }

    fn holder(&self) -> Result<Option<Holder>> {
        match (self.optional("worker")?, self.optional_integer("lease_expires")?) {
            (Some(worker), Some(expires)) => {
                Ok(Some(Holder { worker, expires_at: Timestamp::from_nanoseconds(expires) }))
            }
            (None, None) => Ok(None),
            _ => Err(self.unreadable("worker")),
        }
    }

    fn compare(&self, computed: &str) -> Result<()> {
        if self.text("digest")? == computed { Ok(()) } else { Err(corrupt(&self.run, UNEQUAL)) }
    }
}

/// What is read from the rows of one table.
pub(super) trait FromCells: Sized {
    fn read(cells: &Cells<'_>) -> Result<Self>;
}

/// A run's row that was not compared with its digest yet.
pub(super) struct Unchecked {
    run: Run,
    digest: String,
}

impl Unchecked {
    /// The run, once its row was compared.
    pub(super) fn checked(self) -> Result<Run> {
        if self.run.row_digest()?.to_string() == self.digest {
            Ok(self.run)
        } else {
            Err(corrupt(self.run.run_id.as_str(), UNEQUAL))
        }
    }
}

impl FromCells for Run {
    fn read(cells: &Cells<'_>) -> Result<Self> {
        Unchecked::read(cells)?.checked()
    }
}

impl FromCells for Unchecked {
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
            request: cells.text("request")?.into_bytes(),
        };
        Ok(Self { run, digest: cells.text("digest")? })
    }
}

impl FromCells for Event {
    fn read(cells: &Cells<'_>) -> Result<Self> {
        let detail = cells.text("detail")?;
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
            request_id: cells.text("request_id")?,
            payload_hash: cells.text("payload_hash")?,
            run_id: cells.text("run_id")?,
            requester: cells.text("requester")?,
            publish_allowed: cells.flag("publish_allowed")?,
            submitted_at: cells.time("submitted_at")?,
            sequence: cells.count("sequence")?,
        };
        cells.compare(&request.row_digest()?.to_string()).map(|()| request)
    }
}

impl FromCells for AnchorRow {
    fn read(cells: &Cells<'_>) -> Result<Self> {
        whole(
            "the anchor of a scope",
            cells,
            |cells| {
                Ok(Self {
                    scope: cells.text("scope")?,
                    sequence: cells.count("sequence")?,
                    event: cells.text("event")?,
                })
            },
            Self::digest,
        )
    }
}

impl FromCells for SignerRow {
    fn read(cells: &Cells<'_>) -> Result<Self> {
        whole(
            "the row of a signer",
            cells,
            |cells| {
                Ok(Self {
                    sequence: cells.count("sequence")?,
                    key: cells.text("key")?,
                    admitted_at: cells.time("admitted_at")?,
                })
            },
            Self::digest,
        )
    }
}

/// A row of no run, named as it is to be called, once it was compared with its digest.
fn whole<T>(
    name: &str,
    cells: &Cells<'_>,
    read: impl FnOnce(&Cells<'_>) -> Result<T>,
    digest: fn(&T) -> Result<Digest<T>>,
) -> Result<T> {
    let wrong = || Failure::new(Code::LedgerCorrupt, format!("{name} does not match its digest"));
    let row = read(cells).map_err(|_| wrong())?;
    let stated = cells.text("digest").map_err(|_| wrong())?;
    if digest(&row)?.to_string() == stated { Ok(row) } else { Err(wrong()) }
}

/// A row of which only the run's id is asked for.
pub(super) struct RunId(pub(super) String);

impl FromCells for RunId {
    fn read(cells: &Cells<'_>) -> Result<Self> {
        cells.text("run_id").map(Self)
    }
}
