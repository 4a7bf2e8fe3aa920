//! Cases of resampling, indices, composites, recurrent layers and equations.

use super::*;

fn named(mut case: Case, name: &str) -> Case {
    case.name = name.to_string();
    case
}

fn text(v: &str) -> Attribute {
    Attribute::Text(v.into())
}

fn at_opset(mut case: Case, opset: i64) -> Case {
    case.graph.opsets.insert(String::new(), opset);
    case
}

fn matrix(shape: &[usize], v: &[i64]) -> Value {
    Value::I64(Tensor::new(shape.to_vec(), v.to_vec()).unwrap())
}

pub fn resampling() -> Vec<Case> {
    let mut cases = Vec::new();
    let factors = |h: f32, w: f32| tensor(&[4], vec![1.0, 1.0, h, w]);
    for mode in ["nearest", "linear", "cubic"] {
        for transform in ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"] {
            for (h, w) in [(2.0, 2.0), (1.5, 0.7)] {
                let with = [
                    ("mode", text(mode)),
                    ("coordinate_transformation_mode", text(transform)),
                    ("nearest_mode", text("floor")),
                ];
                let c = [("_", scalar(0.0)), ("s", factors(h, w))];
                let case = one("", "Resize", &[1, 2, 4, 5], &c, &with);
                let case = named(case, &format!("Resize {mode} {transform} {h} {w}"));
                // rten has no cubic, and reads some coordinates differently.
                let odd = mode == "cubic" || transform == "pytorch_half_pixel";
                cases.push(if odd { reference_only(case) } else { case });
            }
        }
    }
    let with = [("mode", text("linear")), ("antialias", int(1))];
    let c = [("_", scalar(0.0)), ("__", scalar(0.0)), ("s", ints(&[1, 1, 3, 3]))];
    cases.push(reference_only(one("antialias", "Resize", &[1, 1, 7, 6], &c, &with)));
    let c = [("_", scalar(0.0)), ("s", tensor(&[3], vec![1.0, 1.0, 2.5]))];
    cases.push(reference_only(one("1d", "Resize", &[1, 2, 4], &c, &[("mode", text("linear"))])));
    for mode in ["reflect", "edge", "wrap"] {
        let c = [("p", ints(&[0, 0, 2, 1, 0, 0, 1, 3]))];
        let case = one(mode, "Pad", &[1, 2, 4, 5], &c, &[("mode", text(mode))]);
        cases.push(if mode == "wrap" { reference_only(case) } else { case });
    }
    let c = [("p", ints(&[12, 0]))];
    cases.push(one("many copies", "Pad", &[3], &c, &[("mode", text("edge"))]));
    cases
}

