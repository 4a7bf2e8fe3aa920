//! What every figure of one model on one data set shares, and how a figure becomes a
//! measurement.
//!
//! Owns measurement ids. Must never compute a figure. Called by the accuracy and evasion
//! figures.

use proofmark_schema::measurement::{
    AssetDigest, EngineUse, FORMAT, Measurement, Method, Quantity, Subject, Validity,
};

use crate::stats::clopper_pearson;

/// Shared facts.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Model name.
    pub model: String,
    /// Data name.
    pub data: String,
    /// Class names, by class index.
    pub classes: Vec<String>,
    /// Digests of model and data files.
    pub assets: Vec<AssetDigest>,
    /// Engine that answered.
    pub engine: EngineUse,
    /// Seed of the run.
    pub seed: u64,
    /// Confidence of two-sided intervals.
    pub confidence: f64,
}

/// Rows that share a value of a group feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Feature.
    pub feature: String,
    /// Value, or the range of a binned number.
    pub value: String,
    /// Rows of the data.
    pub rows: Vec<usize>,
}

/// What a figure is about, apart from model and data.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// Threat.
    pub threat: Option<&'a str>,
    /// Budget.
    pub eps: Option<f64>,
    /// Fault, or `<fault>/<member>`.
    pub fault: Option<&'a str>,
    /// Severity of the fault.
    pub severity: Option<u8>,
    /// Group.
    pub group: Option<&'a Group>,
    /// Class index.
    pub class: Option<usize>,
    /// Quantile.
    pub quantile: Option<f64>,
}

/// A group too small for figures.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Refused {
    /// Feature.
    pub feature: String,
    /// Value.
    pub value: String,
    /// Rows.
    pub n: u64,
    /// Why there is no figure.
    pub reason: String,
}

impl Facts {
    /// A measurement with its stable id
    /// `{model}/{data}/{metric}[/{threat}/{eps}][/{fault}/s{n}][/group:{f}={v}][/q{p}]
    /// [/class:{c}]`.
    pub fn measurement(
        &self,
        metric: &str,
        unit: &str,
        about: About<'_>,
        quantity: Quantity,
        probe: &Method,
        validity: &[Validity],
    ) -> Measurement {
        let mut id = format!("{}/{}/{metric}", self.model, self.data);
        if let Some(threat) = about.threat {
            id.push_str(&format!("/{threat}"));
        }
        if let Some(eps) = about.eps {
            id.push_str(&format!("/{eps}"));
        }
        if let Some(fault) = about.fault {
            id.push_str(&format!("/{fault}"));
        }
        if let Some(severity) = about.severity {
            id.push_str(&format!("/s{severity}"));
        }
        if let Some(group) = about.group {
            id.push_str(&format!("/group:{}={}", plain(&group.feature), plain(&group.value)));
        }
        if let Some(quantile) = about.quantile {
            id.push_str(&format!("/q{quantile}"));
        }
        let class = about.class.and_then(|c| self.classes.get(c)).cloned();
        if let Some(class) = &class {
            id.push_str(&format!("/class:{}", plain(class)));
        }
        Measurement {
            format: FORMAT.to_string(),
            id,
            metric: metric.to_string(),
            unit: unit.to_string(),
            subject: Subject {
                model: self.model.clone(),
                data: self.data.clone(),
                threat: about.threat.map(str::to_string),
                eps: about.eps,
                fault: about.fault.map(str::to_string),
                severity: about.severity,
                group: about.group.map(|g| (g.feature.clone(), g.value.clone())),
                class,
                quantile: about.quantile,
            },
            quantity,
            probe: probe.clone(),
            assets: self.assets.clone(),
            engine: self.engine.clone(),
            seed: self.seed,
            validity: validity.to_vec(),
        }
    }

    /// A share with its exact interval.
    pub fn share(&self, k: u64, n: u64) -> Quantity {
        let interval = clopper_pearson(k, n, self.confidence);
        Quantity::Estimate {
            value: if n == 0 { 0.0 } else { k as f64 / n as f64 },
            lower: interval.lower,
            upper: interval.upper,
            confidence: self.confidence,
            method: "clopper-pearson".into(),
            k: Some(k),
            n,
            one_sided: Vec::new(),
        }
    }

    /// A share of rows that no attack broke, with the interval of the sample.
    pub fn bracket(&self, k: u64, n: u64) -> Quantity {
        let interval = clopper_pearson(k, n, self.confidence);
        Quantity::Bracket {
            proved: None,
            attacked: if n == 0 { 0.0 } else { k as f64 / n as f64 },
            lower: interval.lower,
            upper: interval.upper,
            confidence: self.confidence,
            k,
            n,
        }
    }
}

/// The same figure about a part that is no class of the data: a bin, a pair of classes, an attack.
pub fn tagged(mut measurement: Measurement, tag: &str) -> Measurement {
    measurement.id.push_str(&format!("/class:{}", plain(tag)));
    measurement.subject.class = Some(tag.to_string());
    measurement
}

/// A number that is counted, not estimated.
pub fn count(value: u64, of: &str) -> Quantity {
    Quantity::Exact { value: value as f64, domain: of.into(), arithmetic: "counts".into() }
}

/// Text fit for an id: blanks and characters with a meaning in HTML or URLs are percent-encoded.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() || "\"'<>&#%".contains(c) {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|b| out.push_str(&format!("%{b:02X}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Splits groups into those large enough for figures and the others.
pub fn large_enough(groups: &[Group]) -> (Vec<&Group>, Vec<Refused>) {
    let (large, small): (Vec<&Group>, Vec<&Group>) =
        groups.iter().partition(|g| g.rows.len() >= GROUP_MIN);
    let refused = small.into_iter().map(|g| Refused {
        feature: g.feature.clone(),
        value: g.value.clone(),
        n: g.rows.len() as u64,
        reason: format!("{} rows, fewer than {GROUP_MIN}", g.rows.len()),
    });
    (large, refused.collect())
}

/// Rows under which a figure of a group, or of a class, is refused: at 30 rows a 95 % interval
/// of a share is up to 37 points wide, below that it decides nothing and may point at people.
pub const GROUP_MIN: usize = 30;
