#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests look behind the ledger")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use super::*;
use crate::{
    clock::FixedClock,
    ledger::{
        Anchors, Ledger, rows,
        tests::{Bench, Place, submission},
    },
};

fn opened(path: &Path) -> Result<SqliteLedger> {
    SqliteLedger::open(path, Arc::new(FixedClock::new(Timestamp::from_nanoseconds(0))))
}

fn folder(bench: &Bench) -> &Path {
    match &bench.place {
        Place::Sqlite(folder) => folder.path(),
        Place::Postgres(..) => panic!("a bench of another database"),
    }
}

fn file(bench: &Bench) -> PathBuf {
    folder(bench).join("ledger.sqlite")
}

#[test]
fn an_older_ledger_is_brought_up_to_date_and_a_newer_refused() {
    let bench = Bench::sqlite();
    let run = bench.submit(1, false);
    let mut raw = Connection::open(file(&bench)).unwrap();
    let with = |step| [schema::MIGRATIONS, &[step]].concat();
    let next = with("CREATE TABLE later (name TEXT NOT NULL) STRICT");
    // A step that fails half-way leaves the version before.
    let broken = with("CREATE TABLE later (name TEXT NOT NULL) STRICT; NO SQL");
    schema::migrate(&mut raw, &broken).unwrap_err();
    schema::migrate(&mut raw, &next).unwrap();
    schema::migrate(&mut raw, &next).unwrap();
    let version: i64 = raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, schema::MIGRATIONS.len() as i64 + 1);
    assert_eq!(bench.ledger.run(&run.run_id).unwrap(), run);
    bench.ledger.verify().unwrap();
    let failure = opened(&file(&bench)).err().unwrap();
    assert_eq!(failure.code, Code::LedgerCorrupt);
    assert!(failure.hint().contains("release"));
}

/// A ledger as each earlier release left it, empty or not, is brought up to date by opening it.
#[test]
fn a_ledger_of_each_earlier_version_opens() {
    for version in 1..schema::MIGRATIONS.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let mut raw = Connection::open(&path).unwrap();
        schema::migrate(&mut raw, &schema::MIGRATIONS[..version]).unwrap();
        drop(raw);
        let ledger = opened(&path).unwrap();
        assert_eq!(ledger.anchored().unwrap(), [], "{version}");
        ledger.verify().unwrap();
    }
}

#[test]
fn files_that_are_no_ledger_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let code = |name: &str| opened(&folder.path().join(name)).err().unwrap().code;
    fs::write(folder.path().join("text"), "not a ledger, and longer than a header: ".repeat(50)).unwrap();
    assert_eq!(code("text"), Code::LedgerCorrupt);
    assert_eq!(code("text/below"), Code::LedgerUnavailable);
    symlink(folder.path().join("elsewhere"), folder.path().join("link")).unwrap();
    assert_eq!(code("link"), Code::LedgerUnavailable);
    assert!(!folder.path().join("elsewhere").exists());
    fs::create_dir(folder.path().join("folder")).unwrap();
    assert_eq!(code("folder"), Code::LedgerUnavailable);
}

/// Each name would have a log of its own, of which those who name the other know nothing.
#[test]
fn a_ledger_under_several_names_is_not_worked_with() {
    let bench = Bench::sqlite();
    let run = bench.submit(1, false);
    let second = folder(&bench).join("second.sqlite");
    fs::hard_link(file(&bench), &second).unwrap();
    for path in [&file(&bench), &second] {
        let failure = opened(path).err().unwrap();
        assert_eq!((failure.code, failure.retryable()), (Code::LedgerUnavailable, false));
        assert!(failure.detail.contains(path.to_str().unwrap()), "{failure}");
        assert!(failure.hint().contains("one name"), "{failure}");
    }
    for end in ["-wal", "-shm", ".lock"] {
        assert!(!beside(&second, end).exists(), "{end}: nothing is made beside it");
    }
    // Who has it open goes on.
    bench.submit(2, false);
    fs::remove_file(second).unwrap();
    assert_eq!(opened(&file(&bench)).unwrap().run(&run.run_id).unwrap(), run);
}

/// SQLite deletes the log of an empty file, with all that was acknowledged into it.
#[test]
fn an_empty_file_beside_a_log_is_refused_and_the_log_stays() {
    let bench = Bench::sqlite();
    let run = bench.submit(1, false);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("ledger.sqlite");
    for end in ["", "-wal"] {
        fs::copy(beside(&file(&bench), end), beside(&copy, end)).unwrap();
    }
    let whole = fs::read(&copy).unwrap();
    fs::write(&copy, "").unwrap();
    assert_eq!(opened(&copy).err().unwrap().code, Code::LedgerCorrupt);
    fs::write(&copy, whole).unwrap();
    assert_eq!(opened(&copy).unwrap().run(&run.run_id).unwrap(), run);
}

