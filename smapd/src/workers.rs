//! A few threads for what can only block: mailboxes, bodies for programs, notifications, syncs.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use mio::Waker;

type Work<T> = Box<dyn FnOnce() -> T + Send>;

/// The threads, and what they have done.
#[derive(Debug)]
pub struct Workers<T> {
    work: Sender<(u64, Work<T>)>,
    done: Receiver<(u64, T)>,
}

impl<T: Send + 'static> Workers<T> {
    /// Starts so many threads; each wakes the loop when something is done. When this returns they are all past
    /// what only the start of a thread needs, and can be confined.
    ///
    /// # Errors
    /// The system has no threads left.
    pub fn start(threads: usize, waker: &Arc<Waker>) -> io::Result<Self> {
        let (work, inbox) = channel::<(u64, Work<T>)>();
        let (outbox, done) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        let begun = Arc::new(Barrier::new(threads + 1));
        for number in 0..threads {
            let (inbox, outbox, waker) = (Arc::clone(&inbox), outbox.clone(), Arc::clone(waker));
            let begun = Arc::clone(&begun);
            thread::Builder::new().name(format!("worker {number}")).spawn(move || {
                begun.wait();
                while serve_one(&inbox, &outbox, &waker) {}
            })?;
        }
        begun.wait();
        Ok(Self { work, done })
    }

    /// Has this done; what it gives comes back with the ticket.
    pub fn submit(&mut self, ticket: u64, work: impl FnOnce() -> T + Send + 'static) {
        // The threads live as long as this does.
        let _received = self.work.send((ticket, Box::new(work)));
    }

    /// The next thing that is done.
    pub fn take_done(&mut self) -> Option<(u64, T)> {
        self.done.try_recv().ok()
    }
}

/// Does one thing; says whether there may be more.
fn serve_one<T>(inbox: &Mutex<Receiver<(u64, Work<T>)>>, outbox: &Sender<(u64, T)>, waker: &Waker) -> bool {
    let next = match inbox.lock() {
        Ok(inbox) => inbox.recv(),
        Err(_) => return false,
    };
    let Ok((ticket, work)) = next else { return false };
    let sent = outbox.send((ticket, work())).is_ok();
    sent && waker.wake().is_ok()
}
