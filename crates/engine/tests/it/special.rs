//! Zeros of both signs, infinities, subnormals and not-a-number through every plain operator, on
//! each engine against the reference. Where an engine has a rule of its own it is named here, so
//! that a new version which changes the rule is seen.

use proofmark_engine::engine::{EngineError, EngineKind, compile};
use proofmark_engine::graph::{Attribute, Graph};
use proofmark_engine::value::{Inputs, Value};

use crate::cases::{graph, ints, node, scalar, tensor};

#[test]
#[expect(clippy::print_stderr, reason = "what differs is told aloud")]
fn odd_values_go_through_operators_by_the_same_rules() {
    if !crate::ready() {
        return;
    }
    let others = crate::ENGINES
        .into_iter()
        .filter(|k| matches!(k, EngineKind::Rten | EngineKind::OnnxRuntime));
    for kind in others {
        let mut wrong = Vec::new();
        let mut seen = Vec::new();
        for (name, net) in nets() {
            let Some(odd) = differing(&net, kind, &name) else { continue };
            if odd.is_empty() {
                continue;
            }
            eprintln!("{kind:?} {name}: {odd:?}");
            let known = KNOWN.iter().find(|(k, op, _)| *k == kind && *op == name);
            match known {
                Some((.., what)) if odd.iter().all(|o| what.contains(&o.class)) => seen.push(name),
                _ => wrong.push(format!("{kind:?} {name}: {odd:?}")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for (_, name, _) in KNOWN.iter().filter(|(k, ..)| *k == kind) {
            assert!(seen.iter().any(|s| s == name), "{kind:?} {name} agrees by now; strike it out");
        }
    }
}

/// The only rules of their own: engine, operator, classes of input for which it differs.
const KNOWN: &[(EngineKind, &str, &[Class])] =
    &[(EngineKind::Rten, "Relu", &[Class::Nan]), (EngineKind::Rten, "Clip", &[Class::Nan])];

/// What kind of input an element was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Zero,
    Subnormal,
    Infinite,
    Nan,
    Plain,
}

/// An element on which an engine differs.
#[derive(Debug)]
#[allow(dead_code)]
struct Odd {
    class: Class,
    input: f32,
    reference: f64,
    engine: f64,
}

impl Class {
    fn of(v: f32) -> Self {
        match v {
            v if v.is_nan() => Self::Nan,
            v if v.is_infinite() => Self::Infinite,
            0.0 => Self::Zero,
            v if v.is_subnormal() => Self::Subnormal,
            _ => Self::Plain,
        }
    }
}

/// Elements on which they differ; `None` when the engine leaves the operator to the reference.
fn differing(net: &Graph, kind: EngineKind, name: &str) -> Option<Vec<Odd>> {
    let inputs = Inputs::from([("x".to_string(), tensor(&[VALUES.len(), 1], VALUES.to_vec()))]);
    let run = |kind| -> Result<Vec<f64>, EngineError> {
        let values = compile(net, kind, 1)?.run(&inputs, &["y"])?;
        Ok(values.first().and_then(Value::to_f64s).unwrap())
    };
    let theirs = match run(kind) {
        Err(EngineError::Unsupported { .. }) => return None,
        theirs => theirs.unwrap_or_else(|e| panic!("{name}: {e}")),
    };
    let ours = run(EngineKind::Reference).unwrap();
    let same = |a: f64, b: f64| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * a.abs().max(1e-30)
    };
    let pairs = VALUES.iter().zip(ours.into_iter().zip(theirs));
    let odd = pairs.filter(|(_, (a, b))| !same(*a, *b));
    Some(
        odd.map(|(&input, (reference, engine))| Odd {
            class: Class::of(input),
            input,
            reference,
            engine,
        })
        .collect(),
    )
}

/// One graph per operator, each from a column `x` to a column `y`.
fn nets() -> Vec<(String, Graph)> {
    let shape: &[usize] = &[VALUES.len(), 1];
    let mut nets = Vec::new();
    for op in [
        "Abs",
        "Ceil",
        "Erf",
        "Exp",
        "Floor",
        "HardSigmoid",
        "Identity",
        "LeakyRelu",
        "Log",
        "Neg",
        "Reciprocal",
        "Relu",
        "Round",
        "Sigmoid",
        "Sign",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Tanh",
        "Elu",
        "Selu",
        "HardSwish",
        "Sin",
        "Cos",
    ] {
        nets.push((
            op.to_string(),
            graph(&[("x", shape)], &[], vec![node(op, &["x"], &["y"], &[])]),
        ));
    }
    for op in ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"] {
        for c in [0.0f32, 1.0, -2.0] {
            let nodes = vec![node(op, &["x", "c"], &["y"], &[])];
            nets.push((format!("{op} {c}"), graph(&[("x", shape)], &[("c", scalar(c))], nodes)));
        }
    }
    let float = [("to", Attribute::Int(1))];
    for op in ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"] {
        let compare = node(op, &["x", "c"], &["b"], &[]);
        let nodes = vec![compare.clone(), node("Cast", &["b"], &["y"], &float)];
        nets.push((op.to_string(), graph(&[("x", shape)], &[("c", scalar(0.0))], nodes)));
        let constants = [("c", scalar(0.0)), ("d", scalar(5.0))];
        let nodes = vec![compare, node("Where", &["b", "x", "d"], &["y"], &[])];
        nets.push((format!("Where {op}"), graph(&[("x", shape)], &constants, nodes)));
    }
    let bounds = [("lo", scalar(-1.0)), ("hi", scalar(2.0))];
    let clip = vec![node("Clip", &["x", "lo", "hi"], &["y"], &[])];
    nets.push(("Clip".into(), graph(&[("x", shape)], &bounds, clip)));
    let last = [("axes", ints(&[1]))];
    for op in ["ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean"] {
        let nodes = vec![
            node("Concat", &["x", "one"], &["p"], &[("axis", Attribute::Int(1))]),
            node(op, &["p", "axes"], &["y"], &[]),
        ];
        let one = tensor(shape, vec![1.0; VALUES.len()]);
        let constants = [last[0].clone(), ("one", one)];
        nets.push((op.to_string(), graph(&[("x", shape)], &constants, nodes)));
    }
    nets
}

