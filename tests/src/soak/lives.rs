//! What a smapd that has ended had written down, as its log says.
//!
//! A crash excuses a second copy only where it came between what became of a recipient and the mark of it. The log
//! has a line for each outcome right before its mark, so that whatever else was logged behind that line proves the
//! mark. Of a failure the mark comes behind the notification: the next line about the message proves it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::letter::whose;

/// How much later than smapd ended a copy may be seen that it had sent: the other side reads what was on its way, a
/// program that has lost its parent goes on to its end.
const SEEN_LATE: Duration = Duration::from_secs(20);

/// A message, or one recipient of it, as the book calls it.
pub(super) fn key_of(address: &str) -> Option<String> {
    whose(address).map(|(number, which)| format!("{number}-{which}"))
}

/// One run of smapd that is over.
#[derive(Debug)]
pub(super) struct Life {
    ended: Instant,
    marks: Marks,
}

impl Life {
    /// It has ended just now, with this log.
    pub(super) fn over(log: &[String]) -> Self {
        Self { ended: Instant::now(), marks: Marks::read(log) }
    }

    /// Whether it may have delivered this without a mark, so that it is delivered again: the first copy was seen then.
    pub(super) fn may_have_sent(&self, key: &str, first: Instant) -> bool {
        self.ended + SEEN_LATE >= first && !self.marks.sent.contains(key)
    }

    /// Whether it may have stored a notification of this failure without a mark, so that there is another.
    pub(super) fn may_have_told(&self, key: &str) -> bool {
        self.marks.untold.contains(key)
    }
}

#[derive(Debug, Default)]
struct Marks {
    /// Recipients, and the ids of notifications, that were delivered to, and are known to be marked.
    sent: HashSet<String>,
    /// Recipients who failed, and are not known to be marked.
    untold: HashSet<String>,
}

impl Marks {
    fn read(log: &[String]) -> Self {
        let mut reader = Reader::default();
        let texts = log.iter().filter_map(|line| Some(line.split_once("]: ")?.1));
        texts.for_each(|text| reader.line(text));
        reader.marks
    }
}

#[derive(Default)]
struct Reader<'a> {
    marks: Marks,
    /// The message that was last spoken of, and who of it was just delivered to.
    last: &'a str,
    just_sent: Vec<String>,
    /// By message: who has failed and nobody was told of; of whom somebody was told.
    failed: HashMap<&'a str, Vec<String>>,
    told: HashMap<&'a str, Vec<String>>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, text: &'a str) {
        if let Some(trouble) = text.strip_prefix("error: id=") {
            return self.trouble(trouble.split(' ').next().unwrap_or_default());
        }
        let Some((id, what)) = text.strip_prefix("id=").and_then(|rest| rest.split_once(' ')) else { return };
        if id != self.last || what == "removed" {
            self.marks.sent.extend(self.just_sent.drain(..));
            self.last = id;
        }
        if what.starts_with("notification=") {
            let failed = self.failed.remove(id).unwrap_or_default();
            self.told.entry(id).or_default().extend(failed);
            return;
        }
        let told = self.told.remove(id).unwrap_or_default();
        self.marks.untold.retain(|key| !told.contains(key));
        let to = what.split(' ').find_map(|word| word.strip_prefix("to="));
        let key = to.map(|to| key_of(to).unwrap_or_else(|| id.to_owned()));
        match key {
            Some(key) if what.contains(" status=sent ") => self.just_sent.push(key),
            Some(key) if what.contains(" status=failed ") => {
                self.marks.untold.insert(key.clone());
                self.failed.entry(id).or_default().push(key);
            }
            _ => {}
        }
    }

    /// A mark may be missing.
    fn trouble(&mut self, id: &str) {
        self.told.remove(id);
        if self.last == id {
            self.just_sent.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(texts: &[&str]) -> Marks {
        let lines: Vec<String> = texts.iter().map(|text| format!("smapd[1]: {text}")).collect();
        Marks::read(&lines)
    }

    #[test]
    fn whoever_was_delivered_to_is_known_to_be_marked_when_another_message_is_spoken_of() {
        let sent = "id=A to=<r1-0@lmtp.example> transport=lmtp status=sent reply=\"250\"";
        assert!(marks(&[sent]).sent.is_empty());
        assert!(marks(&[sent, "error: id=A cannot be marked: no space", "id=B removed"]).sent.is_empty());
        assert!(marks(&[sent, "id=B removed"]).sent.contains("1-0"));
        assert!(marks(&[sent, "id=A removed"]).sent.contains("1-0"));
    }

    #[test]
    fn a_notification_is_known_by_its_id() {
        let sent = "id=N to=<s1@sender.example> transport=smtp status=sent reply=\"250\"";
        assert!(marks(&[sent, "id=N removed"]).sent.contains("N"));
    }

    #[test]
    fn a_failure_is_known_to_be_marked_behind_its_notification() {
        let failed = "id=A to=<bad-r1-2@named.example> transport=smtp status=failed reply=\"550\"";
        let told = "id=A notification=N to=<s1@sender.example>";
        assert!(marks(&[failed]).untold.contains("1-2"));
        assert!(marks(&[failed, "id=A removed"]).untold.contains("1-2"));
        assert!(marks(&[failed, told, told, "id=B removed"]).untold.contains("1-2"));
        assert!(
            marks(&[failed, told, "error: id=A it cannot be kept", "id=A removed"]).untold.contains("1-2")
        );
        assert!(marks(&[failed, told, "id=A removed"]).untold.is_empty());
    }
}
