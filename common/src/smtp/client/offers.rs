#![deny(clippy::disallowed_methods)]
//! What a server offers, and what is said to it accordingly (RFC 5321 section 4.1.1.1).

use super::Transaction;
use crate::smtp::command::Recipient;
use crate::smtp::dsn::Notify;
use crate::smtp::reply::Reply;

/// Extensions that the server announced.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Offers {
    pub(super) pipelining: bool,
    pub(super) size: bool,
    pub(super) eight_bit: bool,
    pub(super) smtputf8: bool,
    pub(super) dsn: bool,
}

impl Offers {
    pub(super) fn of(reply: &Reply) -> Self {
        let offered = |keyword: &str| {
            let word =
                |line: &String| line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(keyword));
            reply.lines.iter().skip(1).any(word)
        };
        Self {
            pipelining: offered("PIPELINING"),
            size: offered("SIZE"),
            eight_bit: offered("8BITMIME"),
            smtputf8: offered("SMTPUTF8"),
            dsn: offered("DSN"),
        }
    }

    /// MAIL with the parameters that this server knows.
    pub(super) fn mail_line(&self, transaction: &Transaction) -> String {
        let mut mail = transaction.mail.clone();
        mail.parameters.size = self.size.then_some(transaction.octets);
        mail.parameters.body = mail.parameters.body.filter(|_| self.eight_bit);
        mail.parameters.smtputf8 &= self.smtputf8;
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
