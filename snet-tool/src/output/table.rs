// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists: a table that fits the terminal, or plain aligned text in a pipe.

use comfy_table::{
    Attribute, Cell, ContentArrangement, LineStyle, Table as Grid, TableStyle, presets,
};

use super::Span;

const ON_A_TERMINAL: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Rows under a header.
pub(crate) struct Table {
    header: &'static [&'static str],
    rows: Vec<Vec<Span>>,
}

impl Table {
    /// A table with rows of as many cells as the header has.
    pub(crate) fn new(header: &'static [&'static str], rows: Vec<Vec<Span>>) -> Self {
        Self { header, rows }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn render(&self, terminal: bool, color: bool) -> String {
        let mut grid = Grid::new();
        let title = |name: &&str| Cell::new(name).add_attribute(Attribute::Bold);
        grid.set_header(self.header.iter().map(title).collect::<Vec<_>>());
        for row in &self.rows {
            grid.add_row(row.iter().map(Span::cell).collect::<Vec<_>>());
        }
        if terminal {
            grid.load_style(ON_A_TERMINAL);
            grid.set_content_arrangement(ContentArrangement::Dynamic);
            if let Some(width) = grid.width() {
                grid.set_width(width);
            }
        } else {
            grid.load_style(presets::NOTHING);
            grid.set_content_arrangement(ContentArrangement::Disabled);
        }
        // Whether there are colours is decided by `--color`, not by comfy-table.
        grid.force_no_tty();
        if color {
            grid.enforce_styling();
            grid.style_text_only();
        }
        // The style on a terminal has a space of its own between columns.
        let gap = if terminal { 1 } else { 2 };
        for column in grid.column_iter_mut() {
            column.set_padding((0, gap));
        }
        grid.trim_fmt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Style;

    fn table() -> Table {
        let row = |a: &str, b: Span| vec![Span::plain(a), b];
        Table::new(
            &["ID", "ACTION"],
            vec![row("1", Span::plain("allow")), row("100", Span::new("deny", Style::Bad))],
        )
    }

    #[test]
    fn in_a_pipe_it_is_aligned_text() {
        assert_eq!(table().render(false, false), "ID   ACTION\n1    allow\n100  deny");
    }

    #[test]
    fn colours_do_not_disturb_the_columns() {
        let text = table().render(false, true);
        assert!(text.contains("\x1b["), "{text:?}");
        let plain: String = text
            .split('\x1b')
            .map(|part| {
                part.strip_prefix('[').and_then(|it| it.split_once('m')).map_or(part, |it| it.1)
            })
            .collect();
        assert!(plain.contains("100  deny"), "{plain:?}");
    }

    #[test]
    fn a_line_break_in_a_cell_makes_no_row() {
        let rows = vec![vec![Span::plain("a\nb"), Span::plain("c")]];
        let text = Table::new(&["X", "Y"], rows).render(false, false);
        assert_eq!(text.lines().count(), 2);
    }
}
