//! The files in `schemas/` are the types' own schemas, to the byte.
//!
//! Run with `UPDATE_SCHEMAS=1` to write them anew after a type has changed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests read the repository's files"
)]

use std::{collections::BTreeSet, fs, path::PathBuf};

use contracts::catalogue;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

#[test]
fn files_are_the_types_schemas() {
    let mut names = BTreeSet::new();
    for entry in catalogue::ALL {
        let name = format!("{}.v1.json", entry.name);
        let text = serde_json::to_string_pretty(&(entry.schema)()).unwrap() + "\n";
        let path = folder().join(&name);
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{name} is stale: run with UPDATE_SCHEMAS=1");
        names.insert(name);
    }
    let found: BTreeSet<_> = fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, names);
}

#[test]
fn every_object_refuses_unknown_fields() {
    fn walk(place: &str, value: &serde_json::Value) {
        if let Some(object) = value.as_object() {
            let closed =
                ["additionalProperties", "unevaluatedProperties"].iter().any(|key| object.contains_key(*key));
            assert!(!object.contains_key("properties") || closed, "{place} lets unknown fields in");
            object.iter().for_each(|(key, inner)| walk(&format!("{place}/{key}"), inner));
        }
        value
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .for_each(|(i, inner)| walk(&format!("{place}/{i}"), inner));
    }
    for entry in catalogue::ALL {
        walk(entry.name, &(entry.schema)());
    }
}
