//! Is the assessment still about what lies there?
//!
//! Owns the comparison of an assessment with the files and the declaration of now: digests, and
//! the part of the declaration that decides what is measured. Texts for people, names of persons,
//! harms and papers are not part of it: they may be bettered without a new run. Must never read a
//! file. Called by `standing`, the papers and the command line.

use std::fmt;

use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::{Criterion, System, Threat};
use serde::{Deserialize, Serialize};

/// What changed since an assessment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Currency {
    /// Files whose bytes differ, that are new or that are gone, sorted by name.
    pub assets: Vec<AssetChange>,
    /// Parts of the declaration that decide what is measured and differ, e.g. `threats.applicant`.
    pub terms: Vec<String>,
    /// Version that was assessed and version that is declared, when they differ.
    pub version: Option<(String, String)>,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetChange {
    /// Name, e.g. `model/mlp`.
    pub asset: String,
    /// SHA-256 when it was assessed; `None`: it was not there.
    pub was: Option<String>,
    /// SHA-256 now; `None`: it is gone.
    pub is: Option<String>,
}

/// What changed between an assessment, with its plan's digests and its declaration, and now.
pub fn currency(
    then: &System,
    then_assets: &[AssetDigest],
    now: &System,
    now_assets: &[AssetDigest],
) -> Currency {
    let version =
        (then.version != now.version).then(|| (then.version.clone(), now.version.clone()));
    Currency { assets: changed(then_assets, now_assets), terms: terms(then, now), version }
}

/// Files that differ between two lists of digests, the declaration left out.
pub fn changed(then: &[AssetDigest], now: &[AssetDigest]) -> Vec<AssetChange> {
    let digest = |list: &[AssetDigest], name: &str| {
        list.iter().find(|a| a.name == name).map(|a| a.sha256.clone())
    };
    let mut names: Vec<&str> = then.iter().chain(now).map(|a| a.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut changes = Vec::new();
    for name in names.into_iter().filter(|n| *n != DECLARATION) {
        let (was, is) = (digest(then, name), digest(now, name));
        if was != is {
            changes.push(AssetChange { asset: name.to_owned(), was, is });
        }
    }
    changes
}

impl Currency {
    /// Whether what was measured is what lies there. A new version number alone does not change
    /// what was measured, and the gate asks for it all the same.
    pub fn holds(&self) -> bool {
        self.assets.is_empty() && self.terms.is_empty()
    }

    /// Names of everything that changed.
    pub fn names(&self) -> Vec<String> {
        let assets = self.assets.iter().map(|a| a.asset.clone());
        assets.chain(self.terms.iter().cloned()).collect()
    }

    /// Whether a change touches the asset of that name: a file, or `model`, `data`, `system` for
    /// all of them.
    pub fn touches(&self, asset: &str) -> bool {
        self.assets.iter().any(|change| covers(asset, &change.asset))
            || (asset == SYSTEM && !self.terms.is_empty())
    }
}

/// Whether `asset` stands for the file `name`: itself, a part of it, or all files of its kind.
pub fn covers(asset: &str, name: &str) -> bool {
    let inside = name.strip_prefix(asset).is_some_and(|rest| rest.starts_with('/'));
    let expected = asset.strip_prefix("model").is_some_and(|model| {
        name.strip_prefix("expected").is_some_and(|of| model.is_empty() || of == model)
    });
    asset == SYSTEM || asset == name || inside || expected
}

impl fmt::Display for AssetChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (&self.was, &self.is) {
            (None, _) => "is new",
            (_, None) => "is gone",
            (Some(_), Some(_)) => "changed",
        };
        write!(f, "`{}` {what}", self.asset)
    }
}

/// Parts of the declaration that decide what is measured and differ.
fn terms(then: &System, now: &System) -> Vec<String> {
    let mut terms = Vec::new();
    if then.seed != now.seed {
        terms.push("system.seed".to_owned());
    }
    named("data", &then.data, &now.data, |d| (d.name.clone(), d.clone()), &mut terms);
    named("features", &then.features, &now.features, |f| (f.name.clone(), f.clone()), &mut terms);
    if then.features != now.features && names(&then.features) != names(&now.features) {
        // The order of columns is part of what is measured.
        terms.push("features".to_owned());
    }
    if then.constraints != now.constraints {
        terms.push("constraints".to_owned());
    }
    named("models", &then.models, &now.models, |m| (m.name.clone(), m.clone()), &mut terms);
    named("threats", &then.threats, &now.threats, |t| (t.name.clone(), attack(t)), &mut terms);
    named("criteria", &then.criteria, &now.criteria, |c| (c.name.clone(), asked(c)), &mut terms);
    terms
}

