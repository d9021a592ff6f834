//! What the rows are taken together.

use std::collections::BTreeSet;
use std::fmt;

use super::key::{Key, Subject};
use super::order::Lengths;
use super::value::Value;
use crate::tables::{listed, read_list};

/// What kinds of rows there are: what none of them could say is not looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) lengths: Lengths,
    kinds: BTreeSet<&'static str>,
}

/// A row refuses clients by their name.
pub(super) const NAMES_REFUSE: &str = "names-refuse";
/// A row accepts clients by their name.
pub(super) const NAMES_ACCEPT: &str = "names-accept";
/// A row refuses clients by their address.
pub(super) const ADDRESSES_REFUSE: &str = "addresses-refuse";
/// A row lets clients relay by their name.
pub(super) const NAMES_RELAY: &str = "names-relay";

const KINDS: [&str; 4] = [NAMES_REFUSE, NAMES_ACCEPT, ADDRESSES_REFUSE, NAMES_RELAY];

impl Shape {
    pub(super) fn add(&mut self, written: &str, key: &Key, value: &Value) {
        let refuses = value.refuses();
        if let Subject::Network(network) = &key.subject {
            self.lengths.add(network, written);
            self.kinds.extend(refuses.then_some(ADDRESSES_REFUSE));
        }
        if key.is_of_client_name() {
            self.kinds.insert(if refuses { NAMES_REFUSE } else { NAMES_ACCEPT });
            self.kinds.extend((*value == Value::Relay).then_some(NAMES_RELAY));
        }
    }

    pub(super) fn has(&self, kind: &str) -> bool {
        self.kinds.contains(kind)
    }

    /// As a compiled table has it.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (lengths, kinds) = text.rsplit_once(' ')?;
        let known = |kind: String| KINDS.into_iter().find(|known| *known == kind);
        let kinds = read_list(kinds)?.into_iter().map(known).collect::<Option<_>>()?;
        Some(Self { lengths: Lengths::read(lengths)?, kinds })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.lengths, listed(&self.kinds))
    }
}
