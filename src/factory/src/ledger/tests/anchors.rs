use contracts::scope::TargetScope;

use super::*;

fn scope(text: &str) -> TargetScope {
    text.parse().unwrap()
}

fn anchor(sequence: u64) -> Anchor {
    Anchor { sequence, event: Digest::of(&sequence.to_le_bytes()) }
}

fn an_anchor_only_rises(bench: &Bench) {
    let (prod, tenant) = (scope("prod/card/primary"), scope("prod/card/primary/acme"));
    assert_eq!(bench.ledger.anchor(&prod).unwrap(), None);
    for (raised, stands) in [(2, 2), (1, 2), (2, 2), (5, 5), (4, 5)] {
        bench.ledger.raise(&prod, anchor(raised)).unwrap();
        assert_eq!(bench.ledger.anchor(&prod).unwrap(), Some(anchor(stands)), "{raised}");
    }
    // Another event in the same place is not taken: the first to be acknowledged stands.
    bench.ledger.raise(&prod, Anchor { sequence: 5, ..anchor(7) }).unwrap();
    assert_eq!(bench.ledger.anchor(&prod).unwrap(), Some(anchor(5)));
    assert_eq!(bench.ledger.anchor(&tenant).unwrap(), None);
    bench.ledger.raise(&tenant, anchor(1)).unwrap();
    assert_eq!(bench.ledger.anchored().unwrap(), [prod.clone(), tenant.clone()]);
    let again = bench.open();
    assert_eq!(
        (again.anchor(&prod).unwrap(), again.anchor(&tenant).unwrap()),
        (Some(anchor(5)), Some(anchor(1)))
    );
}

fn an_edited_anchor_is_found_at_each_use(bench: &Bench) {
    for edit in
        ["scope = 'prod/card/other'", "sequence = 1", "sequence = -1", "event = digest", "digest = event"]
    {
        let bench = bench.another();
        bench.ledger.raise(&scope("prod/card/primary"), anchor(2)).unwrap();
        bench.ledger.verify().unwrap();
        bench.edit(&format!("UPDATE anchors SET {edit}"));
        let place = scope(if edit.starts_with("scope") { "prod/card/other" } else { "prod/card/primary" });
        for found in [
            bench.ledger.anchor(&place).map(drop),
            bench.ledger.raise(&place, anchor(3)),
            bench.ledger.anchored().map(drop),
            bench.ledger.verify().map(drop),
        ] {
            assert_eq!(found.unwrap_err().code, Code::LedgerCorrupt, "{edit}");
        }
    }
}

on_each_database!(an_anchor_only_rises, an_edited_anchor_is_found_at_each_use,);
