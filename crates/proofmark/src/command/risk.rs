//! `risk`: the register of risks. Every word of it is a signed statement in the log.
//!
//! Owns the arguments; what may be said is decided by `assess::risk::rules`. Must never keep state
//! of its own.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use proofmark_assess::treatment::Order;
use proofmark_schema::risk::{Effect, ScenarioKind};

use super::Global;
use crate::failure::Outcome;

pub mod desk;
mod say;
mod show;

pub use show::reasons;

use desk::{Place, PlaceAndTime};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: RiskVerb,
}

#[derive(Subcommand, Debug)]
enum RiskVerb {
    /// Enter scenarios from the declaration: threats, rows of the law, misuse. Twice gives nothing.
    Seed(Seed),
    /// All risks with their state, level and next command.
    List(PlaceAndTime),
    /// One risk in full.
    Show(Show),
    /// Enter a scenario that the declaration does not give.
    Add(Box<Add>),
    /// Rate a risk before treatment, or what is left after it.
    Rate(Rate),
    /// Choose a treatment, in the order of the law: design, control, information.
    Treat(Treat),
    /// Give up a treatment.
    Withdraw(Withdraw),
    /// Accept what is left of a risk; another person than those who wrote it.
    Accept(Accept),
    /// Say that a scenario does not apply; another person than those who wrote it.
    Exclude(Until),
    /// Look at a risk again and say when next.
    Review(Review),
    /// Say that an acceptance or exclusion no longer holds.
    Reopen(Word),
    /// Accept the residual risk of all together.
    Overall(Overall),
    /// Seven threats by five verbs as they stand today.
    Matrix(MatrixArgs),
    /// The bundled techniques.
    Techniques,
    /// The bundled scales of likelihood, severity and level.
    Scales,
}

/// Who speaks.
#[derive(clap::Args, Clone, Debug)]
struct By {
    #[command(flatten)]
    place: Place,
    /// Declared person who says it (`people.<id>`); `[use] risk_owner` by default, `[use] approver`
    /// for what needs a second person.
    #[arg(long, value_name = "PERSON")]
    by: Option<String>,
}

#[derive(clap::Args, Debug)]
struct Seed {
    #[command(flatten)]
    by: By,
}

#[derive(clap::Args, Debug)]
struct Show {
    /// Risk.
    id: String,
    /// Everything that was ever said about it.
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    place: PlaceAndTime,
}

#[derive(clap::Args, Debug)]
struct Add {
    /// Id: small letters, digits, hyphens.
    id: String,
    /// What can go wrong, in one line.
    #[arg(long)]
    title: String,
    /// Who or what brings it about.
    #[arg(long)]
    actor: String,
    /// Attack, failure or misuse.
    #[arg(long, value_enum, default_value_t = KindName::Attack)]
    kind: KindName,
    /// What it does to the system.
    #[arg(long, value_enum)]
    effect: EffectName,
    /// What it touches: `model/<name>`, `data/<name>`, or `model`, `data`, `system` for all.
    #[arg(long = "asset", value_name = "ASSET", default_value = "system")]
    assets: Vec<String>,
    /// Technique of MITRE ATLAS or NIST AI 100-2, e.g. `AML.T0043.000`.
    #[arg(long = "technique", value_name = "ID")]
    techniques: Vec<String>,
    /// Harm of the declaration (`harms.<name>`).
    #[arg(long)]
    harm: Option<String>,
    /// Row of the matrix, e.g. `evasion`.
    #[arg(long)]
    row: Option<String>,
    /// Threat of the declaration that measures it.
    #[arg(long)]
    threat: Option<String>,
    /// Criterion that tells whether it is in check.
    #[arg(long = "criterion", value_name = "NAME")]
    criteria: Vec<String>,
    /// Cell of the matrix, e.g. `evasion/control`.
    #[arg(long = "cell", value_name = "CELL")]
    cells: Vec<String>,
    /// Duty, e.g. `AIA-15-5-e`.
    #[arg(long = "duty", value_name = "ID")]
    duties: Vec<String>,
    /// Risk that it can follow from.
    #[arg(long = "after", value_name = "RISK")]
    after: Vec<String>,
    /// Declared person who answers for it; `[use] risk_owner` by default.
    #[arg(long, value_name = "PERSON")]
    owner: Option<String>,
    #[command(flatten)]
    by: By,
}

#[derive(clap::Args, Debug)]
struct Rate {
    /// Risk.
    id: String,
    /// Rate what is left after treatment.
    #[arg(long)]
    residual: bool,
    /// Likelihood, 1 to 5, where nothing measures it (`proofmark risk scales`).
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=5))]
    likelihood: Option<u8>,
    /// Severity, 1 to 5, when it is not that of the harm.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=5))]
    severity: Option<u8>,
    /// Harm of the declaration (`harms.<name>`), when the scenario names none or another.
    #[arg(long)]
    harm: Option<String>,
    /// Why it is rated so.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    by: By,
}

