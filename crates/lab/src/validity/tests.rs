//! Every gate fires on a bad toy and stays silent on its good twin.

use proofmark_schema::system::{Access, Norm, OutputKind};

use super::*;
use crate::decision::Rule;
use crate::evasion::suite::{STANDARD, attack};
use crate::evasion::{Needs, Rank, Settings};
use crate::harness::{Arena, ArenaError, run};
use crate::oracle::Loss;
use crate::space::Deployed;
use crate::toys::{self, Manner, Toy, case, ctx};

fn classes() -> Vec<String> {
    ["a", "b", "c", "d"].map(String::from).to_vec()
}

fn with_setup<T>(toy: &Toy, labels: &[usize], f: impl FnOnce(Setup<'_>) -> T) -> T {
    let clean = Clean::ask(toy, &toy.decision).unwrap();
    let names = classes();
    let setup = Setup {
        targets: None,
        oracle: toy,
        second: None,
        labels,
        decision: toy.decision,
        clean: &clean,
        classes: &names[..toy.classes],
        space: None,
        domain: &[],
        alternatives: &[],
        expected: None,
    };
    f(setup)
}

fn data(n: usize) -> Vec<Vec<f32>> {
    toys::rows(n, 4, -1.0, 1.0, false)
}

const W: [f64; 4] = [2.0, -1.0, 0.5, 1.5];

fn good() -> Toy {
    toys::linear(data(120), &W, 0.1)
}

#[track_caller]
fn expect(finding: &Finding, state: CheckState, words: &str) {
    assert_eq!(finding.state, state, "{finding:?}");
    assert!(finding.reason.contains(words) || finding.fix.contains(words), "{finding:?}");
    assert_eq!(finding.fix.is_empty(), matches!(state, CheckState::Ok | CheckState::NotExamined));
}

#[test]
fn gate_1_names_the_reading_that_fits() {
    let toy = good();
    let labels = toy.labels(8);
    // The same rows with the columns in another order.
    let permuted: Vec<Vec<f32>> = toy.data.iter().map(|r| vec![r[1], r[0], r[3], r[2]]).collect();
    let wrong = toys::linear(permuted, &W, 0.1);
    let alternative = |oracle| {
        [Alternative { name: "columns as in the file".into(), fix: "declare them".into(), oracle }]
    };
    with_setup(&wrong, &labels, |setup| {
        let others = alternative(&toy as &dyn Oracle);
        let setup = Setup { alternatives: &others, ..setup };
        let finding = clean_accuracy::examine(&setup).unwrap();
        expect(&finding, CheckState::Refuse, "columns as in the file");
    });
    with_setup(&toy, &labels, |setup| {
        let others = alternative(&wrong as &dyn Oracle);
        let setup = Setup { alternatives: &others, ..setup };
        let finding = clean_accuracy::examine(&setup).unwrap();
        expect(&finding, CheckState::Ok, "are correct");
    });
    // With the training framework's scores at hand, parity decides.
    let expected = Clean::ask(&toy, &toy.decision).unwrap().all_scores().to_vec();
    with_setup(&wrong, &labels, |setup| {
        let setup = Setup { expected: Some(&expected), ..setup };
        let finding = clean_accuracy::examine(&setup).unwrap();
        expect(&finding, CheckState::Refuse, "column order");
        let others = alternative(&toy as &dyn Oracle);
        let setup = Setup { alternatives: &others, ..setup };
        let finding = clean_accuracy::examine(&setup).unwrap();
        expect(&finding, CheckState::Refuse, "columns as in the file");
    });
    with_setup(&toy, &labels, |setup| {
        let setup = Setup { expected: Some(&expected), ..setup };
        expect(&clean_accuracy::examine(&setup).unwrap(), CheckState::Ok, "120 of 120");
        let swapped: Vec<f32> = expected.chunks(2).flat_map(|s| [s[1], s[0]]).collect();
        let setup = Setup { expected: Some(&swapped), ..setup };
        let finding = clean_accuracy::examine(&setup).unwrap();
        expect(&finding, CheckState::Refuse, "output.classes = [\"b\", \"a\"]");
    });
}

#[test]
fn gate_1_refuses_chance_and_swapped_labels() {
    let toy = good();
    let labels = toy.labels(8);
    let swapped: Vec<usize> = labels.iter().map(|l| 1 - l).collect();
    with_setup(&toy, &swapped, |setup| {
        expect(&clean_accuracy::examine(&setup).unwrap(), CheckState::Refuse, "wrong way round");
    });
    // Another reading that helps a little does not hide that swapped labels explain nearly all.
    let mixed: Vec<Vec<f32>> = toy
        .data
        .iter()
        .enumerate()
        .map(|(i, r)| if i % 3 == 0 { r.iter().map(|v| -v).collect() } else { r.clone() })
        .collect();
    let other = toys::linear(mixed, &W, 0.1);
    with_setup(&toy, &swapped, |setup| {
        let (name, fix) = ("some rows inverted".to_string(), "invert them".to_string());
        let others = [Alternative { name, fix, oracle: &other }];
        let setup = Setup { alternatives: &others, ..setup };
        expect(&clean_accuracy::examine(&setup).unwrap(), CheckState::Refuse, "wrong way round");
    });
    let random: Vec<usize> = (0..120).map(|i| (i / 2) % 2).collect();
    let blind = toys::constant(data(120));
    with_setup(&blind, &random, |setup| {
        expect(&clean_accuracy::examine(&setup).unwrap(), CheckState::Refuse, "chance");
    });
    let many = toys::mlp(data(200), 20, 4, 2.0);
    let labels = many.labels(9);
    with_setup(&many, &labels, |setup| {
        expect(&clean_accuracy::examine(&setup).unwrap(), CheckState::Ok, "are correct");
    });
    // Column c of the output means class order[c].
    let order = [2, 0, 1, 3];
    let relabelled: Vec<usize> = labels.iter().map(|&l| order[l]).collect();
    with_setup(&many, &relabelled, |setup| {
        let finding = clean_accuracy::examine(&setup).unwrap();
        expect(&finding, CheckState::Refuse, "\"c\", \"a\", \"b\", \"d\"");
    });
}

#[test]
fn gate_1_does_not_refuse_a_cost_weighted_cut_off() {
    // A cut-off far from one half: below the majority baseline, yet it ranks well.
    let toy = good().decided_by(Rule::Cutoff { class: 1, at: 0.02 });
    let labels = good().labels(8);
    with_setup(&toy, &labels, |setup| {
        let share = setup.clean.correct(setup.labels) as f64 / 120.0;
        assert!(share < 0.6, "{share}");
        expect(&clean_accuracy::examine(&setup).unwrap(), CheckState::Ok, "constant answer");
    });
}

#[test]
fn gate_2_refuses_randomness() {
    for (manner, state, words) in [
        (Manner::Plain, CheckState::Ok, "bit by bit"),
        (Manner::Random, CheckState::Refuse, "different answers"),
    ] {
        let toy = good().manner(manner);
        let labels = good().labels(0);
        with_setup(&toy, &labels, |setup| {
            expect(&determinism::examine(&setup).unwrap(), state, words);
        });
    }
}

#[test]
fn gate_3_compares_scores_with_their_declared_kind() {
    use OutputKind::{Logit, Probability, Score};
    let cases: [(&str, OutputKind, Vec<f32>, CheckState); 7] = [
        ("probabilities", Probability, vec![0.2, 0.8, 0.6, 0.4], CheckState::Ok),
        ("logits as such", Probability, vec![-2.0, 1.5, 0.3, 0.4], CheckState::Refuse),
        ("no sum", Probability, vec![0.2, 0.5, 0.6, 0.4], CheckState::Refuse),
        ("logits", Logit, vec![-2.0, 1.5, 0.3, 0.4], CheckState::Ok),
        ("probabilities as logits", Logit, vec![0.2, 0.8, 0.6, 0.4], CheckState::Refuse),
        ("one column of them", Logit, vec![0.0, 0.8, 0.0, 0.4], CheckState::Refuse),
        ("nan", Score, vec![0.0, f32::NAN, 0.0, 0.4], CheckState::Refuse),
    ];
    for (name, kind, scores, state) in cases {
        let toy = good();
        let decision = Decision::argmax(kind);
        let clean = Clean::from_scores(scores, 2, &decision);
        with_setup(&toy, &[0, 1], |setup| {
            let setup = Setup { clean: &clean, decision, ..setup };
            assert_eq!(output_kind::examine(&setup).unwrap().state, state, "{name}");
        });
    }
    let full =
        Clean::from_scores(vec![0.0, 1.0, 1.0, 0.0], 2, &Decision::cutoff(Probability, 1, 0.3));
    let toy = good();
    with_setup(&toy, &[0, 1], |setup| {
        let decision = Decision::cutoff(Probability, 1, 0.3);
        let setup = Setup { clean: &full, decision, ..setup };
        expect(&output_kind::examine(&setup).unwrap(), CheckState::Warn, "saturated");
    });
}

#[test]
fn gate_4_compares_two_engines() {
    let toy = good();
    let labels = toy.labels(0);
    let other = toys::linear(data(120), &W, 0.2);
    with_setup(&toy, &labels, |setup| {
        expect(&two_engines::examine(&setup).unwrap(), CheckState::NotExamined, "no second");
        let setup = Setup { second: Some(&toy), ..setup };
        expect(&two_engines::examine(&setup).unwrap(), CheckState::Ok, "agree");
        let setup = Setup { second: Some(&other), ..setup };
        expect(&two_engines::examine(&setup).unwrap(), CheckState::Refuse, "differ");
    });
}

#[test]
fn gate_4_warns_of_a_row_between_two_roundings_of_a_threshold() {
    let mut rows = data(120);
    rows[7][0] = 5e-10;
    let steps = |at: f64| toys::steps(rows.clone(), &[(0, at, 2.0), (1, 0.1, 1.0)], -1.2);
    let (toy, near, far) = (steps(0.0), steps(1e-9), steps(0.1));
    assert!(toy.gradient().is_err());
    let labels = toy.labels(0);
    with_setup(&toy, &labels, |setup| {
        let setup = Setup { second: Some(&near), ..setup };
        let finding = two_engines::examine(&setup).unwrap();
        expect(&finding, CheckState::Warn, "the engines differ: 1 of 120 rows (7)");
        let setup = Setup { second: Some(&far), ..setup };
        expect(&two_engines::examine(&setup).unwrap(), CheckState::Refuse, "differ");
    });
    // The same row in a model that has a gradient is an error.
    let smooth = toys::linear(data(120), &W, 0.1);
    let mut moved = data(120);
    moved[7][0] += 0.01;
    let moved = toys::linear(moved, &W, 0.1);
    with_setup(&smooth, &smooth.labels(0), |setup| {
        let setup = Setup { second: Some(&moved), ..setup };
        expect(&two_engines::examine(&setup).unwrap(), CheckState::Refuse, "differ: 1 of 120");
    });
}

#[test]
fn gate_5_refuses_data_outside_its_own_declaration() {
    let toy = good();
    let labels = toy.labels(0);
    let (wide, narrow) =
        (toys::space(4, -1.0, 1.0, Deployed::Real), toys::space(4, -0.9, 1.0, Deployed::Real));
    let found = ["row 3, `age`: 200 lies outside [18, 100]".to_string()];
    with_setup(&toy, &labels, |setup| {
        let setup = Setup { space: Some(&wide), ..setup };
        expect(&domain::examine(&setup).unwrap(), CheckState::Ok, "120 rows");
        let setup = Setup { space: Some(&narrow), ..setup };
        expect(&domain::examine(&setup).unwrap(), CheckState::Refuse, "outside [-0.9, 1]");
        let setup = Setup { domain: &found, ..setup };
        expect(&domain::examine(&setup).unwrap(), CheckState::Refuse, "age");
    });
}

#[test]
fn gate_16_refuses_a_model_that_always_says_the_same() {
    let toy = good();
    let labels = toy.labels(8);
    with_setup(&toy, &labels, |setup| {
        expect(&degenerate::examine(&setup).unwrap(), CheckState::Ok, "MCC");
    });
    let constant = toys::constant(data(120));
    with_setup(&constant, &labels, |setup| {
        expect(&degenerate::examine(&setup).unwrap(), CheckState::Refuse, "degenerate");
    });
    with_setup(&toy, &[1; 120], |setup| {
        expect(&degenerate::examine(&setup).unwrap(), CheckState::Warn, "only one class");
    });
}

/// What a trial is made of.
struct Stand {
    toy: Toy,
    space: Space,
    labels: Vec<usize>,
    norm: Norm,
    budgets: Vec<f64>,
    access: Access,
}

impl Stand {
    fn new(toy: Toy, deployed: Deployed, budgets: &[f64]) -> Self {
        let dims = toy.data[0].len();
        let labels = toy.labels(0);
        let space = toys::space(dims, -1.0, 1.0, deployed);
        let (norm, budgets) = (Norm::Linf, budgets.to_vec());
        Self { toy, space, labels, norm, budgets, access: Access::WhiteBox }
    }

    fn judge(
        &self,
        attacks: Vec<Box<dyn Attack>>,
        gate: fn(&Trial<'_>) -> Result<Finding, HarnessError>,
    ) -> Finding {
        self.judge_within(None, attacks, gate)
    }

    fn judge_within(
        &self,
        queries_limit: Option<u64>,
        attacks: Vec<Box<dyn Attack>>,
        gate: fn(&Trial<'_>) -> Result<Finding, HarnessError>,
    ) -> Finding {
        let case = case(&self.toy, &self.space, &self.labels, self.norm);
        let case = Case { queries_limit, access: self.access, ..case };
        let suite = Suite::of("t", 1, attacks);
        let rows: Vec<usize> = (0..self.toy.data.len()).collect();
        let records =
            run(&case, &suite, &self.budgets, &rows, &Done::new(), &ctx(), &mut |_| {}).unwrap();
        let context = ctx();
        let budgets = &self.budgets;
        gate(&Trial { case: &case, suite: &suite, budgets, records: &records, ctx: &context })
            .unwrap()
    }
}

fn apgd(steps: usize) -> Vec<Box<dyn Attack>> {
    let settings = Settings { steps, ..STANDARD };
    ["apgd-ce", "apgd-margin"].map(|id| attack(id, settings).unwrap()).into()
}

fn curved() -> Toy {
    toys::mlp(data(60), 24, 3, 2.0)
}

#[test]
fn gate_7_fires_on_masked_gradients() {
    let good = Stand::new(curved(), Deployed::Real, &[0.1]);
    expect(&good.judge(apgd(20), gradients::examine), CheckState::Ok, "0.0 % were zero");
    let bad = Stand::new(curved().manner(Manner::Masked), Deployed::Real, &[0.1]);
    expect(&bad.judge(apgd(20), gradients::examine), CheckState::Warn, "masked");
    let none = Stand::new(curved().manner(Manner::Blind), Deployed::Real, &[0.1]);
    let noise = vec![attack("noise", STANDARD).unwrap()];
    expect(&none.judge(noise, gradients::examine), CheckState::NotExamined, "operator `Step`");
}

#[test]
fn gate_15_fires_when_squares_turn_what_gradients_did_not() {
    let built = |ids: &[&str]| -> Vec<Box<dyn Attack>> {
        ids.iter().map(|id| attack(id, STANDARD).unwrap()).collect()
    };
    let whole = ["apgd-ce", "apgd-margin", "fab-t", "square"];
    let good = Stand::new(curved(), Deployed::Real, &[0.1]);
    expect(&good.judge(built(&whole), square::examine), CheckState::Ok, "turned no row");
    let bad = Stand::new(curved().manner(Manner::Masked), Deployed::Real, &[0.1]);
    expect(&bad.judge(built(&whole), square::examine), CheckState::Warn, "masked");
    // Before any gradient, or without one, squares say nothing about masking.
    for ids in [&["square", "apgd-ce"][..], &["noise", "square"], &["apgd-ce"]] {
        let finding = bad.judge(built(ids), square::examine);
        expect(&finding, CheckState::NotExamined, "after attacks with gradients");
    }
}

/// Climbs so slowly that it is far from done when it ends, and says so as APGD would.
struct Snail;

impl Attack for Snail {
    fn id(&self) -> &'static str {
        "snail"
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Gradient
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf]
    }
    fn rank(&self) -> Rank {
        Rank::Iterative
    }
    fn settings(&self) -> String {
        String::new()
    }
    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        for seat in arena.open() {
            let clean = arena.clean(seat).to_vec();
            let mut losses = Vec::new();
            for step in 0..20 {
                let x: Vec<f32> = clean
                    .iter()
                    .enumerate()
                    .map(|(i, c)| c - 0.0001 * step as f32 * if i == 1 { -1.0 } else { 1.0 })
                    .collect();
                losses.push(arena.slopes(&[seat], &x, Loss::CrossEntropy)?.loss[0]);
            }
            let gain = f64::from(losses[19] - losses[0]);
            arena.note_late_gain(seat, f64::from(losses[19] - losses[17]) / gain);
        }
        Ok(())
    }
}

