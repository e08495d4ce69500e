//! Wrong documents and partitions made of good ones, with fingerprints and digests that fit again.

use std::{fs, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch};
use bytes::Bytes;
use contracts::{
    Checked, Digest, Document, Reference,
    bundle::{ModelBundle, bundle_version},
    dataset_manifest::DatasetManifest,
    identity::{canonical, ids::DatasetManifestId},
    lifecycle_event::RegistryLifecycleEvent,
    names::ObjectKey,
    signature::Signed,
};
use factory::{ledger::Anchor, store};
use parquet::arrow::{
    ArrowWriter,
    arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    arrow_writer::ArrowWriterOptions,
};
use serde_json::{Value, json};

use super::place::Place;

/// Puts a JSON value under a key made of its content; the reference as JSON.
pub fn put(place: &Place, folder: &str, value: &Value) -> Value {
    put_bytes(place, folder, &canonical::to_bytes(value).unwrap())
}

pub fn put_bytes(place: &Place, folder: &str, bytes: &[u8]) -> Value {
    let digest = Digest::<()>::of(bytes);
    let uri = format!("{folder}/{}", digest.hex());
    place.put(&uri, bytes);
    json!({"uri": uri, "digest": digest.to_string()})
}

/// A checked document of an edited one, stored; its own check must hold.
pub fn edited<D: Document>(
    place: &Place,
    reference: &Reference<D>,
    edit: impl FnOnce(&mut Value),
) -> Reference<D> {
    let mut value = value_of(place, reference);
    edit(&mut value);
    let document = Checked::<D>::from_value(value).unwrap();
    let uri = format!("platform-1/mf/forged/{}", document.digest().hex());
    store::write_document(place.store(), &ObjectKey::new(uri).unwrap(), &document).unwrap()
}

/// A document of an edited one, signed again as who holds the key can.
pub fn signed<D: Signed>(place: &Place, value: Value) -> Checked<D> {
    place.keys().sign(serde_json::from_value(value).unwrap()).unwrap()
}

/// A signed document edited where it stands, with or without the key.
pub fn in_place<D: Signed>(place: &Place, uri: &str, with_key: bool, edit: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(place.path(uri)).unwrap()).unwrap();
    edit(&mut value);
    let bytes = if with_key {
        signed::<D>(place, value).bytes().to_vec()
    } else {
        canonical::to_bytes(&value).unwrap()
    };
    fs::write(place.path(uri), bytes).unwrap();
}

/// Forgets where the histories end, as who writes to the ledger can.
pub fn lift_anchors(place: &Place) {
    let ledger = rusqlite::Connection::open(place.root().join("ledger.sqlite")).unwrap();
    ledger.execute("DELETE FROM anchors", []).unwrap();
}

/// Lets the ledger say that the histories end as they stand now, as who writes to it can.
pub fn anchor_anew(place: &Place) {
    lift_anchors(place);
    let mut last = std::collections::BTreeMap::new();
    for key in place.store().list(&ObjectKey::new("registry/scopes").unwrap()).unwrap().keys {
        let bytes = place.store().get(&key).unwrap().unwrap();
        let event = Checked::<RegistryLifecycleEvent>::parse(&bytes).unwrap();
        last.insert(event.target_scope.clone(), Anchor { sequence: event.sequence, event: event.digest() });
    }
    for (scope, anchor) in last {
        place.anchors().raise(&scope, anchor).unwrap();
    }
}

/// A bundle that was edited and signed again, under the id and version that its content has then.
pub fn bundle(
    place: &Place,
    good: &Reference<ModelBundle>,
    edit: impl FnOnce(&mut Value),
) -> Reference<ModelBundle> {
    let mut value = value_of(place, good);
    edit(&mut value);
    let bundle: ModelBundle = serde_json::from_value(value.clone()).unwrap();
    let id = bundle.key().id().unwrap();
    value["bundle_version"] =
        json!(bundle_version(&id, &bundle.policy_revision, &bundle.config_revision).unwrap());
    value["bundle_id"] = json!(id);
    let document = signed::<ModelBundle>(place, value);
    let uri = format!("platform-1/mf/forged/{}", document.digest().hex());
    store::write_document(place.store(), &ObjectKey::new(uri).unwrap(), &document).unwrap()
}

