//! The verbs of `risk` that sign something.
//!
//! Owns the way from arguments to a statement: names are resolved against the declaration, the
//! likelihood is read from the measurement where there is one. The log is opened for writing
//! before anything is read, so that nobody speaks in between.

use std::process::ExitCode;

use proofmark_assess::register::Register;
use proofmark_assess::risk::rules::{not_an_author, not_too_far};
use proofmark_assess::risk::{
    Act, Covered, NotEnough, OVERALL, Risk, RiskPredicate, SayError, Side, Treatment, Waived, Who,
    likelihood, person, say, seed as seeds,
};
use proofmark_assess::standing::{Overview, RiskStanding, World, overview as stand};
use proofmark_assess::treatment::Order;
use proofmark_evidence::keys::StatementKey;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::duties::{cell_id, duties};
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::risk::{
    Basis, Links, MeasuredLikelihood, Rating, Scenario, ScenarioHarm, seeds as seed_data,
};
use proofmark_schema::system::{System, nearest};
use proofmark_schema::taxonomy::{ThreatClass, Verb};

use super::desk::{self, Desk, PlaceAndTime};
use super::show;
use super::{Accept, Add, By, Overall, Rate, Review, Seed, Treat, Until, Withdraw, Word};
use crate::clock;
use crate::command::Global;
use crate::command::assess::tool;
use crate::failure::{Failure, OrFail, Outcome};
use crate::project::Project;
use crate::state::State;

/// Enters what the declaration gives, and rates what it already says or the last run measured.
pub fn seed(args: &Seed, global: Global) -> Outcome<ExitCode> {
    let mut session = Session::open(&args.by)?;
    let by = session.speaker(&args.by, Role::Author)?;
    let missing = seeds::missing(&session.project.system, &session.world.risks, &by.id);
    let mut entered = Vec::new();
    for seed in missing {
        let edition = Some(seed_data().edition);
        let act = Act::Enter { scenario: seed.scenario, seed: edition };
        session.say(&seed.id, &by, act)?;
        entered.push(seed.id);
    }
    let mut rated = Vec::new();
    for (id, rating, reason) in session.rateable() {
        let act = Act::Rate { side: Side::Inherent, rating, harm: None, reason };
        session.say(&id, &by, act)?;
        rated.push(id);
    }
    // The lock is given back before the overview is read again.
    drop(session);
    show::after_seed(&args.by.place, &entered, &rated, global)
}

/// Enters a scenario.
pub fn add(args: &Add, global: Global) -> Outcome<ExitCode> {
    let mut session = Session::open(&args.by)?;
    let by = session.speaker(&args.by, Role::Author)?;
    let system = &session.project.system;
    let names = |list: &[String], what: &str, known: Vec<String>| {
        list.iter().try_for_each(|name| known_name(name, what, &known))
    };
    let harm = args.harm.as_deref().map(|name| harm(system, name)).transpose()?;
    let row = args.row.as_deref().map(row).transpose()?;
    names(&args.criteria, "criterion", system.criteria.iter().map(|c| c.name.clone()).collect())?;
    names(&args.cells, "cell", cells())?;
    names(&args.duties, "duty", duties().duties.iter().map(|d| d.id.clone()).collect())?;
    names(&args.assets, "asset", assets(&session.assets))?;
    let threats: Vec<String> = system.threats.iter().map(|t| t.name.clone()).collect();
    names(args.threat.as_slice(), "threat", threats)?;
    let owner = owner(system, args.owner.as_deref(), &by)?;
    let scenario = Scenario {
        title: args.title.clone(),
        kind: args.kind.kind(),
        row,
        actor: args.actor.clone(),
        assets: args.assets.clone(),
        techniques: args.techniques.clone(),
        effect: args.effect.effect(),
        harm,
        links: Links {
            threat: args.threat.clone(),
            misuse: None,
            criteria: args.criteria.clone(),
            cells: args.cells.clone(),
            duties: args.duties.clone(),
            after: args.after.clone(),
        },
        owner,
    };
    session.say(&args.id, &by, Act::Enter { scenario, seed: None })?;
    session.finish(&args.id, &args.by, global)
}