#[test]
fn the_ledger_is_private_and_fully_synchronous() {
    let bench = Bench::sqlite();
    bench.submit(1, false);
    for entry in fs::read_dir(folder(&bench)).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    let ledger = opened(&file(&bench)).unwrap();
    let pragma = |name: &str| -> i64 {
        let ask = |connection: &mut Connection| {
            Ok(connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap())
        };
        ledger.writer().unwrap().with(ask).unwrap()
    };
    assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (2, 1));
}

/// However many runs there are, a listing or a claim reads those that it shows: no scan, and nothing to sort.
#[test]
fn listings_and_claims_follow_an_index() {
    let bench = Bench::sqlite();
    let raw = Connection::open(file(&bench)).unwrap();
    for (sql, index) in [
        (rows::LATEST, "runs_by_admission"),
        (rows::LATEST_IN_STATE, "runs_by_state_and_admission"),
        (rows::WAITING, "runs_waiting"),
        (rows::WAITING_AFTER, "runs_waiting"),
        (rows::FREE, "runs_waiting"),
        (rows::AT_REST_SINCE, "runs_at_rest"),
        (rows::LATEST_AT_REST, "runs_at_rest"),
    ] {
        let mut statement = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters: Vec<i64> = vec![1; statement.parameter_count()];
        let steps = statement
            .query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>("detail"))
            .unwrap()
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        assert_eq!(steps.len(), 1, "{steps:?}");
        assert!(steps[0].contains(&format!("USING INDEX {index}")), "{steps:?}");
    }
}

/// The disk says what SQLite does not; where there is room the failure stays what it was.
#[test]
fn a_failure_is_one_of_room_where_there_is_none() {
    let bench = Bench::sqlite();
    let failure = || Failure::new(Code::LedgerUnavailable, "disk I/O error");
    assert_eq!(of_room(&file(&bench), failure()), failure());
    // Where no file can be made nothing is known.
    assert_eq!(of_room(&folder(&bench).join("none/ledger.sqlite"), failure()), failure());
    for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT, rustix::io::Errno::FBIG] {
        assert_eq!(unavailable("x", errno.into()).code, Code::ResourceExhausted);
    }
}

/// The files of a ledger as a process that was killed leaves them.
fn killed(bench: &Bench) -> (tempfile::TempDir, PathBuf) {
    let left = tempfile::tempdir().unwrap();
    for end in ["", "-wal", "-shm"] {
        let name = format!("ledger.sqlite{end}");
        fs::copy(folder(bench).join(&name), left.path().join(name)).unwrap();
    }
    let path = left.path().join("ledger.sqlite");
    (left, path)
}

fn all(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Also where it can only be read; and what is refused stays as it is, for who looks at it.
#[test]
fn a_log_that_was_damaged_is_refused_before_anything_is_changed() {
    let bench = Bench::sqlite();
    (0..8).for_each(|number| drop(bench.submit(number, false)));
    let count = |connection: &mut Connection| {
        connection.query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0)).map_err(trouble)
    };
    let cut = |path: &Path, by: u64| {
        let log = fs::OpenOptions::new().write(true).open(trouble::beside(path, "-wal")).unwrap();
        log.set_len(log.metadata().unwrap().len() - by).unwrap();
    };
    let (left, path) = killed(&bench);
    fs::write(path.with_added_extension("lock"), "").unwrap();
    cut(&path, 1);
    let before = all(left.path());
    for _ in 0..2 {
        let refused = [opened(&path).err().unwrap(), reader::read(&path, count).unwrap_err()];
        for failure in refused {
            assert_eq!(failure.code, Code::LedgerCorrupt);
            assert!(failure.hint().contains("docs/reliability.md, Copies"), "{failure}");
        }
        assert!(all(left.path()) == before);
    }
    let (_left, path) = killed(&bench);
    fs::remove_file(trouble::beside(&path, "-wal")).unwrap();
    assert_eq!(opened(&path).err().unwrap().code, Code::LedgerCorrupt);
    // Who has it open goes on with what it has: only the one that would begin the log anew can lose anything.
    let (_left, path) = killed(&bench);
    let ledger = opened(&path).unwrap();
    cut(&path, 0);
    assert_eq!(reader::read(&path, count).unwrap(), 8);
    drop(ledger);
    assert_eq!(reader::read(&path, count).unwrap(), 8);
}

