//! `incident`: one event, many clocks. Every word of it is a signed statement in the log.
//!
//! Owns the arguments and the reading of files; what may be done is decided by `assess::incident`.
//! Must never keep state of its own. Exit codes: 0; 1 a clock of an open case ran out; 2 refused.

mod deeds;
mod desk;
mod facts;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use proofmark_assess::incident::Action;
use proofmark_schema::clock::Reading;

use super::Global;
use crate::failure::Outcome;

use facts::{FactArgs, time, word};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Open a case: what happened, who was aware when, whom it harmed. A serious incident freezes
    /// digests and copies of models, declaration and guard policy at once.
    Open(Box<Open>),
    /// Say what is known now; what was said before stays in the log.
    Update(Box<Update>),
    /// Write the report that is due next, as a page and as data. Gaps are printed; no clock stops.
    Report(Report),
    /// Record what an authority gave back for a report: the one thing that stops a clock.
    Receipt(Receipt),
    /// Record what was done against the damage; allowed during a hold.
    Contain(Contain),
    /// Record a change during a hold; needs the notice that an authority was given beforehand.
    Change(Change),
    /// Decide with reason that no report is made for a clock; a person of the declaration.
    Waive(Waive),
    /// Lift the hold: with a receipt under the AI Act, or with a reason by a person of the
    /// declaration.
    Release(Release),
    /// Close the case: with a run that passed since, or with a reason by a person.
    Close(Close),
    /// All cases with the clock that ends next.
    List(Place),
    /// One case in full: facts, clocks, reports, receipts, deeds.
    Show(Show),
    /// What is held, from the log; writes the file that the guard reads anew.
    Hold(Place),
    /// The bundled rules of the clocks, with dates, readings and what is left out.
    Rules,
}

/// Which system.
#[derive(clap::Args, Clone, Debug)]
pub struct Place {
    /// Folder of the declaration.
    #[arg(short = 'C', default_value = ".")]
    dir: PathBuf,
}

/// Which case, and who speaks.
#[derive(clap::Args, Clone, Debug)]
struct Of {
    /// Incident, e.g. `inc-1`.
    id: String,
    #[command(flatten)]
    by: By,
}

/// Who speaks.
#[derive(clap::Args, Clone, Debug)]
struct By {
    /// Who does it: a person of the declaration (`people.<id>`), or a name.
    #[arg(long, value_name = "PERSON")]
    by: String,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args, Debug)]
struct Open {
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    facts: FactArgs,
    /// Reading of the legal calendar: `text` (the earlier dates) or `classification`.
    #[arg(long, default_value = "text", value_parser = word::<Reading>)]
    reading: Reading,
    /// Freeze although the incident is not serious under the AI Act.
    #[arg(long)]
    hold: bool,
    /// Policy of the guard that is frozen; `guard.toml` beside the declaration by default.
    #[arg(long, value_name = "FILE")]
    guard: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct Update {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    facts: FactArgs,
    /// Why clocks may end later than before, or no longer count.
    #[arg(long, value_name = "REASON")]
    because: Option<String>,
    /// Policy of the guard, should the case become serious.
    #[arg(long, value_name = "FILE")]
    guard: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct Report {
    #[command(flatten)]
    of: Of,
    /// Clock it answers, e.g. `CK-1`; the one that ends next by default, with all that take the
    /// same form.
    #[arg(long, value_name = "CLOCK")]
    clock: Vec<String>,
    /// Later clock whose whole content it tells as well; refused while a field of it is empty.
    #[arg(long, value_name = "CLOCK")]
    covers: Vec<String>,
    /// Folder the page and the data are written to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(clap::Args, Debug)]
struct Receipt {
    #[command(flatten)]
    of: Of,
    /// Report it is for, e.g. `inc-1-r1`.
    #[arg(long, value_name = "REPORT")]
    report: String,
    /// Authority that received it.
    #[arg(long)]
    authority: String,
    /// Channel: platform, mail, post.
    #[arg(long)]
    channel: String,
    /// Reference on the receipt.
    #[arg(long)]
    reference: String,
    /// Time on the receipt, with its zone, e.g. `2026-11-22T16:05:00+01:00`.
    #[arg(long, value_parser = time)]
    at: String,
    /// Member State of the authority, two letters.
    #[arg(long, value_name = "XX")]
    member_state: Option<String>,
    /// Why the report is late, where the law asks for that.
    #[arg(long, value_name = "REASON")]
    late_because: Option<String>,
    /// The receipt itself; its bytes are kept.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct Contain {
    #[command(flatten)]
    of: Of,
    /// stop, block-key, tighten-limit, safe-output, use-backup or warn-users.
    #[arg(long, value_parser = word::<Action>)]
    action: Action,
    /// What exactly was done.
    #[arg(long)]
    what: String,
    /// When, with its zone; now by default.
    #[arg(long, value_parser = time)]
    at: Option<String>,
}

#[derive(clap::Args, Debug)]
struct Change {
    #[command(flatten)]
    of: Of,
    /// What is changed.
    #[arg(long)]
    what: String,
    /// Reference of the notice or receipt of the authority that was told beforehand.
    #[arg(long, value_name = "REFERENCE", default_value = "")]
    notice: String,
    /// Authority that was told.
    #[arg(long, default_value = "")]
    authority: String,
    /// When it was told, with its zone; now by default.
    #[arg(long, value_parser = time)]
    told: Option<String>,
    /// The notice itself; its bytes are kept.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Model file the change brings; the guard may serve it from then on.
    #[arg(long, value_name = "NAME=FILE")]
    model: Vec<String>,
    /// Policy file the change brings.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct Waive {
    #[command(flatten)]
    of: Of,
    /// Clock, e.g. `CK-13`.
    #[arg(long, value_name = "CLOCK")]
    clock: String,
    /// Why no report is made.
    #[arg(long, value_name = "REASON")]
    because: String,
}

#[derive(clap::Args, Debug)]
struct Release {
    #[command(flatten)]
    of: Of,
    /// Receipt it rests on, e.g. `inc-1-q1`.
    #[arg(long, value_name = "RECEIPT")]
    receipt: Option<String>,
    /// Why, where there is no receipt.
    #[arg(long, value_name = "REASON")]
    because: Option<String>,
}

#[derive(clap::Args, Debug)]
struct Close {
    #[command(flatten)]
    of: Of,
    /// Run that tested the system again and passed; `latest` for the last one.
    #[arg(long, value_name = "RUN")]
    retest: Option<String>,
    /// Why, where there is no such run.
    #[arg(long, value_name = "REASON")]
    because: Option<String>,
}

#[derive(clap::Args, Debug)]
struct Show {
    /// Incident, e.g. `inc-1`.
    id: String,
    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    match &args.verb {
        Verb::Open(args) => deeds::open(args, global),
        Verb::Update(args) => deeds::update(args, global),
        Verb::Report(args) => deeds::report(args, global),
        Verb::Receipt(args) => deeds::receipt(args, global),
        Verb::Contain(args) => deeds::contain(args, global),
        Verb::Change(args) => deeds::change(args, global),
        Verb::Waive(args) => deeds::waive(args, global),
        Verb::Release(args) => deeds::release(args, global),
        Verb::Close(args) => deeds::close(args, global),
        Verb::List(place) => show::list(place, global),
        Verb::Show(args) => show::one(&args.place, &args.id, global),
        Verb::Hold(place) => show::hold(place, global),
        Verb::Rules => show::rules(global),
    }
}
