//! The lines of what another host, or we, said of a recipient.

use super::Event;
use super::escape::{Escaped, Quoted};

impl Event<'_> {
    /// The line of a delivery or a call-out.
    pub(super) fn outcome(&self) -> String {
        match self {
            Self::Delivery { id, to, original, transport, rule, relay, tls, delay, status, dsn, reply } => {
                let original = original.map_or_else(String::new, |one| format!(" orig=<{}>", Escaped(one)));
                let rule = if rule.is_empty() { String::new() } else { format!(" rule={}", Escaped(rule)) };
                let tls = tls.map_or_else(String::new, |tls| format!(" {tls}"));
                format!(
                    "id={id} to={}{original} transport={transport}{rule}{}{tls} delay={:.3} dsn={dsn} status={status} reply={}",
                    Escaped(to),
                    by(relay),
                    delay.as_secs_f64(),
                    Quoted(reply)
                )
            }
            Self::CallOut { to, relay, status, reply } => {
                format!("callout to=<{}>{} status={status} reply={}", Escaped(to), by(relay), Quoted(reply))
            }
            _ => String::new(),
        }
    }
}

/// Whom it was given to, if anybody.
fn by(relay: &str) -> String {
    if relay.is_empty() { String::new() } else { format!(" relay={}", Escaped(relay)) }
}
