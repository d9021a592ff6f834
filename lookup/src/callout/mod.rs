//! Call-outs: whether the host that mail for a recipient goes to takes him.
//!
//! Decides when that host is asked, and what is answered while it cannot be. Trusts the table, and nobody who asks:
//! only recipients for whom it wants call-outs are asked for, only where their mail goes. Guarantees that nobody is
//! asked for twice at a time, that a host has [`EACH`] connections of ours at most and all have [`ALL`], that there is
//! an answer in [`PATIENCE`], and that only that host's own word makes a recipient unknown.

mod cache;
mod call;
mod hosts;
mod place;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netperm::callout::{self, Way};
use netperm::exchangers::Ourselves;
use netperm::site::Site;
use smap_common::address::{Address, Domain};
use smap_common::log::Event;
use smap_common::lookup::{Failure, Found, Outcome};
use smap_common::smtp::client::{Dialect, Probed, Trouble};
use smap_common::smtp::command::Recipient;
use smap_common::smtp::dsn::Notify;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use self::cache::{Cache, Known, Lifetimes};
use self::call::Call;
use self::hosts::Target;
use self::place::{Place, Slot};
use crate::dns::{Current, to_ascii};

/// How long a call-out may take, from the question to the answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long one may wait for its turn: what is left is enough for a host that answers slowly.
const QUEUE: Duration = Duration::from_secs(10);
/// How long what follows the answer may take.
const AFTERWARDS: Duration = Duration::from_secs(10);
/// Call-outs at a time.
const ALL: usize = 20;
/// Call-outs at a time to one destination.
const EACH: usize = 2;
/// Hosts of a destination that are tried.
const MAX_HOSTS: usize = 5;
/// Destinations that are remembered.
const MAX_PLACES: usize = 1000;

const _: () = assert!(EACH <= ALL && QUEUE.as_secs() < PATIENCE.as_secs());

/// All call-outs.
pub(crate) struct CallOuts {
    site: Site,
    ours: Ourselves,
    current: Arc<Current>,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    cache: Cache,
    under_way: HashMap<String, watch::Receiver<Option<Outcome<String>>>>,
    places: HashMap<String, Arc<Place>>,
}

/// What came of a call-out.
enum Told {
    Exists(String),
    Unknown,
    /// Nobody knows now, and why.
    Nothing(String),
}

/// A connection over which a recipient was asked for.
struct Line {
    call: Call,
    target: Target,
    place: Arc<Place>,
    _slot: Slot,
}

impl CallOuts {
    /// By this table, from this machine.
    pub(crate) fn new(site: Site, interfaces: &[std::net::IpAddr], current: Arc<Current>) -> Self {
        let name = site.hostname.to_string();
        let ours = Ourselves::of(&site, to_ascii(&name).unwrap_or(name), interfaces);
        let lifetimes = Lifetimes {
            positive: site.lookup.callout_positive,
            negative: site.lookup.callout_negative,
            stale: site.lookup.callout_stale,
        };
        let state = State { cache: Cache::new(lifetimes), under_way: HashMap::new(), places: HashMap::new() };
        Self { site, ours, current, slots: Arc::new(Semaphore::new(ALL)), state: Mutex::new(state) }
    }

    /// Whether a recipient exists; what was said of him.
    pub(crate) async fn ask(self: &Arc<Self>, recipient: &Address) -> Outcome<String> {
        let domain = recipient.domain().unwrap_or(&self.site.hostname);
        if callout::line(&self.site.smap.recipients, domain).is_none() {
            let why = format!("no recipients line wants recipients in {domain} to be asked for");
            return Err(Failure::Temporary(why));
        }
        let mut waiting = match self.begin(recipient) {
            Ok(waiting) => waiting,
            Err(known) => return known,
        };
        let told = waiting.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        let broken_off = || Err(Failure::Temporary("the call-out was broken off".to_owned()));
        told.ok().flatten().unwrap_or_else(broken_off)
    }

    /// The call-out for a recipient, or the answer that is known already.
    fn begin(
        self: &Arc<Self>,
        recipient: &Address,
    ) -> Result<watch::Receiver<Option<Outcome<String>>>, Outcome<String>> {
        let key = recipient.to_string();
        let mut state = self.state();
        match state.cache.look(&key, Instant::now()) {
            Known::Exists(said, left) => return Err(found(said, left)),
            Known::Unknown => return Err(Err(Failure::NoSuchName)),
            Known::Stale(_) | Known::Nothing => {}
        }
        if let Some(waiting) = state.under_way.get(&key) {
            return Ok(waiting.clone());
        }
        let (tell, waiting) = watch::channel(None);
        state.under_way.insert(key.clone(), waiting.clone());
        let (callouts, recipient) = (Arc::clone(self), recipient.clone());
        tokio::spawn(async move {
            let (told, line) = callouts.call_out(&recipient).await;
            let exists = matches!(told, Told::Exists(_));
            tell.send_replace(Some(callouts.settle(&key, told)));
            if let Some(line) = line {
                let domain = recipient.domain().filter(|_| exists);
                let _broken_off = timeout(AFTERWARDS, callouts.end(line, domain)).await;
            }
        });
        Ok(waiting)
    }

    /// Remembers what came of a call-out; the answer.
    fn settle(&self, key: &str, told: Told) -> Outcome<String> {
        let (mut state, now) = (self.state(), Instant::now());
        state.under_way.remove(key);
        match told {
            Told::Exists(said) => {
                state.cache.exists(key, said.clone(), now);
                found(said, self.site.lookup.callout_positive)
            }
            Told::Unknown => {
                state.cache.unknown(key, now);
                Err(Failure::NoSuchName)
            }
            Told::Nothing(why) => match state.cache.look(key, now) {
                Known::Exists(said, _) | Known::Stale(said) => found(said, Duration::ZERO),
                Known::Unknown | Known::Nothing => Err(Failure::Temporary(why)),
            },
        }
    }

