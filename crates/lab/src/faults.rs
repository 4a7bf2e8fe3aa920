//! Errors and faults that are set on purpose (AI Act Art. 15(4)), and what they do to decisions.
//!
//! Owns the kinds of faults, how strongly each severity sets them, and the figures. A fault is no
//! attacker: it does not look at the model, so what it leaves right says nothing about evasion.
//! Must never call a row unharmed because nothing was changed in it: severity 0 is the clean row,
//! bit for bit. Called by `assess`'s runner and by `attack`.

pub mod bits;
pub mod corruption;
pub mod costly;
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
    let corruption = || corruption::named(kind).map(|one| one.edition());
    let other = || kinds().iter().any(|(known, _)| *known == kind).then_some(1);
    table::named(kind).map(|fault| fault.edition()).or_else(corruption).or_else(other)
}

/// Every kind, with what it means.
pub fn kinds() -> Vec<(&'static str, &'static str)> {
    let tables = table::REGISTRY.iter().map(|fault| (fault.id(), fault.means()));
    let images = corruption::REGISTRY.iter().map(|one| (one.id(), one.means()));
    let bits = [bits::Place::Weights, bits::Place::Activations];
    let bits = bits.into_iter().map(|place| (place.kind(), place.means()));
    let others = [
        (CORRUPTIONS, "All fifteen corruptions of images, each on its own."),
        (costly::KIND, "The costliest valid input, against the median."),
    ];
    tables.chain(images).chain(others).chain(bits).collect()
}

/// The kind that sets all corruptions of images.
pub const CORRUPTIONS: &str = "corruptions";
