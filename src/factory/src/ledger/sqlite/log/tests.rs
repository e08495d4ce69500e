#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests look at the files that SQLite left"
)]

use std::{fs, path::Path};

use kernels::Rng;
use rusqlite::{Connection, config::DbConfig};

use super::{super::trouble::beside, *};

/// In memory where the machine has such a place: nothing here is to survive a power cut.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The files of a database as one moment left them.
#[derive(Clone, PartialEq, Eq)]
struct Left {
    file: Vec<u8>,
    log: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
}

impl Left {
    fn of(path: &Path) -> Self {
        let beside = |end| fs::read(beside(path, end)).ok();
        Self { file: fs::read(path).unwrap(), log: beside("-wal"), index: beside("-shm") }
    }

    fn told(&self) -> Option<Loss> {
        loss(self.index.as_deref(), self.log.as_deref()).unwrap()
    }

    /// How many rows SQLite finds in it, by recovering its log; none where it finds no database.
    fn rows(&self) -> Option<u32> {
        let folder = folder();
        let path = folder.path().join("left");
        fs::write(&path, &self.file).unwrap();
        for (end, beside_it) in [("-wal", &self.log), ("-shm", &self.index)] {
            if let Some(bytes) = beside_it {
                fs::write(beside(&path, end), bytes).unwrap();
            }
        }
        rows(&Connection::open(path).unwrap())
    }

    fn log(&mut self) -> &mut Vec<u8> {
        self.log.as_mut().unwrap()
    }
}

fn rows(raw: &Connection) -> Option<u32> {
    raw.query_row("SELECT count(*) FROM kept", [], |row| row.get(0)).ok()
}

fn connected(path: &Path) -> Connection {
    let raw = Connection::open(path).unwrap();
    raw.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = 5; PRAGMA wal_autocheckpoint = 40;
         CREATE TABLE IF NOT EXISTS kept (number INTEGER PRIMARY KEY, filling BLOB);",
    )
    .unwrap();
    raw
}

/// Commits a row over so many bytes.
fn insert(raw: &Connection, bytes: u32) {
    raw.execute("INSERT INTO kept (filling) VALUES (zeroblob(?1))", [bytes]).unwrap();
}

/// What a process that was killed after so many commits left, none of which was moved into the file.
fn killed(commits: u32) -> Left {
    let folder = folder();
    let path = folder.path().join("killed");
    let raw = connected(&path);
    raw.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
    (0..commits).for_each(|number| insert(&raw, number % 3 * 5_000));
    Left::of(&path)
}

const LAST: usize = 4_096 + FRAME_HEADER;

/// SQLite itself says what is lost: it finds fewer rows.
#[test]
fn a_log_that_lost_something_is_told_and_none_that_lost_nothing() {
    let whole = killed(25);
    assert_eq!((whole.told(), whole.rows()), (None, Some(25)));
    let length = whole.log.as_ref().unwrap().len();
    let random = Rng::from_u64(1);
    for index in 0..400 {
        let mut left = whole.clone();
        let place = random.below(0, index, length as u64) as usize;
        match index % 4 {
            // Much of what matters most stands at the beginning.
            0 => left.log()[place % LOG_HEADER] ^= 1 << (index / 4 % 8),
            1 => left.log().truncate(place),
            2 => left.log().truncate(LOG_HEADER + place / LAST * LAST),
            _ => left.log()[place] ^= 1 << (index / 4 % 8),
        }
        let is_lost = left.rows() != Some(25);
        assert_eq!(left.told().is_some(), is_lost, "{index}: {place} of {length}, {:?}", left.told());
    }
    let gone = Left { log: None, ..whole };
    assert!(matches!(gone.told(), Some(Loss::All(_))));
}

/// A log all of which is in the file too takes nothing along where it is gone, and gives old pages where its end is.
#[test]
fn a_log_that_is_in_the_file_too_may_be_gone_but_not_cut() {
    let folder = folder();
    let path = folder.path().join("moved");
    let raw = connected(&path);
    (0..10).for_each(|_| insert(&raw, 0));
    raw.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    let whole = Left::of(&path);
    assert_eq!((whole.told(), whole.rows()), (None, Some(10)));
    for length in [None, Some(0), Some(20), Some(LOG_HEADER), Some(LOG_HEADER + 100)] {
        let log = length.map(|length| whole.log.as_ref().unwrap()[..length].to_vec());
        let left = Left { log, ..whole.clone() };
        assert_eq!((left.told(), left.rows()), (None, Some(10)), "{length:?}");
    }
    let mut cut = whole;
    let length = cut.log().len();
    cut.log().truncate(length - LAST);
    assert!(matches!(cut.told(), Some(Loss::End(..))));
    assert_ne!(cut.rows(), Some(10));
}

