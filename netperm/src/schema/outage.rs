//! What becomes of a recipient who cannot be asked for.

use std::fmt;

use serde::de::{Deserialize, Deserializer};

use super::values::named;
use crate::nearest;
use crate::table::word;

/// What smap says of a recipient while the next host cannot be asked for him, and never said anything of him.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outage {
    /// Come again.
    #[default]
    Defer,
    /// He is accepted: should he not exist, his sender is written to.
    Accept,
}

impl Outage {
    const WORDS: [(&'static str, Self); 2] = [("defer", Self::Defer), ("accept", Self::Accept)];
}

impl<'de> Deserialize<'de> for Outage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, |text| {
            let known = Self::WORDS.into_iter().find(|(known, _)| *known == text);
            let hint = || nearest::hint(text, Self::WORDS.map(|(word, _)| word));
            known
                .map(|(_, outage)| outage)
                .ok_or_else(|| named(text, format_args!("is neither defer nor accept{}", hint())))
        })
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Defer => "defer",
            Self::Accept => "accept",
        })
    }
}
