//! What each program may be told: one struct a program, one field an attribute, with its safe default.
//!
//! The doc comment of a field is the meaning of the attribute, with its unit.

mod account;
mod addresses;
mod listen;
mod lookup;
mod masquerade;
mod outage;
mod retry;
mod smap;
mod smapd;
mod values;

pub use self::account::Account;
pub use self::addresses::Addresses;
pub use self::listen::{Listen, ListenError};
pub use self::lookup::{DNS_PORT, Lookup, Nameservers};
pub use self::masquerade::{Face, Patterns, Said, Users};
pub use self::outage::Outage;
pub use self::retry::Retry;
pub use self::smap::Smap;
pub use self::smapd::Smapd;
pub use self::values::FilePath;

/// Where the spool is when no `directory` says otherwise.
pub const DEFAULT_SPOOL: &str = "/var/spool/smap";
