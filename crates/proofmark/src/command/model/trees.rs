//! What `model inspect` tells of a tree ensemble.
//!
//! Owns the counting. Called by `inspect`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use proofmark_engine::model::Model;
use proofmark_engine::trees::{
    self, Arithmetic, Categories, Ensemble, Join, Link, Missing, Output, Test,
};
use serde_json::{Value, json};

use crate::output;

/// An ensemble and what was counted in it.
pub struct Trees {
    ensemble: Arc<Ensemble>,
    node: String,
    depth: usize,
    leaves: usize,
    branches: usize,
    features: usize,
    missing: Vec<(&'static str, usize)>,
    categorical: usize,
}

/// The ensembles of a model, in the order of its nodes.
pub fn found(model: &Model) -> Vec<Trees> {
    let graph = model.graph();
    let all = graph.nodes.iter().filter_map(|n| Some((n, trees::of_node(n, graph)?)));
    all.map(|(n, e)| Trees::of(n.name.clone(), e)).collect()
}

impl Trees {
    fn of(node: String, ensemble: Arc<Ensemble>) -> Self {
        let depths = ensemble.compile().map(|f| f.depths().to_vec()).unwrap_or_default();
        let branches = || ensemble.trees.iter().flat_map(|t| &t.branches);
        let count = |of: fn(&Missing) -> bool| branches().filter(|b| of(&b.missing)).count();
        let missing = vec![
            ("yes", count(|m| *m == Missing::Yes)),
            ("no", count(|m| *m == Missing::No)),
            ("compared", count(|m| *m == Missing::Compare)),
            ("zero is missing", count(|m| matches!(m, Missing::ZeroIs { .. }))),
        ];
        let leaves = ensemble.trees.iter().map(|t| t.leaf_count(ensemble.outputs)).sum();
        let features: BTreeSet<u32> = branches().map(|b| b.feature).collect();
        let categorical = branches().filter(|b| matches!(b.test, Test::OneOf(_))).count();
        Self {
            node,
            depth: depths.into_iter().max().unwrap_or(0),
            leaves,
            branches: branches().count(),
            features: features.len(),
            missing,
            categorical,
            ensemble,
        }
    }

    fn categories(&self) -> Vec<Value> {
        let columns = self.ensemble.categories.iter().enumerate();
        let name = |c: usize| self.ensemble.names.get(c).cloned().unwrap_or_else(|| c.to_string());
        let listed = columns.filter_map(|(c, held)| {
            Some(match held.as_ref()? {
                Categories::Texts(texts) => json!({"column": name(c), "texts": texts.len()}),
                Categories::Hashes(all) => json!({"column": name(c), "hashes": all.len()}),
                Categories::Codes => json!({"column": name(c), "codes": true}),
            })
        });
        listed.collect()
    }

    /// For `--format json`.
    pub fn json(&self) -> Value {
        let e = &self.ensemble;
        let missing: serde_json::Map<String, Value> =
            self.missing.iter().map(|(k, n)| ((*k).to_owned(), json!(n))).collect();
        json!({
            "node": self.node, "source": e.source, "trees": e.trees.len(), "depth": self.depth,
            "leaves": self.leaves, "branches": self.branches, "columns": e.columns,
            "features_used": self.features, "names": e.names, "outputs": e.outputs,
            "classes": e.labels.as_ref().map(trees::Labels::len), "base": e.base,
            "arithmetic": arithmetic(e), "join": join(e), "link": link(e),
            "missing": missing, "categorical_branches": self.categorical,
            "categories": self.categories(), "notes": e.notes,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let e = &self.ensemble;
        let mut text = String::new();
        let several = match e.trees.iter().all(|t| matches!(t.output, Output::One(_))) {
            true => "one value a leaf",
            false => "several values a leaf",
        };
        let _ = writeln!(
            text,
            "trees      {} trees of {}, depth {}, {} leaves, {} branches; {several}",
            e.trees.len(),
            e.source,
            self.depth,
            self.leaves,
            self.branches
        );
        let _ = writeln!(
            text,
            "features   {} of {} columns asked for; {} branches ask for categories",
            self.features, e.columns, self.categorical
        );
        let ways = self.missing.iter().filter(|(_, n)| *n > 0);
        let ways: Vec<String> = ways.map(|(way, n)| format!("{way} {n}")).collect();
        let _ = writeln!(text, "missing    goes to {} (branches)", ways.join(", "));
        let _ = writeln!(text, "answers    {}, {}, {}", join(e), link(e), arithmetic(e));
        for note in &e.notes {
            text.push_str(&output::human::wrap(&format!("note: {note}"), 80, "           "));
        }
        text
    }
}

fn arithmetic(e: &Ensemble) -> &'static str {
    match e.arithmetic {
        Arithmetic::F32 => "features and sums in f32",
        Arithmetic::F64 => "features and sums in f64",
        Arithmetic::Mixed => "features in f32, sums in f64",
    }
}

fn join(e: &Ensemble) -> String {
    match e.join {
        Join::Sum => "sum".into(),
        Join::Average(n) => format!("average over {n}"),
        Join::Min => "least".into(),
        Join::Max => "greatest".into(),
    }
}

fn link(e: &Ensemble) -> String {
    match e.link {
        Link::Identity => "margins as they are".into(),
        Link::Logistic { scale: 1.0 } => "logistic".into(),
        Link::Logistic { scale } => format!("logistic of {scale} times the margin"),
        Link::Softmax => "softmax".into(),
        Link::LogisticEach { .. } => "logistic of each".into(),
        Link::Exp => "exponential".into(),
        Link::LogOnePlusExp => "ln(1 + exp)".into(),
        Link::SignedSquare => "signed square".into(),
        Link::Step => "1 above 0, else 0".into(),
    }
}
