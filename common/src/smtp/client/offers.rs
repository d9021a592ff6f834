#![deny(clippy::disallowed_methods)]
//! What a server offers, and what is said to it accordingly (RFC 5321 section 4.1.1.1).

use super::{Transaction, Verdict};
use crate::smtp::command::Recipient;
use crate::smtp::dsn::Notify;
use crate::smtp::reply::Reply;
use crate::status::Status;

/// Extensions that the server announced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offers {
    /// RFC 2920
    pub pipelining: bool,
    /// RFC 1870, with the longest message that it takes; 0 where it does not say.
    pub size: Option<u64>,
    /// RFC 6152
    pub eight_bit: bool,
    /// RFC 6531
    pub smtputf8: bool,
    /// RFC 3461
    pub dsn: bool,
    /// RFC 3207
    pub starttls: bool,
}

impl Offers {
    pub(super) fn of(reply: &Reply) -> Self {
        let offered = |keyword: &str| {
            reply.lines.iter().skip(1).find_map(|line| {
                let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
                word.eq_ignore_ascii_case(keyword).then_some(rest)
            })
        };
        Self {
            pipelining: offered("PIPELINING").is_some(),
            size: offered("SIZE").map(|limit| limit.trim().parse().unwrap_or(0)),
            eight_bit: offered("8BITMIME").is_some(),
            smtputf8: offered("SMTPUTF8").is_some(),
            dsn: offered("DSN").is_some(),
            starttls: offered("STARTTLS").is_some(),
        }
    }

    /// Whether it takes texts with octets above 127: RFC 6531 section 3.1 has who offers SMTPUTF8 take them too.
    #[must_use]
    pub fn takes_eight_bit(&self) -> bool {
        self.eight_bit || self.smtputf8
    }

    /// Why this message cannot go to this server at all.
    pub(super) fn refusal(&self, transaction: &Transaction) -> Option<Verdict> {
        // RFC 1870 section 6.1 (9): it would be refused, and the text of a server without PIPELINING sent in vain.
        if let Some(limit) = self.size.filter(|limit| (1..transaction.octets).contains(limit)) {
            let reply = format!("the message has {} octets, the next host takes {limit}", transaction.octets);
            return Some(Verdict::ours(Status::permanent(3, 4), reply));
        }
        (!self.smtputf8 && !transaction.mail.sender.is_ascii()).then(needs_smtputf8)
    }

    /// Why this recipient cannot be told to this server (RFC 6531 section 3.2).
    pub(super) fn refusal_of(&self, recipient: &Recipient) -> Option<Verdict> {
        (!self.smtputf8 && !recipient.address.is_ascii()).then(needs_smtputf8)
    }

    /// MAIL with the parameters that this server knows.
    pub(super) fn mail_line(&self, transaction: &Transaction) -> String {
        let mut mail = transaction.mail.clone();
        mail.parameters.size = self.size.map(|_| transaction.octets);
        mail.parameters.body = mail.parameters.body.filter(|_| self.eight_bit);
        mail.parameters.smtputf8 = self.smtputf8 && (mail.parameters.smtputf8 || !transaction.is_ascii());
        if !self.dsn {
            (mail.parameters.ret, mail.parameters.envid) = (None, None);
        }
        format!("MAIL FROM:{mail}")
    }

    /// RCPT with the parameters that this server knows.
    pub(super) fn rcpt_line(&self, recipient: &Recipient) -> String {
        let mut recipient = recipient.clone();
        if !self.dsn {
            (recipient.notify, recipient.original) = (Notify::Unsaid, None);
        }
        format!("RCPT TO:{recipient}")
    }
}

/// RFC 6531 section 3.2 and RFC 6533: an internationalized address goes only to a server that takes it.
fn needs_smtputf8() -> Verdict {
    let reply = "the next host does not take internationalized addresses (SMTPUTF8)".to_owned();
    Verdict::ours(Status::permanent(6, 7), reply)
}
