//! Whom the recipients of a message stand for: found out, recorded and made durable before anybody of them is
//! delivered to; from then on the message's state says it, and no table.
//!
//! How mail from inside is seen is decided here too. A message whose recipients stand for nobody else passes through without a call to the system.

use std::io;
use std::sync::Arc;

use netperm::hosts::{Client, ClientName};
use netperm::load;
use netperm::policy::{self, Facts};
use netperm::site::Site;
use smap_common::clock::Timestamp;
use smap_common::envelope::Envelope;
use smap_common::log::Event;
use smap_common::spool::QueueId;

use super::active::Active;
use super::conclude::open_state;
use super::dispatch::{Done, Ticket, log_delivery};
use super::{Engine, TROUBLE_WAIT};
use crate::content::Edits;
use crate::expansion::{self, Found};

impl Engine {
    /// Begins an attempt at a message.
    pub(super) fn attempt(&mut self, mut active: Active) {
        active.begin_attempt();
        if let Err(error) = self.disguise(&mut active) {
            let (id, again) = (active.envelope().id, Timestamp::now().after(TROUBLE_WAIT));
            return self.hold(id, active, again, &error);
        }
        let wanted = self.may_stand_for_others(&active);
        if wanted.is_empty() {
            return if active.state.expansions.is_empty() {
                self.begin_attempt(active)
            } else {
                // Whoever wrote them may have died before they were durable.
                self.make_durable(active)
            };
        }
        let known = |number: &u32| {
            let recipient = active.envelope().recipient(*number)?;
            Some((*number, expansion::at_once(&self.site, &recipient.address)?))
        };
        match wanted.iter().map(known).collect::<Option<Vec<_>>>() {
            Some(found) => self.record_expansions(active, found),
            None => self.find_out(active, wanted),
        }
    }

    /// Mail from inside is seen as the table says it is to be; all other mail stays as it is.
    fn disguise(&self, active: &mut Active) -> io::Result<()> {
        if self.masquerade.is_idle() || !is_from_inside(&self.site, active.envelope()) {
            return Ok(());
        }
        active.edits = Arc::new(Edits::of(&active.message.body, &self.masquerade)?);
        active.seen_sender = Some(self.masquerade.envelope(&active.envelope().mail.sender));
        Ok(())
    }

    /// Recipients who were not tried before as what they are now.
    fn may_stand_for_others(&self, active: &Active) -> Vec<u32> {
        let smapd = &self.site.smapd;
        if smapd.virtusertable.is_none() && smapd.aliases.is_none() && smapd.badadmin.is_none() {
            return Vec::new();
        }
        let may = |number: &u32| {
            let recipient = active.envelope().recipient(*number);
            recipient.is_some_and(|recipient| expansion::may_stand_for_others(&self.site, &recipient.address))
        };
        active.pending().into_iter().filter(may).collect()
    }

    /// Has a thread do what takes long: read files, follow thousands of rows.
    fn find_out(&mut self, mut active: Active, wanted: Vec<u32>) {
        let (message, site) = (Arc::clone(&active.message), Arc::clone(&self.site));
        let id = active.envelope().id;
        active.outstanding += 1;
        self.active.insert(id, active);
        let ticket = self.ticket(Ticket::Expansion { id });
        self.expander.submit(ticket, move || {
            let found = wanted.iter().filter_map(|number| {
                let recipient = &message.envelope.recipient(*number)?.address;
                let found = expansion::whatever_it_takes(&site, recipient, &mut load::included);
                Some((*number, found))
            });
            Done::Expanded(found.collect())
        });
    }

    fn take_back(&mut self, ticket: u64) -> Option<Active> {
        let Some(Ticket::Expansion { id }) = self.tickets.remove(&ticket) else { return None };
        let mut active = self.active.remove(&id)?;
        active.outstanding -= 1;
        Some(active)
    }