pub fn value_of<D: Document>(place: &Place, reference: &Reference<D>) -> Value {
    serde_json::from_slice(&store::read(place.store(), reference).unwrap()).unwrap()
}

/// The good manifest, edited; fingerprint, id and pass proof are made to fit again before the last edit.
pub fn manifest(place: &Place, edit: impl FnOnce(&mut Value), last: impl FnOnce(&mut Value)) -> Value {
    let mut value = value_of(place, &place.manifest);
    edit(&mut value);
    let fingerprint =
        serde_json::from_value::<DatasetManifest>(value.clone()).unwrap().fingerprint().unwrap();
    value["dataset_fingerprint"] = json!(fingerprint);
    value["dataset_manifest_id"] = json!(DatasetManifestId::of(&fingerprint).unwrap());
    if value["pass_proof"].is_object() {
        value["pass_proof"]["dataset_fingerprint"] = json!(fingerprint);
    }
    last(&mut value);
    put(place, "platform-1/ofs/manifests/forged", &value)
}

/// The rows of the good partition.
pub fn rows(place: &Place) -> RecordBatch {
    let manifest = value_of(place, &place.manifest);
    let entry = &manifest["partitions"][0];
    assert_eq!(manifest["partitions"].as_array().unwrap().len(), 1, "the dataset is one partition");
    let bytes = place.store().get(&ObjectKey::new(entry["uri"].as_str().unwrap()).unwrap()).unwrap().unwrap();
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(Bytes::from(bytes), options)
        .unwrap()
        .with_batch_size(1 << 20)
        .build()
        .unwrap();
    let batches: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
    assert_eq!(batches.len(), 1);
    batches[0].clone()
}

/// The rows with one column replaced.
pub fn with_column(rows: &RecordBatch, name: &str, array: ArrayRef) -> RecordBatch {
    let mut columns = rows.columns().to_vec();
    columns[rows.schema().index_of(name).unwrap()] = array;
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

/// A manifest of other rows in one partition, consistent in everything but what the rows say.
pub fn dataset(place: &Place, rows: &RecordBatch) -> Value {
    let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), rows.schema(), options).unwrap();
    writer.write(rows).unwrap();
    let bytes = writer.into_inner().unwrap();
    let reference = put_bytes(place, "platform-1/ofs/partitions", &bytes);
    let labels: &arrow_array::BooleanArray = column(rows, "label");
    let outcomes: &arrow_array::StringArray = column(rows, "label_outcome");
    let outcome = |text: &str| outcomes.iter().filter(|outcome| *outcome == Some(text)).count();
    let label =
        |value: bool| outcomes.iter().zip(labels).filter(|row| *row == (Some("known"), Some(value))).count();
    manifest(
        place,
        |value| {
            let entry = &mut value["partitions"][0];
            entry["uri"] = reference["uri"].clone();
            entry["digest"] = reference["digest"].clone();
            entry["rows"] = json!(rows.num_rows());
            entry["bytes"] = json!(bytes.len());
            let basis = &mut value["label_basis"];
            basis["positive"] = json!(label(true));
            basis["censored"] = json!(outcome("censored"));
            basis["conflicting"] = json!(outcome("conflict"));
            basis["immature"] = json!(outcome("immature"));
            let others = label(true) + outcome("censored") + outcome("conflict") + outcome("immature");
            basis["negative"] = json!(rows.num_rows() - others);
        },
        |_| {},
    )
}

pub fn column<'a, T: 'static>(rows: &'a RecordBatch, name: &str) -> &'a T {
    rows.column_by_name(name).unwrap().as_any().downcast_ref().unwrap()
}

pub fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let array: arrow_array::TimestampNanosecondArray = values.collect();
    Arc::new(array.with_timezone("UTC"))
}
