//! The invariants: what the client was told, compared with what the other side has got.

use std::collections::BTreeMap;

use super::copies::{Copy, Judged, Notice};
use super::letters::{Letter, Said};
use super::world::{Ground, World};

/// What is known of one run.
#[derive(Debug, Default)]
pub struct Account {
    /// What was sent, and what the client read.
    pub letters: Vec<(Letter, Said)>,
    /// How many copies a recipient may get: one more for each crash between a delivery and its mark.
    allowed: BTreeMap<(String, String), usize>,
    /// What went wrong so far.
    disturbances: usize,
    /// A program was killed.
    killed: bool,
    /// The power went.
    power: bool,
    /// Files that came back with what was written over them.
    written_over: Vec<String>,
    /// A text may have become a message though its client never heard so: the crash came behind its last octet.
    pub may_be_taken_unheard: bool,
    /// How a reply begins by which a letter may be refused.
    pub refusal: &'static str,
}

impl Account {
    /// With these letters.
    #[must_use]
    pub fn new(letters: Vec<Letter>, said: Vec<Said>) -> Self {
        let told = said.into_iter().chain(std::iter::repeat(Said::Nothing));
        Self { letters: letters.into_iter().zip(told).collect(), refusal: "4", ..Self::default() }
    }

    /// Something went wrong: who has his copy, and is not yet known to have it, may get another. Where a program was
    /// killed in the middle of it, a mailbox may end in a beginning.
    pub fn disturbed(&mut self, world: &World, killed: bool) {
        self.disturbances += 1;
        self.killed |= killed;
        self.power |= world.ground() != Ground::Firm;
        self.written_over.extend(world.written_over());
        let (copies, _) = world.copies();
        for (letter, said) in &self.letters {
            let Said::Taken(id) = said else { continue };
            for (number, to) in letter.numbered() {
                let there = count(&copies, letter, to);
                let allowed = self.allowed.entry((letter.mark.clone(), to.clone())).or_insert(1);
                if there >= *allowed && world.is_due(id, number) {
                    *allowed = there + 1;
                }
            }
        }
    }

    /// Whether anybody of a list has his copy.
    #[must_use]
    pub fn has_begun_with_a_list(&self, world: &World) -> bool {
        let (copies, _) = world.copies();
        let lists = self.letters.iter().filter(|(letter, _)| letter.list.is_some());
        lists
            .flat_map(|(letter, _)| letter.to.iter().map(move |to| (letter, to)))
            .any(|(letter, to)| count(&copies, letter, to) > 0)
    }

    /// Nothing went wrong.
    #[must_use]
    pub fn is_undisturbed(&self) -> bool {
        self.disturbances == 0
    }

    /// Everything that is not as it must be, when all was delivered.
    #[must_use]
    pub fn violations(&self, world: &World) -> Vec<String> {
        let (copies, notices) = world.copies();
        let mut wrong = Vec::new();
        for (letter, said) in &self.letters {
            for to in &letter.to {
                let there = (count(&copies, letter, to), told(&notices, &letter.mark, to));
                if let Some(what) = self.judge(letter, said, to, there) {
                    wrong.push(format!(
                        "{what}: {} to {to}: {said:?}, {} copies, {} notifications",
                        letter.mark, there.0, there.1
                    ));
                }
            }
        }
        wrong.extend(copies.iter().filter_map(|copy| self.torn(copy)));
        wrong.extend(
            notices
                .iter()
                .filter(|notice| !notice.whole)
                .map(|notice| format!("I2 torn notification: {notice:?}")),
        );
        wrong.extend(self.written_over.iter().map(|name| format!("I9 {name} is back with another's text")));
        let set_aside = world.names(&["bad"]);
        if !set_aside.is_empty() && !self.letters.iter().any(|(letter, _)| letter.from.is_empty()) {
            wrong.push(format!("I6 set aside: {set_aside:?} {:?}", world.reasons()));
        }
        wrong
    }

    fn judge(
        &self,
        letter: &Letter,
        said: &Said,
        to: &str,
        (copies, notices): (usize, usize),
    ) -> Option<&'static str> {
        let allowed = self.allowed.get(&(letter.mark.clone(), to.to_owned())).copied().unwrap_or(1);
        match said {
            Said::Refused(reply) if !reply.starts_with(self.refusal) => {
                Some("a good letter was refused by a wrong reply")
            }
            Said::Refused(_) if copies + notices > 0 => Some("I4 refused and delivered"),
            Said::Refused(_) => None,
            Said::Nothing if copies + notices > 1 => Some("I3 more than once"),
            Said::Nothing if copies + notices == 1 && !self.may_be_taken_unheard => {
                Some("I4 never taken and delivered")
            }
            Said::Nothing => None,
            Said::Taken(_) if Letter::fails(to) => match (copies, notices) {
                (0, 0) if letter.from.is_empty() => None,
                (0, 1..) if !letter.from.is_empty() && notices <= self.most_notices() => None,
                _ => Some("I7 notification"),
            },
            Said::Taken(_) if copies == 0 => Some("I1 LOST"),
            Said::Taken(_) if notices > 0 => Some("I7 delivered and told of"),
            Said::Taken(_) if copies > allowed => Some("I3 more than once"),
            Said::Taken(_) => None,
        }
    }

    /// A crash may come between the storing of a notification and the mark of its failure, so that there will be
    /// another, and, from the second one on, also between the delivery of an earlier one and its removal. A power cut
    /// brings back, of what was removed within a second, the message and every notification at once.
    fn most_notices(&self) -> usize {
        let crashes = self.disturbances;
        if self.power { (crashes + 1) * (crashes + 2) / 2 } else { (2 * crashes).max(1) }
    }

    fn torn(&self, copy: &Copy) -> Option<String> {
        let crashed = self.killed;
        if crashed && copy.is_fragment() {
            return None;
        }
        let Some(mark) = copy.mark() else {
            return Some(format!(
                "I2 a copy of nothing that was sent, to {}: {} octets",
                copy.to,
                copy.text.len()
            ));
        };
        let Some((letter, _)) = self.letters.iter().find(|(letter, _)| letter.mark == mark) else {
            return Some(format!("I2 a letter of another run: {mark}"));
        };
        // Of a list that has begun nobody else gets it, whoever stands there by now.
        if letter.list.is_some() && !letter.to.contains(&copy.to) {
            return Some(format!("I3 a list that had begun was made anew: {mark} to {}", copy.to));
        }
        match copy.judge(letter) {
            Judged::Whole => None,
            Judged::Beginning if crashed => None,
            Judged::Beginning => Some(format!("I2 torn: {mark} to {}: only its beginning", copy.to)),
            Judged::Torn(what) => Some(format!("I2 torn: {mark} to {}: {what}", copy.to)),
        }
    }
}

/// Only a whole one is a copy.
fn count(copies: &[Copy], letter: &Letter, to: &str) -> usize {
    let ours = copies.iter().filter(|copy| copy.to == to && copy.mark().as_ref() == Some(&letter.mark));
    ours.filter(|copy| copy.judge(letter) == Judged::Whole).count()
}

fn told(notices: &[Notice], mark: &str, to: &str) -> usize {
    let ours = notices.iter().filter(|notice| notice.mark.as_deref() == Some(mark));
    ours.filter(|notice| notice.about.iter().any(|about| about == to)).count()
}
