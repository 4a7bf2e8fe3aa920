//! Plots as SVG text: a curve with whiskers over budgets, steps with a band, a calibration plot.
//!
//! Owns geometry and accessible names. Must never be the only place where a figure stands: every
//! plot has its table beside it, and every series differs by mark or dash, not by colour alone.
//! Colours come from the page (`currentColor` and custom properties). Called by `document` and
//! `attack_page`.

use std::fmt::Write as _;

/// A point with a vertical interval; all values are shares in `[0, 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Place on the horizontal axis, in the axis' own unit.
    pub x: f64,
    /// Label under the axis.
    pub label: String,
    /// Value.
    pub y: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
}

/// A curve over budgets.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Unique in the page; prefixes the ids inside.
    pub id: String,
    /// Accessible name.
    pub title: String,
    /// What a reader who cannot see it should know.
    pub desc: String,
    /// Words under the horizontal axis.
    pub x_title: String,
    /// Points, ascending in `x`.
    pub points: Vec<Point>,
    /// Level of the reference line, and its words.
    pub reference: Option<(f64, String)>,
}

/// A calibration plot: stated against observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Unique in the page; prefixes the ids inside.
    pub id: String,
    /// Accessible name.
    pub title: String,
    /// What a reader who cannot see it should know.
    pub desc: String,
    /// Stated probability in `x`, observed share in `y`.
    pub points: Vec<Point>,
}

/// A step function that falls, with its interval as a band and what is proved below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    /// Unique in the page; prefixes the ids inside.
    pub id: String,
    /// Accessible name.
    pub title: String,
    /// What a reader who cannot see it should know.
    pub desc: String,
    /// Words under the horizontal axis.
    pub x_title: String,
    /// Where each step begins, ascending in `x`; labels are not drawn.
    pub points: Vec<Point>,
    /// What is proved at the same places; empty where nothing is.
    pub proved: Vec<f64>,
    /// Places marked on the horizontal axis, with their labels.
    pub ticks: Vec<(f64, String)>,
}

