//! Whether a connection to a target is to be encrypted, and what a handshake that fails changes in that.

use netperm::transport::Tls;
use smap_common::log::Event;
use smap_common::smtp::client::{Encryption, Trouble};

use super::place::Place;
use super::socket::Target;
use crate::plan::Destination;

impl Place {
    /// What a new connection asks for.
    pub(super) fn encryption(&self, destination: &Destination, target: &Target) -> Encryption {
        match destination.tls {
            Tls::Off => Encryption::Unasked,
            Tls::Opportunistic if self.without_tls.contains(target) => Encryption::Unasked,
            Tls::Opportunistic => Encryption::IfOffered,
            Tls::Require | Tls::Verify => Encryption::Required,
        }
    }

    /// Whether the trouble was only one of TLS, and nobody insists on it: then the same target is asked again, without.
    pub(super) fn does_without_tls(
        &mut self,
        destination: &Destination,
        target: &Target,
        trouble: &Trouble,
    ) -> bool {
        let (Tls::Opportunistic, Trouble::Handshake(_)) = (destination.tls, trouble) else { return false };
        if self.without_tls.insert(target.clone()) {
            Event::Warning { text: &format_args!("{target}: {trouble}; mail goes there in the clear") }.log();
        }
        true
    }
}
