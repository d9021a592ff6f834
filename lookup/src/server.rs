//! Who asks, and how many questions are under way.
//!
//! Guarantees that a client that asks without reading its answers stops nobody but itself, and that no question is
//! without an answer for longer than it may take.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use smap_common::log::Event;
use smap_common::lookup::{Answer, Answered, Asked, Failure, Question};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::callout::{self, CallOuts};
use crate::dns::Current;
use crate::socket::{Packets, Unread};
use crate::users::Users;

/// Questions of one user that are under way: those of smap never at the cost of smapd.
const MAX_QUESTIONS: usize = 1000;
/// Questions of one client that are under way, or whose answers it has not taken.
const MAX_OF_ONE: usize = 600;
/// Clients at a time of one user: sessions of smap.
const MAX_CLIENTS: usize = 1000;
/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same of a call-out, which ends by itself before.
const PATIENCE_FOR_CALLS: Duration = Duration::from_secs(21);
/// How long a client may leave an answer.
const TAKING: Duration = Duration::from_secs(20);
/// How long the listener rests when the system has no room for another client.
const REST: Duration = Duration::from_millis(100);

const _: () = assert!(callout::PATIENCE.as_secs() < PATIENCE_FOR_CALLS.as_secs());

/// What answers.
pub(crate) struct Server {
    pub(crate) current: Arc<Current>,
    /// Where the table wants recipients to be asked for with next hosts.
    pub(crate) callouts: Option<Arc<CallOuts>>,
    /// Where it wants users of this machine to exist.
    pub(crate) users: Option<Arc<Users>>,
}

/// What is left for the clients of one user.
#[derive(Debug)]
pub(crate) struct Room {
    places: Arc<Semaphore>,
    questions: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        let of = |count| Arc::new(Semaphore::new(count));
        Self { places: of(MAX_CLIENTS), questions: of(MAX_QUESTIONS) }
    }
}

/// A client's part of it.
#[derive(Debug)]
struct Place {
    connection: OwnedSemaphorePermit,
    questions: Arc<Semaphore>,
}

/// The users who may ask.
#[derive(Debug)]
pub(crate) struct Welcome(HashMap<u32, Room>);

impl Welcome {
    pub(crate) fn new(users: impl IntoIterator<Item = u32>) -> Self {
        Self(users.into_iter().map(|user| (user, Room::default())).collect())
    }

    /// A place for a client of this user, or why there is none.
    fn place(&self, user: u32) -> Result<Place, &'static str> {
        let room = self.0.get(&user).ok_or("may not ask")?;
        let connection = Arc::clone(&room.places).try_acquire_owned();
        let connection = connection.map_err(|_| "has too many connections")?;
        Ok(Place { connection, questions: Arc::clone(&room.questions) })
    }
}

impl Server {
    /// Takes clients, for good.
    pub(crate) async fn listen(self: Arc<Self>, listener: Packets, welcome: Welcome) {
        loop {
            let (client, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    Event::Error { text: &format_args!("no client can be accepted: {error}") }.log();
                    sleep(REST).await;
                    continue;
                }
            };
            let place = match welcome.place(peer.uid()) {
                Ok(place) => place,
                Err(why) => {
                    let text = format!("refused: user {} (process {}) {why}", peer.uid(), peer.pid());
                    Event::Warning { text: &text }.log();
                    continue;
                }
            };
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                let Place { connection, questions } = place;
                if let Err(error) = server.answer_all(client, &questions).await {
                    Event::Warning { text: &format_args!("a client was lost: {error}") }.log();
                }
                drop(connection);
            });
        }
    }

    /// Answers the only client until it is gone.
    pub(crate) async fn serve(self: Arc<Self>, client: Unread) -> io::Result<()> {
        let questions = Room::default().questions;
        self.answer_all(client, &questions).await
    }

    /// Answers one client until it is gone; so many questions of its user are under way at most.
    async fn answer_all(self: Arc<Self>, client: Unread, questions: &Arc<Semaphore>) -> io::Result<()> {
        let client = Arc::new(client.attend()?);
        let room = Arc::new(Semaphore::new(MAX_OF_ONE));
        while let Some(packet) = client.receive().await? {
            let asked = Asked::decode(&packet).ok_or(io::ErrorKind::InvalidData)?;
            let place = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            let (server, client, room) = (Arc::clone(&self), Arc::clone(&client), Arc::clone(&room));
            let questions = Arc::clone(questions);
            tokio::spawn(async move {
                let packet = server.answer(asked, &questions).await.encode();
                // A client that is gone, or does not take its answers, is asked for no more questions.
                if !matches!(timeout(TAKING, client.send(&packet)).await, Ok(Ok(()))) {
                    room.close();
                }
                drop(place);
            });
        }
        Ok(())
    }

    async fn answer(&self, Asked { id, question }: Asked, questions: &Semaphore) -> Answered {
        let failed = |why: &str| question.failed(Failure::Temporary(why.to_owned()));
        let answer = match questions.try_acquire() {
            Ok(_under_way) => {
                let patience = if matches!(question, Question::Recipient { .. }) {
                    PATIENCE_FOR_CALLS
                } else {
                    PATIENCE
                };
                let answered = timeout(patience, self.find(&question)).await;
                answered.unwrap_or_else(|_| failed("nobody has answered in time"))
            }
            Err(_) => failed("too many questions are under way"),
        };
        Answered { id, answer }
    }

    async fn find(&self, question: &Question) -> Answer {
        let no_line = |source| Err(Failure::Temporary(format!("no recipients line has {source}")));
        match question {
            Question::User { name } => Answer::User(match &self.users {
                Some(users) => users.ask(name).await,
                None => no_line("passwd"),
            }),
            Question::Recipient { address } => Answer::Recipient(match &self.callouts {
                Some(callouts) => callouts.ask(address).await,
                None => no_line("callout"),
            }),
            question => self.current.dns().answer(question).await,
        }
    }
}
