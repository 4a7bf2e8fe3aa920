//! `attack --endpoint`: a live endpoint under attack, with a metered budget of queries.
//!
//! Owns the arguments, the comparison with a model file and the report. Questions and answers are
//! the lab's ([`proofmark_lab::endpoint`]), sockets are in [`wire`], the journal in [`journal`].
//! Must never print a header's value.

use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_formats::sniff::Kind;
use proofmark_lab::ctx::Ctx;
use proofmark_lab::decision::Decision as Rule;
use proofmark_lab::endpoint::json::JsonMap;
use proofmark_lab::endpoint::oip::OipMap;
use proofmark_lab::endpoint::{
    Ledger, Limits, Protocol, Reads, Remote, STOPPED, Spent, Transport, Words,
};
use proofmark_lab::evasion::assessment::{self as evasion, Assessment, Request};
use proofmark_lab::facts::Facts;
use proofmark_lab::harness::{Case, Clean, HarnessError};
use proofmark_lab::target;
use proofmark_lab::validity::{self, Setup};
use proofmark_schema::measurement::{CheckState, EngineUse, Validity};
use proofmark_schema::system::{Access, Decision, Norm, OutputKind, Scale};
use serde_json::{Value, json};

use super::asked::{Asked, Wants};
use super::{AccessName, Args, KindName, NormName, ScaleName, declared};
use crate::cli::Format;
use crate::command::Global;
use crate::failure::{Failure, OrFail, Outcome};
use crate::progress::Bars;
use crate::runner::{self, Settings};
use crate::subject::Subjects;
use crate::{assets, interrupt, output};

mod images;
mod journal;
mod rows;
mod wire;

use journal::Journal;
use rows::Bound;
use wire::Wire;

/// Arguments of a live endpoint.
#[derive(clap::Args, Debug)]
pub struct EndpointArgs {
    /// A live endpoint is attacked: the URL that rows are posted to. With `--model` it is compared
    /// with that file first.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// How the endpoint is spoken to.
    #[arg(long, value_enum, requires = "endpoint")]
    pub protocol: Option<ProtocolName>,
    /// JSON: the request, with `{{rows}}`, `{{row}}`, `{{values}}` or `{{value}}` where rows go;
    /// `@FILE` reads it.
    #[arg(long, value_name = "JSON|@FILE", requires = "endpoint")]
    pub template: Option<String>,
    /// JSON: pointer to the scores in the answer, `*` for the rows, e.g. `/results/*/scores`.
    #[arg(long, value_name = "POINTER", requires = "endpoint", conflicts_with = "label_at")]
    pub scores_at: Option<String>,
    /// JSON: pointer to the decision in the answer.
    #[arg(long, value_name = "POINTER", requires = "endpoint")]
    pub label_at: Option<String>,
    /// What the endpoint calls the classes, in the order of `--classes`.
    #[arg(long, value_delimiter = ',', requires = "endpoint")]
    pub endpoint_classes: Vec<String>,
    /// Decisions of the endpoint that are none, e.g. `refer`.
    #[arg(long, value_delimiter = ',', requires = "endpoint")]
    pub abstain: Vec<String>,
    /// A header whose value is in an environment variable, e.g. `authorization=API_KEY`.
    #[arg(long, value_name = "NAME=VARIABLE", requires = "endpoint")]
    pub header_env: Vec<String>,
    /// Images: the shape in which a row is sent, e.g. `28,28,1`; by default that of the endpoint's
    /// metadata, else channels, height, width.
    #[arg(long, value_delimiter = ',', value_name = "D,D,D", requires = "endpoint")]
    pub row_shape: Vec<usize>,
    /// Rows of one request at most.
    #[arg(long, default_value_t = 16, value_parser = super::at_least_one, requires = "endpoint")]
    pub batch: usize,
    /// Requests a second at most; no limit by default.
    #[arg(long, value_name = "R", requires = "endpoint", value_parser = positive)]
    pub rate: Option<f64>,
    /// Seconds that an answer may take.
    #[arg(long, value_name = "S", default_value_t = 30.0, requires = "endpoint",
          value_parser = positive)]
    pub answer_within: f64,
    /// How often a request without an answer is tried again.
    #[arg(long, default_value_t = 4, requires = "endpoint",
          value_parser = clap::value_parser!(u32).range(..=20))]
    pub retries: u32,
    /// Most rows that may be sent in all; what the endpoint may have worked on counts.
    #[arg(long, value_name = "N", requires = "endpoint")]
    pub queries_total: Option<u64>,
    /// Journal of every answer: the same command with the same file goes on where it ended.
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    pub state: Option<PathBuf>,
    /// Lets the checks after the attack ask the endpoint as well; they cost thousands of queries.
    #[arg(long = "endpoint-checks", requires = "endpoint")]
    pub checks: bool,
    /// Largest difference between the endpoint's scores and those of `--model`.
    #[arg(long, value_name = "D", default_value_t = 1e-3, requires = "endpoint",
          value_parser = positive)]
    pub known_within: f64,
}