/// Rates a risk.
pub fn rate(args: &Rate, global: Global) -> Outcome<ExitCode> {
    let mut session = Session::open(&args.by)?;
    let by = session.speaker(&args.by, Role::Author)?;
    let risk = session.risk(&args.id)?.clone();
    let named = args.harm.as_deref().map(|name| harm(&session.project.system, name)).transpose()?;
    let declared = named.as_ref().or(risk.scenario.harm.as_ref()).map(|h| h.severity);
    let severity = args.severity.or(declared).ok_or_else(|| no_harm(&risk.id))?;
    let rating = session.rating(&risk, args, severity)?;
    let side = if args.residual { Side::Residual } else { Side::Inherent };
    let act = Act::Rate { side, rating, harm: named, reason: args.reason.clone() };
    session.say(&args.id, &by, act)?;
    session.finish(&args.id, &args.by, global)
}

/// Chooses a treatment.
pub fn treat(args: &Treat, global: Global) -> Outcome<ExitCode> {
    let mut session = Session::open(&args.by)?;
    let by = session.speaker(&args.by, Role::Author)?;
    args.cells.iter().try_for_each(|cell| known_name(cell, "cell", &cells()))?;
    if let Some(measure) = &args.measure {
        let known = session.world.treatments.iter().flat_map(|t| &t.said.measures);
        let known: Vec<String> = known.map(|m| m.id.clone()).collect();
        known_name(measure, "measure", &known)?;
    }
    let risk = session.risk(&args.id)?;
    let number = risk.history.iter().filter(|i| matches!(i.logged.said.said, Act::Treat { .. }));
    let numbered = format!("t{}", number.count() + 1);
    let mut not_enough = Vec::new();
    for (step, reason) in
        [(Order::Design, &args.why_not_design), (Order::Control, &args.why_not_control)]
    {
        if let Some(reason) = reason {
            not_enough.push(NotEnough { step, reason: reason.clone() });
        }
    }
    let treatment = Treatment {
        id: args.name.clone().or(args.measure.clone()).unwrap_or(numbered),
        order: args.order.order(),
        what: args.what.clone(),
        measure: args.measure.clone(),
        cells: args.cells.clone(),
        owner: owner(&session.project.system, args.owner.as_deref(), &by)?,
        not_enough,
    };
    session.say(&args.id, &by, Act::Treat { treatment })?;
    session.finish(&args.id, &args.by, global)
}

/// Gives up a treatment.
pub fn withdraw(args: &Withdraw, global: Global) -> Outcome<ExitCode> {
    let mut session = Session::open(&args.by)?;
    let by = session.speaker(&args.by, Role::Author)?;
    let act = Act::Withdraw { treatment: args.treatment.clone(), reason: args.reason.clone() };
    session.say(&args.id, &by, act)?;
    session.finish(&args.id, &args.by, global)
}

/// Accepts what is left of a risk.
pub fn accept(args: &Accept, global: Global) -> Outcome<ExitCode> {
    let Until { id, reason, expires, by: speaker } = &args.until;
    let mut session = Session::open(speaker)?;
    let by = session.speaker(speaker, Role::Approver)?;
    let expires = session.until(expires)?;
    // Who may not accept need not be asked what they accept.
    not_an_author(session.risk(id)?, &by).map_err(|r| refused(r.into()))?;
    let overview = session.overview();
    let standing = session.standing(&overview, id)?;
    let residual = standing.residual.rating.clone().ok_or_else(|| {
        let message =
            format!("the residual risk of `{id}` is not known: {}", standing.residual.from);
        Failure::new("residual-unknown", message, &standing.residual.next)
    })?;
    let waives = session.waives(standing, &args.waives)?;
    let act = Act::Accept {
        reason: reason.clone(),
        expires,
        residual,
        run: overview.run.as_ref().map(|r| r.run.clone()),
        waives,
    };
    session.say(id, &by, act)?;
    session.finish(id, speaker, global)
}

/// Says that a scenario does not apply.
pub fn exclude(args: &Until, global: Global) -> Outcome<ExitCode> {
    let mut session = Session::open(&args.by)?;
    let by = session.speaker(&args.by, Role::Approver)?;
    let expires = session.until(&args.expires)?;
    session.say(&args.id, &by, Act::Exclude { reason: args.reason.clone(), expires })?;
    session.finish(&args.id, &args.by, global)
}

/// Looks at a risk again.
pub fn review(args: &Review, global: Global) -> Outcome<ExitCode> {
    let mut session = Session::open(&args.by)?;
    let by = session.speaker(&args.by, Role::Author)?;
    let next = session.until(&args.next)?;
    session.say(&args.id, &by, Act::Review { reason: args.reason.clone(), next })?;
    session.finish(&args.id, &args.by, global)
}

