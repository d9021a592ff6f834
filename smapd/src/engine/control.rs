//! The operator's orders, in slices: however many messages one is about, mail goes on meanwhile.
//!
//! Decides nothing about a message (`obey` does). Guarantees that an order that was taken is carried out to its end,
//! that the loop is held for no longer than a slice, and that no more is written than the disk keeps up with.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smap_common::address::{Address, Domain};
use smap_common::log::Event;
use smap_common::spool::QueueId;

use super::dispatch::{Done, Ticket};
use super::{Engine, FIRST_OPERATOR};
use crate::control::{Caller, Control, Effect, MAX_EFFECTS, Reply, Request, Verb, Whom};
use crate::queue::Queue;

/// How long the loop works on orders before it looks at what else has happened.
const SLICE: Duration = Duration::from_millis(2);
/// Messages that are looked into at a time, by a thread of its own.
const CHUNK: usize = 200;

/// What the engine knows of operators.
#[derive(Debug)]
pub(super) struct Operators {
    /// None where nobody can be listened to.
    pub(super) control: Option<Control>,
    /// Messages that are held: they wait for no time.
    pub(super) held: HashSet<QueueId>,
    tasks: VecDeque<Task>,
    /// Whether the next slice could begin at once.
    more: bool,
}

/// An order that is being carried out.
#[derive(Debug)]
struct Task {
    caller: Caller,
    verb: Verb,
    domain: Option<Arc<str>>,
    search: Search,
    /// Messages that may be meant.
    names: VecDeque<QueueId>,
    /// Messages that are meant.
    found: VecDeque<QueueId>,
    /// What was done, and is not told yet.
    effects: Vec<(QueueId, Effect)>,
}

/// Whether a thread looks for this order's messages.
#[derive(Debug, PartialEq, Eq)]
enum Search {
    /// All names are wanted first.
    Wanted,
    /// It does, under this ticket.
    UnderWay(u64),
    Over,
}

/// How a task has come on.
enum Progress {
    /// It could go on at once.
    More,
    /// It waits for somebody.
    Waits,
    Finished,
}

impl Operators {
    pub(super) fn new(control: Option<Control>) -> Self {
        Self { control, held: HashSet::new(), tasks: VecDeque::new(), more: false }
    }

    /// How long the loop may rest.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.more { Some(Instant::now()) } else { self.control.as_ref().and_then(Control::deadline) }
    }
}

impl Task {
    fn new(caller: Caller, Request { verb, whom }: Request) -> Self {
        let (domain, search, found) = match whom {
            Whom::All => (None, Search::Wanted, VecDeque::new()),
            Whom::Domain(domain) => (Some(domain.into()), Search::Wanted, VecDeque::new()),
            Whom::Ids(ids) => (None, Search::Over, ids.into()),
        };
        Self { caller, verb, domain, search, names: VecDeque::new(), found, effects: Vec::new() }
    }
}

impl Engine {
    /// Somebody connects.
    pub(super) fn operators_come(&mut self) {
        if let Some(control) = &mut self.operators.control {
            control.accept(self.poll.registry(), FIRST_OPERATOR, Instant::now());
        }
    }

    /// Something happened at an operator's connection.
    pub(super) fn operator_speaks(&mut self, key: usize) {
        let Some(control) = &mut self.operators.control else { return };
        if let Some((caller, request)) = control.ready(key, Instant::now()) {
            if request.verb == Verb::Retry {
                self.relay.forget_troubles();
            }
            self.operators.tasks.push_back(Task::new(caller, request));
        }
        self.operators.more = !self.operators.tasks.is_empty();
    }

    /// One slice of the orders that are under way, each in its turn.
    pub(super) fn carry_out_orders(&mut self) {
        if let Some(control) = &mut self.operators.control {
            control.tick(Instant::now());
        }
        let until = Instant::now() + SLICE;
        self.operators.more = false;
        for _ in 0..self.operators.tasks.len() {
            let Some(mut task) = self.operators.tasks.pop_front() else { return };
            match self.go_on(&mut task, until) {
                Progress::More => self.operators.more = true,
                Progress::Waits => {}
                Progress::Finished => {
                    // It may have sent its next order already.
                    self.operator_speaks(Control::key(task.caller));
                    continue;
                }
            }
            self.operators.tasks.push_back(task);
        }
    }