#[test]
fn gate_8_fires_when_the_loss_still_rises() {
    let good = Stand::new(curved(), Deployed::Real, &[0.05]);
    expect(&good.judge(apgd(100), late_loss::examine), CheckState::Ok, "settled");
    expect(&good.judge(vec![Box::new(Snail)], late_loss::examine), CheckState::Warn, "rising");
    let noise = vec![attack("noise", STANDARD).unwrap()];
    expect(&good.judge(noise, late_loss::examine), CheckState::NotExamined, "no iterative");
}

/// Walks through successes and proposes only where it started.
struct LastIterate;

impl Attack for LastIterate {
    fn id(&self) -> &'static str {
        "last-iterate"
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Scores
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf]
    }
    fn rank(&self) -> Rank {
        Rank::BlackBox
    }
    fn settings(&self) -> String {
        String::new()
    }
    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        for seat in arena.open() {
            let clean = arena.clean(seat).to_vec();
            for side in [-1.0, 1.0] {
                let step = (side * arena.eps() * 0.99) as f32;
                let x: Vec<f32> = clean.iter().map(|c| (c + step).clamp(-1.0, 1.0)).collect();
                arena.scores(&[seat], &x)?;
            }
            arena.ask(&[seat], &clean, harness::Reach::Ball)?;
        }
        Ok(())
    }
}

