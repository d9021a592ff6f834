//! Tables of Markdown files that tests read.

/// The cells of each row of every table in a text, without heads.
#[must_use]
pub fn rows(text: &str) -> Vec<Vec<&str>> {
    let tables = text.split("\n\n").filter(|paragraph| paragraph.starts_with('|'));
    tables.flat_map(|table| table.lines().skip(2)).map(cells).collect()
}

fn cells(row: &str) -> Vec<&str> {
    let inside = row.trim().trim_start_matches('|');
    inside.strip_suffix('|').unwrap_or(inside).split('|').map(str::trim).collect()
}

/// What stands between backquotes in a cell.
#[must_use]
pub fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}