pub fn indices() -> Vec<Case> {
    let axis = |v| [("axis", int(v))];
    let mut cases = vec![
        one(
            "",
            "GatherElements",
            &[3, 4],
            &[("i", matrix(&[2, 4], &[0, 1, 2, 0, 2, 2, 2, 0]))],
            &axis(0),
        ),
        one("", "GatherND", &[3, 4, 2], &[("i", matrix(&[3, 2], &[0, 1, 2, 3, 0, 1]))], &[]),
        one(
            "exclusive",
            "CumSum",
            &[3, 4],
            &[("a", Value::I64(Tensor::scalar(1)))],
            &[("exclusive", int(1))],
        ),
        one(
            "reverse",
            "CumSum",
            &[3, 4],
            &[("a", Value::I64(Tensor::scalar(0)))],
            &[("reverse", int(1))],
        ),
        one("", "Trilu", &[4, 4], &[("k", Value::I64(Tensor::scalar(1)))], &[]),
        one("lower", "Trilu", &[2, 3, 4], &[], &[("upper", int(0))]),
        one("DCR", "DepthToSpace", &[1, 8, 2, 3], &[], &[("blocksize", int(2))]),
        one(
            "CRD",
            "DepthToSpace",
            &[1, 8, 2, 3],
            &[],
            &[("blocksize", int(2)), ("mode", text("CRD"))],
        ),
        reference_only(one("", "SpaceToDepth", &[1, 2, 4, 6], &[], &[("blocksize", int(2))])),
        reference_only(one(
            "",
            "LRN",
            &[2, 6, 2, 2],
            &[],
            &[("size", int(3)), ("alpha", Attribute::Float(0.5))],
        )),
        one("", "ReverseSequence", &[4, 3], &[("l", ints(&[2, 4, 1]))], &[]),
        one("", "TopK", &[3, 5], &[("k", ints(&[2]))], &[]),
        one("one axis", "ReduceProd", &[3, 4], &[("a", ints(&[1]))], &[]),
        one("none", "ReduceSum", &[3, 4], &[], &[("noop_with_empty_axes", int(1))]),
    ];
    let i = matrix(&[2, 2], &[0, 2, 1, 0]);
    let mut scatter = two("", "ScatterElements", &[3, 2], &[2, 2], &axis(0));
    scatter.graph.constants.insert("i".into(), i);
    scatter.graph.nodes[0].inputs = vec!["x".into(), "i".into(), "w".into()];
    cases.push(scatter.renamed("ScatterElements"));
    let mut nd = two("", "ScatterND", &[4, 3], &[2, 3], &[]);
    nd.graph.constants.insert("i".into(), matrix(&[2, 1], &[3, 0]));
    nd.graph.nodes[0].inputs = vec!["x".into(), "i".into(), "w".into()];
    cases.push(nd.renamed("ScatterND"));
    cases.push(positive(two("both free", "Pow", &[3, 4], &[4], &[])));
    let mut zeros = one("zeros", "ReduceProd", &[3, 3], &[("a", ints(&[1]))], &[]);
    let cells = vec![0.0, 2.0, 3.0, 0.0, 0.0, 1.5, 1.0, -2.0, 0.5];
    zeros.inputs.insert("x".into(), tensor(&[3, 3], cells));
    cases.push(zeros);
    // Indices that are computed, though they do not move.
    let mut computed = one("computed", "Gather", &[3, 4, 2], &[], &axis(1));
    computed.graph.constants.insert("k".into(), tensor(&[3], vec![0.6, 3.2, 0.9]));
    computed.graph.nodes = vec![
        node("ReduceMax", &["x"], &["m"], &[]),
        node("Greater", &["m", "m"], &["never"], &[]),
        node("Cast", &["never"], &["zero"], &[("to", int(7))]),
        node("Cast", &["k"], &["whole"], &[("to", int(7))]),
        node("Reshape", &["zero", "one"], &["flat"], &[]),
        node("Add", &["whole", "flat"], &["i"], &[]),
        node("Gather", &["x", "i"], &["y"], &axis(1)),
    ];
    computed.graph.constants.insert("one".into(), ints(&[1]));
    cases.push(computed);
    cases
}

pub fn trigonometry() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in ["Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Atanh", "Acosh"] {
        let mut case = one("", op, &[3, 5], &[], &[]);
        let shift = if op == "Acosh" { 2.0 } else { 0.0 };
        let x = noise(21, 15).iter().map(|v| v * 0.8 + shift).collect();
        case.inputs.insert("x".into(), tensor(&[3, 5], x));
        cases.push(case);
    }
    cases
}

