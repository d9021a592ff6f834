//! Who asks, and how many questions are under way.
//!
//! Guarantees that a client that asks without reading its answers stops nobody but itself, and that no question is
//! without an answer for longer than it may take.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use smap_common::log::Event;
use smap_common::lookup::{Answered, Asked, Failure};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::dns::Current;
use crate::socket::{Packets, Unread};

/// Questions under way, of all clients.
const MAX_QUESTIONS: usize = 1000;
/// Questions of one client that are under way, or whose answers it has not taken.
const MAX_OF_ONE: usize = 600;
/// Clients at a time.
const MAX_CLIENTS: usize = 1000;
/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a client may leave an answer.
const TAKING: Duration = Duration::from_secs(20);
/// How long the listener rests when the system has no room for another client.
const REST: Duration = Duration::from_millis(100);

/// What answers.
pub(crate) struct Server {
    current: Current,
    questions: Semaphore,
    clients: Arc<Semaphore>,
}

/// Who may ask.
#[derive(Debug)]
pub(crate) struct Welcome(pub(crate) Vec<u32>);

impl Server {
    pub(crate) fn new(current: Current) -> Arc<Self> {
        let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
        Arc::new(Self { current, questions: Semaphore::new(MAX_QUESTIONS), clients })
    }

    /// Takes clients, for good.
    pub(crate) async fn listen(self: Arc<Self>, listener: Packets, welcome: Welcome) {
        loop {
            let Ok(place) = Arc::clone(&self.clients).acquire_owned().await else { return };
            let (client, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    Event::Error { text: &format_args!("no client can be accepted: {error}") }.log();
                    sleep(REST).await;
                    continue;
                }
            };
            if !welcome.0.contains(&peer.uid()) {
                let text = format!("refused: user {} (process {}) may not ask", peer.uid(), peer.pid());
                Event::Warning { text: &text }.log();
                continue;
            }
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                if let Err(error) = server.serve(client).await {
                    Event::Warning { text: &format_args!("a client was lost: {error}") }.log();
                }
                drop(place);
            });
        }
    }

    /// Answers one client until it is gone.
    pub(crate) async fn serve(self: Arc<Self>, client: Unread) -> io::Result<()> {
        let client = Arc::new(client.attend()?);
        let room = Arc::new(Semaphore::new(MAX_OF_ONE));
        while let Some(packet) = client.receive().await? {
            let asked = Asked::decode(&packet).ok_or(io::ErrorKind::InvalidData)?;
            let place = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            let (server, client, room) = (Arc::clone(&self), Arc::clone(&client), Arc::clone(&room));
            tokio::spawn(async move {
                let packet = server.answer(asked).await.encode();
                // A client that is gone, or does not take its answers, is asked for no more questions.
                if !matches!(timeout(TAKING, client.send(&packet)).await, Ok(Ok(()))) {
                    room.close();
                }
                drop(place);
            });
        }
        Ok(())
    }

    async fn answer(&self, Asked { id, question }: Asked) -> Answered {
        let failed = |why: &str| question.failed(Failure::Temporary(why.to_owned()));
        let answer = match self.questions.try_acquire() {
            Ok(_under_way) => {
                let dns = self.current.dns();
                let answered = timeout(PATIENCE, dns.answer(&question)).await;
                answered.unwrap_or_else(|_| failed("nobody has answered in time"))
            }
            Err(_) => failed("too many questions are under way"),
        };
        Answered { id, answer }
    }
}
