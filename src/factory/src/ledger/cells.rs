//! Rows of the ledger's tables on their way out.
//!
//! Invariant: a row that is read was compared with its digest or hash; one that cannot be read, or does not
//! match, is `LEDGER_CORRUPT`, and never a value.

use std::{cell, str::FromStr};

use contracts::{Code, Digest, Failure, Result, identity::canonical, time::Timestamp};

use serde_json::Value;

use super::{
    anchor::AnchorRow,
    database::Columns,
    event::{Event, EventKind, detail_text},
    run::{Holder, RequestRow, Run, corrupt},
    signer::SignerRow,
    state::{Mode, Progress, State},
};

const UNEQUAL: &str = "a row does not match its digest";

/// The cells of a row, taken one after the other in the order in which its statement names the columns: what a reader
/// calls a cell is for failures alone, since looking each up by its name took a third of a long listing.
///
/// The first cell of what belongs to a run is the run's id.
pub(super) struct Cells<'row> {
    row: &'row dyn Columns,
    next: cell::Cell<usize>,
}

impl<'row> Cells<'row> {
    pub(super) fn of(row: &'row dyn Columns) -> Self {
        Self { row, next: cell::Cell::new(0) }
    }

    fn run(&self) -> &str {
        self.row.text(0).ok().flatten().unwrap_or("of unreadable id")
    }

    fn unreadable(&self, column: &str) -> Failure {
        corrupt(self.run(), &format!("the column {column} cannot be read"))
    }

    fn place(&self) -> usize {
        let place = self.next.get();
        self.next.set(place + 1);
        place
    }

    fn optional_text(&self, column: &str) -> Result<Option<&'row str>> {
        self.row.text(self.place()).map_err(|_| self.unreadable(column))
    }

    fn optional_integer(&self, column: &str) -> Result<Option<i64>> {
        self.row.integer(self.place()).map_err(|_| self.unreadable(column))
    }

    pub(super) fn text(&self, column: &str) -> Result<&'row str> {
        self.optional_text(column)?.ok_or_else(|| self.unreadable(column))
    }

    fn owned(&self, column: &str) -> Result<String> {
        self.text(column).map(str::to_owned)
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
        choose(self.text(column)?).ok_or_else(|| self.unreadable(column))
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

    /// A detail, in the text that it is written in and no other.
    fn detail(&self) -> Result<Value> {
        let text = self.text("detail")?;
        let detail = canonical::read(text.as_bytes()).map_err(|_| self.unreadable("detail"))?;
        if detail_text(&detail)? == text { Ok(detail) } else { Err(self.unreadable("detail")) }
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
        if self.text("digest")? == computed { Ok(()) } else { Err(corrupt(self.run(), UNEQUAL)) }
    }
}

/// What is read from the rows of one table.
pub(super) trait FromCells: Sized {
    fn read(cells: &Cells<'_>) -> Result<Self>;
}

/// A run's row that was not compared with its digest yet.
pub(super) struct Unchecked {
    run: Run,
    digest: Digest<Run>,
}

impl Unchecked {
    /// The run, once its row was compared.
    pub(super) fn checked(self) -> Result<Run> {
        if self.run.row_digest()? == self.digest {
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
            request: cells.owned("request")?.into_bytes(),
        };
        Ok(Self { run, digest: cells.parsed("digest")? })
    }
}

impl FromCells for Event {
    fn read(cells: &Cells<'_>) -> Result<Self> {
        Ok(Event {
            run_id: cells.parsed("run_id")?,
            sequence: cells.count("sequence")?,
            kind: cells.chosen("kind", EventKind::from_text)?,
            state: cells.chosen("state", State::from_text)?,
            mode: cells.chosen("mode", Mode::from_text)?,
            epoch: cells.count("epoch")?,
            publish_allowed: cells.flag("publish_allowed")?,
            recorded_at: cells.time("recorded_at")?,
            reason: cells.reason()?,
            detail: cells.detail()?,
            previous: cells.optional("previous")?,
            hash: cells.parsed("hash")?,
        })
    }
}

impl FromCells for RequestRow {
    fn read(cells: &Cells<'_>) -> Result<Self> {
        let request = RequestRow {
            run_id: cells.owned("run_id")?,
            request_id: cells.owned("request_id")?,
            payload_hash: cells.owned("payload_hash")?,
            requester: cells.owned("requester")?,
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
                    scope: cells.owned("scope")?,
                    sequence: cells.count("sequence")?,
                    event: cells.owned("event")?,
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
                    key: cells.owned("key")?,
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
        cells.owned("run_id").map(Self)
    }
}