#[derive(clap::Args, Debug)]
struct Treat {
    /// Risk.
    id: String,
    /// Step in the order of the law.
    #[arg(long, value_enum)]
    order: OrderName,
    /// What is done.
    #[arg(long)]
    what: String,
    /// Name of the treatment within the risk; that of the measure by default.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Measure of `proofmark harden` whose effect was measured.
    #[arg(long)]
    measure: Option<String>,
    /// Cell of the matrix it serves, e.g. `evasion/prevent`.
    #[arg(long = "cell", value_name = "CELL")]
    cells: Vec<String>,
    /// Why nothing in the design is enough; asked for control and information.
    #[arg(long, value_name = "REASON")]
    why_not_design: Option<String>,
    /// Why no control is enough; asked for information.
    #[arg(long, value_name = "REASON")]
    why_not_control: Option<String>,
    /// Declared person who answers for it; `[use] risk_owner` by default.
    #[arg(long, value_name = "PERSON")]
    owner: Option<String>,
    #[command(flatten)]
    by: By,
}

#[derive(clap::Args, Debug)]
struct Withdraw {
    /// Risk.
    id: String,
    /// Treatment.
    treatment: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    by: By,
}

#[derive(clap::Args, Debug)]
struct Accept {
    #[command(flatten)]
    until: Until,
    /// Criterion that is not reached and is accepted as it stands; the risk must link to it.
    #[arg(long = "waive", value_name = "CRITERION")]
    waives: Vec<String>,
}

#[derive(clap::Args, Debug)]
struct Until {
    /// Risk.
    id: String,
    /// Why.
    #[arg(long)]
    reason: String,
    /// Last day, e.g. `2027-06-30`.
    #[arg(long, value_name = "DAY")]
    expires: String,
    #[command(flatten)]
    by: By,
}

#[derive(clap::Args, Debug)]
struct Review {
    /// Risk.
    id: String,
    /// What was found.
    #[arg(long)]
    reason: String,
    /// When it is looked at next, e.g. `2027-06-30`.
    #[arg(long, value_name = "DAY")]
    next: String,
    #[command(flatten)]
    by: By,
}

#[derive(clap::Args, Debug)]
struct Word {
    /// Risk.
    id: String,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    by: By,
}

#[derive(clap::Args, Debug)]
struct Overall {
    /// Why all together is acceptable.
    #[arg(long)]
    reason: String,
    /// Last day, e.g. `2027-06-30`.
    #[arg(long, value_name = "DAY")]
    expires: String,
    #[command(flatten)]
    by: By,
}

#[derive(clap::Args, Debug)]
struct MatrixArgs {
    /// The table alone, without its cells in full.
    #[arg(long)]
    brief: bool,
    #[command(flatten)]
    place: PlaceAndTime,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindName {
    Attack,
    Failure,
    Misuse,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EffectName {
    Confidentiality,
    Integrity,
    Availability,
    Misuse,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OrderName {
    Design,
    Control,
    Information,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    match &args.verb {
        RiskVerb::Seed(args) => say::seed(args, global),
        RiskVerb::List(place) => show::list(place, global),
        RiskVerb::Show(args) => show::show(args, global),
        RiskVerb::Add(args) => say::add(args, global),
        RiskVerb::Rate(args) => say::rate(args, global),
        RiskVerb::Treat(args) => say::treat(args, global),
        RiskVerb::Withdraw(args) => say::withdraw(args, global),
        RiskVerb::Accept(args) => say::accept(args, global),
        RiskVerb::Exclude(args) => say::exclude(args, global),
        RiskVerb::Review(args) => say::review(args, global),
        RiskVerb::Reopen(args) => say::reopen(args, global),
        RiskVerb::Overall(args) => say::overall(args, global),
        RiskVerb::Matrix(args) => show::matrix(args, global),
        RiskVerb::Techniques => show::techniques(global),
        RiskVerb::Scales => show::scales(global),
    }
}

impl KindName {
    fn kind(self) -> ScenarioKind {
        match self {
            Self::Attack => ScenarioKind::Attack,
            Self::Failure => ScenarioKind::Failure,
            Self::Misuse => ScenarioKind::Misuse,
        }
    }
}

impl EffectName {
    fn effect(self) -> Effect {
        match self {
            Self::Confidentiality => Effect::Confidentiality,
            Self::Integrity => Effect::Integrity,
            Self::Availability => Effect::Availability,
            Self::Misuse => Effect::Misuse,
        }
    }
}

impl OrderName {
    fn order(self) -> Order {
        match self {
            Self::Design => Order::Design,
            Self::Control => Order::Control,
            Self::Information => Order::Information,
        }
    }
}
