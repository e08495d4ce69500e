//! What every store promises, tried on a store that is handed in.

use std::{sync::Barrier, thread};

use contracts::names::ObjectKey;

use super::{Object, Put, Store};

pub(super) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

/// Tries all promises, each below a prefix of its own.
pub(super) fn keeps_every_promise(store: &dyn Store) {
    an_object_is_put_once_and_never_changes(store);
    one_of_many_racing_writers_creates(store);
    keys_are_listed_below_whole_segments_in_byte_order(store);
    objects_put_together_each_stand_or_fall_alone(store);
    what_passes_in_pieces_is_what_is_read_at_once(store);
}

fn an_object_is_put_once_and_never_changes(store: &dyn Store) {
    let object = key("run-1/mf/train_runs/tr_0/model");
    assert_eq!(store.get(&object).unwrap(), None);
    assert_eq!(store.put_if_absent(&object, b"first").unwrap(), Put::Created);
    assert_eq!(store.put_if_absent(&object, b"other").unwrap(), Put::Exists);
    assert_eq!(store.get(&object).unwrap().unwrap(), b"first");
}

fn one_of_many_racing_writers_creates(store: &dyn Store) {
    for round in 0..20 {
        let object = key(&format!("race/{round}/object"));
        let start = Barrier::new(4);
        let puts: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..4_u8)
                .map(|writer| {
                    let (object, start) = (&object, &start);
                    scope.spawn(move || {
                        start.wait();
                        store.put_if_absent(object, &[writer; 5_000]).unwrap()
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winner = puts.iter().position(|put| *put == Put::Created).unwrap();
        assert_eq!(puts.iter().filter(|put| **put == Put::Created).count(), 1);
        assert_eq!(store.get(&object).unwrap().unwrap(), [winner as u8; 5_000]);
    }
}

fn keys_are_listed_below_whole_segments_in_byte_order(store: &dyn Store) {
    for text in ["p/a/x", "p/a-b", "p/a.b", "p/a0", "pq/x", "p/b/c/d"] {
        store.put_if_absent(&key(text), b"").unwrap();
    }
    let listed = |prefix| store.list(&key(prefix)).unwrap().objects().unwrap();
    assert_eq!(listed("p"), ["p/a-b", "p/a.b", "p/a/x", "p/a0", "p/b/c/d"].map(key));
    assert_eq!(listed("p/a"), [key("p/a/x")]);
    assert_eq!(listed("p/a0"), []);
    assert_eq!(listed("absent/too"), []);
}

fn objects_put_together_each_stand_or_fall_alone(store: &dyn Store) {
    store.put_if_absent(&key("together/taken"), b"first").unwrap();
    let keys = ["together/new", "together/taken", "together/b/new", "together/new"].map(key);
    let objects: Vec<_> = keys.iter().map(|key| Object { key, bytes: b"bytes" }).collect();
    let puts = store.put_all_if_absent(&objects).unwrap();
    assert_eq!((puts[1], puts[2]), (Put::Exists, Put::Created));
    // Of two with one key, either may be first.
    assert!(puts[0] != puts[3], "{puts:?}");
    assert_eq!(store.get(&keys[1]).unwrap().unwrap(), b"first");
    for created in [&keys[0], &keys[2]] {
        assert_eq!(store.get(created).unwrap().unwrap(), b"bytes");
    }
    assert_eq!(store.put_all_if_absent(&[]).unwrap(), []);
    let many: Vec<_> = (0..50).map(|number| key(&format!("together/many/{number:02}"))).collect();
    let objects: Vec<_> = many.iter().map(|key| Object { key, bytes: key.as_str().as_bytes() }).collect();
    assert_eq!(store.put_all_if_absent(&objects).unwrap(), [Put::Created; 50]);
    assert_eq!(store.list(&key("together/many")).unwrap().objects().unwrap(), many);
    assert!(many.iter().all(|key| store.get(key).unwrap().unwrap() == key.as_str().as_bytes()));
}

fn what_passes_in_pieces_is_what_is_read_at_once(store: &dyn Store) {
    for length in [0, 1, (1 << 18) + 1, 1_000_003] {
        let bytes: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
        let object = key(&format!("pieces/{length}"));
        store.put_if_absent(&object, &bytes).unwrap();
        let mut pieces = Vec::new();
        assert!(store.pass(&object, &mut |piece| pieces.extend_from_slice(piece)).unwrap());
        assert!(pieces == bytes, "{length}");
        pieces.clear();
        let got = store.get_past(&object, &mut |piece| pieces.extend_from_slice(piece)).unwrap().unwrap();
        assert!(got == bytes && pieces == bytes, "{length}");
    }
    assert!(!store.pass(&key("pieces/absent"), &mut |_| unreachable!("nothing is there")).unwrap());
}
