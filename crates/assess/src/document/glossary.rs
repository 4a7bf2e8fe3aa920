//! Words of the report and what they mean.

use proofmark_schema::duties::metrics;

use crate::assessment::Assessment;

/// Metrics that the run measured, then the words of every report.
pub(super) fn entries(assessment: &Assessment) -> Vec<(String, String)> {
    let used = |id: &str| {
        let mut all = assessment.results.iter().flat_map(|r| &r.said.measurements);
        all.any(|m| m.metric == id)
    };
    let metrics = metrics()
        .metrics
        .iter()
        .filter(|m| used(&m.id))
        .map(|m| (m.title.clone(), m.means.clone()));
    let words = GLOSSARY.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
    metrics.chain(words).collect()
}

const GLOSSARY: [(&str, &str); 16] = [
    (
        "figure [lower, upper], k of n",
        "The figure, the two-sided interval that covers the true value with the stated confidence \
         if the rows are a random sample, and the counts it was made from.",
    ),
    (
        "one-sided bounds",
        "Lower and upper bound, each on its own at the confidence of the criterion. The verdict \
         rests on them, not on the figure.",
    ),
    ("pass", "The bound on the safe side reaches the threshold."),
    ("fail", "The bound on the other side does not reach it."),
    ("inconclusive", "The threshold lies inside the interval: more rows are needed to decide."),
    (
        "refused",
        "A check found the set-up broken, or the attack too weak for a pass to rest on, so that \
         the figure deserves no verdict; the reason and a likely fix are given.",
    ),
    ("missing", "Nothing was measured, declared or waived."),
    ("measured", "Covered by a signed measurement of this run, for every model in use."),
    ("imported", "Covered by signed evidence of others."),
    ("declared", "A person says so; nothing was measured."),
    ("waived", "A person set it aside, with a reason."),
    (
        "exploratory",
        "A threshold, seed, budget, test set or decision was changed after a result for the same \
         model had been seen. Such a figure is unfit for declaration.",
    ),
    (
        "registered",
        "Signed and written to the log before the run, so that a change afterwards shows.",
    ),
    (
        "no attack found a way",
        "The attacks that were tried did not succeed within the budget. It is not a proof: \
         another attack may.",
    ),
    (
        "no figure",
        "Too few rows of this kind for a figure that means anything, or it was not measured.",
    ),
    ("budget", "How far an attacker may change an input, in the unit of the threat."),
];