/// Protocols on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProtocolName {
    /// JSON, mapped with a template and a pointer.
    Json,
    /// Open Inference Protocol v2.
    Oip,
}

fn positive(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|v: &f64| v.is_finite() && *v > 0.0);
    value.ok_or_else(|| "a number above 0".to_owned())
}

/// Runs the mode.
pub fn run(args: &Args, url: &str, global: Global) -> Outcome<ExitCode> {
    let asked = Asked::new(args, Wants::Budgets)?;
    let wire = Wire::open(url, &args.endpoint)?;
    refuse(args)?;
    let metadata = match args.endpoint.protocol {
        Some(ProtocolName::Json) => None,
        Some(ProtocolName::Oip) => Some(wire.metadata()?),
        None => return Err(lacking("--protocol", "oip")),
    };
    let bound = bound(&asked, metadata.as_deref())?;
    for note in &bound.notes {
        output::note(global.quiet, note);
    }
    let (protocol, access, kind) = spoken(args, metadata.as_deref(), &bound)?;
    let key = key(&asked, url, &bound, metadata.as_deref())?;
    let journal = Journal::open(args.endpoint.state.as_deref(), &key)?;
    if let Some(note) = journal.note() {
        output::note(global.quiet, &note);
    }
    let limits = Limits {
        total: args.endpoint.queries_total,
        batch: args.endpoint.batch,
        retries: args.endpoint.retries,
    };
    let (kept, spent) = (journal.answers(), journal.spent());
    let links = (&wire as &dyn Transport, &journal as &dyn Ledger);
    let classes = bound.classes.len();
    let sheet = bound.sheet.clone();
    let remote = Remote::new(sheet, classes, protocol.as_ref(), links, limits, kept, spent);
    let remote = if args.endpoint.checks { remote.unmetered() } else { remote };
    let attack = Attack { asked: &asked, url, bound: &bound, journal: &journal, access, kind };
    let assessed = attack.assessed(&remote, global).map_err(|e| attack.stopped(e, &remote))?;
    attack.report(&assessed, &remote, global)
}

/// The rows, and where they can move.
fn bound(asked: &Asked<'_>, metadata: Option<&[u8]>) -> Outcome<Bound> {
    let sparse = asked.libsvm.said() || assets::recognise(&asked.data)? == Kind::Libsvm;
    let is_table = sparse || declared::is_table(&asked.data)?;
    declared::scale_fits(asked.scale, is_table)?;
    if !is_table {
        return images::read(asked, metadata);
    }
    let shaped = [("--row-shape", !asked.endpoint.row_shape.is_empty())];
    super::unheard("the rows of a table", &shaped)?;
    rows::read(asked, &metadata.map(OipMap::input_names).unwrap_or_default())
}

/// What this mode would leave undone is refused instead.
fn refuse(args: &Args) -> Outcome<()> {
    let flags = [
        ("--witnesses", args.witnesses.is_some()),
        ("--report", args.report.is_some()),
        ("--compare", args.compare.is_some()),
    ];
    super::unheard("--endpoint", &flags)
}

