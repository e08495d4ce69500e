//! Bundles read back: what is not whole, not its own or not a model is refused, and proofs find what was forged.

use contracts::{Code, Reference, bundle::ModelBundle};
use factory::{artifact, bundle, ledger::State, store, verify};
use kernels::progress::Silent;
use ndarray::Array2;
use serde_json::{Value, json};

use crate::support::{
    forge,
    place::{Place, assert_refusal, quick_config, quick_profile},
};

fn passed() -> (Place, Reference<ModelBundle>) {
    let (place, run) = Place::passed();
    let bundle = place.evidence(&run).bundle.unwrap();
    (place, bundle)
}

/// A run of other settings in the same place.
fn other_run(place: &Place, edit: impl FnOnce(&mut Value, &mut Value)) -> contracts::run_receipt::Evidence {
    let (mut config, mut profile) = (quick_config(place), quick_profile());
    edit(&mut config, &mut profile);
    let mut request = place.request_with(config, profile);
    let digest = request["training_config"]["digest"].as_str().unwrap().to_owned();
    request["request_id"] = json!(format!("request-{}", &digest[7..20]));
    let run = place.carry_out(request);
    place.evidence(&run.run_id)
}

#[test]
fn a_bundle_scores_what_its_schema_allows() {
    let (place, reference) = passed();
    let loaded = place.factory.load(&reference).unwrap();
    let columns = loaded.feature_names().count();
    assert_eq!(columns, loaded.model().columns());
    let rows = Array2::from_elem((3, columns), 1.0);
    let scores = loaded.predict_proba(rows.view()).unwrap();
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
    for count in [columns - 1, columns + 1, 0] {
        let failure = loaded.predict_proba(Array2::from_elem((3, count), 1.0).view()).unwrap_err();
        assert_refusal("columns", &failure, Code::FeatureSchemaIncompatible, "columns");
    }
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut rows = rows.clone();
        rows[[1, 2]] = wrong;
        let failure = loaded.predict_proba(rows.view()).unwrap_err();
        let name = loaded.feature_names().nth(2).unwrap().as_str();
        assert_refusal("a wrong number", &failure, Code::NonFiniteInput, name);
    }
}

#[test]
fn boosting_scores_missing_values_and_no_infinities() {
    let place = Place::new();
    let boosting = json!({"family": "gradient_boosting", "n_estimators": 3});
    let evidence = other_run(&place, |config, _| config["model"] = boosting);
    let loaded = place.factory.load(&evidence.bundle.unwrap()).unwrap();
    let mut rows = Array2::from_elem((1, loaded.model().columns()), f64::NAN);
    assert!(loaded.predict_proba(rows.view()).is_ok());
    rows[[0, 0]] = f64::INFINITY;
    let failure = loaded.predict_proba(rows.view()).unwrap_err();
    assert_refusal("infinity", &failure, Code::NonFiniteInput, "amount");
}

