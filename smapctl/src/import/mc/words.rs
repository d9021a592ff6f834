//! The words of a sendmail.mc that mean one thing each.
#![deny(clippy::disallowed_methods)]

use super::super::meaning::Meaning::{self, File, Left, Limit, Silent, Time, Word};
use super::super::meaning::{DAY, HOUR};

const LOCAL: &str = "it is about delivery to users of this machine: give their domains a domain line with lmtp:, \
                     maildir:, mbox: or pipe:";
const TLS_IN: &str = "smap does not offer STARTTLS to clients yet";
const AUTH: &str = "smap does not offer AUTH yet";
const LOAD: &str = "smap and smapd do not look at the load: max-sessions and maxchildren limit what runs";
const PACE: &str = "there is no limit of new connections in a time: see max-sessions-per-host";
const OTHER_NETWORKS: &str = "there is no mail but SMTP's here";
const MILTER: &str = "smap does not speak to filters yet";
const DNS_LISTS: &str = "smap does not ask DNS lists yet: deny-hosts turns clients away by address or name";
const TABLE: &str = "there is no such table here";
const FORGED: &str =
    "whoever says an inside sender may relay then, and everyone can say that: permit-relay names hosts";

/// `define(`NAME', ...)`
pub(super) const OPTIONS: &[(&str, Meaning)] = &[
    ("confDOMAIN_NAME", Word("hostname")),
    ("confMAX_MESSAGE_SIZE", Limit("maxbytes")),
    ("confMAX_RCPTS_PER_MESSAGE", Limit("maxrecip")),
    ("confMAX_DAEMON_CHILDREN", Limit("max-sessions")),
    ("confTO_QUEUERETURN", Time("expire", DAY)),
    ("confTO_QUEUEWARN", Time("warn", HOUR)),
    ("confTO_COMMAND", Time("timeout", 60)),
    ("confDOUBLE_BOUNCE_ADDRESS", Word("badadmin")),
    ("confCACERT", File("cacert")),
    ("ALIAS_FILE", File("aliases")),
    (
        "confCACERT_PATH",
        Left("cacert names one file; without it, the authorities of the system are believed"),
    ),
    ("confSERVER_CERT", Left(TLS_IN)),
    ("confSERVER_KEY", Left(TLS_IN)),
    ("confAUTH_MECHANISMS", Left(AUTH)),
    ("confAUTH_OPTIONS", Left(AUTH)),
    ("confSMTP_LOGIN_MSG", Left("the greeting names our host and nothing else")),
    ("confPRIVACY_FLAGS", Left("not needed: VRFY and EXPN tell nothing, and EHLO or HELO must come first")),
    ("confRUN_AS_USER", Left("smap and smapd have users of their own: userid")),
    (
        "confTRUSTED_USER",
        Left("nobody needs to be trusted: nothing is submitted on this machine but by SMTP"),
    ),
    (
        "confTRUSTED_USERS",
        Left("nobody needs to be trusted: nothing is submitted on this machine but by SMTP"),
    ),
    ("confBAD_RCPT_THROTTLE", Left("maxerrors ends a session that asks for too many unknown recipients")),
    ("confMAX_HOP", Left("what passes too many hosts is refused; the limit cannot be changed")),
    ("confMIN_QUEUE_AGE", Left("retry says when each message is tried again")),
    ("confMAX_QUEUE_CHILDREN", Left("one smapd delivers all; see max-connections and maxchildren")),
    ("confCONNECTION_RATE_THROTTLE", Left(PACE)),
    ("confCONNECTION_RATE_WINDOW_SIZE", Left(PACE)),
    ("confQUEUE_LA", Left(LOAD)),
    ("confREFUSE_LA", Left(LOAD)),
    ("confDELAY_LA", Left(LOAD)),
    ("confFALLBACK_MX", Left("relay-host takes several hosts with commas between them, tried in order")),
    (
        "confFALLBACK_SMARTHOST",
        Left("relay-host takes several hosts with commas between them, tried in order"),
    ),
    ("confINPUT_MAIL_FILTERS", Left(MILTER)),
    ("confTO_IDENT", Left("not needed: nobody is asked by ident")),
    (
        "confDONT_PROBE_INTERFACES",
        Left("our-address names addresses that lead to us, beside those of this machine"),
    ),
    ("LOCAL_RELAY", Left("every recipient has a domain here: see MAIL_HUB and domain")),
    ("LUSER_RELAY", Left("smapd knows no users: the host that a domain line names does")),
    ("UUCP_RELAY", Left(OTHER_NETWORKS)),
    ("BITNET_RELAY", Left(OTHER_NETWORKS)),
    ("DECNET_RELAY", Left(OTHER_NETWORKS)),
    ("FAX_RELAY", Left(OTHER_NETWORKS)),
    ("LOCAL_MAILER_PATH", Left(LOCAL)),
    ("LOCAL_MAILER_ARGS", Left(LOCAL)),
    ("LOCAL_MAILER_FLAGS", Left(LOCAL)),
    ("PROCMAIL_MAILER_PATH", Left(LOCAL)),
    ("confLOCAL_MAILER", Left(LOCAL)),
    ("_USE_ETC_MAIL_", Silent),
    // They are asked for where they are needed.
    ("confCW_FILE", Silent),
    ("confCR_FILE", Silent),
    ("MAIL_SETTINGS_DIR", Silent),
];