/// The protocol, what the attacker sees and what its scores are.
fn spoken(
    args: &Args,
    metadata: Option<&[u8]>,
    bound: &Bound,
) -> Outcome<(Box<dyn Protocol>, Access, OutputKind)> {
    let end = &args.endpoint;
    let words = match end.endpoint_classes.len() {
        0 => bound.classes.clone(),
        n if n == bound.classes.len() => end.endpoint_classes.clone(),
        n => {
            let words = format!("{n} classes of the endpoint for {}", bound.classes.len());
            return Err(Failure::new("classes", words, "name each, in the order of `--classes`"));
        }
    };
    let words = Words { classes: words, abstain: end.abstain.clone() };
    let by_label = match metadata {
        Some(_) => args.output_kind == Some(KindName::Label),
        None => end.label_at.is_some(),
    };
    let (reads, kind) = match (by_label, args.output_kind) {
        (true, _) => (Reads::Label, OutputKind::Label),
        (false, None | Some(KindName::Probability)) => {
            (Reads::Probabilities, OutputKind::Probability)
        }
        (false, Some(KindName::Logit)) => (Reads::Numbers, OutputKind::Logit),
        (false, Some(_)) => (Reads::Numbers, OutputKind::Score),
    };
    let access = match (args.access, by_label) {
        (AccessName::Decision, _) | (_, true) => Access::Decision,
        _ => Access::Score,
    };
    let protocol: Box<dyn Protocol> = match metadata {
        Some(metadata) => {
            let output = args.output.as_deref();
            let map = match &bound.axes {
                Some(axes) => OipMap::images(metadata, axes, output, reads, words),
                None => OipMap::new(metadata, bound.sheet.columns(), output, reads, words),
            };
            Box::new(map.or_fail("protocol", "name the columns of the request with `--columns`")?)
        }
        None => {
            let template =
                template(args)?.ok_or_else(|| lacking("--template", "'{\"rows\": {{rows}}}'"))?;
            let pointer = end.label_at.as_deref().or(end.scores_at.as_deref());
            let pointer = pointer.ok_or_else(|| lacking("--scores-at", "/results/*/scores"))?;
            let map = JsonMap::new(&template, pointer, reads, words);
            let map = match &bound.axes {
                Some(axes) => map.and_then(|map| map.nested(axes)),
                None => map,
            };
            Box::new(map.or_fail("template", "see docs/endpoints.md")?)
        }
    };
    Ok((protocol, access, kind))
}

/// The text of the template, read where `@` names a file.
fn template(args: &Args) -> Outcome<Option<String>> {
    let Some(said) = args.endpoint.template.as_deref() else { return Ok(None) };
    let Some(path) = said.strip_prefix('@') else { return Ok(Some(said.to_owned())) };
    let bytes = assets::read_limited(std::path::Path::new(path), TEMPLATE_MAX)?;
    let words = || Failure::new("template", format!("`{path}` is not UTF-8"), "save it as UTF-8");
    String::from_utf8(bytes).map(Some).map_err(|_| words())
}

/// What must be the same for a journal to be taken up.
fn key(asked: &Asked<'_>, url: &str, bound: &Bound, metadata: Option<&[u8]>) -> Outcome<String> {
    let end = &asked.endpoint;
    let all = json!({
        "url": url, "protocol": format!("{:?}", end.protocol), "template": template(asked)?,
        "metadata": metadata.map(assets::sha256),
        "scores": end.scores_at, "label": end.label_at, "words": end.endpoint_classes,
        "abstain": end.abstain, "output": asked.output, "kind": format!("{:?}", asked.output_kind),
        "data": bound.digest, "columns": bound.sheet.columns(), "free": bound.free,
        "limit": asked.limit, "classes": bound.classes,
    });
    let bytes = serde_json::to_vec(&all).or_fail("state", "please report this")?;
    Ok(assets::sha256(&bytes))
}

struct Attack<'a> {
    asked: &'a Asked<'a>,
    url: &'a str,
    bound: &'a Bound,
    journal: &'a Journal,
    access: Access,
    kind: OutputKind,
}