#[test]
fn gate_9_fires_on_an_attack_that_forgets_its_successes() {
    let stand = Stand::new(curved(), Deployed::Real, &[0.3]);
    expect(&stand.judge(apgd(20), silent_success::examine), CheckState::Ok, "kept");
    let bad = stand.judge(vec![Box::new(LastIterate)], silent_success::examine);
    expect(&bad, CheckState::Warn, "best iterate");
}

/// Does nothing until it is asked to try harder.
struct Lazy;

impl Attack for Lazy {
    fn id(&self) -> &'static str {
        "lazy"
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Gradient
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf]
    }
    fn rank(&self) -> Rank {
        Rank::Iterative
    }
    fn settings(&self) -> String {
        String::new()
    }
    fn harder(&self) -> Option<Box<dyn Attack>> {
        attack("apgd-ce", STANDARD)
    }
    fn run(&self, _arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        Ok(())
    }
}

#[test]
fn gate_10_fires_when_doubling_moves_the_answer() {
    let stand = Stand::new(curved(), Deployed::Real, &[0.1]);
    expect(&stand.judge(apgd(100), doubled::examine), CheckState::Ok, "doubled");
    expect(&stand.judge(vec![Box::new(Lazy)], doubled::examine), CheckState::Warn, "restarts");
    let noise = vec![attack("noise", STANDARD).unwrap()];
    expect(&stand.judge(noise, doubled::examine), CheckState::NotExamined, "no attack");
}

