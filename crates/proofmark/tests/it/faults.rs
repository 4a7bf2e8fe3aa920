//! Errors and faults that are set on purpose: every mode of `attack`, and a declared fault.

use serde_json::Value;

use crate::support::{Ran, Scratch, proofmark};

fn attack(scratch: &Scratch, files: [&str; 3], more: &[&str]) -> (Ran, Value) {
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, data) = (path(files[0]), path(files[1]));
    let label = if files[2].contains('.') { path(files[2]) } else { files[2].to_owned() };
    let base = ["attack", "--model", &model, "--data", &data, "--label", &label];
    let ran = proofmark(&[&base[..], more, &["--format", "json", "--quiet"]].concat());
    assert_eq!(ran.code, 0, "{more:?}: {}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).expect("json");
    assert_eq!(document["format"], "proofmark.faults/1");
    (ran, document)
}

fn members(document: &Value) -> Vec<(&str, &Value)> {
    let list = document["members"].as_array().expect("members");
    list.iter().map(|m| (m["name"].as_str().unwrap_or_default(), m)).collect()
}

const TREES: [&str; 3] = ["gbm.onnx", "test.csv", "class"];
const NET: [&str; 3] = ["cnn.onnx", "test-images.idx.gz", "test-labels.idx.gz"];

#[test]
fn faults_of_tables_fire_and_the_form_catches_what_it_can_see() {
    let scratch = Scratch::copy_of("credit");
    let more = ["--suite", "faults", "--limit", "60", "--severities", "1,5"];
    let more = [&more[..], &["--mutable", "amount", "--classes", "1,2"]].concat();
    let (first, document) = attack(&scratch, TREES, &more);
    let (again, _) = attack(&scratch, TREES, &[&more[..], &["--threads", "1"]].concat());
    assert_eq!(first.stdout, again.stdout, "same seed, same bytes, any thread count");
    let found = members(&document);
    assert!(found.len() >= 6, "{found:#?}");
    for (name, member) in found {
        for level in member["levels"].as_array().expect("levels") {
            let (changed, caught) = (&level["changed"], &level["caught"]);
            assert!(changed.as_u64() > Some(0), "{name}: {level:#}");
            match name {
                "stale" | "category-swap" => assert_eq!(caught, 0, "{name}: {level:#}"),
                "beyond" => assert_eq!(caught, changed, "{name}: {level:#}"),
                _ => {}
            }
        }
    }
}

#[test]
fn corruptions_of_images_have_curves() {
    let scratch = Scratch::copy_of("clothing");
    let plot = scratch.path("curves.svg").display().to_string();
    let more = ["--suite", "corruptions", "--limit", "24", "--severities", "1,5"];
    let (_, document) = attack(&scratch, NET, &[&more[..], &["--plot", &plot]].concat());
    let found = members(&document);
    assert_eq!(found.len(), 15);
    for (name, member) in &found {
        assert_eq!(member["levels"][1]["changed"], 24, "{name} changes every image");
    }
    let mean = |at: usize| document["pooled"][at]["accuracy"]["value"].as_f64().expect("mean");
    assert!(mean(1) < mean(0), "{document:#}");
    let notes = document["notes"].to_string();
    assert!(notes.contains("CIFAR-10-C") && notes.contains("frost is procedural"), "{notes}");
    let svg = std::fs::read_to_string(plot).expect("the plot");
    assert!(svg.starts_with("<svg xmlns=") && svg.matches("class=\"series\"").count() == 15);
}

#[test]
fn bit_flips_are_counted_in_weights_and_activations() {
    let more = ["--suite", "bit-flips", "--limit", "16", "--severities", "1,5", "--trials", "12"];
    let credit = ["--mutable", "amount", "--classes", "1,2"];
    let cases = [("clothing", NET, &[][..]), ("credit", TREES, &credit[..])];
    for (example, files, own) in cases {
        let scratch = Scratch::copy_of(example);
        let (_, document) = attack(&scratch, files, &[&more[..], own].concat());
        let places = document["bits"].as_array().expect("bits");
        assert_eq!(places.len(), 2, "{example}: {document:#}");
        for place in places {
            assert!(place["bits"].as_u64() > Some(1000), "{example}: {place:#}");
            for level in place["levels"].as_array().expect("levels") {
                let count = |key: &str| level[key].as_u64().expect(key);
                assert_eq!(count("injections"), 12);
                assert!(count("silent") + count("detectable") <= 12, "{level:#}");
            }
        }
    }
}

#[test]
fn the_costliest_input_is_told_with_its_machine() {
    let scratch = Scratch::copy_of("credit");
    let more = ["--suite", "availability", "--limit", "20", "--trials", "4"];
    let more = [&more[..], &["--mutable", "amount", "--classes", "1,2"]].concat();
    let (_, document) = attack(&scratch, TREES, &more);
    let found = &document["availability"];
    assert!(found["ratio"]["value"].as_f64().is_some_and(|r| r > 0.0), "{document:#}");
    assert!(found["families"].as_array().expect("families").len() > 2, "{found:#}");
    assert!(found["machine"].as_str().is_some_and(|m| m.contains("cores")), "{found:#}");
}

#[test]
fn a_declared_fault_is_judged_and_covers_its_cells() {
    let scratch = Scratch::credit(60);
    let (_, document) = scratch.json(&["assess"]);
    let verdicts = document["verdicts"].as_array().expect("verdicts");
    let own = verdicts.iter().find(|v| v["criterion"]["name"] == "typing-errors").expect("verdict");
    assert!(own["value"].as_f64().is_some(), "{own:#}");
    let rows = document["matrix"]["rows"].as_array().expect("rows");
    let row = rows.iter().find(|r| r["threat"] == "errors-and-faults").expect("row");
    let measured: Vec<&str> = row["cells"]
        .as_array()
        .expect("cells")
        .iter()
        .filter(|c| c["coverage"] == "measured")
        .filter_map(|c| c["verb"].as_str())
        .collect();
    assert_eq!(measured, ["detect", "control"], "{row:#}");
}

#[test]
fn a_fault_that_does_not_fit_is_named() {
    let scratch = Scratch::credit(20);
    scratch.edit("proofmark.toml", |t| t.replacen("kind = \"stale\"", "kind = \"stael\"", 1));
    let ran = scratch.run(&["assess"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("stael") && ran.stderr.contains("docs/faults.md"),
        "{}",
        ran.stderr
    );
    let scratch = Scratch::copy_of("clothing");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, data, label) = (path(NET[0]), path(NET[1]), path(NET[2]));
    let args = ["attack", "--model", &model, "--data", &data, "--label", &label];
    let ran = proofmark(&[&args[..], &["--suite", "missing", "--limit", "4"]].concat());
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("cannot be set on images"), "{}", ran.stderr);
}
