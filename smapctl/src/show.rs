//! Text for people: columns, sizes, times.

use std::time::Duration;

use netperm::units::ShowDuration;

/// Rows with their columns aligned, two blanks before each row; the last column is as wide as it likes.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("  {cell:width$}"));
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// `812 B`, `12 KB`, `3.4 MB`
pub(crate) fn octets(count: u64) -> String {
    let units = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];
    match units.into_iter().find(|(unit, _)| count >= *unit) {
        None => format!("{count} B"),
        Some((unit, name)) if count < 10 * unit && name != "KB" => {
            format!("{}.{} {name}", count / unit, count % unit * 10 / unit)
        }
        Some((unit, name)) => format!("{} {name}", count / unit),
    }
}

/// A duration, its two largest units at most.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let rounded = match seconds {
        0..3600 if seconds >= 600 => seconds - seconds % 60,
        0..3600 => seconds,
        3600..86400 => seconds - seconds % 60,
        _ => seconds - seconds % 3600,
    };
    ShowDuration(Duration::from_secs(rounded)).to_string()
}

/// Text of others, for a terminal: one line, nothing in it that one obeys, nor shows in another order.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || turns(c) { '?' } else { c }).collect()
}

/// Characters that separate lines or change the direction of text (Unicode Standard Annex 9).
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same of many lines; a tab is a blank.
pub(crate) fn printable_lines(text: &str, indent: &str) -> String {
    let line =
        |line: &str| format!("{indent}{}", printable(&line.replace('\t', " "))).trim_end().to_owned() + "\n";
    text.lines().map(line).collect()
}

/// `1 message`, `2 messages`
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "bb", "c"], ["aaa", "b", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "  a    bb  c\n  aaa  b\n");
    }

    #[test]
    fn sizes_are_short() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (5 << 10, "5 KB"), (3_600_000, "3.4 MB"), (25 << 30, "25 GB")];
        for (count, text) in cases {
            assert_eq!(octets(count), text);
        }
    }

    #[test]
    fn durations_are_short() {
        let cases =
            [(0, "0"), (59, "59s"), (305, "5m5s"), (1210, "20m"), (11_525, "3h12m"), (180_000, "2d2h")];
        for (seconds, text) in cases {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }
}
