#![deny(clippy::disallowed_methods)]
//! A queue in which nobody waits behind all that somebody else has brought.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use smap_common::smtp::command::Mail;

/// Things of several owners, who take turns; those of one owner stay in their order.
#[derive(Debug)]
pub struct Turns<K, T> {
    /// Whoever has something, the next one first.
    order: VecDeque<K>,
    things: HashMap<K, VecDeque<T>>,
    length: usize,
}

impl<K, T> Default for Turns<K, T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), things: HashMap::new(), length: 0 }
    }
}

impl<K: Clone + Eq + Hash, T> Turns<K, T> {
    /// Behind what its owner has brought already.
    pub fn push(&mut self, owner: K, thing: T) {
        self.things_of(owner).push_back(thing);
        self.length += 1;
    }

    /// What has waited before is next.
    pub fn push_again(&mut self, owner: K, thing: T) {
        self.order.retain(|one| *one != owner);
        self.order.push_front(owner.clone());
        self.things.entry(owner).or_default().push_front(thing);
        self.length += 1;
    }

    /// The next one; its owner comes last then.
    pub fn pop(&mut self) -> Option<T> {
        let owner = self.order.pop_front()?;
        let things = self.things.get_mut(&owner)?;
        let thing = things.pop_front()?;
        self.length -= 1;
        if things.is_empty() {
            self.things.remove(&owner);
        } else {
            self.order.push_back(owner);
        }
        Some(thing)
    }

    /// How many things wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many things of this owner wait.
    #[must_use]
    pub fn len_of(&self, owner: &K) -> usize {
        self.things.get(owner).map_or(0, VecDeque::len)
    }

    fn things_of(&mut self, owner: K) -> &mut VecDeque<T> {
        if !self.things.contains_key(&owner) {
            self.order.push_back(owner.clone());
        }
        self.things.entry(owner).or_default()
    }
}

/// Whose mail it is, as far as turns are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sender(String);

impl Sender {
    /// The sender of an envelope. A list has an address of its own for each recipient, which differs only behind a
    /// sign of separation (as in `list-bounces+bob=example.org@lists.example`): that is one sender.
    #[must_use]
    pub fn of(mail: &Mail) -> Self {
        let Some(address) = mail.sender.address() else { return Self(String::new()) };
        let local = address.local_part();
        let end = local.find(['+', '-', '=']).filter(|at| *at > 0).unwrap_or(local.len());
        let domain = address.domain().map(|domain| domain.to_string().to_ascii_lowercase());
        Self(format!("{}@{}", local.get(..end).unwrap_or(local), domain.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(turns: &mut Turns<&'static str, u32>) -> Vec<u32> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    fn three_of_a_and_one_of_b() -> Turns<&'static str, u32> {
        let mut turns = Turns::default();
        [1, 2, 3].into_iter().for_each(|number| turns.push("a", number));
        turns.push("b", 10);
        turns
    }

    #[test]
    fn owners_take_turns() {
        let mut turns = three_of_a_and_one_of_b();
        assert_eq!((turns.len(), turns.len_of(&"a"), turns.len_of(&"c")), (4, 3, 0));
        assert_eq!(drained(&mut turns), [1, 10, 2, 3]);
        assert!(turns.is_empty());
    }

    #[test]
    fn what_waited_before_is_next() {
        let mut turns = three_of_a_and_one_of_b();
        assert_eq!(turns.pop(), Some(1));
        turns.push_again("a", 1);
        turns.push_again("c", 20);
        assert_eq!(drained(&mut turns), [20, 1, 10, 2, 3]);
    }

    fn sender(path: &[u8]) -> Sender {
        Sender::of(&Mail::parse(path).unwrap())
    }

    #[test]
    fn a_list_is_one_sender() {
        assert_eq!(
            sender(b"<news-bounces+bob=example.org@lists.example>"),
            sender(b"<news-bounces+eve@LISTS.example>")
        );
        assert_ne!(sender(b"<bob@lists.example>"), sender(b"<eve@lists.example>"));
        assert_ne!(sender(b"<-a@lists.example>"), sender(b"<-b@lists.example>"));
        assert_eq!(sender(b"<>"), sender(b"<>"));
    }
}
