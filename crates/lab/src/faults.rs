//! Errors and faults that are set on purpose (AI Act Art. 15(4)), and what they do to decisions.
//!
//! Owns the kinds of faults, how strongly each severity sets them, and the figures. A fault is no
//! attacker: it does not look at the model, so what it leaves right says nothing about evasion.
//! Must never call a row unharmed because nothing was changed in it: severity 0 is the clean row,
//! bit for bit. Called by `assess`'s runner and by `attack`.

pub mod figures;
pub mod form;
pub mod table;

/// One severity of a kind of fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Share of the cells, or of the rows, that are hit, in `[0, 1]`.
    pub share: f64,
    /// How strongly, in the unit of the kind.
    pub strength: f64,
    /// In words, e.g. `5 % of the cells`.
    pub words: String,
}

/// Edition of a kind of fault; `None` for an unknown one.
pub fn edition_of(kind: &str) -> Option<u32> {
    table::named(kind).map(|fault| fault.edition())
}

/// Every kind, with what it means.
pub fn kinds() -> Vec<(&'static str, &'static str)> {
    table::REGISTRY.iter().map(|fault| (fault.id(), fault.means())).collect()
}