/// Pages are taken from the log as they stand there: whether they are those that were written is asked of the log.
#[test]
fn a_log_that_is_damaged_while_it_is_open_is_found_by_verify() {
    let bench = Bench::sqlite();
    (0..8).for_each(|number| drop(bench.submit(number, false)));
    bench.ledger.verify().unwrap();
    let log = trouble::beside(&file(&bench), "-wal");
    let whole = fs::read(&log).unwrap();
    // In the header of the third page, of which nothing is read while the ledger is open.
    let mut damaged = whole.clone();
    damaged[32 + 2 * 4_120 + 8] ^= 1;
    fs::write(&log, damaged).unwrap();
    assert_eq!(bench.ledger.verify().unwrap_err().code, Code::LedgerCorrupt);
    fs::write(&log, whole).unwrap();
    bench.ledger.verify().unwrap();
}

/// What is damaged while it is open is told by who has it open too, and is not written into the file as it is closed.
#[test]
fn a_damaged_log_is_left_as_it_is_by_who_closes_it() {
    type Harm<'a> = &'a dyn Fn(&mut Vec<u8>);
    let harms: [(&str, Harm<'_>); 5] = [
        ("emptied", &|log| log.clear()),
        ("cut", &|log| log.truncate(log.len() / 2)),
        ("zeros", &|log| log.fill(0)),
        ("its header", &|log| log[20] ^= 1),
        ("a byte", &|log| log[32 + 5 * 4_120 + 2_000] ^= 1),
    ];
    for (what, harm) in harms {
        for writes_on in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ledger.sqlite");
            let submit = |ledger: &SqliteLedger, numbers: std::ops::Range<u64>| {
                for number in numbers {
                    ledger.submit(&submission(number, &format!("request-{number}"), false)).unwrap();
                }
            };
            let ledger = opened(&path).unwrap();
            submit(&ledger, 0..8);
            let log = beside(&path, "-wal");
            let mut bytes = fs::read(&log).unwrap();
            harm(&mut bytes);
            // In place: what is open stays open.
            fs::write(&log, bytes).unwrap();
            if writes_on {
                submit(&ledger, 8..12);
            }
            assert_eq!(ledger.verify().unwrap_err().code, Code::LedgerCorrupt, "{what}, {writes_on}");
            let before = fs::read(&path).unwrap();
            drop(ledger);
            assert!(fs::read(&path).unwrap() == before, "{what}, {writes_on}");
            assert_eq!(opened(&path).err().unwrap().code, Code::LedgerCorrupt, "{what}, {writes_on}");
        }
    }
}

/// Writes behind the reader's back, and takes the log along as it ends.
fn write(path: &Path) {
    let raw = Connection::open(path).unwrap();
    raw.execute_batch("INSERT INTO seen DEFAULT VALUES").unwrap();
}

#[test]
fn a_read_in_whose_course_the_file_changed_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE seen (number INTEGER PRIMARY KEY)").unwrap();
    drop(raw);
    let corrupt = || Failure::new(Code::LedgerCorrupt, "pages of two moments");
    // Whatever came of it: how often it was begun, with how many writes meanwhile, and what is told.
    let reads = |writes: usize, outcome: &dyn Fn(i64) -> Result<i64>| {
        let mut begun = 0;
        let told = reader::read(&path, |connection| {
            begun += 1;
            let seen = connection.query_row("SELECT count(*) FROM seen", [], |row| row.get(0)).unwrap();
            if begun <= writes {
                write(&path);
            }
            outcome(seen)
        });
        (begun, told)
    };
    assert_eq!(reads(0, &Ok), (1, Ok(0)));
    assert_eq!(reads(2, &Ok), (3, Ok(2)));
    assert_eq!(reads(1, &|seen| if seen == 2 { Err(corrupt()) } else { Ok(seen) }), (2, Ok(3)));
    assert_eq!(reads(0, &|_| Err(corrupt())), (1, Err(corrupt())));
    for (writes, outcome) in [
        (usize::MAX, &(|_| Err(corrupt())) as &dyn Fn(i64) -> Result<i64>),
        (usize::MAX, &Ok),
        (0, &|_| Err(Failure::new(Code::LedgerUnavailable, "Error code 14"))),
    ] {
        let (begun, told) = reads(writes, outcome);
        let failure = told.unwrap_err();
        assert!(begun > 10);
        assert_eq!((failure.code, failure.retryable()), (Code::LedgerUnavailable, true));
        assert!(failure.detail.contains("can only be read here"), "{failure}");
    }
}