#[test]
fn gate_11_fires_when_even_the_full_range_is_not_enough() {
    let good = Stand::new(curved(), Deployed::Real, &[0.1]);
    expect(&good.judge(apgd(50), unconstrained::examine), CheckState::Ok, "full range");
    let masked = Stand::new(
        toys::linear(data(60), &W, -2.5).manner(Manner::Masked),
        Deployed::Real,
        &[0.01],
    );
    expect(&masked.judge(apgd(20), unconstrained::examine), CheckState::Warn, "masked");
    let mut held = Stand::new(toys::constant(data(60)), Deployed::Real, &[0.1]);
    held.labels = vec![1; 60];
    expect(&held.judge(apgd(20), unconstrained::examine), CheckState::Warn, "nothing");
}

/// Succeeds at small budgets only: it steps a fixed share of the inverse budget.
struct Backwards;

impl Attack for Backwards {
    fn id(&self) -> &'static str {
        "backwards"
    }
    fn edition(&self) -> u32 {
        1
    }
    fn needs(&self) -> Needs {
        Needs::Gradient
    }
    fn norms(&self) -> &'static [Norm] {
        &[Norm::Linf]
    }
    fn rank(&self) -> Rank {
        Rank::Iterative
    }
    fn settings(&self) -> String {
        String::new()
    }
    fn run(&self, arena: &mut Arena<'_>) -> Result<(), ArenaError> {
        if arena.eps() > 0.15 {
            return Ok(());
        }
        attack("fgsm", STANDARD).map_or(Ok(()), |a| a.run(arena))
    }
}

