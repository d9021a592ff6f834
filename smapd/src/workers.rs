//! A few threads for what can only block: mailboxes, bodies for programs, notifications, syncs.
//!
//! Guarantees that what was begun is done to its end, however smapd ends but by being killed: no mailbox is left with
//! half a message.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle};

use mio::Waker;

type Work<T> = Box<dyn FnOnce() -> T + Send>;

/// The threads, and what they have done.
#[derive(Debug)]
pub struct Workers<T> {
    /// None when they are to end.
    work: Option<Sender<(u64, Work<T>)>>,
    done: Receiver<(u64, T)>,
    threads: Vec<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl<T: Send + 'static> Workers<T> {
    /// Starts so many threads of that name; each wakes the loop when something is done. When this returns they are all past
    /// what only the start of a thread needs, and can be confined.
    ///
    /// # Errors
    /// The system has no threads left.
    pub fn start(name: &str, threads: usize, waker: &Arc<Waker>) -> io::Result<Self> {
        let (work, inbox) = channel::<(u64, Work<T>)>();
        let (outbox, done) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        let begun = Arc::new(Barrier::new(threads + 1));
        let is_over = Arc::new(AtomicBool::new(false));
        let start = |_| {
            let (inbox, outbox, waker) = (Arc::clone(&inbox), outbox.clone(), Arc::clone(waker));
            let (begun, is_over) = (Arc::clone(&begun), Arc::clone(&is_over));
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                begun.wait();
                while serve_one(&inbox, &outbox, &waker, &is_over) {}
            })
        };
        let threads = (0..threads).map(start).collect::<io::Result<_>>()?;
        begun.wait();
        Ok(Self { work: Some(work), done, threads, is_over })
    }

    /// Has this done; what it gives comes back with the ticket.
    pub fn submit(&mut self, ticket: u64, work: impl FnOnce() -> T + Send + 'static) {
        // The threads live as long as this does.
        let _received = self.work.as_ref().map(|inbox| inbox.send((ticket, Box::new(work))));
    }

    /// The next thing that is done.
    pub fn take_done(&mut self) -> Option<(u64, T)> {
        self.done.try_recv().ok()
    }
}

impl<T> Workers<T> {
    /// Waits for what was begun; what waits is not begun any more, and what comes later neither. Its results are there
    /// to be taken when this returns.
    pub fn finish(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.work = None;
        for thread in self.threads.drain(..) {
            // One that has panicked is at its end too.
            let _ended = thread.join();
        }
    }
}

impl<T> Drop for Workers<T> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Does one thing; says whether there may be more.
fn serve_one<T>(
    inbox: &Mutex<Receiver<(u64, Work<T>)>>,
    outbox: &Sender<(u64, T)>,
    waker: &Waker,
    is_over: &AtomicBool,
) -> bool {
    let next = match inbox.lock() {
        Ok(inbox) => inbox.recv(),
        Err(_) => return false,
    };
    let Ok((ticket, work)) = next else { return false };
    if is_over.load(Ordering::SeqCst) {
        return false;
    }
    let sent = outbox.send((ticket, work())).is_ok();
    sent && waker.wake().is_ok()
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};

    use super::*;

    fn one_worker() -> (Poll, Workers<()>) {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        (poll, Workers::start("worker", 1, &waker).unwrap())
    }

    #[test]
    fn what_was_begun_is_done_before_the_workers_are_gone() {
        let (_poll, mut workers) = one_worker();
        let (begun, has_begun) = channel();
        let is_done = Arc::new(AtomicBool::new(false));
        let (done, is_over) = (Arc::clone(&is_done), Arc::clone(&workers.is_over));
        workers.submit(1, move || {
            begun.send(()).unwrap();
            // Until the workers are told to end.
            while !is_over.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            done.store(true, Ordering::SeqCst);
        });
        has_begun.recv().unwrap();
        drop(workers);
        assert!(is_done.load(Ordering::SeqCst));
    }

    #[test]
    fn what_came_of_the_last_things_can_be_taken() {
        let (_poll, mut workers) = one_worker();
        let (begun, has_begun) = channel();
        workers.submit(7, move || begun.send(()).unwrap());
        has_begun.recv().unwrap();
        workers.finish();
        assert_eq!(workers.take_done(), Some((7, ())));
        assert_eq!(workers.take_done(), None);
    }

    #[test]
    fn what_waits_when_the_workers_end_is_not_begun() {
        let (_poll, mut workers) = one_worker();
        let (begun, has_begun) = channel();
        let is_over = Arc::clone(&workers.is_over);
        workers.submit(1, move || {
            begun.send(()).unwrap();
            // Until the workers are told to end.
            while !is_over.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        });
        has_begun.recv().unwrap();
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        workers.submit(2, move || done.store(true, Ordering::SeqCst));
        drop(workers);
        assert!(!is_done.load(Ordering::SeqCst));
    }
}
