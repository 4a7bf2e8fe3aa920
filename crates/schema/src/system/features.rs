//! Reads `[features.<name>]`.
//!
//! Owns what holds within one feature. What holds between sections is in `check`.

use super::reader::Section;
use super::{Feature, FeatureKind, Way, series};

/// Reads one feature; what is wrong is reported and left at a neutral value.
pub(super) fn read(section: &Section<'_>) -> Feature {
    section.only(&KEYS);
    section.need("type", "type = \"number\"");
    let kind = section.choice("type", &KINDS);
    let series = series::read(section, kind == Some(FeatureKind::Series));
    let feature = Feature {
        name: section.name().to_owned(),
        kind: kind.unwrap_or(FeatureKind::Text),
        bounds: section.pair("bounds"),
        values: section.texts("values").unwrap_or_default(),
        mutable: section.flag("mutable").unwrap_or(false),
        group: section.flag("group").unwrap_or(false),
        group_edges: section.numbers("group_edges").unwrap_or_default(),
        input: section.flag("input").unwrap_or(true),
        shape: read_shape(section),
        series,
        direction: section.choice("direction", &WAYS),
        cost: section.number("cost"),
    };
    if feature.name.trim().is_empty() || feature.name.contains(char::is_control) {
        let message = "a feature needs a name without control characters";
        let help = "use the name of the column";
        section.refuse_name("bad-name", message, "not allowed", help);
    }
    if kind.is_some() {
        check_kind(section, &feature);
        check_bounds(section, &feature);
        check_values(section, &feature);
        check_group(section, &feature);
        check_moves(section, &feature);
    }
    feature
}

/// What a fragment says anew of a feature that is known: how it may be attacked.
pub(super) fn amend(section: &Section<'_>, feature: &mut Feature) {
    section.only(&["type", "bounds", "mutable", "direction", "cost"]);
    feature.kind = section.choice("type", &KINDS).unwrap_or(feature.kind);
    feature.bounds = section.pair("bounds").or(feature.bounds);
    feature.mutable = section.flag("mutable").unwrap_or(feature.mutable);
    feature.direction = section.choice("direction", &WAYS).or(feature.direction);
    feature.cost = section.number("cost").or(feature.cost);
    if feature.mutable && !feature.kind.is_numeric() {
        check_kind(section, feature);
    }
    check_bounds(section, feature);
    check_moves(section, feature);
}

/// Direction and cost are about what can be moved.
fn check_moves(section: &Section<'_>, feature: &Feature) {
    for key in ["direction", "cost"] {
        if section.has(key) && !(feature.mutable && feature.kind.is_numeric()) {
            let message = format!("`{}` cannot be attacked, so it has no {key}", section.title());
            let help = "write `mutable = true` on a numeric column, or remove it";
            section.refuse("key-of-mutable", key, message, "not mutable", help);
        }
    }
    if feature.cost.is_some_and(|cost| cost < 0.0) {
        let message = format!("the cost of `{}` is negative", section.title());
        let help = "write what it costs to move it by one unit of the file";
        section.refuse("bad-cost", "cost", message, "negative", help);
    }
}

fn read_shape(section: &Section<'_>) -> Option<[usize; 3]> {
    let shape = section.wholes("shape")?;
    let known: Option<[usize; 3]> = shape.as_slice().try_into().ok();
    let pixels = known.and_then(|s| s.iter().try_fold(1usize, |a, &d| a.checked_mul(d)));
    if !pixels.is_some_and(|n| (1..=PIXELS_MAX).contains(&n)) {
        let message = format!("`shape` in `{}` must be channels, height, width", section.title());
        let help = format!("e.g. `[1, 28, 28]`, all positive, at most {PIXELS_MAX} values");
        section.refuse("bad-shape", "shape", message, "not a shape", help);
        return None;
    }
    known
}

fn check_kind(section: &Section<'_>, feature: &Feature) {
    let title = section.title();
    if feature.kind == FeatureKind::Image {
        section.need("shape", "shape = [1, 28, 28]");
        section.need("bounds", "bounds = [0, 255]");
    } else if section.has("shape") {
        let message = format!("`shape` is about images, and `{title}` is none");
        section.refuse("key-of-image", "shape", message, "not for this type", "remove it");
    }
    let arrays = matches!(feature.kind, FeatureKind::Image | FeatureKind::Series);
    if feature.mutable && !feature.kind.is_numeric() && !arrays {
        let message = format!("`{title}` cannot be attacked: only numeric columns and images can");
        let help = "write `mutable = false`; it stays as it is in each row";
        section.refuse("mutable-not-numeric", "mutable", message, "not numeric", help);
        return;
    }
    if feature.mutable && feature.kind.is_numeric() && !section.has("bounds") {
        let message = format!("`{title}` can be attacked but has no bounds");
        let help = "write `bounds = [lowest, highest]` as they can occur in use";
        section.refuse("bounds-missing", "mutable", message, "mutable, without bounds", help);
    }
    if feature.mutable && !feature.input {
        let message = format!("`{title}` is mutable but no model reads it");
        let help = "write `mutable = false`, or remove `input = false`";
        section.refuse("mutable-not-input", "mutable", message, "never read", help);
    }
    if feature.kind == FeatureKind::Image && !feature.input && section.has("input") {
        let message = "an image that no model reads cannot be measured";
        section.refuse("image-not-input", "input", message, "must be true", "remove it");
    }
}

