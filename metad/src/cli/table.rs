//! Text in columns.

use std::io::{self, Write};

use super::report::printable;

/// Rows under a headline; columns are as wide as their widest cell.
pub(super) struct Table<const N: usize> {
    headline: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(headline: [&'static str; N]) -> Self {
        Self {
            headline,
            rows: Vec::new(),
        }
    }

    /// Adds a row; an empty cell stays blank.
    pub(super) fn row(&mut self, cells: [&str; N]) {
        self.rows
            .push(cells.map(|cell| printable(&cell.replace('\n', " "))));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let headline = self.headline.map(str::to_owned);
        let all = || std::iter::once(&headline).chain(&self.rows);
        let mut widths = [0; N];
        for row in all() {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in all() {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                line.push_str(&format!("{cell:<width$}  "));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["A", "LONG"]);
        table.row(["brücke", "x"]);
        table.row(["", "two\nlines\u{7}"]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "A       LONG\nbrücke  x\n        two lines\\u{7}\n"
        );
    }
}