#[test]
fn a_forged_bundle_is_not_loaded() {
    let (place, good) = passed();
    let load = |reference: &Reference<ModelBundle>| {
        bundle::load(place.store(), place.keys(), reference).unwrap_err()
    };
    let mine = "no PASS of its own";
    let other = other_run(&place, |config, _| config["model"]["max_depth"] = json!(2));
    let other_bundle = store::read_document(place.store(), &other.bundle.unwrap()).unwrap();

    let with_model = forge::bundle(&place, &good, |bundle| bundle["model"] = json!(other_bundle.model));
    assert_refusal("another model", &load(&with_model), Code::GateDecisionMismatch, mine);
    let receipt = json!(other_bundle.gate_receipt);
    let with_receipt = forge::bundle(&place, &good, |bundle| bundle["gate_receipt"] = receipt);
    assert_refusal("another receipt", &load(&with_receipt), Code::GateDecisionMismatch, mine);
    let of_run =
        forge::bundle(&place, &good, |bundle| bundle["train_run_id"] = json!(other_bundle.train_run_id));
    assert_refusal("another run", &load(&of_run), Code::GateDecisionMismatch, mine);

    let failed = other_run(&place, |config, profile| {
        config["revision"] = json!("2");
        profile["criteria"][0]["threshold"] = json!(1.5);
    });
    // A FAIL with everything of its own, and an eligibility that was turned round.
    let eligibility = forge::edited(&place, &failed.publish_eligibility.clone().unwrap(), |eligibility| {
        eligibility["eligibility"] = json!("ELIGIBLE");
        eligibility["reason_codes"] = json!([]);
    });
    let run =
        store::read_document(place.store(), &failed.plan.clone().unwrap()).unwrap().train_run_id.clone();
    let of_fail = forge::bundle(&place, &good, |bundle| {
        bundle["model"] = json!(failed.model);
        bundle["eval_report"] = json!(failed.eval_report);
        bundle["gate_receipt"] = json!(failed.gate_receipt);
        bundle["publish_eligibility"] = json!(eligibility);
        bundle["train_run_id"] = json!(run);
    });
    assert_refusal("a FAIL", &load(&of_fail), Code::GateDecisionMismatch, mine);
    // A PASS with an eligibility that says no, one of another receipt, and one that names another report.
    let eligibility = store::read_document(place.store(), &good).unwrap().publish_eligibility.clone();
    let no = forge::edited(&place, &eligibility, |eligibility| {
        eligibility["eligibility"] = json!("INELIGIBLE");
        eligibility["reason_codes"] = json!(["PUBLISH_NOT_ELIGIBLE"]);
    });
    for (name, field, value) in [
        ("not eligible", "publish_eligibility", json!(no)),
        ("another eligibility", "publish_eligibility", json!(other_bundle.publish_eligibility)),
        ("another report", "eval_report", json!(other_bundle.eval_report)),
    ] {
        let forged = forge::bundle(&place, &good, |bundle| bundle[field] = value);
        assert_refusal(name, &load(&forged), Code::GateDecisionMismatch, mine);
    }

    // A receipt that names the forged model too: the model itself is what is looked at last.
    let with_bytes = |bytes: &[u8], edit: &dyn Fn(&mut Value)| {
        let model = forge::put_bytes(&place, "platform-1/mf/forged", bytes);
        let bundle = store::read_document(place.store(), &good).unwrap();
        let receipt =
            forge::edited(&place, &bundle.gate_receipt, |receipt| receipt["model"] = model["digest"].clone());
        let eligibility = forge::edited(&place, &bundle.publish_eligibility, |eligibility| {
            eligibility["gate_receipt"] = json!(receipt.digest);
        });
        forge::bundle(&place, &good, |bundle| {
            bundle["model"] = model;
            bundle["gate_receipt"] = json!(receipt);
            bundle["publish_eligibility"] = json!(eligibility);
            edit(bundle);
        })
    };
    let model = store::read_document(place.store(), &good).unwrap().model.clone();
    let bytes = store::read(place.store(), &model).unwrap();
    for (name, bytes) in [("empty", &b""[..]), ("text", b"not a model"), ("cut", &bytes[..bytes.len() - 1])] {
        assert_refusal(name, &load(&with_bytes(bytes, &|_| {})), Code::ModelInvalid, "safetensors");
    }
    let family = |bundle: &mut Value| bundle["compatibility"]["family"] = json!("random_forest");
    assert_refusal(
        "another family",
        &load(&with_bytes(&bytes, &family)),
        Code::ModelInvalid,
        "random_forest",
    );
    let narrower = |bundle: &mut Value| {
        let columns = bundle["input_schema"].as_array_mut().unwrap();
        columns.pop();
        let columns: Vec<contracts::bundle::InputColumn> = serde_json::from_value(json!(columns)).unwrap();
        let digest = contracts::bundle::input_schema_digest(&columns).unwrap();
        bundle["compatibility"]["input_schema"] = json!(digest);
    };
    assert_refusal("fewer columns", &load(&with_bytes(&bytes, &narrower)), Code::ModelInvalid, "5 columns");
    assert!(bundle::load(place.store(), place.keys(), &with_bytes(&bytes, &|_| {})).is_ok());
}