fn check_bounds(section: &Section<'_>, feature: &Feature) {
    let Some([lower, upper]) = feature.bounds else { return };
    if !feature.kind.is_numeric() && feature.kind != FeatureKind::Image {
        let message = format!("`bounds` of `{}` need a numeric type or an image", section.title());
        let help = "remove `bounds`, list `values`, or change `type`";
        section.refuse("bounds-not-numeric", "bounds", message, "not for this type", help);
        return;
    }
    if lower >= upper {
        let message = format!("the bounds of `{}` are not lowest, highest", section.title());
        let label = format!("{lower} is not below {upper}");
        let help = if lower > upper {
            format!("write `bounds = [{upper}, {lower}]`")
        } else {
            "leave room between the bounds; a constant is not a mutable feature".into()
        };
        section.refuse("bounds-reversed", "bounds", message, label, help);
    }
    if feature.kind == FeatureKind::Integer && (lower.fract() != 0.0 || upper.fract() != 0.0) {
        let message = format!("`{}` is an integer, so its bounds are whole", section.title());
        let help = "round the bounds inwards, or write `type = \"number\"`";
        section.refuse("bounds-not-whole", "bounds", message, "not whole", help);
    }
}

fn check_values(section: &Section<'_>, feature: &Feature) {
    section.refuse_repeats("values", &feature.values);
    let listed =
        matches!(feature.kind, FeatureKind::Category | FeatureKind::Ordinal | FeatureKind::Boolean);
    if section.has("values") && !listed {
        let message =
            format!("`values` of `{}` need a category, ordinal or boolean", section.title());
        let help = "remove `values`, give `bounds`, or change `type`";
        section.refuse("values-not-listed", "values", message, "not for this type", help);
    }
    match feature.kind {
        FeatureKind::Ordinal => {
            section.need("values", "values = [\"low\", \"middle\", \"high\"]");
        }
        FeatureKind::Boolean => {
            let has = section.need("values", "values = [\"no\", \"yes\"]");
            let count = section.count("values");
            if has && count.is_some_and(|n| n != 2) {
                let message = format!("`{}` needs the text of false and of true", section.title());
                let help = "list two values: first the one that means false";
                section.refuse("boolean-values", "values", message, "not two values", help);
            }
        }
        _ => {}
    }
}

fn check_group(section: &Section<'_>, feature: &Feature) {
    let title = section.title();
    let free = matches!(feature.kind, FeatureKind::Text | FeatureKind::Image | FeatureKind::Series);
    if feature.group && free {
        let message = format!("`{title}` cannot make groups: its values are free");
        let help = "remove `group`, or declare a category column";
        section.refuse("group-of-free-type", "group", message, "not for this type", help);
    }
    let numeric = feature.kind.is_numeric();
    if section.has("group_edges") && (!feature.group || !numeric) {
        let message =
            format!("`group_edges` of `{title}` need a numeric feature with `group = true`");
        let help = "remove `group_edges`, or make it a numeric group feature";
        section.refuse("edges-without-group", "group_edges", message, "not used", help);
    } else if feature.group && numeric {
        let has = section.need("group_edges", "group_edges = [25, 50]");
        if has && section.count("group_edges") == Some(0) {
            let message = format!("`group_edges` of `{title}` is empty");
            let help = "name at least one edge, so that there are two groups";
            section.refuse("edges-empty", "group_edges", message, "no edge", help);
        }
    }
    if feature.group_edges.windows(2).any(|w| w.first() >= w.last()) {
        let message = format!("`group_edges` of `{title}` do not ascend");
        let help = "write each edge once, lowest first";
        section.refuse("edges-not-ascending", "group_edges", message, "not ascending", help);
    }
}

const KINDS: [(&str, FeatureKind); 8] = [
    ("number", FeatureKind::Number),
    ("integer", FeatureKind::Integer),
    ("category", FeatureKind::Category),
    ("ordinal", FeatureKind::Ordinal),
    ("boolean", FeatureKind::Boolean),
    ("text", FeatureKind::Text),
    ("image", FeatureKind::Image),
    ("series", FeatureKind::Series),
];
const WAYS: [(&str, Way); 2] = [("increase", Way::Increase), ("decrease", Way::Decrease)];
const KEYS: [&str; 14] = [
    "type",
    "bounds",
    "values",
    "mutable",
    "group",
    "group_edges",
    "input",
    "shape",
    "steps",
    "channels",
    "layout",
    "last",
    "direction",
    "cost",
];
/// Values of one image; a batch of 32 still fits in memory.
const PIXELS_MAX: usize = 1 << 22;
