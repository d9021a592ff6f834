//! Which lines of a log belong to a message: pure, and told one line after the other.
//!
//! A line belongs to it that has its id, or that of a notification about it; and the beginning and the end of the
//! session that brought it, which are told by the number of their process. Only what stands before the first quote
//! is looked at: the words of others stand in quotes.
#![deny(clippy::disallowed_methods)]

use std::collections::{HashMap, HashSet};

use crate::log::parse;

/// What is known of a message so far.
#[derive(Debug)]
pub struct Follower {
    ids: HashSet<String>,
    /// Sessions that have begun: how, and whether they have brought what is looked for.
    sessions: HashMap<String, Session>,
}

#[derive(Debug)]
struct Session {
    /// Its first line, until it is shown.
    connect: Option<String>,
}

impl Follower {
    /// Follows this message.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self { ids: HashSet::from([id.to_owned()]), sessions: HashMap::new() }
    }

    /// The lines that are known to belong to it with this one, in their order.
    pub fn lines(&mut self, line: &str) -> Vec<String> {
        let Some((process, text)) = parse(line) else { return Vec::new() };
        let from_smap = process.starts_with("smap[");
        let words: Vec<&str> = text.split('"').next().unwrap_or_default().split_whitespace().collect();
        let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key));
        match words.first() {
            Some(&"connect") if from_smap => {
                self.sessions.insert(process.to_owned(), Session { connect: Some(line.to_owned()) });
            }
            Some(&"exiting") if from_smap => {
                let session = self.sessions.remove(process);
                let is_its = session.is_some_and(|session| session.connect.is_none());
                return if is_its { vec![line.to_owned()] } else { Vec::new() };
            }
            _ => {}
        }
        let notification = value("notification=");
        let is_its = |id: Option<&str>| id.is_some_and(|id| self.ids.contains(id));
        if !is_its(value("id=")) && !is_its(notification) {
            return Vec::new();
        }
        if is_its(value("id=")) {
            self.ids.extend(notification.map(str::to_owned));
        }
        let session = self.sessions.get_mut(process).filter(|_| from_smap);
        let connect = session.and_then(|session| session.connect.take());
        match connect {
            Some(connect) if connect != line => vec![connect, line.to_owned()],
            Some(_) | None => vec![line.to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(id: &str, log: &[&str]) -> Vec<String> {
        let mut follower = Follower::new(id);
        log.iter().flat_map(|line| follower.lines(line)).collect()
    }

    #[test]
    fn a_session_is_followed_by_its_process_from_its_beginning_to_its_end() {
        let log = [
            "h smap[1]: connect host=unknown/192.0.2.1 id=S1",
            "h smap[2]: connect host=unknown/192.0.2.2 id=S2",
            "h smap[1]: id=B host=unknown/192.0.2.1 bytes=5",
            "h smap[1]: id=A host=unknown/192.0.2.1 bytes=5",
            "h smap[2]: exiting host=unknown/192.0.2.2",
            "h smap[1]: exiting host=unknown/192.0.2.1",
            "h smap[1]: connect host=unknown/192.0.2.3 id=S3",
            "h smap[1]: exiting host=unknown/192.0.2.3",
        ];
        assert_eq!(follow("A", &log), [log[0], log[3], log[5]]);
    }

    #[test]
    fn notifications_about_it_are_followed_and_it_is_if_it_is_one() {
        let log = [
            "smapd[7]: id=A to=<b@c> status=failed",
            "smapd[7]: id=A notification=N to=<a@b>",
            "smapd[7]: id=A removed",
            "smapd[7]: id=X removed",
            "smapd[7]: id=N to=<a@b> status=sent",
        ];
        assert_eq!(follow("A", &log), [log[0], log[1], log[2], log[4]]);
        assert_eq!(follow("N", &log), [log[1], log[4]]);
    }

    #[test]
    fn orders_are_followed_and_the_words_of_others_are_not() {
        let log = [
            "smapd[7]: order=hold id=A by=0",
            "smapd[7]: id=X to=<b@c> status=failed reply=\"550 id=A \"",
            "sshd[7]: id=A",
            "no line of ours",
        ];
        assert_eq!(follow("A", &log), [log[0]]);
    }

    #[test]
    fn the_session_itself_can_be_followed() {
        let log = ["smap[1]: connect host=x id=S", "smap[1]: refused host=x id=S", "smap[1]: exiting host=x"];
        assert_eq!(follow("S", &log), log);
    }
}
