//! Lines of text with styles, and columns of them that stand under each other.

use std::fmt::Write as _;

use anstyle::Style;

/// A piece of text in one style.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Piece {
    pub(super) style: Style,
    pub(super) text: String,
}

/// Pieces beside each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line(pub(super) Vec<Piece>);

impl Piece {
    pub(super) fn new(style: Style, text: impl Into<String>) -> Self {
        Self { style, text: text.into() }
    }

    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::new(Style::new(), text)
    }

    /// Letters, each of which is taken to be as wide as any other.
    pub(super) fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn cut(mut self, width: usize) -> Self {
        if self.width() > width {
            self.text = self.text.chars().take(width.saturating_sub(1)).collect();
            self.text.push_str(if width == 0 { "" } else { "~" });
        }
        self
    }
}

impl Line {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self(vec![Piece::plain(text)])
    }

    pub(super) fn push(&mut self, style: Style, text: impl Into<String>) {
        self.0.push(Piece::new(style, text));
    }

    /// Letters.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(Piece::width).sum()
    }

    /// No longer than so many letters; what is cut off leaves a mark.
    pub(super) fn cut(self, width: usize) -> Self {
        let mut left = width;
        let mut pieces = Vec::new();
        for piece in self.0 {
            if left == 0 {
                break;
            }
            let piece = piece.cut(left);
            left -= piece.width();
            pieces.push(piece);
        }
        Self(pieces)
    }

    /// With another style over those of its pieces, filled up to this width.
    pub(super) fn over(mut self, width: usize, change: impl Fn(Style) -> Style) -> Self {
        self.0.push(Piece::plain(" ".repeat(width.saturating_sub(self.width()))));
        for piece in &mut self.0 {
            piece.style = change(piece.style);
        }
        self
    }

    /// With the sequences that make a terminal show the styles.
    pub(super) fn styled(&self) -> String {
        let mut text = String::new();
        for Piece { style, text: piece } in &self.0 {
            if *style == Style::new() {
                text.push_str(piece);
            } else {
                // Writing to a String cannot fail.
                let _ = write!(text, "{style}{piece}{style:#}");
            }
        }
        text
    }

    /// Without styles.
    #[cfg(test)]
    pub(super) fn bare(&self) -> String {
        self.0.iter().map(|piece| piece.text.as_str()).collect::<String>().trim_end().to_owned()
    }
}

/// What stands over a column, and on which side its entries are flush.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) to_right: bool,
}

impl Column {
    pub(super) const fn left(title: &'static str) -> Self {
        Self { title, to_right: false }
    }

    pub(super) const fn right(title: &'static str) -> Self {
        Self { title, to_right: true }
    }
}

/// Lines of rows, the first of titles. Columns are as wide as their widest entry, but the first gives way where all together
/// are wider than `width`; it keeps 8 letters.
pub(super) fn lines(columns: &[Column], titles: Style, rows: Vec<Vec<Piece>>, width: usize) -> Vec<Line> {
    const LEAST: usize = 8;
    const GAP: usize = 2;
    let entry = |row: &Vec<Piece>, at: usize| row.get(at).map_or(0, Piece::width);
    let widest = |(at, column): (usize, &Column)| {
        rows.iter().map(|row| entry(row, at)).max().unwrap_or(0).max(column.title.len())
    };
    let mut widths: Vec<usize> = columns.iter().enumerate().map(widest).collect();
    let others: usize = widths.iter().skip(1).map(|width| width + GAP).sum();
    if let Some(first) = widths.first_mut() {
        *first = (*first).min(width.saturating_sub(others).max(LEAST));
    }
    let title = columns.iter().map(|column| Piece::new(titles, column.title)).collect();
    let line = |row: Vec<Piece>| {
        let mut line = Line::default();
        let last = row.len().saturating_sub(1);
        for ((at, piece), (width, column)) in row.into_iter().enumerate().zip(widths.iter().zip(columns)) {
            let piece = if at == 0 { piece.cut(*width) } else { piece };
            let fill = " ".repeat(width - piece.width().min(*width));
            let gap = if at == 0 { "" } else { "  " };
            if column.to_right {
                line.0.push(Piece::plain(format!("{gap}{fill}")));
                line.0.push(piece);
            } else {
                line.0.push(Piece::plain(gap));
                line.0.push(piece);
                if at != last {
                    line.0.push(Piece::plain(fill));
                }
            }
        }
        line.0.retain(|piece| !piece.text.is_empty());
        line
    };
    std::iter::once(title).chain(rows).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_column_gives_way() {
        let columns = [Column::left("NAME"), Column::right("RATE"), Column::left("STATE")];
        let row = |cells: [&str; 3]| cells.map(Piece::plain).to_vec();
        let rows = || vec![row(["a-long-service-name", "12345.6", "up"]), row(["b", "1", "down"])];
        let drawn = |width| {
            let lines = lines(&columns, Style::new().bold(), rows(), width);
            lines.iter().map(Line::bare).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(drawn(80), @r"
        NAME                    RATE  STATE
        a-long-service-name  12345.6  up
        b                          1  down
        ");
        insta::assert_snapshot!(drawn(30), @r"
        NAME               RATE  STATE
        a-long-servic~  12345.6  up
        b                     1  down
        ");
    }

    #[test]
    fn a_line_is_cut_and_styled() {
        let mut line = Line::plain("abc");
        line.push(Style::new().bold(), "def");
        assert_eq!(line.clone().cut(6).bare(), "abcdef");
        assert_eq!(line.clone().cut(5).bare(), "abcd~");
        assert_eq!(line.clone().cut(3).bare(), "abc");
        assert_eq!(line.styled(), "abc\u{1b}[1mdef\u{1b}[0m");
        assert_eq!(line.over(8, Style::invert).bare(), "abcdef");
    }
}