    /// It is known whom the recipients stand for.
    pub(super) fn expanded(&mut self, ticket: u64, found: Vec<(u32, Found)>) {
        if let Some(active) = self.take_back(ticket) {
            self.record_expansions(active, found);
        }
    }

    fn record_expansions(&mut self, mut active: Active, found: Vec<(u32, Found)>) {
        let now = Timestamp::now();
        let expansions = expansion::to_record(active.everyone(), &found);
        for (number, found) in found {
            if let Found::Nobody(report) = found {
                log_delivery(&active, number, ("error", ""), &report, now);
                active.put_off(number, report, now);
            }
        }
        if expansions.is_empty() && active.state.expansions.is_empty() {
            // An operator may have ordered something while it was found out.
            if let Some(active) = self.as_ordered(active) {
                self.begin_attempt(active);
            }
            return;
        }
        let id = active.envelope().id;
        if !expansions.is_empty()
            && let Err(error) =
                open_state(&self.queue, id, &mut active).and_then(|file| file.expanded(&expansions))
        {
            return self.not_recorded(active, &error);
        }
        active.new_expansions = expansions.len();
        expansions.into_iter().for_each(|expansion| active.state.expand(expansion));
        self.make_durable(active);
    }

    /// Has the state of a message synced, and its name.
    fn make_durable(&mut self, mut active: Active) {
        let id = active.envelope().id;
        let state = match open_state(&self.queue, id, &mut active).and_then(|file| file.handle()) {
            Ok(state) => state,
            Err(error) => return self.not_recorded(active, &error),
        };
        active.outstanding += 1;
        self.active.insert(id, active);
        let (ticket, queue) = (self.ticket(Ticket::Expansion { id }), Arc::clone(&self.queue));
        self.journal.submit(ticket, move || Done::Recorded(state.sync_all().and_then(|()| queue.sync_own())));
    }

    /// It is durable whom the recipients stand for, or could not be made so.
    pub(super) fn recorded(&mut self, ticket: u64, result: io::Result<()>) {
        let Some(active) = self.take_back(ticket) else { return };
        if let Err(error) = result {
            return self.not_recorded(active, &error);
        }
        log_expansions(active.envelope().id, &active);
        // Before anybody is told anything of it: nobody has got it yet.
        let Some(mut active) = self.as_ordered(active) else { return };
        active.expansions_are_durable(Timestamp::now());
        self.begin_attempt(active);
    }

    fn not_recorded(&mut self, mut active: Active, error: &io::Error) {
        active.forget_new_expansions();
        let (id, again) = (active.envelope().id, Timestamp::now().after(TROUBLE_WAIT));
        let what = format!("it cannot be recorded whom its recipients stand for: {error}");
        self.hold(id, active, again, &what);
    }
}

/// Whether it was brought by somebody who may send to any domain, as the table says now. What we wrote ourselves was
/// brought by nobody.
fn is_from_inside(site: &Site, envelope: &Envelope) -> bool {
    let origin = &envelope.origin;
    if origin.client.is_none() && origin.greeting.is_none() {
        return false;
    }
    let name = origin.name.as_ref().and_then(|name| name.as_str().parse().ok());
    let client = Client {
        address: origin.client.map(|client| client.ip().to_canonical()),
        name: name.map_or(ClientName::Unknown, |name| ClientName::Known(vec![name])),
    };
    let helo = origin.greeting.as_ref().map(|greeting| &greeting.name);
    let (role, sender) = (origin.role, Some(&envelope.mail.sender));
    let facts = Facts { role, helo, sender, ..Facts::of(&client) };
    policy::may_relay(&site.smap, &facts).is_permit()
}

fn log_expansions(id: QueueId, active: &Active) {
    let expansions = active.state.expansions.iter().rev().take(active.new_expansions);
    for expansion in expansions.rev() {
        let Some(recipient) = active.envelope().recipient(expansion.of) else { continue };
        let (to, count) = (&recipient.address, expansion.members.len());
        Event::Expanded { id, to, count, rule: &expansion.rule }.log();
    }
}
