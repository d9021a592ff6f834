//! The program, over TCP.

use netperm::hosts::ClientName;

use super::Side;
use crate::client::Client;
use crate::gateway::{Gateway, Listener};
use crate::scripted::Scripted;
use crate::spool::Stored;

pub(super) struct Wire<'a> {
    gateway: &'a Gateway,
    listener: Listener,
    _lookup: Option<Scripted>,
    client: Option<Client>,
}

impl<'a> Wire<'a> {
    /// Without a name there is no smap-lookup.
    pub(super) fn begin(gateway: &'a Gateway, name: &ClientName) -> Self {
        let lookup = (*name != ClientName::NotAsked)
            .then(|| Scripted::naming(&gateway.folder().join("lookup"), name.clone()));
        let listener = gateway.listen();
        let client = Some(Client::connect(listener.address()));
        Self { gateway, listener, _lookup: lookup, client }
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("the client has not hung up")
    }
}

impl Side for Wire<'_> {
    fn send(&mut self, octets: &[u8]) {
        self.client().send(octets);
    }

    fn line(&mut self) -> Option<String> {
        self.client().line()
    }

    fn hang_up(&mut self) {
        self.client = None;
        self.listener.wait_for_sessions(1);
    }

    fn spooled(&self) -> Vec<Stored> {
        self.gateway.incoming()
    }
}
