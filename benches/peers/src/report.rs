//! The report: aligned text during the run, and the same as Markdown at the end.
//!
//! Knows no axis. A missed target is shown and does not fail the run.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

/// The Markdown written so far.
pub(crate) struct Report {
    markdown: String,
}

/// Rows below a head. The first column is text, and so is a last column of verdicts.
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Bound of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            markdown: String::new(),
        }
    }

    /// Writes a separate line.
    pub(crate) fn line(&mut self, line: &str) {
        print(line);
        self.markdown.push_str(line);
        self.markdown.push_str("\n\n");
    }

    /// Writes the heading of an axis or of a part of one.
    pub(crate) fn heading(&mut self, heading: &str) {
        print(&format!("\n{heading}"));
        self.markdown.push_str("### ");
        self.markdown.push_str(heading);
        self.markdown.push_str("\n\n");
    }

    pub(crate) fn table(&mut self, table: &Table) {
        print(&table.text());
        self.markdown.push_str(&table.markdown());
        self.markdown.push('\n');
    }

    /// Writes the Markdown into the file: between the two marks if it has them, otherwise as the
    /// whole file.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let before = fs::read_to_string(path).unwrap_or_default();
        let marked = before.split_once(BEGIN).and_then(|(head, rest)| {
            rest.split_once(END)
                .map(|(_, tail)| format!("{head}{BEGIN}\n{}{END}{tail}", self.markdown))
        });
        fs::write(path, marked.unwrap_or_else(|| self.markdown.clone()))
    }
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| self.width(column))
            .collect();
        let mut text = String::new();
        for row in std::iter::once(&self.head).chain(&self.rows) {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width - cell.chars().count());
                match self.is_text(column) {
                    true => line.push_str(&format!("  {cell}{padding}")),
                    false => line.push_str(&format!("  {padding}{cell}")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let rule = |column| if self.is_text(column) { "---" } else { "---:" };
        let mut text = line(&mut self.head.iter().map(String::as_str));
        text.push_str(&line(&mut (0..self.head.len()).map(rule)));
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        text
    }

    fn is_text(&self, column: usize) -> bool {
        column == 0 || self.head[column] == VERDICT
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([self.head[column].chars().count()])
            .max()
            .unwrap_or(0)
    }
}

impl Target {
    /// "≤ 1.00 × the fastest: 0.83 ✓".
    pub(crate) fn verdict(self, figure: f64, unit: &str) -> String {
        let (sign, bound, met) = match self {
            Self::AtMost(max) => ('≤', max, figure <= max),
            Self::AtLeast(min) => ('≥', min, figure >= min),
        };
        let mark = if met { '✓' } else { '✗' };
        format!("{sign} {bound:.2} {unit}: {figure:.2} {mark}")
    }
}

/// Formats a figure with `places` decimal places.
pub(crate) fn figure(value: f64, places: usize) -> String {
    format!("{value:.places$}")
}

/// Formats a number as 1 k, 10 k, 1 M.
pub(crate) fn count(number: usize) -> String {
    match number {
        0..1_000 => format!("{number}"),
        1_000..1_000_000 => format!("{} k", number / 1_000),
        _ => format!("{} M", number / 1_000_000),
    }
}

/// Returns an empty cell.
pub(crate) fn blank() -> String {
    String::new()
}

fn print(text: &str) {
    // A closed standard output is ignored, since the Markdown is still to be written.
    let _ = writeln!(io::stdout().lock(), "{}", text.trim_end());
}

/// The column with the verdicts on targets.
pub(crate) const VERDICT: &str = "target: measured";
const BEGIN: &str = "<!-- figures -->";
const END: &str = "<!-- end of figures -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned() {
        let mut table = Table::new(&["who", "ns", VERDICT]);
        table.row([
            "sessile".to_owned(),
            "9.5".to_owned(),
            Target::AtMost(1.0).verdict(0.5, "×"),
        ]);
        table.row(["a".to_owned(), "10.5".to_owned(), blank()]);
        let text = "  who        ns  target: measured\n  sessile   9.5  ≤ 1.00 ×: 0.50 ✓\n  a        10.5\n";
        assert_eq!(table.text(), text);
        assert!(
            table
                .markdown()
                .starts_with("| who | ns | target: measured |\n| --- | ---: | --- |\n")
        );
    }

    #[test]
    fn a_missed_target_shows() {
        assert_eq!(Target::AtMost(1.0).verdict(1.25, "×"), "≤ 1.00 ×: 1.25 ✗");
        assert_eq!(
            Target::AtLeast(10.0).verdict(9.0, "M/s"),
            "≥ 10.00 M/s: 9.00 ✗"
        );
    }

    #[test]
    fn counts_read_like_the_design() {
        assert_eq!(
            [count(999), count(10_000), count(4_000_000)],
            ["999", "10 k", "4 M"]
        );
    }
}
