//! The clocks of an incident: which run, until when, who is told, what stopped them.
//!
//! Owns the engine: a pure function of rules, facts and receipts. Must never read a clock, stop
//! one without a receipt, or leave a rule out: a rule that does not apply is shown with the reason.
//! Called by `incident`, the papers and the command line.

mod condition;
pub mod period;

use std::collections::BTreeMap;

use proofmark_schema::clock::{
    ClockRule, ClockRules, Condition, InForce, Reading, Regime, RulesError, Start,
};
use proofmark_schema::incident::{
    CausalLink, Controller, Ground, Harm, IncidentFacts, Known, Party, Request,
};
use serde::{Deserialize, Serialize};

use period::{Instant, InstantError};

/// What the clocks are computed from.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Rules as they stood when the case was opened.
    pub rules: &'a ClockRules,
    /// Reading of the legal calendar that is used.
    pub reading: Reading,
    /// What is known.
    pub facts: &'a IncidentFacts,
    /// Reports that a receipt proves.
    pub filings: &'a [Filing],
    /// Reports that a person decided not to make.
    pub waived: &'a [Waived],
}

/// A report that was filed: the one thing that stops a clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filing {
    /// Receipt.
    pub receipt: String,
    /// Time on the receipt.
    pub at: String,
    /// Clocks whose report it was.
    pub clocks: Vec<String>,
    /// Clocks whose whole content it told as well.
    pub covers: Vec<String>,
    /// Member State whose authority gave the receipt.
    pub member_state: Option<String>,
}

/// A decision not to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waived {
    /// Clock.
    pub clock: String,
    /// Why.
    pub because: String,
    /// Who decided.
    pub by: String,
}

/// One clock at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Rule.
    pub rule: String,
    /// Id it is also asked for by.
    pub row: String,
    /// Regime.
    pub regime: Regime,
    /// Provision.
    pub provision: String,
    /// A few words.
    pub title: String,
    /// Who is told.
    pub recipient: String,
    /// Form of the report.
    pub form: String,
    /// State.
    pub state: ClockState,
    /// When it started.
    pub started: Option<String>,
    /// End of the period; also given where the clock does not count, to show what it would be.
    pub due: Option<String>,
    /// Whether the report is due at once, `due` being the outer bound.
    pub at_once: bool,
    /// Seconds from now to `due`; negative when it has passed.
    pub seconds_left: Option<i64>,
    /// Reading of the legal calendar that was used.
    pub reading: Reading,
    /// What the other readings say, where they differ.
    pub readings: Vec<ReadingSays>,
    /// Member States whose authority has given no receipt.
    pub outstanding: Vec<String>,
    /// Receipts that count for it.
    pub receipts: Vec<String>,
    /// Why it is in this state.
    pub why: String,
}

/// What a reading says about a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadingSays {
    /// Reading.
    pub reading: Reading,
    /// First day of application.
    pub from: String,
    /// Whether it applied when the clock started.
    pub in_force: bool,
}

/// State of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockState {
    /// It runs.
    Running,
    /// It ran out without a receipt.
    Late,
    /// A receipt stopped it in time.
    Met,
    /// A receipt stopped it after its end.
    MetLate,
    /// The report of an earlier clock had told all of it.
    Told,
    /// A shorter clock takes its place.
    Replaced,
    /// A person decided not to report, with a reason.
    Waived,
    /// Its event has not happened yet.
    NotStarted,
    /// The rule did not apply yet when its event happened.
    NotYetApplicable,
    /// The rule is about something else.
    NotApplicable,
}

impl ClockState {
    /// Whether something is still to be done.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Late)
    }

    /// Words for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Late => "LATE",
            Self::Met => "receipt",
            Self::MetLate => "receipt, late",
            Self::Told => "told already",
            Self::Replaced => "replaced",
            Self::Waived => "not reported",
            Self::NotStarted => "not started",
            Self::NotYetApplicable => "not yet applicable",
            Self::NotApplicable => "does not apply",
        }
    }
}

/// Every clock of `case` at `now`, in the order of the rules.
///
/// # Errors
/// [`ClockError`] if a time is malformed or the rules do not hang together.
pub fn clocks(case: &Case<'_>, now: &str) -> Result<Vec<Clock>, ClockError> {
    let engine = Engine::new(case, Instant::parse(now)?)?;
    let mut done: BTreeMap<usize, Clock> = BTreeMap::new();
    for place in case.rules.order()? {
        if let Some(rule) = case.rules.rules.get(place) {
            let clock = engine.clock(rule, &done)?;
            done.insert(place, clock);
        }
    }
    Ok(done.into_values().collect())
}

