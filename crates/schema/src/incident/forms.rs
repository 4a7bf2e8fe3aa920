//! What each authority asks for: fields and forms as dated data (`proofmark.forms/1`).
//!
//! Owns the types and their reading. Must never fill a field: `assess::incident::report` does.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::clock::Regime;

/// Fields and the forms that ask for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forms {
    /// `proofmark.forms/1`.
    pub format: String,
    /// Edition.
    pub edition: u32,
    /// Day the sources were read.
    pub as_of: String,
    /// Fields, in the order in which reports show them.
    pub fields: Vec<Field>,
    /// Forms.
    pub forms: Vec<Form>,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Id, e.g. `times`.
    pub id: String,
    /// Words for people.
    pub title: String,
}

/// One form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// Id, e.g. `aia-73`.
    pub id: String,
    /// Regime.
    pub regime: Regime,
    /// Words for people.
    pub title: String,
    /// Provision it serves.
    pub provision: String,
    /// Whether a report with gaps may be filed and completed later.
    pub may_be_incomplete: bool,
    /// Fields it asks for; what is not here is not asked.
    pub needs: Vec<Need>,
    /// Where the fields come from, and what to know when filing.
    pub note: String,
}

/// A field in a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// Field.
    pub field: String,
    /// How much it is wanted.
    pub need: NeedKind,
}

/// How much a field is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeedKind {
    /// Asked for; left empty it is a gap.
    Asked,
    /// Wanted if known or applicable.
    IfKnown,
    /// Not in the first report; a later one is expected to hold it.
    Later,
}

impl Forms {
    /// The form of that id.
    pub fn named(&self, id: &str) -> Option<&Form> {
        self.forms.iter().find(|f| f.id == id)
    }

    /// Title of a field.
    pub fn title(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|f| f.id == field).map(|f| f.title.as_str())
    }
}

/// The bundled forms.
pub fn forms() -> &'static Forms {
    &FORMS
}

static FORMS: LazyLock<Forms> = LazyLock::new(bundled);

#[allow(clippy::panic, reason = "the text is compiled in and the tests below read all of it")]
fn bundled() -> Forms {
    match serde_json::from_str(include_str!("../../data/forms.json")) {
        Ok(forms) => forms,
        Err(error) => panic!("the bundled forms do not parse: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clock::clock_rules;

    #[test]
    fn every_form_asks_for_fields_that_are_there() {
        let ids: BTreeSet<&str> = forms().fields.iter().map(|f| f.id.as_str()).collect();
        assert_eq!(ids.len(), forms().fields.len(), "a field twice");
        for form in &forms().forms {
            let asked: BTreeSet<&str> = form.needs.iter().map(|n| n.field.as_str()).collect();
            assert_eq!(asked.len(), form.needs.len(), "{}: a field twice", form.id);
            assert!(asked.is_subset(&ids), "{}: {:?}", form.id, asked.difference(&ids));
        }
        let asked: BTreeSet<&str> =
            forms().forms.iter().flat_map(|f| &f.needs).map(|n| n.field.as_str()).collect();
        assert_eq!(asked, ids, "no form asks for a field");
    }

    #[test]
    fn every_clock_has_a_form_of_its_regime_and_every_form_a_clock() {
        for rule in &clock_rules().rules {
            let form = forms().named(&rule.form).unwrap_or_else(|| panic!("{}", rule.form));
            assert_eq!(form.regime, rule.regime, "{}", rule.id);
        }
        for form in &forms().forms {
            let used = clock_rules().rules.iter().any(|r| r.form == form.id);
            assert!(used, "{} is never filed", form.id);
        }
    }
}
