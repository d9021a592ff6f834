//! The parameters of a main.cf that mean one thing each.
#![deny(clippy::disallowed_methods)]

use super::super::meaning::Meaning::{self, File, Left, Limit, Silent, Time};
use super::super::meaning::{DAY, HOUR};

const OWN: &str = "this is about Postfix's own programs, files and users";
const LOCAL: &str = "it is about delivery to users of this machine: give their domains a domain line with lmtp:, \
                     maildir:, mbox: or pipe:";
const TLS_IN: &str = "smap does not offer STARTTLS to clients yet";
const AUTH: &str = "smap does not offer AUTH yet";
const RESTRICTIONS: &str = "who may connect says deny-hosts, who may relay permit-relay, and smap accepts mail for no \
                            other domains than those of domain lines; DNS lists and policy servers are not asked yet";
const FILTER: &str = "smap does not speak to filters yet";
const REWRITING: &str = "addresses are not rewritten by tables";
const PEOPLE: &str =
    "smap does not know the recipients behind this gateway: the host of the domain line refuses them";
const RETRY: &str = "retry is made of it, with the other times of the queue";
const TLS_OUT: &str = "domain lines and relay-host take tls=require or tls=verify, one by one";

/// `NAME = VALUE`
const PARAMETERS: &[(&str, Meaning)] = &[
    ("message_size_limit", Limit("maxbytes")),
    ("smtpd_recipient_limit", Limit("maxrecip")),
    ("smtpd_hard_error_limit", Limit("maxerrors")),
    ("smtpd_client_connection_count_limit", Limit("max-sessions-per-host")),
    ("smtp_destination_concurrency_limit", Limit("max-connections-per-destination")),
    ("maximal_queue_lifetime", Time("expire", DAY)),
    ("delay_warning_time", Time("warn", HOUR)),
    ("smtpd_timeout", Time("timeout", 1)),
    ("smtp_tls_CAfile", File("cacert")),
    (
        "smtp_tls_CApath",
        Left("cacert names one file; without it, the authorities of the system are believed"),
    ),
    ("smtpd_banner", Left("the greeting names our host and nothing else")),
    ("local_recipient_maps", Left(PEOPLE)),
    ("relay_recipient_maps", Left(PEOPLE)),
    ("smtpd_reject_unlisted_recipient", Left(PEOPLE)),
    ("bounce_queue_lifetime", Left("notifications are given up as all mail is: expire")),
    ("queue_run_delay", Left(RETRY)),
    ("minimal_backoff_time", Left(RETRY)),
    ("maximal_backoff_time", Left(RETRY)),
    ("smtp_tls_policy_maps", Left(TLS_OUT)),
    ("smtp_use_tls", Left(TLS_OUT)),
    ("smtp_enforce_tls", Left(TLS_OUT)),
    ("smtp_fallback_relay", Left("relay-host takes several hosts with commas between them, tried in order")),
    ("fallback_relay", Left("relay-host takes several hosts with commas between them, tried in order")),
    (
        "notify_classes",
        Left("badadmin is told of mail that can be neither delivered nor sent back, and of nothing else"),
    ),
    ("disable_vrfy_command", Left("not needed: VRFY and EXPN tell nothing")),
    ("smtpd_helo_required", Left("not needed: EHLO or HELO must come first")),
    ("strict_rfc821_envelopes", Left("not needed: addresses are read strictly")),
    ("canonical_maps", Left(REWRITING)),
    ("sender_canonical_maps", Left(REWRITING)),
    ("recipient_canonical_maps", Left(REWRITING)),
    ("smtp_generic_maps", Left(REWRITING)),
    (
        "masquerade_domains",
        Left("masquerade-as makes all names of masquerade-domain one; here each name loses its first parts"),
    ),
    ("masquerade_exceptions", Left("exposed-user is its like: see masquerade_domains")),
    ("relocated_maps", Left("error:5.1.6:551 TEXT in a domain line or mailertable tells where a user went")),
    ("content_filter", Left(FILTER)),
    ("smtpd_milters", Left(FILTER)),
    ("non_smtpd_milters", Left(FILTER)),
    ("header_checks", Left(FILTER)),
    ("body_checks", Left(FILTER)),
    ("mailbox_size_limit", Left(LOCAL)),
    ("mailbox_command", Left(LOCAL)),
    ("home_mailbox", Left(LOCAL)),
    ("mail_spool_directory", Left(LOCAL)),
    ("recipient_delimiter", Left(LOCAL)),
    ("alias_database", Left("there is nothing to compile: the file of aliases is read itself")),
    ("smtp_bind_address", Left("the address that smapd connects from cannot be chosen")),
    ("proxy_interfaces", Left("our-address names addresses that lead to us, beside those of this machine")),
    // They are asked for where they are needed.
    ("mydomain", Silent),
    ("relay_transport", Silent),
    ("virtual_transport", Silent),
    ("inet_protocols", Silent),
    ("mail_name", Silent),
    ("config_directory", Silent),
    ("queue_directory", Silent),
    ("compatibility_level", Silent),
    ("append_dot_mydomain", Silent),
    ("biff", Silent),
];

/// By how a name begins or ends, where many are alike.
const BEGINNINGS: &[(&str, Meaning)] = &[
    ("smtpd_tls_", Left(TLS_IN)),
    ("smtpd_use_tls", Left(TLS_IN)),
    ("tlsproxy_", Left(TLS_IN)),
    ("smtpd_sasl_", Left(AUTH)),
    ("smtp_sasl_", Left("smapd does not authenticate with next hosts yet")),
    ("milter_", Left(FILTER)),
    ("postscreen_", Left(RESTRICTIONS)),
];
const ENDINGS: &[(&str, Meaning)] = &[
    ("_restrictions", Left(RESTRICTIONS)),
    ("_directory", Left(OWN)),
    ("_path", Left(OWN)),
    ("_user", Left(OWN)),
    ("_owner", Left(OWN)),
    ("_group", Left(OWN)),
    ("_privs", Left(OWN)),
    ("_service_name", Left(OWN)),
    ("_command", Left(OWN)),
    ("_code", Left("the codes of replies cannot be chosen")),
];

/// What a parameter means on its own.
pub(super) fn meaning(name: &str) -> Option<Meaning> {
    let by = |table: &[(&str, Meaning)], is: &dyn Fn(&str) -> bool| {
        table.iter().find(|(known, _)| is(known)).map(|(_, meaning)| *meaning)
    };
    by(PARAMETERS, &|known| known == name)
        .or_else(|| by(BEGINNINGS, &|known| name.starts_with(known)))
        .or_else(|| by(ENDINGS, &|known| name.ends_with(known)))
}
