//! What an operator has ordered about one message: a record of its state, so that it holds over a restart.

use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;

/// What is to become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// It is kept, not tried, and does not expire.
    Hold,
    /// It is treated as any other again.
    Release,
    /// It is removed, and nobody is told.
    Delete,
    /// It is returned to its sender.
    Bounce,
}

impl Order {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Hold, "hold"),
        (Self::Release, "release"),
        (Self::Delete, "delete"),
        (Self::Bounce, "bounce"),
    ];

    /// The word in the state file and in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(order, _)| *order == self).map_or("", |(_, word)| word)
    }
}

/// An order, who gave it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// When.
    pub at: Timestamp,
    /// What.
    pub order: Order,
    /// The user who gave it.
    pub by: u32,
    /// What the sender is told; empty where that is left to us.
    pub text: String,
}

impl fmt::Display for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        write!(f, "{} {} by={} text={text}", self.at, self.order.as_str(), self.by)
    }
}

/// No order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadOrder;

impl FromStr for Ordered {
    type Err = BadOrder;

    fn from_str(text: &str) -> Result<Self, BadOrder> {
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().ok_or(BadOrder);
        let at = word()?.parse().map_err(|_| BadOrder)?;
        let order = word()?;
        let (order, _) = Order::ALL.into_iter().find(|(_, name)| *name == order).ok_or(BadOrder)?;
        let by = word()?.strip_prefix("by=").and_then(|by| by.parse().ok()).ok_or(BadOrder)?;
        let text = word()?.strip_prefix("text=").ok_or(BadOrder)?.to_owned();
        Ok(Self { at, order, by, text })
    }
}