impl Attack<'_> {
    fn assessed(&self, remote: &Remote<'_>, global: Global) -> Outcome<Assessment> {
        let asked = self.asked;
        let decision = self.decision()?;
        let goal = asked.goal.as_deref().map(declared::goal).transpose()?;
        let classes: Vec<(String, String)> =
            self.bound.classes.iter().map(|c| (c.clone(), c.clone())).collect();
        let criterion = target::criterion(goal.as_ref(), &classes)
            .or_fail("goal", "name two classes of the data")?;
        let scale = scale(asked.scale);
        let space = self.bound.space(scale)?;
        let failed = |error: proofmark_lab::oracle::OracleError| {
            Failure::new("endpoint", error, "see docs/endpoints.md")
        };
        let clean = Clean::ask(remote, &decision).map_err(failed)?;
        self.compare(&clean, global)?;
        let case = Case {
            oracle: remote,
            second: None,
            space: &space,
            labels: &self.bound.labels,
            decision,
            criterion,
            norm: match asked.norm {
                NormName::Linf => Norm::Linf,
                NormName::L2 => Norm::L2,
                NormName::L1 => Norm::L1,
            },
            access: self.access,
            queries_limit: asked.queries,
            constraints: None,
            probe: super::PROBE,
        };
        let setup = self.setup(remote, &case, &clean)?;
        let suite = super::suite(asked, &case)?;
        let facts = Facts {
            model: "endpoint".into(),
            data: declared::DATA.into(),
            classes: self.bound.classes.clone(),
            assets: vec![self.bound.asset()],
            engine: EngineUse {
                name: "endpoint".into(),
                version: format!("{:?}", asked.endpoint.protocol.unwrap_or(ProtocolName::Json))
                    .to_lowercase(),
                cpu: "unknown".into(),
            },
            seed: asked.seed,
            confidence: CONFIDENCE,
        };
        let request = Request {
            numbers: None,
            facts: &facts,
            case: &case,
            suite: &suite,
            threat: None,
            scale,
            eps: &asked.eps,
            groups: &[],
            setup: &setup,
        };
        let bars = Bars::new(global.quiet);
        bars.begin("attack");
        let ctx = Ctx { seed: asked.seed, progress: &bars, cancel: interrupt::flag() };
        let assessed = evasion::assess(&request, &Default::default(), &ctx, &mut |_| {});
        bars.end();
        assessed.map_err(|error| match error {
            HarnessError::Cancelled => Failure::new("interrupted", STOPPED, ""),
            HarnessError::Target(error) => failed(error),
            other => Failure::new("attack", other, "see `proofmark attack --help`"),
        })
    }

    fn decision(&self) -> Outcome<Rule> {
        let decision = declared::decision(&self.asked.decision, &self.bound.classes)?;
        match decision {
            Decision::Cutoff { class, at } if self.kind != OutputKind::Label => {
                let known = self.bound.classes.iter().position(|c| *c == class);
                Ok(Rule::cutoff(self.kind, known.unwrap_or(0), at))
            }
            Decision::Cutoff { .. } => Err(Failure::new(
                "decision",
                "the endpoint answers with its decision; a cut-off needs scores",
                "leave out `--decision`, or read scores with `--scores-at`",
            )),
            _ => Ok(Rule::argmax(self.kind)),
        }
    }

    /// Known answers: the endpoint against the file, before a query is spent on an attack.
    fn compare(&self, clean: &Clean, global: Global) -> Outcome<()> {
        let asked = self.asked;
        if asked.model.as_os_str().is_empty() {
            return Ok(());
        }
        let (project, _) = declared::project(asked)?;
        let settings = Settings {
            engine: asked.engine.ready(global.quiet)?,
            threads: asked.threads.unwrap_or_else(runner::cores),
        };
        let subject = Subjects::new(&project, settings).of(declared::MODEL, declared::DATA)?;
        let rows = clean.rows().min(subject.clean.rows());
        for row in 0..rows {
            let (there, here) = (clean.scores(row), subject.clean.scores(row));
            let same = match self.kind {
                OutputKind::Label => clean.decision(row) == subject.clean.decision(row),
                _ => there
                    .iter()
                    .zip(here)
                    .all(|(a, b)| f64::from((a - b).abs()) <= asked.endpoint.known_within),
            };
            if !same {
                return Err(Failure::new(
                    "known-answers",
                    format!(
                        "row {row}: the endpoint answers {there:?}, `{}` {here:?}: it serves \
                         another model, or reads the rows otherwise",
                        asked.model.display()
                    ),
                    "check the URL, the columns and the order of the classes; scores that are \
                     rounded need a wider `--known-within`",
                ));
            }
        }
        output::note(global.quiet, &format!("endpoint and file agree on {rows} rows"));
        Ok(())
    }

    /// The checks of the set-up that a clean answer per row serves, and one of our own: some rows
    /// are asked once more. In a run that goes on it is not asked again.
    fn setup(&self, remote: &Remote<'_>, case: &Case<'_>, clean: &Clean) -> Outcome<Vec<Validity>> {
        let fail = |e: proofmark_lab::oracle::OracleError| Failure::new("endpoint", e, "");
        let setup = Setup {
            oracle: remote,
            second: None,
            labels: case.labels,
            targets: None,
            decision: case.decision,
            clean,
            classes: &self.bound.classes,
            space: Some(case.space),
            domain: &[],
            alternatives: &[],
            expected: None,
        };
        let mut checks = validity::examine_setup(&setup).map_err(fail)?;
        let unsteady = match self.journal.unsteady() {
            Some(rows) => rows,
            None => {
                let rows: Vec<usize> = (0..clean.rows().min(AGAIN)).collect();
                let unsteady = remote.unsteady(&rows).map_err(fail)?;
                self.journal.steady(&unsteady)?;
                unsteady
            }
        };
        let asked = clean.rows().min(AGAIN);
        let (state, reason, fix) = match unsteady.is_empty() {
            true => (CheckState::Ok, format!("{asked} rows asked twice, the same answers"), ""),
            false => (
                CheckState::Refuse,
                format!("asked twice, other answers: rows {unsteady:?} of {asked}"),
                "an endpoint that answers by chance is not measured by one answer per point",
            ),
        };
        // What the gate asked is known already: it saw one answer five times.
        let own = Validity { check: STEADY.into(), state, reason, fix: fix.into() };
        for check in checks.iter_mut().filter(|c| c.check == STEADY) {
            *check = own.clone();
        }
        Ok(checks)
    }

    /// A failure of the endpoint says what is kept and how to go on.
    fn stopped(&self, failure: Failure, remote: &Remote<'_>) -> Failure {
        if !["endpoint", "interrupted"].contains(&failure.code) {
            return failure;
        }
        let answers = remote.spent().answered;
        let help = match &self.asked.endpoint.state {
            Some(path) => format!(
                "{answers} answers are kept in `{}`: the same command goes on, and asks none of \
                 them again",
                path.display()
            ),
            None => format!("{answers} answers are lost; `--state FILE` keeps them"),
        };
        Failure { help, ..failure }
    }

    fn report(
        &self,
        assessed: &Assessment,
        remote: &Remote<'_>,
        global: Global,
    ) -> Outcome<ExitCode> {
        let spent = remote.spent();
        if global.format == Format::Json {
            let mut value = super::as_json(assessed)?;
            if let Some(object) = value.as_object_mut() {
                object.insert("endpoint".into(), self.told(&spent));
            }
            output::json(&value);
        } else {
            output::data(&super::as_text(assessed));
            output::data(&format!(
                "{}: {} rows answered by {} requests ({} retries), {} rows sent without an \
                 answer\n",
                wire::shown(self.url),
                spent.answered,
                spent.requests,
                spent.retries,
                spent.lost
            ));
        }
        Ok(super::verdict(self.asked.min_robust, assessed, global))
    }

    fn told(&self, spent: &Spent) -> Value {
        json!({
            "url": wire::shown(self.url),
            "protocol": match self.asked.endpoint.protocol {
                Some(ProtocolName::Oip) => "oip",
                _ => "json",
            },
            "rows_answered": spent.answered,
            "rows_lost": spent.lost,
            "requests": spent.requests,
            "retries": spent.retries,
        })
    }
}

fn scale(name: ScaleName) -> Scale {
    match name {
        ScaleName::Raw => Scale::Raw,
        ScaleName::Bounds => Scale::Bounds,
        ScaleName::Std => Scale::Std,
        ScaleName::U8 => Scale::U8,
    }
}

fn lacking(flag: &str, example: &str) -> Failure {
    Failure::new("arguments", format!("`{flag}` is missing"), format!("e.g. {flag} {example}"))
}

/// Check of the set-up that an endpoint answers alike twice.
const STEADY: &str = "gate-02-determinism";
/// Rows that are asked twice.
const AGAIN: usize = 8;
/// Confidence of two-sided intervals.
const CONFIDENCE: f64 = 0.95;
/// Templates are short.
const TEMPLATE_MAX: u64 = 1 << 20;