pub fn composites() -> Vec<Case> {
    let vector = |seed, n: usize| tensor(&[n], noise(seed, n));
    let group = [("num_groups", int(3))];
    let pair = |n| [("s", vector(3, n)), ("b", vector(4, n))];
    let p = |v| [("p", int(v)), ("axis", int(1))];
    let window = |v| [("p", int(v)), ("kernel_shape", list(&[2, 2])), ("strides", list(&[2, 1]))];
    let mut cases = vec![
        one("groups", "GroupNormalization", &[2, 6, 3], &pair(3), &group),
        at_opset(one("21", "GroupNormalization", &[2, 6, 3], &pair(6), &group), 21),
        one("", "MeanVarianceNormalization", &[2, 3, 2, 2], &[], &[]),
        at_opset(one("", "RMSNormalization", &[2, 3, 5], &[("s", vector(3, 5))], &[]), 23),
        one("1", "LpNormalization", &[2, 3, 4], &[], &p(1)),
        one("2", "LpNormalization", &[2, 3, 4], &[], &p(2)),
        one("1", "LpPool", &[1, 2, 4, 4], &[], &window(1)),
        one("2", "LpPool", &[1, 2, 4, 4], &[], &window(2)),
        one("2", "GlobalLpPool", &[1, 2, 4, 4], &[], &[]),
        one("", "Shrink", &[3, 5], &[], &[("bias", Attribute::Float(0.2))]),
        at_opset(one("", "Swish", &[3, 5], &[], &[("alpha", Attribute::Float(1.3))]), 24),
    ];
    for (name, with) in [
        ("plain", vec![]),
        ("causal", vec![("is_causal", int(1))]),
        ("capped", vec![("softcap", Attribute::Float(2.0)), ("scale", Attribute::Float(0.4))]),
    ] {
        let mut case = two(name, "Attention", &[1, 2, 3, 4], &[1, 2, 5, 4], &with);
        case.graph.constants.insert("v".into(), random(5, &[1, 2, 5, 3]));
        case.graph.nodes[0].inputs.push("v".into());
        cases.push(at_opset(case, 23));
    }
    let heads = [("q_num_heads", int(4)), ("kv_num_heads", int(2))];
    let mut flat = two("heads", "Attention", &[2, 3, 8], &[2, 5, 4], &heads);
    flat.graph.constants.insert("v".into(), random(5, &[2, 5, 4]));
    flat.graph.nodes[0].inputs.push("v".into());
    cases.push(at_opset(flat, 23));
    let c =
        [("c", random(3, &[5, 4])), ("s", random(4, &[5, 4])), ("p", matrix(&[1, 3], &[0, 2, 4]))];
    cases.push(at_opset(one("", "RotaryEmbedding", &[1, 2, 3, 8], &c, &[]), 23));
    for op in ["Gelu", "QuickGelu", "FastGelu"] {
        let mut case = one("of com.microsoft", op, &[3, 5], &[], &[]);
        case.graph.nodes[0].domain = "com.microsoft".into();
        case.graph.opsets.insert("com.microsoft".into(), 1);
        cases.push(case);
    }
    cases.into_iter().map(lowered).collect()
}

/// As the pipeline hands it on: composites written out.
fn lowered(mut case: Case) -> Case {
    case.graph = proofmark_engine::lower::lower(&case.graph);
    case
}

pub fn recurrent() -> Vec<Case> {
    let mut cases = Vec::new();
    let (n, b, k, u) = (3, 2, 2, 3);
    for (op, gates) in [("RNN", 1), ("GRU", 3), ("LSTM", 4)] {
        for (direction, s) in [("forward", 1), ("reverse", 1), ("bidirectional", 2)] {
            let mut with = vec![("hidden_size", int(u as i64)), ("direction", text(direction))];
            let c = [
                ("w", random(11, &[s, gates * u, k])),
                ("r", random(12, &[s, gates * u, u])),
                ("b", random(13, &[s, 2 * gates * u])),
            ];
            cases.push(one(direction, op, &[n, b, k], &c, &with));
            if op == "GRU" {
                with.push(("linear_before_reset", int(1)));
                cases.push(one(&format!("{direction} late"), op, &[n, b, k], &c, &with));
            }
        }
        let with = [("hidden_size", int(u as i64)), ("clip", Attribute::Float(0.4))];
        let c = [("w", random(11, &[1, gates * u, k])), ("r", random(12, &[1, gates * u, u]))];
        cases.push(reference_only(one("clip", op, &[n, b, k], &c, &with)));
        let with = [("hidden_size", int(u as i64)), ("layout", int(1))];
        cases.push(reference_only(one("layout", op, &[b, n, k], &c, &with)));
        // The last state alone, from a state that moves too.
        let mut state = two("state", op, &[n, b, k], &[1, b, u], &[("hidden_size", int(u as i64))]);
        state.graph.constants.extend(c.iter().map(|(n, v)| (format!("c{n}"), v.clone())));
        let inputs = ["x", "cw", "cr", "", "", "w"];
        state.graph.nodes[0].inputs = inputs.iter().map(|s| s.to_string()).collect();
        state.graph.nodes[0].outputs = vec![String::new(), "y".to_string()];
        cases.push(reference_only(state));
    }
    let c = [
        ("w", random(11, &[1, 4 * u, k])),
        ("r", random(12, &[1, 4 * u, u])),
        ("_b", scalar(0.0)),
        ("_l", scalar(0.0)),
        ("_h", scalar(0.0)),
        ("_c", scalar(0.0)),
        ("p", random(14, &[1, 3 * u])),
    ];
    let with = [("hidden_size", int(u as i64))];
    cases.push(reference_only(one("peepholes", "LSTM", &[n, b, k], &c, &with)));
    cases
}

