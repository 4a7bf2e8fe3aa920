//! Constrained ascent on toys whose answer is known.

use proofmark_schema::system::Norm;

use crate::constraint::tests::bound;
use crate::evasion::Settings;
use crate::evasion::suite::{STANDARD, Suite, attack};
use crate::harness::{Case, Done, RowRecord, run};
use crate::space::Deployed;
use crate::toys::{self, case, ctx};

fn go(case: &Case<'_>, id: &str, settings: Settings, eps: f64) -> Vec<RowRecord> {
    let suite = Suite::of("t", 1, vec![attack(id, settings).unwrap()]);
    let all: Vec<usize> = (0..case.oracle.rows()).collect();
    run(case, &suite, &[eps], &all, &Done::new(), &ctx(), &mut |_| {}).unwrap()
}

#[test]
fn without_constraints_it_breaks_what_auto_pgd_breaks() {
    let toy = toys::mlp(toys::rows(80, 6, -1.0, 1.0, false), 8, 2, 2.0);
    let space = toys::space(6, -3.0, 3.0, Deployed::Real);
    let labels = toy.labels(0);
    for (norm, eps) in [(Norm::Linf, 0.15), (Norm::L2, 0.35)] {
        let case = case(&toy, &space, &labels, norm);
        let twice = Settings { restarts: 2, ..STANDARD };
        let fallen = |id: &str| -> Vec<bool> {
            go(&case, id, twice, eps).iter().map(|r| !r.robust_at(eps)).collect()
        };
        let (ours, theirs) = (fallen("capgd"), fallen("apgd-ce"));
        let count = ours.iter().filter(|f| **f).count();
        assert!((8..72).contains(&count), "{norm:?}: {count} of 80 fall, tells nothing");
        // Two random starts there, the clean row and a random start here: rows at the very edge
        // of what gradients reach may fall to one of them alone.
        let differ = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
        assert!(differ <= 3, "{norm:?}: {differ} of 80 rows differ");
    }
}

#[test]
fn on_a_linear_model_under_a_linear_relation_it_finds_what_there_is() {
    // z = x0 + x1 - b, with x0 + x1 <= 1: only rows that can gain by staying under it fall.
    let data: Vec<Vec<f32>> =
        (0..20).map(|i| 0.02 * i as f32).map(|a| vec![a, 0.3, a * 0.3]).collect();
    let toy = toys::linear(data.clone(), &[1.0, 1.0, 0.0], -0.9);
    let space = toys::space(3, -2.0, 2.0, Deployed::Real);
    let labels = toy.labels(0);
    let open = bound(&data, &["a + b <= 0.95", "c = a * b"], None);
    let shut = bound(&data, &["a + b <= 0.85", "c = a * b"], None);
    for (name, constraints, reachable) in [("open", &open, true), ("shut", &shut, false)] {
        let case =
            Case { constraints: Some(constraints), ..case(&toy, &space, &labels, Norm::Linf) };
        let eps = 0.2;
        for record in go(&case, "capgd", STANDARD, eps) {
            let row = record.point.index as usize;
            let sum = toy.data[row][0] + toy.data[row][1];
            let needs = 0.9 - f64::from(sum);
            if needs <= 0.0 || (needs / (2.0 * eps) - 1.0).abs() < 0.01 {
                continue;
            }
            let falls = reachable && needs < 2.0 * eps;
            assert_eq!(!record.robust_at(eps), falls, "{name} row {row} needs {needs}");
            if let Some(witness) = &record.witness {
                assert!(constraints.valid(row, witness), "{name} row {row}: {witness:?}");
            }
        }
    }
}
