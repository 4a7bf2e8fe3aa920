//! Plain text for people: aligned tables, percentages, the matrix.
//!
//! Owns layout of terminal text. Works without colour; must never compute a figure.

/// A table of left-aligned columns; a column whose cells are numbers is right-aligned.
pub struct Grid {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// An empty table with those headings.
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new() }
    }
    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
    /// The text, indented by two blanks.
    pub fn render(&self) -> String {
        let columns = self.header.len();
        let cell = |row: &[String], c: usize| row.get(c).cloned().unwrap_or_default();
        let mut widths: Vec<usize> = self.header.iter().map(|h| h.chars().count()).collect();
        for row in &self.rows {
            for (c, width) in widths.iter_mut().enumerate() {
                *width = (*width).max(cell(row, c).chars().count());
            }
        }
        let numeric: Vec<bool> = (0..columns)
            .map(|c| self.rows.iter().all(|row| starts_as_number(&cell(row, c))))
            .collect();
        let mut text = String::new();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let mut line = String::from(" ");
            for (c, &width) in widths.iter().enumerate() {
                let value = cell(row, c);
                let pad = " ".repeat(width.saturating_sub(value.chars().count()));
                line.push(' ');
                if numeric.get(c).copied().unwrap_or(false) {
                    line.push_str(&pad);
                    line.push_str(&value);
                } else {
                    line.push_str(&value);
                    line.push_str(&pad);
                }
                line.push(' ');
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn starts_as_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text.is_empty() || digits.starts_with(|c: char| c.is_ascii_digit())
}

/// `0.7133` as `71.3 %`.
pub fn percent(value: f64) -> String {
    format!("{:.1} %", value * 100.0)
}

/// Text broken at blanks so that no line is longer than `width`, each line indented.
pub fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().map(|l| l.chars().count()).unwrap_or(0);
        if last > 0 && last + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.iter().map(|l| format!("{indent}{l}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut grid = Grid::new(&["model", "accuracy"]);
        grid.row(vec!["mlp".into(), "71.3 %".into()]);
        grid.row(vec!["gradient-boosted".into(), "7.1 %".into()]);
        assert_eq!(
            grid.render(),
            "  model             accuracy\n  mlp                 71.3 %\n\
             \u{20} gradient-boosted     7.1 %\n"
        );
    }

    #[test]
    fn long_text_is_wrapped_at_blanks() {
        assert_eq!(wrap("one two three", 7, "  "), "  one two\n  three\n");
    }
}