/// The steps as one `<svg>` element.
pub fn steps(steps: &Steps) -> String {
    let far = steps.points.iter().map(|p| p.x).chain(steps.ticks.iter().map(|t| t.0));
    let high = far.fold(0.0, f64::max);
    let span = if high > 0.0 { (0.0, high * 1.05) } else { (0.0, 1.0) };
    let mut svg = open(&steps.id, &steps.title, &steps.desc);
    axes(&mut svg, &steps.x_title, "share of all rows");
    for (x, label) in &steps.ticks {
        tick_x(&mut svg, x_of(*x, span), label);
    }
    let xs: Vec<f64> = steps.points.iter().map(|p| x_of(p.x, span)).collect();
    let of = |value: &dyn Fn(&Point) -> f64| -> Vec<f64> {
        steps.points.iter().map(|p| y_of(value(p))).collect()
    };
    if !xs.is_empty() {
        let upper = staircase(&xs, &of(&|p| p.upper));
        let mut lower = staircase(&xs, &of(&|p| p.lower));
        lower.reverse();
        let outline: Vec<(f64, f64)> = upper.into_iter().chain(lower).collect();
        let _ = write!(svg, r#"<path class="band" d="{}Z"/>"#, line(&outline));
        let drawn = staircase(&xs, &of(&|p| p.y));
        let _ = write!(svg, r#"<path class="series" d="{}"/>"#, line(&drawn));
        if !steps.proved.is_empty() {
            let ys: Vec<f64> = steps.proved.iter().map(|p| y_of(*p)).collect();
            let _ = write!(svg, r#"<path class="proved" d="{}"/>"#, line(&staircase(&xs, &ys)));
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Corners of a function that keeps each value until the next place, to the edge of the plot.
fn staircase(xs: &[f64], ys: &[f64]) -> Vec<(f64, f64)> {
    let ends = xs.iter().skip(1).copied().chain([RIGHT]);
    let each = xs.iter().zip(ys).zip(ends);
    each.flat_map(|((&x, &y), end)| [(x, y), (end, y)]).collect()
}

fn line(corners: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (x, y)) in corners.iter().enumerate() {
        let verb = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{verb}{x:.1} {y:.1}");
    }
    path
}

/// The curve as one `<svg>` element.
pub fn curve(curve: &Curve) -> String {
    let span = span(&curve.points);
    let mut svg = open(&curve.id, &curve.title, &curve.desc);
    axes(&mut svg, &curve.x_title, "share of all rows");
    for point in &curve.points {
        tick_x(&mut svg, x_of(point.x, span), &point.label);
    }
    if let Some((level, words)) = &curve.reference {
        let y = y_of(*level);
        let _ = write!(svg, r#"<path class="reference" d="M{LEFT} {y:.1}H{RIGHT}"/>"#);
        let above = if y > TOP + 24.0 { y - 6.0 } else { y + 16.0 };
        let (words, start) = (escape(words), LEFT + 8.0);
        let _ = write!(svg, r#"<text x="{start}" y="{above:.1}">{words}</text>"#);
    }
    let mut path = String::new();
    for (index, point) in curve.points.iter().enumerate() {
        let verb = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{verb}{:.1} {:.1}", x_of(point.x, span), y_of(point.y));
    }
    let _ = write!(svg, r#"<path class="series" d="{path}"/>"#);
    for point in &curve.points {
        let (x, y) = (x_of(point.x, span), y_of(point.y));
        whisker(&mut svg, x, point);
        let _ = write!(svg, r#"<circle class="mark" cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#);
    }
    svg.push_str("</svg>");
    svg
}

/// The calibration plot as one `<svg>` element.
pub fn calibration(plot: &Calibration) -> String {
    let mut svg = open(&plot.id, &plot.title, &plot.desc);
    axes(&mut svg, "stated probability", "observed share");
    for share in GRID {
        tick_x(&mut svg, x_of(share, (0.0, 1.0)), &percent(share));
    }
    let (x0, x1, y0, y1) = (LEFT, RIGHT, y_of(0.0), y_of(1.0));
    let _ = write!(svg, r#"<path class="reference" d="M{x0} {y0:.1}L{x1} {y1:.1}"/>"#);
    for point in &plot.points {
        let (x, y) = (x_of(point.x, (0.0, 1.0)), y_of(point.y));
        whisker(&mut svg, x, point);
        let (left, top) = (x - 3.5, y - 3.5);
        let _ =
            write!(svg, r#"<rect class="mark" x="{left:.1}" y="{top:.1}" width="7" height="7"/>"#);
    }
    svg.push_str("</svg>");
    svg
}

/// Text that may stand in an element or attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn open(id: &str, title: &str, desc: &str) -> String {
    let (id, title, desc) = (escape(id), escape(title), escape(desc));
    format!(
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\"><title id=\"{id}-title\">{title}</title>\
         <desc id=\"{id}-desc\">{desc}</desc>"
    )
}

fn axes(svg: &mut String, x_title: &str, y_title: &str) {
    for share in GRID {
        let y = y_of(share);
        let _ = write!(svg, r#"<path class="gridline" d="M{LEFT} {y:.1}H{RIGHT}"/>"#);
        let (x, y, text) = (LEFT - 8.0, y + 4.0, percent(share));
        let _ = write!(
            svg,
            r#"<text class="tick" x="{x:.1}" y="{y:.1}" text-anchor="end">{text}</text>"#
        );
    }
    let _ = write!(svg, r#"<path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>"#);
    let (x, y) = ((LEFT + RIGHT) / 2.0, HEIGHT - 8.0);
    let x_title = escape(x_title);
    let _ = write!(svg, r#"<text x="{x}" y="{y}" text-anchor="middle">{x_title}</text>"#);
    let y = (TOP + BOTTOM) / 2.0;
    let y_title = escape(y_title);
    let _ = write!(
        svg,
        r#"<text transform="translate(16 {y}) rotate(-90)" text-anchor="middle">{y_title}</text>"#
    );
}

fn tick_x(svg: &mut String, x: f64, label: &str) {
    let (end, y, label) = (BOTTOM + 5.0, BOTTOM + 20.0, escape(label));
    let _ = write!(svg, r#"<path class="axis" d="M{x:.1} {BOTTOM}V{end}"/>"#);
    let _ =
        write!(svg, r#"<text class="tick" x="{x:.1}" y="{y}" text-anchor="middle">{label}</text>"#);
}

fn whisker(svg: &mut String, x: f64, point: &Point) {
    let (low, high) = (y_of(point.lower), y_of(point.upper));
    let (left, right) = (x - 7.0, x + 7.0);
    let (stem, foot, head) = (
        format!("M{x:.1} {low:.1}V{high:.1}"),
        format!("M{left:.1} {low:.1}H{right:.1}"),
        format!("M{left:.1} {high:.1}H{right:.1}"),
    );
    let _ = write!(svg, r#"<path class="whisker" d="{stem}{foot}{head}"/>"#);
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Lowest and highest place, with room at both ends; from zero, as no budget is no attack.
fn span(points: &[Point]) -> (f64, f64) {
    let high = points.iter().map(|p| p.x).fold(0.0, f64::max);
    if high > 0.0 { (0.0, high * 1.05) } else { (0.0, 1.0) }
}

fn x_of(x: f64, (low, high): (f64, f64)) -> f64 {
    LEFT + (RIGHT - LEFT) * ((x - low) / (high - low)).clamp(0.0, 1.0)
}

fn y_of(share: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0)
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 452.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 244.0;
/// Grid lines of the vertical axis.
const GRID: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, y: f64) -> Point {
        Point { x, label: x.to_string(), y, lower: y - 0.02, upper: y + 0.02 }
    }

    fn example() -> Curve {
        Curve {
            id: "c".into(),
            title: "curve <of> \"a\"".into(),
            desc: "falls".into(),
            x_title: "eps".into(),
            points: vec![point(0.02, 0.58), point(0.05, 0.4)],
            reference: Some((0.765, "without attack".into())),
        }
    }

    #[test]
    fn a_plot_has_a_name_a_description_and_no_open_ends() {
        let svg = curve(&example());
        assert!(svg.contains("<title id=\"c-title\">curve &lt;of&gt; &quot;a&quot;</title>"));
        assert!(svg.contains("<desc id=\"c-desc\">falls</desc>"));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert_eq!(svg.matches("class=\"whisker\"").count(), 2);
        assert_eq!(svg.matches("class=\"reference\"").count(), 1);
    }

    #[test]
    fn steps_have_a_band_around_them_and_what_is_proved_below() {
        let drawn = Steps {
            id: "s".into(),
            title: "t".into(),
            desc: "d".into(),
            x_title: "distance".into(),
            points: vec![point(0.0, 0.9), point(0.1, 0.5), point(0.4, 0.2)],
            proved: vec![0.8, 0.3, 0.0],
            ticks: vec![(0.1, "0.1".into())],
        };
        let svg = steps(&drawn);
        for class in ["band", "series", "proved"] {
            assert_eq!(svg.matches(&format!("class=\"{class}\"")).count(), 1, "{class}");
        }
        // Three steps are six corners, the band goes there and back.
        assert_eq!(staircase(&[0.0, 1.0, 2.0], &[3.0, 2.0, 1.0]).len(), 6);
        assert!(svg.ends_with("</svg>") && !svg.contains("NaN"));
        let empty = steps(&Steps { points: vec![], proved: vec![], ticks: vec![], ..drawn });
        assert!(!empty.contains("NaN") && !empty.contains("band"));
    }

    #[test]
    fn a_higher_share_is_drawn_higher_and_nothing_leaves_the_frame() {
        assert!(y_of(0.9) < y_of(0.1));
        assert_eq!((y_of(2.0), y_of(-1.0)), (TOP, BOTTOM));
        assert_eq!(x_of(9.0, (0.0, 1.0)), RIGHT);
        let empty = curve(&Curve { points: vec![], ..example() });
        assert!(!empty.contains("NaN") && !empty.contains("inf"));
        let zero = curve(&Curve { points: vec![point(0.0, 0.5)], ..example() });
        assert!(!zero.contains("NaN"));
    }
}