#[test]
fn gate_12_fires_when_a_larger_budget_does_worse() {
    let stand = Stand::new(curved(), Deployed::Real, &[0.05, 0.1, 0.2]);
    expect(&stand.judge(apgd(30), monotone::examine), CheckState::Ok, "own run");
    let bad = stand.judge(vec![Box::new(Backwards)], monotone::examine);
    expect(&bad, CheckState::Warn, "does not use its budget");
}

#[test]
fn gate_13_fires_when_noise_beats_the_gradient() {
    let good = Stand::new(curved(), Deployed::Real, &[0.1]);
    expect(&good.judge(apgd(30), order::examine), CheckState::Ok, "iterative gradients");
    let bad = Stand::new(curved().manner(Manner::Masked), Deployed::Real, &[0.2]);
    expect(&bad.judge(apgd(30), order::examine), CheckState::Warn, "beats iterative");
    // Eighty coordinates under L1, decisions only: only noise is defined.
    let wide = toys::linear(toys::rows(20, 80, -1.0, 1.0, false), &[0.1; 80], 0.0);
    let wide = wide.manner(Manner::Blind);
    let mut weak = Stand::new(wide, Deployed::Real, &[0.5]);
    (weak.norm, weak.access) = (Norm::L1, Access::Decision);
    let noise = vec![attack("noise", STANDARD).unwrap()];
    expect(&weak.judge(noise, order::examine), CheckState::Warn, "weak attacks");
}