/// `FEATURE(`NAME')`
pub(super) const FEATURES: &[(&str, Meaning)] = &[
    ("masquerade_entire_domain", Silent),
    ("relay_hosts_only", Silent),
    ("nouucp", Silent),
    ("nocanonify", Silent),
    ("nopercenthack", Silent),
    ("no_default_msa", Silent),
    ("local_no_masquerade", Left("mail that stays inside is masqueraded as the rest")),
    (
        "promiscuous_relay",
        Left("an open relay is what spammers look for: name your own networks in permit-relay"),
    ),
    ("relay_local_from", Left(FORGED)),
    ("relay_mail_from", Left(FORGED)),
    (
        "relay_based_on_MX",
        Left("whoever names this host in the DNS may relay then: name the domains in domain lines"),
    ),
    (
        "loose_relay_check",
        Left("a recipient such as user%other@domain goes to that domain, as it is written"),
    ),
    ("dnsbl", Left(DNS_LISTS)),
    ("enhdnsbl", Left(DNS_LISTS)),
    ("rhsbl", Left(DNS_LISTS)),
    ("require_rdns", Left("\"smap: deny-hosts unknown\" turns clients without a confirmed name away")),
    (
        "greet_pause",
        Left("the greeting does not wait; who speaks before it breaks the protocol all the same"),
    ),
    ("conncontrol", Left("max-sessions-per-host is the limit for each address")),
    ("ratecontrol", Left(PACE)),
    ("delay_checks", Left("access is looked at for each recipient; there is nothing to delay")),
    ("blacklist_recipients", Left("it belongs to access, whose lines for recipients always count")),
    ("blocklist_recipients", Left("it belongs to access, whose lines for recipients always count")),
    ("accept_unresolvable_domains", Left("not needed: the domain of a sender is not looked up")),
    ("accept_unqualified_senders", Left("every sender needs a domain (RFC 5321 section 4.1.2)")),
    ("genericstable", Left(TABLE)),
    ("generics_entire_domain", Left(TABLE)),
    ("domaintable", Left(TABLE)),
    ("bitdomain", Left(OTHER_NETWORKS)),
    ("uucpdomain", Left(OTHER_NETWORKS)),
    ("ldap_routing", Left("LDAP is not asked: write a virtusertable or a mailertable from it")),
    ("authinfo", Left("smapd does not authenticate with next hosts yet")),
    ("local_procmail", Left(LOCAL)),
    ("local_lmtp", Left(LOCAL)),
    ("smrsh", Left("programs are started without a shell by pipe:, and by nothing that a user writes")),
    ("use_ct_file", Left("nobody needs to be trusted: nothing is submitted on this machine but by SMTP")),
    ("redirect", Left("an alias cannot tell where a user went: error:5.1.6:551 TEXT in a mailertable can")),
    ("virtuser_entire_domain", Left("write the names below a domain into the virtusertable")),
    ("preserve_local_plus_detail", Left(LOCAL)),
    ("stickyhost", Left("every recipient has a domain here")),
    ("notsticky", Silent),
    ("msp", Left("this is about programs of this machine that submit mail: they are not smap's clients")),
    ("tls_session_features", Left(TLS_IN)),
];

/// `NAME(...)`
pub(super) const MACROS: &[(&str, Meaning)] = &[
    ("VERSIONID", Silent),
    ("divert", Silent),
    ("undivert", Silent),
    ("undefine", Silent),
    ("OSTYPE", Silent),
    ("DOMAIN", Left("that file is not read: if it says anything of your site, import it too")),
    ("include", Left("that file is not read: if it says anything of your site, import it too")),
    ("sinclude", Left("that file is not read: if it says anything of your site, import it too")),
    ("MAIL_FILTER", Left(MILTER)),
    ("INPUT_MAIL_FILTER", Left(MILTER)),
    ("TRUST_AUTH_MECH", Left(AUTH)),
    ("CLIENT_OPTIONS", Left("the address that smapd connects from cannot be chosen")),
    (
        "QUEUE_GROUP",
        Left("there is one queue; max-connections-per-destination keeps one destination from filling it"),
    ),
    ("LOCAL_USER", Left("every recipient has a domain here: give the host's own name a domain line")),
    ("CANONIFY_DOMAIN", Left("domains stay as they are written")),
    ("GENERICS_DOMAIN", Left(TABLE)),
    ("GENERICS_DOMAIN_FILE", Left(TABLE)),
    ("VIRTUSER_DOMAIN", Left("give these domains a domain line: virtusertable alone accepts no mail")),
    ("VIRTUSER_DOMAIN_FILE", Left("give these domains a domain line: virtusertable alone accepts no mail")),
    ("MASQUERADE_EXCEPTION", Left("list the names that are masqueraded one by one in masquerade-domain")),
    (
        "MASQUERADE_EXCEPTION_FILE",
        Left("list the names that are masqueraded one by one in masquerade-domain"),
    ),
    ("MASQUERADE_DOMAIN_FILE", Left("copy the names of that file into masquerade-domain lines")),
    ("EXPOSED_USER_FILE", Left("copy the names of that file into exposed-user lines")),
    ("ifdef", Left("conditions are not looked at: import what holds for this host")),
    ("ifelse", Left("conditions are not looked at: import what holds for this host")),
    ("changequote", Left("quotes are taken to be ` and ' all the same: look at all that follows")),
    ("syscmd", Left("nothing is run")),
    ("esyscmd", Left("nothing is run")),
];

/// What a word means, by one of the tables above.
pub(super) fn meaning(table: &[(&str, Meaning)], word: &str) -> Option<Meaning> {
    table.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning)
}