/// The same through max pooling and softmax, whose kernels are of their own.
#[test]
fn pools_and_softmax_keep_the_order_of_infinities() {
    if !crate::ready() {
        return;
    }
    let row = [f32::NEG_INFINITY, -0.0, 0.0, 3.0];
    let pool = [("kernel_shape", Attribute::Ints(vec![2])), ("strides", Attribute::Ints(vec![2]))];
    let axis = [("axis", Attribute::Int(2))];
    for (op, attributes) in [("MaxPool", &pool[..]), ("Softmax", &axis[..])] {
        let net = graph(&[("x", &[1, 1, 4])], &[], vec![node(op, &["x"], &["y"], attributes)]);
        let inputs = Inputs::from([("x".to_string(), tensor(&[1, 1, 4], row.to_vec()))]);
        let run = |kind| compile(&net, kind, 1).unwrap().run(&inputs, &["y"]).unwrap();
        let ours = run(EngineKind::Reference)[0].to_f64s().unwrap();
        for kind in crate::ENGINES {
            let theirs = run(kind)[0].to_f64s().unwrap();
            for (a, b) in ours.iter().zip(&theirs) {
                assert!((a - b).abs() <= 1e-6, "{op} {kind:?}: {ours:?} {theirs:?}");
            }
        }
    }
}

/// Both zeros, the smallest subnormal, infinities, not-a-number, and plain values to hold them to.
const VALUES: [f32; 10] =
    [0.0, -0.0, 1.0e-45, -1.0e-40, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.5, -2.5, 0.5];