fn names(features: &[proofmark_schema::system::Feature]) -> Vec<&str> {
    features.iter().map(|f| f.name.as_str()).collect()
}

fn named<T, P: PartialEq>(
    kind: &str,
    then: &[T],
    now: &[T],
    part: impl Fn(&T) -> (String, P),
    terms: &mut Vec<String>,
) {
    let (then, now): (Vec<_>, Vec<_>) =
        (then.iter().map(&part).collect(), now.iter().map(&part).collect());
    for (name, was) in &then {
        let is = now.iter().find(|(other, _)| other == name).map(|(_, is)| is);
        if is != Some(was) {
            terms.push(format!("{kind}.{name}"));
        }
    }
    for (name, _) in now.iter().filter(|(name, _)| !then.iter().any(|(other, _)| other == name)) {
        terms.push(format!("{kind}.{name}"));
    }
}

/// What an attack is held to, without what a success would do to people.
fn attack(threat: &Threat) -> Threat {
    Threat {
        actor: None,
        harm: None,
        attempts_per_year: None,
        attempts_reason: None,
        ..threat.clone()
    }
}

/// What a criterion asks, without why and by whom it was approved.
fn asked(criterion: &Criterion) -> Criterion {
    Criterion { rationale: String::new(), approver: String::new(), ..criterion.clone() }
}

/// Name of the declaration's own digest.
const DECLARATION: &str = "declaration";
/// Stands for everything.
const SYSTEM: &str = "system";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{assets, system};
    use proofmark_schema::system::{Bound, Person};

    fn after(change: impl Fn(&mut System, &mut Vec<AssetDigest>)) -> Currency {
        let (mut now, mut now_assets) = (system(), assets());
        change(&mut now, &mut now_assets);
        currency(&system(), &assets(), &now, &now_assets)
    }

    #[test]
    fn words_people_and_papers_change_nothing() {
        let same = after(|s, a| {
            s.purpose = "said better".into();
            s.provider = "Another Name".into();
            s.criteria[0].rationale = "said better".into();
            s.criteria[0].approver = "B. Approver".into();
            s.threats[0].actor = Some("an applicant".into());
            s.threats[0].attempts_per_year = Some([1.0, 2.0]);
            s.declared.clear();
            s.people.push(Person { id: "qm".into(), name: "Q".into(), role: "r".into() });
            a.iter_mut()
                .filter(|x| x.name == "declaration")
                .for_each(|x| x.sha256 = "e".repeat(64));
        });
        assert!(same.holds(), "{same:?}");
    }

    #[test]
    fn exactly_what_changed_is_named() {
        type Change = fn(&mut System, &mut Vec<AssetDigest>);
        let cases: [(&str, Change); 10] = [
            ("model/mlp", |_, a| a[2].sha256 = "0".repeat(64)),
            ("data/test", |_, a| a[0].sha256 = "0".repeat(64)),
            ("model/trees", |_, a| a.truncate(3)),
            ("system.seed", |s, _| s.seed = 8),
            ("criteria.c1", |s, _| s.criteria[0].bound = Bound::AtLeast(0.1)),
            ("criteria.c2", |s, _| s.criteria.truncate(1)),
            ("threats.applicant", |s, _| s.threats[0].eps = vec![0.01]),
            ("features.sex", |s, _| s.features[1].group = false),
            ("models.mlp", |s, _| {
                s.models[0].decision = proofmark_schema::system::Decision::Argmax
            }),
            ("data.test", |s, _| s.data[0].limit = None),
        ];
        for (wanted, change) in cases {
            assert_eq!(after(change).names(), [wanted]);
        }
        let version = after(|s, _| s.version = "1.0.1".into());
        assert!(version.holds() && version.version.is_some());
        let order = after(|s, _| s.features.reverse());
        assert_eq!(order.names(), ["features"]);
    }

    #[test]
    fn an_asset_covers_its_parts_and_nothing_else() {
        for (asset, name, wanted) in [
            ("model/mlp", "model/mlp", true),
            ("model/mlp", "model/mlp2", false),
            ("model/mlp", "expected/mlp", true),
            ("model", "model/mlp", true),
            ("model", "data/test", false),
            ("data", "data/test/labels", true),
            ("data/test", "data/test/labels", true),
            ("system", "data/test", true),
        ] {
            assert_eq!(covers(asset, name), wanted, "{asset} {name}");
        }
    }
}
