//! The program, over TCP.

use super::Side;
use crate::client::Client;
use crate::gateway::{Gateway, Listener};
use crate::spool::Stored;

pub(super) struct Wire<'a> {
    gateway: &'a Gateway,
    listener: Listener,
    client: Option<Client>,
}

impl<'a> Wire<'a> {
    pub(super) fn begin(gateway: &'a Gateway) -> Self {
        let listener = gateway.listen();
        let client = Some(Client::connect(listener.address()));
        Self { gateway, listener, client }
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
