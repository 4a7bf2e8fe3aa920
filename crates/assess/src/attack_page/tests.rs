//! The page says what it is, escapes what it is given, and keeps the figures it was given.

use proofmark_schema::attack::{
    AttackUse, Bracket, CurvePoint, DistanceQuantile, FORMAT, FoundBy, Profile,
};
use proofmark_schema::measurement::{EngineUse, Method, Validity};

use super::*;

fn robust(eps: f64, k: u64, proved: Option<f64>) -> RobustAt {
    let estimate = k as f64 / 40.0;
    RobustAt {
        norm: Norm::L2,
        eps,
        k_robust: k,
        estimate,
        lower: estimate - 0.1,
        upper: estimate + 0.1,
        confidence: 0.95,
        bracket: Bracket { proved, attacked: estimate },
    }
}

fn report() -> AttackReport {
    let step = |eps: f64, k_robust: u64| CurvePoint {
        eps,
        k_robust,
        estimate: k_robust as f64 / 40.0,
        lower: 0.1,
        upper: 0.9,
        proved: Some(0.1),
    };
    AttackReport {
        format: FORMAT.into(),
        complete: true,
        model: "a<b>.onnx".into(),
        data: "rows.csv".into(),
        threat: None,
        classes: vec!["good".into(), "bad".into()],
        decision: "the class with the highest output".into(),
        goal: None,
        norm: Norm::L2,
        scale: Scale::Bounds,
        queries_limit: None,
        suite: Method { id: "quick".into(), edition: 1 },
        attacks: vec![AttackUse {
            id: "noise".into(),
            edition: 1,
            settings: "100 tries".into(),
            skipped: None,
        }],
        n: 40,
        correct: 30,
        attackable: 30,
        robust: vec![robust(0.1, 20, Some(0.25))],
        points: Vec::new(),
        validity: vec![Validity {
            check: "gate-07-gradients".into(),
            state: CheckState::Warn,
            reason: "gradients vanish".into(),
            fix: "look at the output".into(),
        }],
        engine: EngineUse { name: "rten".into(), version: "1".into(), cpu: "any".into() },
        cpu: "any".into(),
        seed: 7,
        digests: Vec::new(),
        comparisons: Vec::new(),
        exact: None,
        proved: None,
        profile: Some(Profile {
            found: 10,
            distances: vec![DistanceQuantile { p: 0.1, distance: 0.05 }],
            curve: vec![step(0.0, 30), step(0.1, 20)],
            found_by: vec![FoundBy { attack: "noise".into(), rows: 10 }],
            queries: 400,
            gradients: 0,
            classes: vec![Slice {
                feature: None,
                value: "good".into(),
                n: 25,
                correct: 20,
                robust: vec![robust(0.1, 15, None)],
            }],
            groups: Vec::new(),
        }),
    }
}

#[test]
fn the_page_holds_plot_tables_pictures_and_its_own_limits() {
    let picture = Picture {
        row: 3,
        original: "AAAA".into(),
        witness: "BBBB".into(),
        difference: "CCCC".into(),
        caption: "row 3: good, then bad".into(),
    };
    let change = Grid {
        caption: "row 3".into(),
        head: vec!["field".into()],
        rows: vec![vec!["<amount>".into()]],
    };
    let page = page("a<b>.onnx", &report(), vec![picture], vec![change]).unwrap();
    for wanted in [
        "Nothing was logged or signed",
        "a&#60;b&#62;.onnx",
        "class=\"band\"",
        "class=\"proved\"",
        "50.0 %",
        "40.0 % to 60.0 %",
        "25.0 %",
        "Warning (gate-07-gradients): gradients vanish",
        "data:image/png;base64,BBBB",
        "&#60;amount&#62;",
        "400 queries",
    ] {
        assert!(page.contains(wanted), "{wanted} is not on the page");
    }
    for strange in ["<script", "http://", "https://", "NaN"] {
        assert!(!page.contains(strange), "{strange}");
    }
}

#[test]
fn without_witnesses_there_is_no_gallery_and_without_a_profile_no_plot() {
    let bare = AttackReport { profile: None, ..report() };
    let page = page("m", &bare, Vec::new(), Vec::new()).unwrap();
    for absent in ["Witnesses", "What to change", "<svg"] {
        assert!(!page.contains(absent), "{absent}");
    }
}