/// Takes an acceptance or exclusion back.
pub fn reopen(args: &Word, global: Global) -> Outcome<ExitCode> {
    let mut session = Session::open(&args.by)?;
    let by = session.speaker(&args.by, Role::Author)?;
    session.say(&args.id, &by, Act::Reopen { reason: args.reason.clone() })?;
    session.finish(&args.id, &args.by, global)
}

/// Accepts the residual risk of all together.
pub fn overall(args: &Overall, global: Global) -> Outcome<ExitCode> {
    let mut session = Session::open(&args.by)?;
    let by = session.speaker(&args.by, Role::Approver)?;
    let expires = session.until(&args.expires)?;
    let overview = session.overview();
    if let Some(open) = overview.risks.iter().find(|r| !show::settled(r)) {
        let id = &open.risk.id;
        let first = open.reasons.first();
        return Err(Failure::new(
            "risk-open",
            format!("`{id}` is {}: all together cannot be accepted", open.state.word()),
            first.map(|r| format!("{}: {}", r.what, r.next)).unwrap_or_default(),
        ));
    }
    if let Some(missing) = overview.missing.first() {
        return Err(Failure::new("scenario-missing", &missing.what, &missing.next));
    }
    let covered =
        |r: &RiskStanding| Some(Covered { risk: r.risk.id.clone(), index: r.risk.settled()? });
    let act = Act::Overall {
        reason: args.reason.clone(),
        expires,
        run: overview.run.as_ref().map(|r| r.run.clone()),
        risks: overview.risks.iter().filter_map(covered).collect(),
    };
    session.say(OVERALL, &by, act)?;
    drop(session);
    let place = PlaceAndTime { place: args.by.place.clone(), now: None };
    show::list(&place, global)
}

/// A likelihood, or why there is none.
type Measured = Result<(u8, MeasuredLikelihood), likelihood::Unmeasured>;

/// Who speaks when nobody is named.
#[derive(Clone, Copy)]
enum Role {
    Author,
    Approver,
}

/// The log open for writing, with all that was said before.
struct Session {
    project: Project,
    log: Log,
    store: Store,
    key: StatementKey,
    world: World,
    assets: Vec<AssetDigest>,
}

impl Session {
    fn open(by: &By) -> Outcome<Self> {
        let project = Project::load(&by.place.dir)?;
        let state = State::of(&project);
        let assets = desk::digests(&project)?;
        let (log, key) = state.log_for_writing(state.keys()?)?;
        let store = state.store();
        let world = desk::world(&project, &state, &log, &store)?;
        Ok(Self { project, log, store, key, world, assets })
    }

    fn overview(&self) -> Overview {
        let now = clock::now();
        let system = &self.project.system;
        let present =
            proofmark_assess::standing::Present { system, assets: &self.assets, now: &now };
        stand(&self.world, &present)
    }

    fn risk(&self, id: &str) -> Outcome<&Risk> {
        self.world.risks.named(id).ok_or_else(|| show::no_risk(&self.world.risks, id))
    }

