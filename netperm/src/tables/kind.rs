//! What a file that a netperm-table names is.

use std::fmt;

/// By which attribute a file is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `access`
    Access,
    /// `aliases`
    Aliases,
    /// `local-host-names`
    LocalHostNames,
    /// `mailertable`
    Mailertable,
    /// `recipients ... file:`
    Recipients,
    /// `relay-domains`
    RelayDomains,
    /// `virtusertable`
    Virtusertable,
}

impl Kind {
    /// The attribute.
    #[must_use]
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Aliases => "aliases",
            Self::LocalHostNames => "local-host-names",
            Self::Mailertable => "mailertable",
            Self::Recipients => "recipients",
            Self::RelayDomains => "relay-domains",
            Self::Virtusertable => "virtusertable",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.attribute())
    }
}