/// Whole files of the container's format that are no model of ours.
#[test]
fn a_strange_model_file_is_an_error() {
    use safetensors::{Dtype, serialize, tensor::TensorView};
    let zeros = [0_u8; 16];
    let tensor =
        |dtype: Dtype, shape: Vec<usize>| vec![("a", TensorView::new(dtype, shape, &zeros).unwrap())];
    let header =
        |format: &str, family: &str| json!({"columns": 1, "family": family, "format": format}).to_string();
    let ours = || header("model_factory.model.v1", "decision_tree");
    let (flat, none) = (|| tensor(Dtype::F64, vec![2]), Vec::<(&str, TensorView<'_>)>::new);
    for (name, tensors, metadata) in [
        ("no metadata", flat(), vec![]),
        ("more metadata", flat(), vec![("model_factory", ours()), ("more", String::new())]),
        ("other metadata", flat(), vec![("other_factory", ours())]),
        (
            "another format",
            flat(),
            vec![("model_factory", header("model_factory.model.v2", "decision_tree"))],
        ),
        ("another family", flat(), vec![("model_factory", header("model_factory.model.v1", "oracle"))]),
        ("other arrays", flat(), vec![("model_factory", ours())]),
        ("two dimensions", tensor(Dtype::F64, vec![1, 2]), vec![("model_factory", ours())]),
        ("another type", tensor(Dtype::I64, vec![2]), vec![("model_factory", ours())]),
        ("no arrays", none(), vec![("model_factory", ours())]),
    ] {
        let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let bytes = serialize(tensors, Some(metadata)).unwrap();
        assert_eq!(artifact::read(&bytes).unwrap_err().code, Code::ModelInvalid, "{name}");
    }
    let (place, good) = passed();
    let model = store::read_document(place.store(), &good).unwrap().model.clone();
    let bytes = store::read(place.store(), &model).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = metadata.metadata().clone().unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors();
    let again = serialize(tensors.clone(), Some(metadata.clone())).unwrap();
    assert!(artifact::read(&again).is_ok());
    let mut more = metadata.clone();
    more.insert("more".to_owned(), String::new());
    let other =
        metadata.iter().map(|(key, text)| (key.clone(), text.replace("model.v1", "model.v2"))).collect();
    let extra = tensors.clone().into_iter().chain([("zzz".to_owned(), flat().remove(0).1)]);
    for (name, bytes) in [
        ("more metadata", serialize(tensors.clone(), Some(more))),
        ("another format", serialize(tensors.clone(), Some(other))),
        ("one array more", serialize(extra, Some(metadata.clone()))),
        ("one array less", serialize(tensors.into_iter().skip(1), Some(metadata))),
    ] {
        assert_eq!(artifact::read(&bytes.unwrap()).unwrap_err().code, Code::ModelInvalid, "{name}");
    }
}

#[test]
fn a_proof_reads_every_object_that_a_bundle_rests_on() {
    let (place, reference) = passed();
    let verified = verify::verify(place.store(), place.keys(), &reference, &Silent).unwrap();
    assert!(verified.gate_confirmed);
    assert_eq!(verified.objects, 11);
    let document = store::read_document(place.store(), &reference).unwrap();
    let manifest = forge::value_of(&place, &place.manifest);
    let partition = manifest["partitions"][0]["uri"].as_str().unwrap().to_owned();
    let uris = [
        (document.model.uri.to_string(), Code::EvidenceDigestMismatch),
        (document.plan.uri.to_string(), Code::EvidenceDigestMismatch),
        (document.execution_record.uri.to_string(), Code::EvidenceDigestMismatch),
        (document.eval_report.uri.to_string(), Code::EvidenceDigestMismatch),
        (document.gate_receipt.uri.to_string(), Code::EvidenceDigestMismatch),
        (document.publish_eligibility.uri.to_string(), Code::EvidenceDigestMismatch),
        (document.training_config.uri.to_string(), Code::TrainingConfigDigestMismatch),
        (document.governance_profile.uri.to_string(), Code::GovernanceProfileDigestMismatch),
        (place.manifest.uri.to_string(), Code::ManifestDigestMismatch),
        (partition, Code::PartitionDigestMismatch),
        (reference.uri.to_string(), Code::EvidenceDigestMismatch),
    ];
    assert_eq!(uris.len() as u64, verified.objects);
    for (uri, code) in uris {
        let good = std::fs::read(place.path(&uri)).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        std::fs::write(place.path(&uri), bad).unwrap();
        let failure = verify::verify(place.store(), place.keys(), &reference, &Silent).unwrap_err();
        assert_refusal(&uri, &failure, code, &uri);
        std::fs::write(place.path(&uri), good).unwrap();
    }
    assert_eq!(verify::verify(place.store(), place.keys(), &reference, &Silent).unwrap(), verified);
}

#[test]
fn a_bundle_of_other_data_than_its_plan_is_no_proof() {
    let (place, good) = passed();
    let twin = forge::manifest(&place, |_| {}, |value| value["provenance"]["config_revision"] = json!("2"));
    let reference = forge::bundle(&place, &good, |bundle| bundle["dataset_manifests"] = json!([twin]));
    let failure = verify::verify(place.store(), place.keys(), &reference, &Silent).unwrap_err();
    assert_refusal("other data", &failure, Code::EvidenceInvalid, "one run");
    let other = other_run(&place, |config, _| config["revision"] = json!("2"));
    let reference = forge::bundle(&place, &good, |bundle| bundle["plan"] = json!(other.plan));
    let failure = verify::verify(place.store(), place.keys(), &reference, &Silent).unwrap_err();
    assert_refusal("another plan", &failure, Code::EvidenceInvalid, "one run");
}

#[test]
fn a_rebuild_finds_a_model_that_the_data_does_not_give() {
    let (place, good) = passed();
    let rebuild = |reference: &Reference<ModelBundle>| {
        verify::rebuild(place.store(), place.keys(), &*place.clock, reference, &Silent)
    };
    rebuild(&good).unwrap();
    let before = place.objects();
    let other = other_run(&place, |config, _| config["model"]["max_depth"] = json!(2));
    let reference = forge::bundle(&place, &good, |bundle| bundle["model"] = json!(other.model));
    let failure = rebuild(&reference).unwrap_err();
    assert_refusal("another model", &failure, Code::NondeterminismDetected, "other bytes");
    assert!(place.objects().len() > before.len());
    assert_eq!(place.factory.fsck().unwrap().findings, []);
    assert_eq!(place.ledger().runs(Some(State::Fail), 9).unwrap(), []);
}