/// The clocks that still run or ran out, the most urgent first.
///
/// # Errors
/// As [`clocks`].
pub fn due(case: &Case<'_>, now: &str) -> Result<Vec<Clock>, ClockError> {
    let mut open: Vec<Clock> =
        clocks(case, now)?.into_iter().filter(|c| c.state.is_open()).collect();
    open.sort_by_key(|c| c.seconds_left.unwrap_or(i64::MAX));
    Ok(open)
}

/// Why the clocks cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// A time.
    #[error(transparent)]
    Instant(#[from] InstantError),
    /// The rules.
    #[error(transparent)]
    Rules(#[from] RulesError),
}

/// A case at one moment, its filings in the order of time.
struct Engine<'a> {
    case: &'a Case<'a>,
    now: Instant,
    filings: Vec<(Instant, &'a Filing)>,
}

impl<'a> Engine<'a> {
    fn new(case: &'a Case<'a>, now: Instant) -> Result<Self, ClockError> {
        let mut filings = Vec::with_capacity(case.filings.len());
        for filing in case.filings {
            let at = Instant::parse(&filing.at)?;
            // What is asked about a moment is told as of that moment.
            if at <= now {
                filings.push((at, filing));
            }
        }
        filings.sort_by_key(|(at, _)| *at);
        Ok(Self { case, now, filings })
    }

    fn clock(&self, rule: &ClockRule, done: &BTreeMap<usize, Clock>) -> Result<Clock, ClockError> {
        let mut clock = blank(rule, self.case.reading);
        if let Some((state, why)) = self.hindrance(rule) {
            (clock.state, clock.why) = (state, why);
            // Only of personal data is it shown until when the report would be due.
            if state == ClockState::NotApplicable || rule.regime == Regime::Cra {
                return Ok(clock);
            }
        }
        let begun = self.begins(rule, done)?;
        let Some(begun) = begun.filter(|b| b.at <= self.now) else {
            if clock.why.is_empty() {
                clock.why = waits(rule, self.case.facts);
            }
            clock.state = ClockState::NotStarted;
            return Ok(clock);
        };
        clock.started = Some(begun.at.to_string());
        let end = match begun.asked {
            Some(asked) => Some(asked),
            None => begun.at.after(rule.limit)?,
        };
        clock.due = end.map(|e| e.to_string());
        clock.seconds_left = end.map(|e| e.seconds_since(self.now));
        clock.readings = self.readings(rule, begun.at);
        if !clock.why.is_empty() {
            // A fact that would make it count is still open: what it would be is shown.
            return Ok(clock);
        }
        clock.at_once = rule.at_once
            && (rule.regime != Regime::Aia || self.case.facts.causal_link != CausalLink::Open);
        self.judge(rule, &mut clock, &begun, end);
        Ok(clock)
    }

    fn judge(&self, rule: &ClockRule, clock: &mut Clock, begun: &Begun, end: Option<Instant>) {
        let used = clock.readings.iter().find(|r| r.reading == self.case.reading);
        if let Some(says) = used.or(clock.readings.first()).filter(|r| !r.in_force) {
            clock.why = format!("it applies from {}; the event came before", says.from);
            clock.state = ClockState::NotYetApplicable;
            return;
        }
        if let Some(shorter) = self.replaced_by(rule) {
            clock.why = format!("the shorter limit of {shorter} takes its place");
            clock.state = ClockState::Replaced;
            return;
        }
        let own = |(at, f): &&(Instant, &Filing)| f.clocks.contains(&rule.id) && *at >= begun.at;
        let counted: Vec<&(Instant, &Filing)> = self.filings.iter().filter(own).collect();
        clock.receipts = counted.iter().map(|(_, f)| f.receipt.clone()).collect();
        clock.outstanding = self.outstanding(rule, &counted);
        let (state, why) = if let Some(last) = self.complete(rule, &counted) {
            let in_time = end.is_none_or(|e| last <= e);
            let state = if in_time { ClockState::Met } else { ClockState::MetLate };
            (state, format!("receipt of {last}"))
        } else if let Some((_, told)) = self.told(rule) {
            clock.receipts = vec![told.receipt.clone()];
            (ClockState::Told, format!("the report of {} told all of it", told.at))
        } else if let Some(w) = self.case.waived.iter().rev().find(|w| w.clock == rule.id) {
            (ClockState::Waived, format!("{} decided not to report: {}", w.by, w.because))
        } else if end.is_some_and(|e| e < self.now) {
            (ClockState::Late, begun.words.clone())
        } else {
            (ClockState::Running, begun.words.clone())
        };
        (clock.state, clock.why) = (state, why);
    }

    /// When the last authority that had to be told gave its first receipt; `None` before that.
    fn complete(&self, rule: &ClockRule, counted: &[&(Instant, &Filing)]) -> Option<Instant> {
        let states = self.authorities(rule);
        if states.is_empty() {
            return counted.first().map(|(at, _)| *at);
        }
        let first = |state: &String| {
            counted.iter().find(|(_, f)| told_to(f, state, states)).map(|(at, _)| *at)
        };
        let firsts: Option<Vec<Instant>> = states.iter().map(first).collect();
        firsts?.into_iter().max()
    }

    /// Member States whose authorities must each be told; none: one receipt is enough.
    fn authorities(&self, rule: &ClockRule) -> &'a [String] {
        let each = rule.per_member_state && !self.case.facts.ai_office;
        if each { &self.case.facts.member_states } else { &[] }
    }

    /// Why the rule does not count, before its event is looked at.
    fn hindrance(&self, rule: &ClockRule) -> Option<(ClockState, String)> {
        let facts = self.seen_by(rule);
        let unmet = |c: &&Condition| !condition::holds(&facts, **c);
        if let Some(condition) = rule.all.iter().find(unmet) {
            return Some(condition::unmet(&facts, *condition));
        }
        if !rule.any.is_empty() && rule.any.iter().all(|c| !condition::holds(&facts, *c)) {
            let words: Vec<&str> = rule.any.iter().map(|c| condition::noun(*c)).collect();
            let state = match rule.regime {
                Regime::Cra => ClockState::NotStarted,
                _ => ClockState::NotApplicable,
            };
            return Some((state, format!("not recorded as {}", words.join(" or "))));
        }
        None
    }

    /// Facts as the rule may see them: under equivalent reporting law only breaches of rights are
    /// reported under the AI Act (Art. 73(9), (10)).
    fn seen_by(&self, rule: &ClockRule) -> IncidentFacts {
        let mut facts = self.case.facts.clone();
        if rule.regime == Regime::Aia && facts.equivalent_reporting {
            facts.harm.retain(|h| *h == Harm::Rights);
            facts.death = false;
        }
        facts
    }

    fn replaced_by(&self, rule: &ClockRule) -> Option<&str> {
        let shorter = self.case.rules.rules.iter().filter(|r| r.replaces.contains(&rule.id));
        shorter.map(|r| (self.hindrance(r), r)).find(|(h, _)| h.is_none()).map(|(_, r)| &*r.id)
    }

    fn begins(
        &self,
        rule: &ClockRule,
        done: &BTreeMap<usize, Clock>,
    ) -> Result<Option<Begun>, ClockError> {
        let facts = self.case.facts;
        let provider = || earliest(facts, &[Party::Provider]);
        let known = |known: &Option<Known>, what: &str| match known {
            Some(known) => Begun::at(&known.at, what).map(Some),
            None => provider(),
        };
        match &rule.start {
            Start::Aware { whose } => earliest(facts, whose),
            Start::ControllerAware => match facts.controller {
                Controller::Provider => provider(),
                Controller::Deployer => earliest(facts, &[Party::Deployer]),
                Controller::Open => earliest(facts, &[Party::Provider, Party::Deployer]),
            },
            Start::ExploitationKnown => {
                known(&facts.exploited, "the provider knew of the exploitation")
            }
            Start::SevereIncidentKnown => {
                known(&facts.severe, "the provider knew of the severe incident")
            }
            Start::FixAvailable => match &facts.fix_available {
                Some(at) => Begun::at(at, "a fix became available").map(Some),
                None => Ok(None),
            },
            Start::Filed { clock } => Ok(self.filed(clock, done)),
            Start::Requested => self.requested(rule),
        }
    }

    /// When the report of `clock` was filed, or the one that told all of it.
    fn filed(&self, clock: &str, done: &BTreeMap<usize, Clock>) -> Option<Begun> {
        let told = done.values().any(|c| c.rule == clock && c.state == ClockState::Told);
        let named = |clocks: &[String]| clocks.iter().any(|c| c == clock);
        let counts = |f: &Filing| named(&f.clocks) || (told && named(&f.covers));
        let (at, _) = self.filings.iter().find(|(_, f)| counts(f))?;
        Some(Begun { at: *at, words: format!("the report of {clock} was filed"), asked: None })
    }

    /// The first request that no report has answered, or the last one.
    fn requested(&self, rule: &ClockRule) -> Result<Option<Begun>, ClockError> {
        let mut requests = Vec::new();
        for request in &self.case.facts.requests {
            requests.push((Instant::parse(&request.at)?, request));
        }
        requests.sort_by_key(|(at, _)| *at);
        let answered = |at: Instant| {
            self.filings.iter().any(|(filed, f)| f.clocks.contains(&rule.id) && *filed >= at)
        };
        let open = requests.iter().find(|(at, _)| !answered(*at)).or(requests.last());
        let Some((at, Request { due, by, .. })) = open else { return Ok(None) };
        let asked = Some(Instant::parse(due)?);
        Ok(Some(Begun { at: *at, words: format!("{by} asked"), asked }))
    }

    fn outstanding(&self, rule: &ClockRule, counted: &[&(Instant, &Filing)]) -> Vec<String> {
        let states = self.authorities(rule);
        let told = |s: &&String| counted.iter().any(|(_, f)| told_to(f, s, states));
        states.iter().filter(|s| !told(s)).cloned().collect()
    }

    fn told(&self, rule: &ClockRule) -> Option<&(Instant, &'a Filing)> {
        let told = |f: &Filing| {
            f.covers.contains(&rule.id) && f.clocks.iter().any(|c| rule.told_by.contains(c))
        };
        self.filings.iter().find(|(_, f)| told(f))
    }

    /// What each reading says about the rule at the time of its event.
    fn readings(&self, rule: &ClockRule, at: Instant) -> Vec<ReadingSays> {
        let day = at.day();
        let mut says = Vec::new();
        for reading in [Reading::Text, Reading::Classification] {
            let of = |f: &&InForce| f.reading == reading && fits(f.ground, self.case.facts.ground);
            let spans: Vec<&InForce> = rule.in_force.iter().filter(of).collect();
            let Some(from) = spans.iter().map(|f| f.from.as_str()).min() else { continue };
            let holds = |f: &&InForce| {
                f.from.as_str() <= day.as_str() && f.to.as_deref().is_none_or(|to| *day < *to)
            };
            let in_force = spans.iter().any(holds);
            says.push(ReadingSays { reading, from: from.to_owned(), in_force });
        }
        says
    }
}

