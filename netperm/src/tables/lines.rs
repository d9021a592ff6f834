//! The lines of a text table.

use std::path::Path;
use std::sync::Arc;

use crate::place::Place;

/// A key and what stands behind it, or what is wrong with the line.
pub(super) type Row<'a> = Result<(&'a str, &'a str), String>;

/// The rows of a table with their places, without comments and empty lines.
pub(super) fn rows<'a>(file: &Path, bytes: &'a [u8]) -> impl Iterator<Item = (Place, Row<'a>)> {
    let shared: Arc<Path> = Arc::from(file);
    let numbered = bytes.split_inclusive(|byte| *byte == b'\n').zip(1..);
    numbered.filter_map(move |(line, number)| {
        let row = meaning(line).map(|line| line.map(split)).transpose()?;
        Some((Place::line(&shared, number), row.and_then(|row| row)))
    })
}

/// What a line says; nothing for a comment or an empty one.
pub(crate) fn meaning(line: &[u8]) -> Result<Option<&str>, String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(byte) = line.iter().find(|byte| byte.is_ascii_control() && **byte != b'\t') {
        return Err(format!("a control character (0x{byte:02x}) stands in this line"));
    }
    let line = str::from_utf8(line).map_err(|_| "this line is not UTF-8".to_owned())?.trim_ascii();
    Ok(Some(line).filter(|line| !line.is_empty() && !line.starts_with('#')))
}

fn split(line: &str) -> Row<'_> {
    let (key, value) =
        line.split_once([' ', '\t']).ok_or_else(|| format!("\"{line}\": nothing stands behind this key"))?;
    Ok((key, value.trim_ascii()))
}
