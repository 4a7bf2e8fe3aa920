//! `check`: the declaration and everything it names, read, typed and bound; nothing is measured.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_dataset::bind::{Binding, Free};
use proofmark_dataset::table::DomainViolation;
use serde_json::{Value, json};

use super::Global;
use crate::cli::Format;
use crate::failure::Outcome;
use crate::loader::{self, LoadedData, LoadedModel, Rows};
use crate::output;
use crate::project::Project;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of the declaration.
    #[arg(short = 'C', default_value = ".")]
    dir: PathBuf,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let project = Project::load(&args.dir)?;
    let mut data = Vec::new();
    for asset in &project.system.data {
        data.push(loader::data(&project, asset)?);
    }
    let mut bindings = Vec::new();
    for asset in &project.system.models {
        let model = loader::model(&project, asset)?;
        for set in &data {
            let binding = loader::bind(&project, set, &model)?;
            bindings.push((asset.name.clone(), set.asset.name.clone(), free_count(&binding)));
        }
        if let Some(path) = &asset.expected {
            loader::expected(&project, path)?;
        }
        report_model(&model, global);
    }
    let violations: usize = data.iter().map(|d| violations(d).len()).sum();
    if global.format == Format::Json {
        output::json(&as_json(&project, &data, &bindings));
    } else {
        output::data(&as_text(&project, &data, &bindings));
    }
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn report_model(model: &LoadedModel, global: Global) {
    let graph = model.model.graph();
    output::note(
        global.quiet,
        &format!(
            "models.{}: {} nodes, {} inputs, {} outputs, from {}",
            model.asset.name,
            graph.nodes.len(),
            graph.inputs.len(),
            graph.outputs.len(),
            model.model.producer()
        ),
    );
}

fn free_count(binding: &Binding) -> usize {
    match &binding.free {
        Free::Columns(columns) => columns.len(),
        Free::Image(image) => image.count,
    }
}

fn violations(data: &LoadedData) -> &[DomainViolation] {
    match &data.rows {
        Rows::Table(table) => &table.violations,
        Rows::Images(images) => &images.violations,
        Rows::Series(series) => &series.violations,
    }
}

/// What was left out or read in another way than it stands.
fn notes(data: &LoadedData) -> Vec<String> {
    let table = match &data.rows {
        Rows::Table(table) => table.notes.as_slice(),
        Rows::Images(_) | Rows::Series(_) => &[],
    };
    table.iter().chain(&data.notes).cloned().collect()
}

type Bindings = [(String, String, usize)];

fn as_text(project: &Project, data: &[LoadedData], bindings: &Bindings) -> String {
    let mut text = String::new();
    let system = &project.system;
    let _ = writeln!(text, "{} {}: the declaration holds", system.name, system.version);
    for set in data {
        let _ = writeln!(text, "\ndata.{}: {} rows", set.asset.name, set.n());
        if let Rows::Table(table) = &set.rows {
            let _ = writeln!(text, "  read as: {}", table.dialect);
            for note in &table.notes {
                let _ = writeln!(text, "  note: {note}");
            }
            for warning in &table.warnings {
                let _ = writeln!(text, "  warning: {warning}");
            }
        }
        for note in &set.notes {
            let _ = writeln!(text, "  note: {note}");
        }
        for violation in violations(set) {
            let _ = writeln!(
                text,
                "  outside the declared domain: `{}`, {} rows, expected {}{}",
                violation.column,
                violation.rows.len(),
                violation.expected,
                example(violation)
            );
        }
    }
    text.push('\n');
    for (model, set, free) in bindings {
        let _ = writeln!(text, "models.{model} on data.{set}: bound, {free} free coordinates");
    }
    let _ = writeln!(
        text,
        "\n{} threats, {} criteria. Next: proofmark assess -C {}",
        system.threats.len(),
        system.criteria.len(),
        project.dir.display()
    );
    text
}

fn example(violation: &DomainViolation) -> String {
    violation
        .examples
        .first()
        .map(|(line, value)| format!(", e.g. `{value}` in line {line}"))
        .unwrap_or_default()
}

fn as_json(project: &Project, data: &[LoadedData], bindings: &Bindings) -> Value {
    let sets: Vec<Value> = data
        .iter()
        .map(|set| {
            let dialect = match &set.rows {
                Rows::Table(table) => Some(table.dialect.to_string()),
                Rows::Images(_) | Rows::Series(_) => None,
            };
            let domain: Vec<Value> = violations(set)
                .iter()
                .map(|v| json!({"column": v.column, "rows": v.rows, "expected": v.expected}))
                .collect();
            json!({"name": set.asset.name, "rows": set.n(), "dialect": dialect,
                "digests": set.digests, "violations": domain, "notes": notes(set)})
        })
        .collect();
    let bound: Vec<Value> = bindings
        .iter()
        .map(|(model, set, free)| json!({"model": model, "data": set, "free": free}))
        .collect();
    json!({"format": "proofmark.check/1", "complete": true, "system": project.system.name,
        "version": project.system.version, "data": sets, "bindings": bound})
}
