//! Writes that are sent as one statement.

use super::*;
use crate::ledger::database::Transaction;

#[test]
fn writes_that_are_sent_together_keep_their_parameters() {
    let insert = "INSERT INTO a VALUES ($1, $2)";
    let update = "UPDATE b SET c = $11, d = $1 WHERE e = $2";
    let text = super::super::statements::together(&[update, insert, insert], None);
    for part in [
        "write_0 AS (UPDATE b SET c = $11, d = $1 WHERE e = $2 RETURNING",
        "write_1 AS (INSERT INTO a VALUES ($12, $13) RETURNING",
        "write_2 AS (INSERT INTO a VALUES ($14, $15) RETURNING",
        "FROM write_0, write_1, write_2",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

/// What is written beside an update that finds no row does not stay, however many statements a transaction takes.
#[test]
fn what_is_written_together_stands_together() {
    let Some(bench) = Bench::postgres() else { return };
    let run = bench.submit(1, false);
    let ledger = PostgresLedger::open(&bench.place.name()).unwrap();
    let insert = "INSERT INTO anchors (sequence, event, digest, scope) VALUES ($1, '', '', $2)";
    let write = |updates: &[u64], additions: i64| {
        ledger.write(|open: &mut dyn Transaction| {
            for number in 0..additions {
                open.insert(insert, &[number.into(), format!("{number}").into()])?;
            }
            updates.iter().try_for_each(|epoch| rows::update_run(open, &run, *epoch))
        })
    };
    let anchors = || raw(&bench).texts("SELECT count(*)::text FROM anchors");
    // The run is at epoch 0: the first update finds nothing, or the second does.
    for (updates, additions) in [(&[1][..], 1), (&[0, 1], 2), (&[1, 0], 0), (&[1], 40)] {
        assert_eq!(write(updates, additions).unwrap_err().code, Code::LeaseLost);
        assert_eq!(anchors(), ["0"]);
    }
    write(&[0, 0], 40).unwrap();
    assert_eq!(anchors(), ["40"]);
}
