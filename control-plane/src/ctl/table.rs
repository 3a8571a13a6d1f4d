//! Columns of text under each other.

use std::fmt::Write;

/// Rows under their headings.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; one that begins with `#` is of numbers, which stand on the right.
    pub(super) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    /// Adds a row with a cell for each heading.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text, with a line break at the end of each row.
    pub(super) fn render(&self) -> String {
        let headings = &self.rows[0];
        let is_number: Vec<_> = headings.iter().map(|heading| heading.starts_with('#')).collect();
        let shown = |text: &str| text.strip_prefix('#').unwrap_or(text).to_owned();
        let width_of = |column: usize| {
            self.rows.iter().map(|row| shown(&row[column]).chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..headings.len()).map(width_of).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, &width), &is_number) in row.iter().zip(&widths).zip(&is_number) {
                let cell = shown(cell);
                let written = if is_number {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:<width$}  ")
                };
                written.expect("a string takes everything");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let mut table = Table::new(&["NODE", "#CLIENTS", "STATE"]);
        table.row(vec!["gw-1".to_owned(), count(1_500), "serving".to_owned()]);
        table.row(vec!["gateway-22".to_owned(), count(9), String::new()]);

        assert_eq!(
            table.render(),
            "NODE        CLIENTS  STATE\ngw-1          1,500  serving\ngateway-22        9\n"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
