use contracts::signature::{Ed25519, PublicKey};

use super::*;

fn key(number: u8) -> PublicKey {
    Ed25519([number; 32])
}

fn nobody(_: &PublicKey) -> bool {
    false
}

fn a_signer_is_the_first_or_trusts_the_last_one(bench: &Bench) {
    let ledger = &bench.ledger;
    assert_eq!(ledger.signers().unwrap(), []);
    ledger.admit_signer(&key(1), &nobody).unwrap();
    let stranger = ledger.admit_signer(&key(2), &nobody).unwrap_err();
    assert_eq!((stranger.code, &*stranger.problems[0].pointer), (Code::SigningKeyUnavailable, "signing.pem"));
    ledger.admit_signer(&key(2), &|other| *other == key(1)).unwrap();
    ledger.admit_signer(&key(2), &nobody).unwrap();
    // Who came before, such as a key that was replaced, or is new has to trust the last one, and not any.
    for (number, trusted) in [(1, 3), (3, 1)] {
        let refused = ledger.admit_signer(&key(number), &|other| *other == key(trusted)).unwrap_err();
        assert_eq!(refused.code, Code::SigningKeyUnavailable);
    }
    ledger.admit_signer(&key(1), &|other| *other == key(2)).unwrap();
    assert_eq!(bench.open().signers().unwrap(), [key(1), key(2)]);
}

fn two_that_come_first_at_once_are_not_both_admitted(bench: &Bench) {
    let start = std::sync::Barrier::new(8);
    let admitted = std::thread::scope(|scope| {
        let enter = |number| {
            let (ledger, start) = (bench.open(), &start);
            scope.spawn(move || {
                start.wait();
                ledger.admit_signer(&key(number), &nobody).is_ok()
            })
        };
        let threads: Vec<_> = (0..8).map(enter).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
    });
    assert_eq!((admitted, bench.ledger.signers().unwrap().len()), (1, 1));
}

fn an_edited_signer_is_found_at_each_use(bench: &Bench) {
    for edit in ["sequence = 2", "key = 'ed25519:' || substr(digest, 8)", "admitted_at = 0"] {
        let bench = bench.another();
        bench.ledger.admit_signer(&key(1), &nobody).unwrap();
        bench.ledger.verify().unwrap();
        bench.edit(&format!("UPDATE signers SET {edit}"));
        let found = [
            bench.ledger.signers().map(drop),
            bench.ledger.admit_signer(&key(1), &nobody),
            bench.ledger.verify().map(drop),
        ];
        for found in found {
            assert_eq!(found.unwrap_err().code, Code::LedgerCorrupt, "{edit}");
        }
    }
}

on_each_database!(
    a_signer_is_the_first_or_trusts_the_last_one,
    two_that_come_first_at_once_are_not_both_admitted,
    an_edited_signer_is_found_at_each_use,
);