    /// Asks for a recipient where his mail goes, one host after the other.
    async fn call_out(&self, recipient: &Address) -> (Told, Option<Line>) {
        let until = Instant::now() + PATIENCE;
        let way = match callout::way(&self.site.smapd, &self.site.hostname, recipient) {
            Ok(way) => way,
            Err(obstacle) => return (Told::Nothing(obstacle.to_string()), None),
        };
        let place = self.place(&way);
        let slot = match timeout(QUEUE, place.slot(&self.slots)).await {
            Ok(Ok(slot)) => slot,
            Ok(Err(trouble)) => return (Told::Nothing(trouble), None),
            Err(_) => return (Told::Nothing("too many call-outs are under way".to_owned()), None),
        };
        let dns = self.current.dns();
        let targets = timeout(left(until), hosts::targets(&dns, &self.ours, &way)).await;
        let mut trouble = match targets.unwrap_or_else(|_| Err(Trouble::TimedOut.to_string())) {
            Ok(targets) => {
                match self.call_one_of(targets, hosts::dialect(&way.transport), recipient, until).await {
                    Ok((told, call, target)) => {
                        let line = Line { call, target, place, _slot: slot };
                        return (told, Some(line));
                    }
                    Err(trouble) => trouble,
                }
            }
            Err(why) => {
                log(recipient, "", "failed", &why);
                why
            }
        };
        trouble.truncate(trouble.floor_char_boundary(200));
        place.goes_down(&trouble);
        (Told::Nothing(trouble), None)
    }

    /// Asks the first of them that can be asked.
    async fn call_one_of(
        &self,
        targets: Vec<Target>,
        dialect: Dialect,
        recipient: &Address,
        until: Instant,
    ) -> Result<(Told, Call, Target), String> {
        let mut last = String::new();
        let count = targets.len().min(MAX_HOSTS);
        for (target, those_left) in targets.into_iter().zip((1..=count).rev()) {
            // One that does not answer leaves time for the others.
            let patience = left(until) / u32::try_from(those_left).unwrap_or(u32::MAX);
            let asked = timeout(patience, self.call(&target, dialect, recipient)).await;
            match asked.unwrap_or_else(|_| Err(Trouble::TimedOut.to_string())) {
                Ok((told, call)) => return Ok((told, call, target)),
                Err(why) => {
                    log(recipient, &target.to_string(), "failed", &why);
                    last = why;
                }
            }
        }
        Err(last)
    }

    /// Asks one host; an error says why it cannot be asked.
    async fn call(
        &self,
        target: &Target,
        dialect: Dialect,
        recipient: &Address,
    ) -> Result<(Told, Call), String> {
        let call = Call::open(target, dialect, &self.ours.name).await;
        let mut call = call.map_err(|error| error.to_string())?;
        let relay = target.to_string();
        let told = match call.ask(bare(recipient)).await {
            Probed::Taken(reply) => {
                log(recipient, &relay, "exists", &reply.to_string());
                let mut said = reply.to_string();
                said.truncate(said.floor_char_boundary(200));
                Told::Exists(said)
            }
            Probed::Unknown(reply) => {
                log(recipient, &relay, "unknown", &reply.to_string());
                Told::Unknown
            }
            Probed::Untold { why, elsewhere: true } => return Err(why),
            Probed::Untold { why, elsewhere: false } => {
                log(recipient, &relay, "failed", &why);
                Told::Nothing(why)
            }
        };
        Ok((told, call))
    }

    /// Says goodbye; before that, where somebody in `domain` was taken, sees whether anybody would have been.
    async fn end(&self, mut line: Line, domain: Option<&Domain>) {
        let period = self.site.lookup.callout_positive;
        if let Some(domain) = domain.filter(|domain| line.place.is_to_be_tried(domain, period))
            && let Ok(nobody) = Address::new(&nobody(), domain.clone())
        {
            let relay = line.target.to_string();
            match line.call.ask(bare(&nobody)).await {
                Probed::Taken(reply) => {
                    log(&nobody, &relay, "exists", &reply.to_string());
                    let text = format_args!(
                        "{relay} accepts every recipient in {domain}: a call-out tells nothing of them"
                    );
                    Event::Warning { text: &text }.log();
                }
                Probed::Unknown(reply) => log(&nobody, &relay, "unknown", &reply.to_string()),
                Probed::Untold { why, .. } => {
                    log(&nobody, &relay, "failed", &why);
                    line.place.was_not_tried(domain);
                }
            }
        }
        line.call.quit().await;
    }

    fn place(&self, way: &Way<'_>) -> Arc<Place> {
        let key = format!("{} {}", way.domain, way.transport);
        let key = if way.is_by_domain() { key } else { way.transport.to_string() };
        let mut state = self.state();
        if state.places.len() >= MAX_PLACES {
            // Those that nobody is at.
            state.places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        Arc::clone(state.places.entry(key).or_insert_with(|| Arc::new(Place::new(EACH))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn found(said: String, left: Duration) -> Outcome<String> {
    let ttl = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
    Ok(Found { records: vec![said], secure: false, ttl })
}

/// Without parameters.
fn bare(address: &Address) -> Recipient {
    Recipient { address: address.clone(), notify: Notify::Unsaid, original: None }
}

/// A user whom nobody has.
fn nobody() -> String {
    format!("no-such-user-{:016x}", RandomState::new().hash_one(()))
}

fn log(to: &Address, relay: &str, status: &str, reply: &str) {
    Event::CallOut { to, relay, status, reply }.log();
}