/// The event that started a clock.
struct Begun {
    at: Instant,
    words: String,
    asked: Option<Instant>,
}

impl Begun {
    fn at(text: &str, words: &str) -> Result<Self, ClockError> {
        Ok(Self { at: Instant::parse(text)?, words: words.to_owned(), asked: None })
    }
}

/// Whether a filing went to the authority of `state`; where there is but one, it need not say so.
fn told_to(filing: &Filing, state: &String, states: &[String]) -> bool {
    match &filing.member_state {
        Some(of) => of == state,
        None => states.len() == 1,
    }
}

/// A system whose ground is open follows whichever date is earlier.
fn fits(wanted: Option<Ground>, ground: Ground) -> bool {
    wanted.is_none_or(|w| w == ground || matches!(ground, Ground::Open | Ground::None))
}

fn earliest(facts: &IncidentFacts, whose: &[Party]) -> Result<Option<Begun>, ClockError> {
    let mut first: Option<(Instant, Party)> = None;
    for aware in facts.aware.iter().filter(|a| whose.contains(&a.who)) {
        let at = Instant::parse(&aware.at)?;
        if first.is_none_or(|(earlier, _)| at < earlier) {
            first = Some((at, aware.who));
        }
    }
    Ok(first.map(|(at, who)| {
        let words = match who {
            Party::Provider => "the provider became aware",
            Party::Deployer => "the deployer became aware",
        };
        Begun { at, words: words.to_owned(), asked: None }
    }))
}