    fn standing<'a>(&self, overview: &'a Overview, id: &str) -> Outcome<&'a RiskStanding> {
        overview.named(id).ok_or_else(|| show::no_risk(&self.world.risks, id))
    }

    /// Signs and logs one statement, and takes it into the world.
    fn say(&mut self, id: &str, by: &Who, said: Act) -> Outcome<()> {
        let system = &self.project.system;
        let predicate = RiskPredicate {
            risk: id.to_owned(),
            system: system.name.clone(),
            version: system.version.clone(),
            tool: tool(),
            by: by.clone(),
            said,
            assets: self.assets.clone(),
        };
        let now = clock::now;
        let mut register = Register {
            log: &mut self.log,
            store: &self.store,
            key: &self.key,
            now: &now,
            tool: tool(),
        };
        say(&mut register, &predicate).map_err(refused)?;
        self.world.risks = proofmark_assess::risk::risks(&self.log, &self.store)
            .or_fail("log", "run `proofmark log fsck`")?;
        Ok(())
    }

    fn finish(self, id: &str, by: &By, global: Global) -> Outcome<ExitCode> {
        let place = PlaceAndTime { place: by.place.clone(), now: None };
        // The lock is given back before the overview is read again.
        drop(self);
        show::one(&Desk::open(&place)?, id, false, global)
    }

    fn speaker(&self, by: &By, role: Role) -> Outcome<Who> {
        let system = &self.project.system;
        let (key, default) = match role {
            Role::Author => ("risk_owner", &system.upkeep.risk_owner),
            Role::Approver => ("approver", &system.upkeep.approver),
        };
        let wanted = by.by.as_deref().or(default.as_deref()).ok_or_else(|| {
            Failure::new(
                "nobody",
                "a statement on a risk is made by a declared person, and none is named",
                format!("name one with `--by`, or declare `{key} = \"<person>\"` in `[use]`"),
            )
        })?;
        declared(system, wanted)
    }

    /// A day to come that is not too far.
    fn until(&self, text: &str) -> Outcome<String> {
        let until = desk::time(text)?;
        not_too_far(&until, &clock::now())
            .or_fail("too-far", "an acceptance is looked at again at least once a year")?;
        Ok(until)
    }

    /// Seeded risks that can be rated without a further word: a threat that the current run
    /// measured, a misuse whose likelihood is declared.
    fn rateable(&self) -> Vec<(String, Rating, String)> {
        let system = &self.project.system;
        let overview = self.overview();
        let mut list = Vec::new();
        for risk in self.world.risks.risks.iter().filter(|r| r.inherent.is_none()) {
            let Some(severity) = risk.scenario.harm.as_ref().map(|h| h.severity) else { continue };
            let links = &risk.scenario.links;
            let found = match &links.threat {
                Some(threat) => self
                    .measured(&overview, threat)
                    .and_then(Result::ok)
                    .map(|(level, m)| (level, Basis::Measured(m), SEEDED_MEASURED)),
                None => seeds::declared_likelihood(system, &risk.scenario)
                    .map(|(level, basis)| (level, basis, SEEDED_DECLARED)),
            };
            let rated = found.and_then(|(level, basis, why)| {
                Some((likelihood::rating(level, basis, severity)?, why))
            });
            if let Some((rating, why)) = rated {
                list.push((risk.id.clone(), rating, why.to_owned()));
            }
        }
        list
    }

    /// A rating: measured where a current run measures it, else as entered.
    fn rating(&self, risk: &Risk, args: &Rate, severity: u8) -> Outcome<Rating> {
        let bug = || Failure::new("scale", "a level is not on the scale", "levels go from 1 to 5");
        let entered = |level: u8| {
            let basis = Basis::Entered { reason: args.reason.clone() };
            likelihood::rating(level, basis, severity).ok_or_else(bug)
        };
        let threat = risk.scenario.links.threat.as_deref();
        let measured = threat.and_then(|threat| self.measured(&self.overview(), threat));
        match (measured, args.likelihood) {
            (Some(Ok((level, _))), Some(said)) if said < level => Err(Failure::new(
                "below-measured",
                format!("the current run shows likelihood {level}; entering {said} would hide it"),
                "leave `--likelihood` out; a better figure comes from a measure and a new run",
            )),
            (Some(Err(likelihood::Unmeasured::Weak { at_least, .. })), Some(said))
                if said < at_least =>
            {
                let message = format!("even the weak attack shows likelihood {at_least}");
                Err(Failure::new("below-measured", message, "enter at least that"))
            }
            (_, Some(said)) => entered(said),
            (Some(Ok((level, figures))), None) => {
                likelihood::rating(level, Basis::Measured(figures), severity).ok_or_else(bug)
            }
            (Some(Err(why)), None) => Err(Failure::new("unmeasured", why, ENTER)),
            (None, None) => {
                match seeds::declared_likelihood(&self.project.system, &risk.scenario) {
                    Some((level, basis)) if !args.residual => {
                        likelihood::rating(level, basis, severity).ok_or_else(bug)
                    }
                    _ => Err(Failure::new("unmeasured", "nothing measures this risk", ENTER)),
                }
            }
        }
    }

    /// What the last run says about a threat, if it is still about what is there.
    fn measured(&self, overview: &Overview, threat: &str) -> Option<Measured> {
        let system = &self.project.system;
        let speaks = overview.run.as_ref().is_some_and(|run| run.speaks_for(system, threat));
        let last = self.world.last.as_ref().filter(|_| speaks)?;
        Some(likelihood::measured(system, last, threat))
    }

    /// The criteria that are accepted as they stand; every linked one that is not reached must be
    /// named, so that nobody accepts what they did not see.
    fn waives(&self, standing: &RiskStanding, named: &[String]) -> Outcome<Vec<Waived>> {
        let linked = &standing.risk.scenario.links.criteria;
        named.iter().try_for_each(|name| known_name(name, "criterion of this risk", linked))?;
        let mut waives = Vec::new();
        let verdicts = self.world.last.as_ref().map(|l| l.verdicts.as_slice()).unwrap_or_default();
        for verdict in verdicts.iter().filter(|v| linked.contains(&v.criterion.name)) {
            let name = &verdict.criterion.name;
            let passed = verdict.state == proofmark_assess::judge::VerdictState::Pass;
            match (passed, named.contains(name)) {
                (true, false) => {}
                (false, false) => {
                    return Err(Failure::new(
                        "criterion-unmet",
                        format!("criterion `{name}` is {}: {}", verdict.state, verdict.reason),
                        format!("mend it, or accept it as it stands with `--waive {name}`"),
                    ));
                }
                (_, true) => waives.push(Waived {
                    criterion: name.clone(),
                    state: verdict.state,
                    lower: verdict.lower,
                    upper: verdict.upper,
                }),
            }
        }
        Ok(waives)
    }
}