#[test]
fn gate_13_fires_on_a_suite_too_weak_and_on_queries_spent_badly() {
    let wide = toys::mlp(toys::rows(100, 10, -1.0, 1.0, false), 30, 3, 2.5);
    let stand = Stand::new(wide, Deployed::Real, &[0.15]);
    let noise = vec![attack("noise", STANDARD).unwrap()];
    expect(&stand.judge(noise, order::examine), CheckState::Warn, "the suite left standing");
    // Noise spends the whole limit; the attack that follows never gets to ask.
    let attacks = ["noise", "apgd-margin"].map(|id| attack(id, STANDARD).unwrap()).into();
    let short = stand.judge_within(Some(100), attacks, order::examine);
    expect(&short, CheckState::Warn, "the suite left standing");
    let enough = stand.judge_within(Some(100), apgd(30), order::examine);
    expect(&enough, CheckState::Ok, "iterative gradients");
}

#[test]
fn gate_14_fires_when_a_copy_beats_the_gradient() {
    let good = Stand::new(curved(), Deployed::Real, &[0.2]);
    expect(&good.judge(apgd(30), transfer::examine), CheckState::Ok, "to a surrogate");
    let bad = Stand::new(curved().manner(Manner::Masked), Deployed::Real, &[0.2]);
    expect(&bad.judge(apgd(30), transfer::examine), CheckState::Warn, "the copy beats");
    let blind = Stand::new(curved().manner(Manner::Blind), Deployed::Real, &[0.2]);
    let noise = vec![attack("noise", STANDARD).unwrap()];
    expect(&blind.judge(noise, transfer::examine), CheckState::NotExamined, "with gradients");
    let wide = toys::linear(toys::rows(12, 300, -1.0, 1.0, false), &[0.1; 300], 0.0);
    let wide = Stand::new(wide, Deployed::Real, &[0.2]);
    expect(&wide.judge(apgd(5), transfer::examine), CheckState::NotExamined, "at most 256");
}