/// Whatever SQLite does, in any order, leaves nothing to tell: at no moment, nor with an index of an earlier one or none, as
/// after a power cut.
#[test]
fn nothing_that_sqlite_leaves_is_told() {
    for history in 0..12 {
        let folder = folder();
        let path = folder.path().join("history");
        let random = Rng::from_u64(100 + history);
        let mut raw = connected(&path);
        // Of this log's files, which go away together; one that another program empties is not told from a lost one.
        let mut earlier: Vec<Option<Vec<u8>>> = Vec::new();
        for step in 0..50 {
            match random.below(0, step, 16) {
                0 => raw.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap(),
                1 => raw.execute_batch("PRAGMA wal_checkpoint(FULL)").unwrap(),
                2 => raw.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap(),
                3 => {
                    raw.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
                    earlier.clear();
                }
                4 => {
                    drop(raw);
                    assert_eq!(Left::of(&path).told(), None, "{history}, {step}: closed");
                    raw = connected(&path);
                    earlier.clear();
                }
                5 => {
                    raw.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
                    drop(raw);
                    assert_eq!(Left::of(&path).told(), None, "{history}, {step}: left");
                    raw = connected(&path);
                }
                6 => {
                    // More than the cache holds, so that it stands in the log as it is taken back.
                    let taken_back = raw.unchecked_transaction().unwrap();
                    (0..20).for_each(|_| insert(&taken_back, 3_000));
                    taken_back.rollback().unwrap();
                }
                7 => raw.execute_batch("VACUUM").unwrap(),
                8 => drop(rows(&Connection::open(&path).unwrap())),
                9 => raw.execute_batch("PRAGMA journal_size_limit = 9000").unwrap(),
                larger => insert(&raw, larger as u32 % 4 * 3_000),
            }
            let left = Left::of(&path);
            assert_eq!(left.told(), None, "{history}, {step}");
            for index in earlier.iter().rev().take(8).chain([&None]) {
                let left = Left { index: index.clone(), ..left.clone() };
                assert_eq!(left.told(), None, "{history}, {step}: an earlier index");
            }
            earlier.push(left.index.clone());
            assert_eq!(left.rows(), rows(&raw), "{history}, {step}");
        }
    }
}

/// SQLite can be told to leave an empty log, whose index stays as it was.
#[test]
fn a_log_that_was_emptied_as_it_was_closed_is_not_told() {
    let folder = folder();
    let path = folder.path().join("kept");
    let raw = connected(&path);
    insert(&raw, 9_000);
    let left = Left::of(&path);
    raw.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    let moved = Left { log: Some(Vec::new()), ..Left::of(&path) };
    assert_eq!((moved.told(), moved.rows()), (None, Some(1)));
    // Where not all of it was moved it is.
    assert!(matches!(Left { log: Some(Vec::new()), ..left }.told(), Some(Loss::All(_))));
}

/// What is torn of the last write after a power cut, which leaves no index to go by, is SQLite's to pass over.
#[test]
fn a_torn_last_write_is_not_told_and_an_acknowledged_one_is() {
    let (before, mut after) = (killed(24), killed(25));
    after.index = None;
    let (start, end) = (before.log.as_ref().unwrap().len(), after.log.as_ref().unwrap().len());
    assert!(start < end);
    let random = Rng::from_u64(2);
    let mut told = 0;
    for index in 0..300 {
        let mut left = after.clone();
        let place = |from: usize, to: usize| from + random.below(0, index, (to - from) as u64) as usize;
        match index % 3 {
            0 => left.log().truncate(place(start, end)),
            1 => {
                let from = place(start, end) / 512 * 512;
                left.log()[from.max(start)..(from + 512).min(end)].fill(0);
            }
            _ => {
                // Of a commit that two others follow.
                let place = place(LOG_HEADER, LAST * 10);
                left.log()[place] ^= 1;
                told += u32::from(left.told().is_some());
                continue;
            }
        }
        assert_eq!(left.told(), None, "{index}");
        assert!(left.rows() >= Some(24), "{index}");
    }
    assert_eq!(told, 100);
}

