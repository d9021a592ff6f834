//! The pure session, its actions carried out on the table's own policy and a spool folder.

use std::collections::VecDeque;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};

use netperm::hosts::{Client, ClientName};
use netperm::policy::{self, Facts, Verdict};
use netperm::site::Site;
use smap::session::{Action, Answer, Consent, Input, Limits, Question, Refusal, Session, Ticket};
use smap_common::clock::Timestamp;
use smap_common::envelope::Origin;
use smap_common::spool::{Draft, Incoming, QueueId, StoreError, Void};

use super::Side;
use crate::gateway::Gateway;
use crate::spool::Stored;

/// A long segment is cut into so many pieces at most.
const MOST_PIECES: usize = 20_000;

type Written = Draft<<Incoming as smap_common::spool::Folder>::File>;

pub(super) struct Pure<'a> {
    gateway: &'a Gateway,
    site: Site,
    client: SocketAddr,
    name: ClientName,
    session: Session,
    folder: Incoming,
    draft: Option<Written>,
    /// Most octets that it gets at a time.
    most: usize,
    lines: VecDeque<String>,
    closed: bool,
}

impl<'a> Pure<'a> {
    pub(super) fn begin(gateway: &'a Gateway, name: &ClientName, most: usize) -> Self {
        let site = Site::load(&gateway.table()).unwrap_or_else(|faults| panic!("{faults}"));
        let client = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 40112);
        let limits = Limits {
            max_octets: site.smap.maxbytes,
            max_recipients: site.smap.maxrecip.get(),
            max_messages: site.smap.maxmessages.get(),
            max_errors: site.smap.maxerrors.get(),
        };
        let origin = Origin { client: Some(client), ..Origin::default() };
        let session = Session::new(&site.hostname.to_string(), limits, origin);
        let folder = Incoming::new(File::open(site.layout.incoming()).unwrap().into());
        let (lines, draft) = (VecDeque::new(), None);
        let name = name.clone();
        let mut pure =
            Self { gateway, site, client, name, session, folder, draft, most, lines, closed: false };
        pure.take(Input::Begin);
        pure
    }

    /// Steps the session until it wants to read, or is at its end.
    fn take(&mut self, mut input: Input<'_>) {
        loop {
            input = match self.session.step(input) {
                Action::Read => break,
                Action::Close => {
                    self.closed = true;
                    break;
                }
                Action::Ask(Question::Name) => Input::Answer(Answer::Name(self.name.clone())),
                Action::Ask(question) => Input::Answer(answer(&self.site, self.client, question)),
                Action::Open(envelope) => {
                    let draft = Draft::begin(&self.folder, envelope);
                    Input::Opened(draft.map(|draft| self.draft = Some(draft)))
                }
                Action::Write(text) => {
                    self.draft.as_mut().unwrap().write(text).unwrap();
                    Input::Done
                }
                Action::Commit => {
                    let committed = self.draft.take().unwrap().commit();
                    Input::Committed(committed.map_err(|Void(cause): Void| -> StoreError { cause }))
                }
                Action::Abandon => {
                    self.draft = None;
                    Input::Done
                }
            };
        }
        let output = String::from_utf8(self.session.take_output()).expect("replies are text");
        self.lines.extend(output.split_terminator("\r\n").map(str::to_owned));
    }
}

fn answer(site: &Site, client: SocketAddr, question: Question<'_>) -> Answer {
    let of_name = |name: &ClientName| Client { address: Some(client.ip()), name: name.clone() };
    match question {
        Question::Name => Answer::Name(ClientName::NotAsked),
        Question::Connect { name } => {
            let judged = judged(policy::connect(&site.smap, &Facts::of(&of_name(name))), Refusal::HostDenied);
            judged.map_or(Answer::NeedsName, Answer::Connect)
        }
        Question::Sender { mail, .. } => {
            let client = of_name(&ClientName::NotAsked);
            let facts = Facts { sender: Some(&mail.sender), ..Facts::of(&client) };
            let ticket = |consent| Ticket { id: QueueId::generate().unwrap(), at: Timestamp::now(), consent };
            let judged = judged(policy::sender(&site.smap, &facts), Refusal::Unavailable).unwrap();
            Answer::Sender(judged.map(ticket))
        }
        Question::Recipient { recipient, name, .. } => {
            let client = of_name(name);
            let verdict =
                policy::recipient(&site.smap, &site.hostname, &Facts::of(&client), &recipient.address);
            judged(verdict, Refusal::RelayDenied).map_or(Answer::NeedsName, Answer::Recipient)
        }
    }
}

fn judged(verdict: Verdict<'_>, refusal: Refusal) -> Option<Result<Consent, Refusal>> {
    match verdict {
        Verdict::Permit(_) => Some(Ok(Consent::Keep)),
        Verdict::Discard(_) => Some(Ok(Consent::Discard)),
        Verdict::Refuse(reason) => Some(Err(reason.reply().map_or(refusal, Refusal::Said))),
        Verdict::NotNow(reason) => Some(Err(reason.reply().map_or(Refusal::NameFailed, Refusal::Said))),
        Verdict::Ask(..) => None,
    }
}

impl Side for Pure<'_> {
    fn send(&mut self, octets: &[u8]) {
        for piece in octets.chunks(self.most.max(octets.len() / MOST_PIECES).max(1)) {
            if self.closed {
                return;
            }
            self.take(Input::Received(piece));
        }
    }

    /// All that was to be said is said already: nothing more means that it reads.
    fn line(&mut self) -> Option<String> {
        let line = self.lines.pop_front();
        assert!(line.is_some() || self.closed, "it says nothing and reads");
        line
    }

    fn hang_up(&mut self) {
        self.draft = None;
    }

    fn spooled(&self) -> Vec<Stored> {
        self.gateway.incoming()
    }
}