/// Why a clock whose facts hold has not started.
fn waits(rule: &ClockRule, facts: &IncidentFacts) -> String {
    match &rule.start {
        Start::ControllerAware if facts.controller == Controller::Deployer => {
            "the controller's awareness is not recorded; as its processor tell it without delay"
                .to_owned()
        }
        Start::Aware { .. } | Start::ControllerAware => "nobody's awareness is recorded".to_owned(),
        Start::ExploitationKnown | Start::SevereIncidentKnown => {
            "the provider's awareness is not recorded".to_owned()
        }
        Start::FixAvailable => "no fix or mitigation is available yet".to_owned(),
        Start::Filed { clock } => format!("the report of {clock} is not filed yet"),
        Start::Requested => "no report was asked for".to_owned(),
    }
}

fn blank(rule: &ClockRule, reading: Reading) -> Clock {
    Clock {
        rule: rule.id.clone(),
        row: rule.row.clone(),
        regime: rule.regime,
        provision: rule.provision.clone(),
        title: rule.title.clone(),
        recipient: rule.recipient.clone(),
        form: rule.form.clone(),
        state: ClockState::NotApplicable,
        started: None,
        due: None,
        at_once: false,
        seconds_left: None,
        reading,
        readings: Vec::new(),
        outstanding: Vec::new(),
        receipts: Vec::new(),
        why: String::new(),
    }
}

#[cfg(test)]
mod tests;
