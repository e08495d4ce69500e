//! Categorical features through the whole line: a code of the raw data is the code that a bundle scores.

use contracts::{Code, Reference, bundle::ModelBundle};
use factory::{
    Factory,
    dataset::{DatasetSpec, Source, Sources},
    store, verify,
};
use kernels::progress::Silent;
use ndarray::Array2;
use serde_json::{Value, json};

use crate::support::{
    config, events, forge, labels, payments,
    place::{Place, assert_refusal, files, folder, line, quick_profile, today},
    spec,
};

/// What a run that is refused while it fits may leave.
const LEAVES: &[&str] =
    &["train_requests/", "run_receipt_fail.json", "resolved_plan", "plan", "training_config"];

/// A place whose dataset has the terminal, a number from 0 to 59, as a feature of its own.
fn place() -> Place {
    let folder = folder();
    let clock = std::sync::Arc::new(factory::clock::FixedClock::new(today()));
    let factory = Factory::of(line(folder.path(), &clock));
    let payments = payments();
    let mut spec = spec(&payments);
    let code = json!({"name": "terminal_code", "definition": {"kind": "column", "column": "terminal"}});
    spec["features"].as_array_mut().unwrap().push(code);
    let spec: DatasetSpec = serde_json::from_value(spec).unwrap();
    let sources = Sources {
        events: Source::Batches(vec![events(&payments)]),
        labels: Source::Batches(vec![labels(&payments)]),
    };
    let manifest = factory.build_dataset(&spec, sources, &Silent).unwrap().reference;
    drop(factory);
    Place::of(&files(folder.path()), manifest)
}

fn request(place: &Place, model: Value) -> Value {
    let mut config = config(&place.payments);
    config["model"] = model;
    config["features"] = json!(["amount", "terminal_code", "customer_count_7d"]);
    config["evaluation"]["bootstrap"]["replicates"] = json!(0);
    let mut request = place.request_with(config, quick_profile());
    let digest = request["training_config"]["digest"].as_str().unwrap().to_owned();
    request["request_id"] = json!(format!("request-{}", &digest[7..20]));
    request
}

fn boosting(categorical: &[&str]) -> Value {
    json!({"family": "gradient_boosting", "n_estimators": 10, "categorical_features": categorical})
}

#[test]
fn categories_pass_the_line_and_are_scored_by_name() {
    let place = place();
    let run = place.carry_out(request(&place, boosting(&["terminal_code"])));
    let reference: Reference<ModelBundle> = place.evidence(&run.run_id).bundle.unwrap();
    verify::verify(place.store(), place.keys(), &reference, &Silent).unwrap();
    verify::rebuild(place.store(), place.keys(), &*place.clock, &reference, &Silent).unwrap();
    let loaded = place.factory.load(&reference).unwrap();
    let categorical: Vec<bool> =
        loaded.bundle().input_schema.iter().map(|column| column.categorical).collect();
    assert_eq!(categorical, [false, true, false]);
    assert_eq!(loaded.model().categorical(), [1]);

    let mut rows = Array2::from_elem((3, 3), 5.0);
    rows[[1, 1]] = f64::NAN;
    rows[[2, 1]] = 1e9;
    let scores = loaded.predict_proba(rows.view()).unwrap();
    assert_eq!(scores[1].to_bits(), scores[2].to_bits(), "an unknown category is a missing one");
    for wrong in [0.5, -1.0] {
        rows[[0, 1]] = wrong;
        let failure = loaded.predict_proba(rows.view()).unwrap_err();
        assert_refusal("no category", &failure, Code::CategoryInvalid, "features/terminal_code");
    }

    // A bundle that says otherwise of its inputs than its model does is no bundle.
    let forged = forge::bundle(&place, &reference, |bundle| {
        bundle["input_schema"][1].as_object_mut().unwrap().remove("categorical");
        let schema = serde_json::from_value::<Vec<_>>(bundle["input_schema"].clone()).unwrap();
        let digest = contracts::bundle::input_schema_digest(&schema).unwrap();
        bundle["compatibility"]["input_schema"] = json!(digest);
    });
    let failure = factory::bundle::load(place.store(), place.keys(), &forged).unwrap_err();
    assert_refusal("numbers", &failure, Code::ModelInvalid, "categorical");
    // Scored as numbers the same rows give another model.
    let other = place.carry_out(request(&place, boosting(&[])));
    let plain = place.evidence(&other.run_id);
    let plan = store::read_document(place.store(), &plain.plan.unwrap()).unwrap();
    assert!(!String::from_utf8(plan.bytes().to_vec()).unwrap().contains("categorical"));
    assert_ne!(plain.model.unwrap().digest, loaded.bundle().model.digest);
}

#[test]
fn what_cannot_be_categories_is_refused_with_its_place() {
    let place = place();
    let computed = request(&place, boosting(&["terminal_code", "customer_count_7d"]));
    let failure = place.refusal(computed, LEAVES);
    assert_refusal("computed", &failure, Code::FeatureSchemaIncompatible, "/model/categorical_features/1");
    // Refused before a plan is written.
    let mut rising = boosting(&["terminal_code"]);
    rising["monotonic_cst"] = json!({"amount": 1, "terminal_code": 1});
    let failure = place.refusal(request(&place, rising), &["train_requests/", "run_receipt_fail.json"]);
    assert_refusal("a direction", &failure, Code::ParameterInvalid, "/model/monotonic_cst/terminal_code");
    let failure = place.refusal(request(&place, boosting(&["amount"])), LEAVES);
    assert_refusal("fractions", &failure, Code::CategoryInvalid, "features/amount");
    let mut few = boosting(&["terminal_code"]);
    few["max_bins"] = json!(20);
    let failure = place.refusal(request(&place, few), LEAVES);
    assert_refusal("too many", &failure, Code::CategoryInvalid, "features/terminal_code");
    assert!(failure.hint().contains("rare"));
}