/// After a power cut the index may be of an earlier moment of the same log, of another log, or gone: what it names is the least
/// that there was, and commits behind a damage vouch for themselves, also where the log's header is what was damaged.
#[test]
fn damage_is_told_by_an_old_index_and_without_one() {
    let folder = folder();
    let path = folder.path().join("old");
    let raw = connected(&path);
    raw.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
    let mut indexes = vec![None, killed(3).index];
    for number in 0..25 {
        insert(&raw, number % 3 * 5_000);
        if number % 8 == 3 {
            indexes.push(Left::of(&path).index);
        }
    }
    let whole = Left::of(&path);
    let random = Rng::from_u64(3);
    for (case, index) in (0..).zip(&indexes) {
        let whole = Left { index: index.clone(), ..whole.clone() };
        assert_eq!(whole.told(), None, "{case}");
        let length = whole.log.as_ref().unwrap().len();
        let told = |what: &str, harm: &dyn Fn(&mut Vec<u8>)| {
            let mut left = whole.clone();
            harm(left.log());
            assert!(left.told().is_some(), "{case}: {what}");
            assert!(left.rows() < Some(25), "{case}: {what}");
        };
        for place in 0..LOG_HEADER {
            told(&format!("byte {place} of the header"), &|log| log[place] ^= 1 << (place % 8));
        }
        for round in 0..20 {
            let place = random.below(case, round, (length - 15 * LAST) as u64) as usize;
            told(&format!("byte {place} of {length}"), &|log| log[place] ^= 1);
        }
        // Cut, or emptied, and then written to by whoever had it open.
        for hole in [0..LAST, 0..10 * LAST, 5 * LAST..10 * LAST] {
            told(&format!("{hole:?} of {length}"), &|log| log[hole.clone()].fill(0));
        }
    }
}

/// What was moved into the ledger's file is not lost with the log's header.
#[test]
fn a_header_that_takes_only_what_was_moved_with_it_is_not_told() {
    let folder = folder();
    let path = folder.path().join("moved");
    let raw = connected(&path);
    (0..10).for_each(|_| insert(&raw, 0));
    raw.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    let mut left = Left::of(&path);
    left.log()[20] ^= 1;
    assert_eq!((left.told(), left.rows()), (None, Some(10)));
    let index = left.index.take();
    assert!(matches!(left.told(), Some(Loss::Midst(0))));
    // Two commits more than the index knows of were moved by nobody.
    (0..3).for_each(|_| insert(&raw, 0));
    left = Left { index, ..Left::of(&path) };
    left.log()[20] ^= 1;
    assert!(matches!(left.told(), Some(Loss::Midst(0))));
    assert_ne!(left.rows(), Some(13));
}

/// Writes that failed one after the other, each shorter than the one before, leave a commit each behind the next.
#[test]
fn commits_that_failed_are_not_told() {
    let place = folder();
    let path = place.path().join("failed");
    let raw = connected(&path);
    insert(&raw, 0);
    let start = Left::of(&path);
    let after = |bytes: u32| {
        let place = folder();
        let path = place.path().join("after");
        fs::write(&path, &start.file).unwrap();
        fs::write(beside(&path, "-wal"), start.log.as_ref().unwrap()).unwrap();
        let raw = connected(&path);
        insert(&raw, bytes);
        Left::of(&path)
    };
    let mut left = Left { index: None, ..after(30_000) };
    for bytes in [20_000, 10_000, 0] {
        let next = after(bytes).log.unwrap();
        assert!(next.len() + 2 * LAST <= left.log().len());
        left.log()[..next.len()].copy_from_slice(&next);
        assert_eq!((left.told(), left.rows()), (None, Some(2)));
    }
}

#[test]
fn an_index_that_is_none_says_nothing() {
    let whole = killed(5);
    let gone = |index: &[u8]| loss(Some(index), None::<&[u8]>).unwrap();
    let index = whole.index.as_deref().unwrap();
    assert!(gone(&index[..INDEX_BYTES]).is_some());
    assert_eq!(gone(&index[..INDEX_BYTES - 1]), None);
    assert_eq!(gone(&vec![0; index.len()]), None);
    // In one of its copies, or in both.
    for bit in 0..3 * INDEX_HEADER * 8 {
        let mut other = index.to_vec();
        other[bit / 8 % (2 * INDEX_HEADER)] ^= 1 << (bit % 8);
        if bit >= 2 * INDEX_HEADER * 8 {
            other[bit / 8 - INDEX_HEADER] ^= 1 << (bit % 8);
        }
        assert_eq!(gone(&other), None, "{bit}");
        // It is made anew from the log.
        assert_eq!(Left { index: Some(other), ..whole.clone() }.told(), None, "{bit}");
    }
}