#[test]
fn what_is_seen_within_a_limit_is_judged_within_it() {
    // Whatever the limit, nothing that was seen across the decision is left unjudged.
    for queries in 1..30 {
        let stand = Stand::new(curved(), Deployed::Real, &[0.3]);
        for id in ["square", "apgd-ce"] {
            let attacks = vec![attack(id, STANDARD).unwrap()];
            let finding = stand.judge_within(Some(queries), attacks, silent_success::examine);
            expect(&finding, CheckState::Ok, "judged and kept");
        }
    }
}

#[test]
fn gate_9_fires_when_the_model_does_not_answer_near_a_row() {
    // Answers NaN a little way off every row: nothing is turned, nothing has stood.
    let rows = data(30);
    let clean = rows.clone();
    let blind = Toy::new(
        rows,
        2,
        Box::new(move |x| {
            let here = clean.iter().any(|row| row.iter().zip(x).all(|(&r, &x)| f64::from(r) == x));
            let z = if here { 1.0 } else { f64::NAN };
            (vec![0.0, z], vec![vec![0.0; x.len()], vec![0.0; x.len()]])
        }),
    );
    let stand = Stand::new(blind, Deployed::Real, &[0.1]);
    let noise = vec![attack("noise", STANDARD).unwrap()];
    expect(&stand.judge(noise, silent_success::examine), CheckState::Warn, "answers NaN");
}

#[test]
fn gate_11_warns_when_nothing_was_attacked() {
    let mut stand = Stand::new(curved(), Deployed::Real, &[0.1]);
    stand.labels.iter_mut().for_each(|label| *label = (*label + 1) % 3);
    let finding = stand.judge(apgd(10), unconstrained::examine);
    expect(&finding, CheckState::Warn, "nothing was attacked");
}

#[test]
fn gate_1_compares_labels_also_where_the_training_framework_agrees() {
    let toy = good();
    let labels: Vec<usize> = toy.labels(0).iter().map(|l| 1 - l).collect();
    let clean = Clean::ask(&toy, &toy.decision).unwrap();
    let expected = clean.all_scores().to_vec();
    let finding = with_setup(&toy, &labels, |setup| {
        clean_accuracy::examine(&Setup { expected: Some(&expected), ..setup }).unwrap()
    });
    expect(&finding, CheckState::Refuse, "wrong way round");
}

#[test]
fn every_gate_has_its_own_id() {
    let mut ids: Vec<&str> =
        SETUP.iter().map(|g| g.id).chain(ATTACK.iter().map(|g| g.id)).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}
