//! "Did you mean": the known word that is nearest to an unknown one.

/// `, did you mean "WORD"?`, or nothing when no known word is near.
pub(crate) fn hint<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, known).map(did_you_mean).unwrap_or_default()
}

/// The words of every suggestion.
pub(crate) fn did_you_mean(word: impl std::fmt::Display) -> String {
    format!(", did you mean \"{word}\"?")
}

/// The nearest known word, at most one edit in three letters away.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let far = |word: &str| word.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|word| (distance(&written, word), word))
        .filter(|(edits, word)| *edits <= far(word))
        .min()
        .map(|(_, word)| word)
}

/// Letters to insert, remove, replace or swap with their neighbour.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["timeout", "session-timeout", "maxbytes", "maxrecip"];

    #[test]
    fn swapped_and_missing_letters_are_near() {
        assert_eq!(nearest("tiemout", KNOWN), Some("timeout"));
        assert_eq!(nearest("MaxRcpt", KNOWN), Some("maxrecip"));
        assert_eq!(hint("max-bytes", KNOWN), ", did you mean \"maxbytes\"?");
    }

    #[test]
    fn another_word_is_not_near() {
        assert_eq!(nearest("prompt", KNOWN), None);
        assert_eq!(hint("", KNOWN), "");
    }
}