    fn go_on(&mut self, task: &mut Task, until: Instant) -> Progress {
        loop {
            let patient = |control: &Control| control.can_take(task.caller);
            if !self.operators.control.as_ref().is_none_or(patient) {
                return Progress::Waits;
            }
            if task.effects.len() >= MAX_EFFECTS || (task.found.is_empty() && !task.effects.is_empty()) {
                let effects = std::mem::take(&mut task.effects);
                self.tell_operator(task, &Reply::Effects(effects));
                continue;
            }
            match (task.found.pop_front(), &task.search) {
                (Some(id), _) if self.unsynced.is_behind() => {
                    task.found.push_front(id);
                    return Progress::Waits;
                }
                (Some(id), _) => {
                    let effect = self.obey(id, &task.verb, task.caller.uid);
                    task.effects.push((id, effect));
                }
                (None, Search::UnderWay(_)) => return Progress::Waits,
                (None, Search::Wanted) => self.search_names(task),
                (None, Search::Over) if task.names.is_empty() => {
                    self.tell_operator(task, &Reply::Done);
                    return Progress::Finished;
                }
                (None, Search::Over) => {
                    // It sees that the search goes on, whatever that finds.
                    self.tell_operator(task, &Reply::Effects(Vec::new()));
                    self.search_messages(task);
                }
            }
            if Instant::now() >= until {
                return Progress::More;
            }
        }
    }

    fn tell_operator(&mut self, task: &Task, reply: &Reply) {
        if let Some(control) = &mut self.operators.control {
            control.tell(task.caller, reply, Instant::now());
        }
    }

    fn search_names(&mut self, task: &mut Task) {
        let queue = Arc::clone(&self.queue);
        let ticket = self.ticket(Ticket::Search);
        task.search = Search::UnderWay(ticket);
        self.searcher.submit(ticket, move || Done::Names(queue.ids()));
    }

    /// The next few of the names: those that are meant.
    fn search_messages(&mut self, task: &mut Task) {
        let few = task.names.len().min(CHUNK);
        let few: Vec<QueueId> = task.names.drain(..few).collect();
        let Some(domain) = task.domain.clone() else {
            task.found.extend(few);
            return;
        };
        let (queue, hostname) = (Arc::clone(&self.queue), self.site.hostname.clone());
        let maxbytes = self.site.smap.maxbytes;
        let ticket = self.ticket(Ticket::Search);
        task.search = Search::UnderWay(ticket);
        self.searcher
            .submit(ticket, move || Done::Found(concerned(&queue, &few, &domain, &hostname, maxbytes)));
    }

    /// A search is over.
    pub(super) fn found_for_operator(&mut self, ticket: u64, ids: Vec<QueueId>, all_are_meant: bool) {
        self.tickets.remove(&ticket);
        let whose = |task: &&mut Task| task.search == Search::UnderWay(ticket);
        let Some(task) = self.operators.tasks.iter_mut().find(whose) else { return };
        task.search = Search::Over;
        if all_are_meant {
            task.found.extend(ids)
        } else {
            task.names.extend(ids)
        }
        self.operators.more = true;
    }

    /// Nobody is listened to any more.
    pub(super) fn dismiss_operators(&mut self) {
        let left = self.operators.tasks.len();
        if left > 0 {
            Event::Warning { text: &format_args!("{left} orders were not carried out to their end") }.log();
        }
        if let Some(control) = self.operators.control.take() {
            control.close();
        }
    }
}

/// Those with a recipient in this domain who does not have the message yet. What cannot be read is none of them: it
/// is complained about when it is due.
fn concerned(queue: &Queue, ids: &[QueueId], domain: &str, hostname: &Domain, maxbytes: u64) -> Vec<QueueId> {
    let is_meant = |id: &&QueueId| {
        let Ok(Some((message, state))) = queue.look_at(**id, maxbytes) else { return false };
        let everyone = state.everyone(&message.envelope);
        let mut all = state.pending(&message.envelope).filter_map(|number| everyone.get(number));
        all.any(|one| {
            let is_in = |address: &Address| {
                address.domain().unwrap_or(hostname).to_string().eq_ignore_ascii_case(domain)
            };
            is_in(one.address()) || is_in(&one.original.address)
        })
    };
    ids.iter().filter(is_meant).copied().collect()
}
