//! `attack --property`: answers, reports and refusals of the real binary.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Scratch, is_shared, proofmark};

/// A property whose box holds every image of pixels `0..=high`, and conditions on the outputs.
pub fn images(inputs: usize, outputs: usize, high: f64, conditions: &str) -> String {
    let mut text = String::new();
    for i in 0..inputs {
        let _ = writeln!(text, "(declare-const X_{i} Real)");
        let _ = writeln!(text, "(assert (and (>= X_{i} 0.0) (<= X_{i} {high})))");
    }
    for j in 0..outputs {
        let _ = writeln!(text, "(declare-const Y_{j} Real)");
    }
    let _ = writeln!(text, "(assert (and {conditions}))");
    text
}

fn asked(model: &str, property: &str, timeout: &str) -> (i32, Value) {
    let args = ["attack", "--model", model, "--property", property, "--timeout", timeout];
    let ran = proofmark(&[&args[..], &["--format", "json"]].concat());
    (ran.code, serde_json::from_str(&ran.stdout).expect("json"))
}

#[test]
fn a_property_is_answered_with_a_witness_a_proof_or_neither() {
    let scratch = Scratch::copy_of("clothing");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, property) = (path("cnn.onnx"), path("p.vnnlib"));
    let table = [
        ("any image", 1.0, "(<= Y_0 1000000)", "sat", "120"),
        ("nearly black images", 0.001, "(>= Y_0 1000000)", "unsat", "120"),
        ("a tie of all images", 1.0, "(<= Y_0 Y_1) (>= Y_0 Y_1)", "unknown", "2"),
    ];
    for (name, high, conditions, verdict, timeout) in table {
        fs::write(&property, images(28 * 28, 10, high, conditions)).expect("write");
        let (code, answer) = asked(&model, &property, timeout);
        assert_eq!((code, answer["verdict"].as_str()), (0, Some(verdict)), "{name}: {answer:#}");
        match verdict {
            "sat" => {
                let input = answer["witness"]["input"].as_array().expect("input");
                assert_eq!(input.len(), 28 * 28);
                assert!(input.iter().all(|x| (0.0..=1.0).contains(&x.as_f64().unwrap())));
                let replay = answer["witness"]["replay"].as_array().expect("replay");
                assert!(replay.len() == 2 && replay[0]["engine"] != replay[1]["engine"]);
            }
            "unsat" => {
                assert_eq!(answer["proof"]["holds_in_f32"], true);
                assert!(answer["proof"]["margin"].as_f64() > Some(0.0));
                assert!(answer["witness"].is_null());
            }
            _ => assert!(answer["reason"].is_string(), "{answer:#}"),
        }
    }
}

#[test]
fn what_cannot_be_answered_is_refused_with_a_reason() {
    let scratch = Scratch::copy_of("clothing");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, property) = (path("cnn.onnx"), path("p.vnnlib"));
    let text = images(4, 10, 1.0, "(<= Y_0 1)");
    let table = [
        (text.clone(), "names 4 inputs"),
        (text.replace("(<= Y_0 1)", "(<= Y_0 (* Y_0 Y_1))"), "line 19, column 23"),
        (text.replace("(>= X_2 0.0)", "(>= X_2 X_3)"), "X_2 has no lower bound"),
        (text.replace("Y_0 1", "Y_0 |1|"), "quoted names"),
    ];
    for (text, words) in table {
        fs::write(&property, text).expect("write");
        let (code, answer) = asked(&model, &property, "2");
        assert_eq!((code, answer["format"].as_str()), (2, Some("proofmark.error/1")));
        assert!(answer["message"].as_str().unwrap().contains(words), "{words}: {answer:#}");
    }
    let trees = Scratch::credit(2).path("gbm.onnx").display().to_string();
    fs::write(&property, images(20, 2, 1.0, "(<= Y_0 1)")).expect("write");
    assert_eq!(asked(&trees, &property, "2").0, 2);
}

/// Real instances, one of each answer and family, where the shared data lie.
#[test]
fn shared_instances_are_answered_as_the_winner_did() {
    let root = Path::new("/work/shared/data/vnn");
    if !is_shared(root) {
        return;
    }
    let table = [
        ("rl_cartpole_lunarlander", "cartpole", "cartpole_case_safe_47", "unsat"),
        ("rl_cartpole_lunarlander", "lunarlander", "lunarlander_case_safe_13", "sat"),
        ("mnist_fc_256x2", "mnist-net_256x2", "prop_1_0.05", "sat"),
    ];
    for (folder, net, property, verdict) in table {
        let model = root.join(folder).join(format!("onnx/{net}.onnx.gz"));
        let property = root.join(folder).join(format!("vnnlib/{property}.vnnlib.gz"));
        let (model, property) = (model.display().to_string(), property.display().to_string());
        let (code, answer) = asked(&model, &property, "30");
        assert_eq!((code, answer["verdict"].as_str()), (0, Some(verdict)), "{answer:#}");
    }
}

#[test]
fn a_suite_with_proofs_gives_the_figure_a_lower_end() {
    let scratch = Scratch::copy_of("credit");
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, data) = (path("mlp.onnx"), path("test.csv"));
    let given = ["--model", &model, "--data", &data, "--label", "class", "--norm", "linf"];
    let budgets = ["--eps", "0.01,0.05", "--scale", "bounds", "--limit", "24"];
    let asked = |more: &[&str]| proofmark(&[&["attack"], &given[..], &budgets, more].concat());
    let json = ["--suite", "proved", "--format", "json"];
    let (one, two) = (asked(&json), asked(&[&json[..], &["--threads", "1"]].concat()));
    assert_eq!(one.code, 0, "{}", one.stderr);
    let report: Value = serde_json::from_str(&one.stdout).expect("json");
    let again: Value = serde_json::from_str(&two.stdout).expect("json");
    assert_eq!(report["points"], again["points"], "threads change nothing");
    let quick = asked(&["--suite", "quick", "--format", "json"]);
    let quick: Value = serde_json::from_str(&quick.stdout).expect("json");
    for (at, proved) in report["robust"]
        .as_array()
        .unwrap()
        .iter()
        .zip(report["proved"]["robust"].as_array().unwrap())
    {
        let held = proved["proved"].as_u64().unwrap();
        assert!(held > 0, "{report:#}");
        assert_eq!(held + proved["open"].as_u64().unwrap(), at["k_robust"].as_u64().unwrap());
        let share = at["bracket"]["proved"].as_f64().unwrap();
        assert!((share - held as f64 / 24.0).abs() < 1e-12);
    }
    for (point, plain) in
        report["points"].as_array().unwrap().iter().zip(quick["points"].as_array().unwrap())
    {
        assert_eq!(point["decision_clean"], plain["decision_clean"]);
        let (lower, upper) = (&point["distance"]["lower"], &plain["distance"]["upper"]);
        if let Some((lower, upper)) = lower.as_f64().zip(upper.as_f64()) {
            assert!(lower <= upper, "an attack without proofs came nearer: {point:#}");
        }
    }
    let text = asked(&["--suite", "proved"]);
    assert!(text.stdout.contains("proved right within it"), "{}", text.stdout);

    let trees = path("gbm.onnx");
    let given = ["attack", "--model", &trees, "--data", &data, "--label", "class"];
    let refused =
        proofmark(&[&given[..], &["--norm", "linf"], &budgets, &["--suite", "proved"]].concat());
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("docs/proofs.md"), "{}", refused.stderr);
}