pub fn equations() -> Vec<Case> {
    let table: [(&str, &[usize], &[usize]); 6] = [
        ("ij,jk->ik", &[2, 3], &[3, 4]),
        ("bij,bjk->bik", &[2, 2, 3], &[2, 3, 2]),
        ("bhqd,bhkd->bhqk", &[1, 2, 3, 4], &[1, 2, 5, 4]),
        ("i,j->ij", &[2], &[3]),
        ("ij,ij->", &[2, 3], &[2, 3]),
        ("ijk,j->i", &[2, 3, 2], &[3]),
    ];
    let mut cases: Vec<Case> = table
        .iter()
        .map(|(eq, a, b)| named(two("", "Einsum", a, b, &[("equation", text(eq))]), eq))
        .collect();
    let dots = [("equation", text("...ij,...jk->...ik"))];
    cases.push(two("dots", "Einsum", &[2, 2, 3], &[2, 3, 2], &dots));
    cases.push(one("transposed", "Einsum", &[2, 3, 4], &[], &[("equation", text("ijk->kij"))]));
    cases
}

pub fn transposed() -> Vec<Case> {
    let mut cases = Vec::new();
    type Row<'a> = (&'a str, [usize; 4], Vec<(&'a str, Attribute)>);
    let table: Vec<Row> = vec![
        ("groups", [4, 2, 3, 3], vec![("group", int(2))]),
        ("groups strided", [4, 2, 3, 3], vec![("group", int(2)), ("strides", list(&[2, 2]))]),
        ("dilated", [4, 3, 2, 2], vec![("dilations", list(&[2, 2]))]),
        ("dilated groups", [4, 1, 2, 2], vec![("dilations", list(&[2, 1])), ("group", int(4))]),
        (
            "same upper",
            [4, 3, 3, 3],
            vec![("strides", list(&[2, 2])), ("auto_pad", text("SAME_UPPER"))],
        ),
        (
            "same lower",
            [4, 3, 3, 3],
            vec![("strides", list(&[2, 2])), ("auto_pad", text("SAME_LOWER"))],
        ),
        (
            "output shape",
            [4, 3, 3, 3],
            vec![("strides", list(&[2, 2])), ("output_shape", list(&[7, 8]))],
        ),
    ];
    for (name, w, with) in table {
        let c = [
            ("w", random(11, &w)),
            ("b", random(12, &[w[1] * if name.contains("groups") { 2 } else { 1 }])),
        ];
        let c = if name == "dilated groups" { &c[..1] } else { &c[..] };
        let case = one(name, "ConvTranspose", &[1, 4, 4, 4], c, &with);
        // rten has neither groups nor dilations nor a declared shape there.
        cases.push(reference_only(case));
    }
    let with = [("group", int(2)), ("dilations", list(&[2, 2])), ("kernel_shape", list(&[3, 3]))];
    let c = [("w", random(11, &[4, 2, 3, 3]))];
    cases.push(one("dilated groups", "Conv", &[1, 4, 7, 7], &c, &with));
    cases
}

impl Case {
    fn renamed(mut self, name: &str) -> Case {
        self.name = name.to_string();
        self
    }
}
