//! Input schemas (`proofmark.input-schema/1`): what a model was trained on, as limits.
//!
//! Owns the wire type and the question whether one value lies inside it. Must never be made from
//! anything but training data: its digest says which. Written by `harden`, read by the guard.

use serde::{Deserialize, Serialize};

use crate::measurement::AssetDigest;
use crate::system::FeatureKind;

/// The format tag.
pub const FORMAT: &str = "proofmark.input-schema/1";

/// Limits per feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSchema {
    /// [`FORMAT`].
    pub format: String,
    /// System name.
    pub system: String,
    /// Files it was made from, with their digests.
    pub sources: Vec<AssetDigest>,
    /// Rows of the training data.
    pub rows: u64,
    /// Features that a model reads, in the order of the declaration.
    pub features: Vec<InputFeature>,
}

/// What was seen of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFeature {
    /// Name.
    pub name: String,
    /// Declared type.
    #[serde(rename = "type")]
    pub kind: FeatureKind,
    /// Lowest value seen, in the unit of the file; absent for texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// Highest value seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// Values seen, sorted; absent for numbers, images and free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// Shape of an image, channels first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 3]>,
    /// Whether the value was missing in some row.
    pub missing: bool,
}

impl InputSchema {
    /// The feature of that name.
    pub fn feature(&self, name: &str) -> Option<&InputFeature> {
        self.features.iter().find(|f| f.name == name)
    }
}

impl InputFeature {
    /// Whether a number lies inside; NaN stands for a missing value. Whole-number features admit
    /// whole numbers only.
    pub fn admits_number(&self, value: f64) -> bool {
        if value.is_nan() {
            return self.missing;
        }
        let whole = self.kind != FeatureKind::Integer || value.fract() == 0.0;
        whole
            && self.minimum.is_none_or(|least| value >= least)
            && self.maximum.is_none_or(|most| value <= most)
    }

    /// Whether a text lies inside; `None` stands for a missing value.
    pub fn admits_text(&self, value: Option<&str>) -> bool {
        match value {
            None => self.missing,
            Some(text) => self.values.as_ref().is_none_or(|seen| seen.iter().any(|v| v == text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(kind: FeatureKind) -> InputFeature {
        InputFeature {
            name: "x".into(),
            kind,
            minimum: None,
            maximum: None,
            values: None,
            shape: None,
            missing: false,
        }
    }

    #[test]
    fn values_outside_of_what_was_seen_are_refused() {
        let amount = InputFeature {
            minimum: Some(250.0),
            maximum: Some(18_424.0),
            ..feature(FeatureKind::Integer)
        };
        for (value, inside) in [
            (250.0, true),
            (18_424.0, true),
            (18_425.0, false),
            (249.0, false),
            (250.5, false),
            (f64::NAN, false),
            (f64::INFINITY, false),
        ] {
            assert_eq!(amount.admits_number(value), inside, "{value}");
        }
        let gap = InputFeature { missing: true, ..amount };
        assert!(gap.admits_number(f64::NAN));
        let purpose =
            InputFeature { values: Some(vec!["car".into()]), ..feature(FeatureKind::Category) };
        assert!(purpose.admits_text(Some("car")));
        assert!(!purpose.admits_text(Some("boat")) && !purpose.admits_text(None));
        assert!(feature(FeatureKind::Text).admits_text(Some("anything")));
    }
}