fn refused(error: SayError) -> Failure {
    match error {
        SayError::Refused(refusal) => Failure::new("refused", refusal, "nothing was logged"),
        SayError::Register(error) => {
            Failure::new("log", error, "run `proofmark log fsck`; nothing was said")
        }
    }
}

fn declared(system: &System, wanted: &str) -> Outcome<Who> {
    person(system, wanted).map(Who::of).ok_or_else(|| {
        let known: Vec<&str> = system.people.iter().map(|p| p.id.as_str()).collect();
        let help = if known.is_empty() {
            "declare people: `[people.<id>]` with `name` and `role`".to_owned()
        } else {
            format!("declared people: {}", known.join(", "))
        };
        Failure::new("nobody", format!("nobody is declared as `{wanted}`"), help)
    })
}

fn owner(system: &System, named: Option<&str>, by: &Who) -> Outcome<String> {
    match named.or(system.upkeep.risk_owner.as_deref()) {
        Some(name) => declared(system, name).map(|who| who.id),
        None => Ok(by.id.clone()),
    }
}

fn harm(system: &System, name: &str) -> Outcome<ScenarioHarm> {
    let known: Vec<String> = system.harms.iter().map(|h| h.name.clone()).collect();
    known_name(name, "harm", &known)?;
    system.harm_named(name).map(seeds::harm).ok_or_else(|| no_harm(name))
}

fn no_harm(id: &str) -> Failure {
    Failure::new(
        "no-harm",
        format!("`{id}` names no harm, so it has no severity"),
        "declare `[harms.<name>]` and name it with `--harm`",
    )
}

fn row(name: &str) -> Outcome<ThreatClass> {
    let known: Vec<String> = ThreatClass::ALL.iter().map(|r| r.id().to_owned()).collect();
    known_name(name, "row", &known)?;
    ThreatClass::ALL
        .into_iter()
        .find(|r| r.id() == name)
        .ok_or_else(|| Failure::new("unknown", format!("no row `{name}`"), known.join(", ")))
}

fn cells() -> Vec<String> {
    let all = ThreatClass::ALL.into_iter();
    all.flat_map(|t| Verb::ALL.into_iter().map(move |v| cell_id(t, v))).collect()
}

fn assets(digests: &[AssetDigest]) -> Vec<String> {
    let groups = ["model", "data", "system"].map(str::to_owned);
    groups.into_iter().chain(digests.iter().map(|a| a.name.clone())).collect()
}

fn known_name(name: &str, what: &str, known: &[String]) -> Outcome<()> {
    if known.iter().any(|k| k == name) {
        return Ok(());
    }
    let help = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("there is no {what} yet"),
        None => format!(
            "known: {}",
            known.iter().take(LIST_MAX).cloned().collect::<Vec<_>>().join(", ")
        ),
    };
    Err(Failure::new("unknown", format!("no {what} is named `{name}`"), help))
}

const ENTER: &str = "enter a level with `--likelihood` and say why with `--reason`";
const SEEDED_MEASURED: &str = "from the measured attack success and the declared exposure";
const SEEDED_DECLARED: &str = "as the declaration says";
/// Names shown in a help line.
const LIST_MAX: usize = 40;
