use super::quote::MOST_HEADER;
use super::text::{LONGEST_LINE, host_of};
use super::*;
use crate::content::date;
use crate::samples::{ENVELOPE, message};
use smap_common::spool::Outcome;

const BODY: &[u8] = b"Subject: hello\r\nFrom: a@example.org\r\n\r\nThe text.\r\n.\r\n";

fn mark(relay: &str, reply: &str) -> Mark {
    Mark {
        recipient: 0,
        at: Timestamp::from_micros(1_795_247_400_000_000),
        outcome: Outcome::Failed,
        status: "5.1.1".parse().unwrap(),
        relay: relay.to_owned(),
        reply: reply.to_owned(),
    }
}

fn refused() -> Mark {
    mark("mail.inside[10.0.0.5]:25", "550 5.1.1 no such user")
}

const UNTIL: Kind = Kind::Delayed { until: Timestamp::from_micros(1_795_679_311_000_000) };

/// The notification about every recipient of `original`.
fn notification(kind: Kind, original: &Message, mark: &Mark) -> (Vec<u8>, Envelope) {
    let notice = Notice {
        kind,
        original,
        to: addressee(&original.envelope).unwrap(),
        for_owner: false,
        recipients: original.envelope.recipients.iter().map(|recipient| (recipient, mark)).collect(),
        id: "1K3N5Q0ZC0000000000000".parse().unwrap(),
        hostname: &"gw.example".parse().unwrap(),
        now: Timestamp::from_micros(1_795_247_500_000_000),
    };
    let report = notice.report().unwrap();
    let mut text = Vec::new();
    report
        .write_to(|piece| {
            text.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
    (text, report.envelope().clone())
}

/// A message as RFC 5322 and RFC 2046 read it, by another way than the one it was made by.
#[derive(Debug)]
struct Entity {
    fields: Vec<(String, String)>,
    content: String,
}

impl Entity {
    fn parse(text: &str) -> Self {
        let (header, content) = text.split_once("\r\n\r\n").unwrap();
        Self { fields: fields(header), content: content.to_owned() }
    }

    fn field(&self, name: &str) -> &str {
        find(&self.fields, name).unwrap_or_else(|| panic!("no {name} in {:?}", self.fields))
    }

    fn parts(&self) -> Vec<Self> {
        let (_, after) = self.field("Content-Type").split_once("boundary=\"").unwrap();
        let boundary = format!("\r\n--{}", after.strip_suffix('"').unwrap());
        let mut pieces: Vec<&str> = self.content.split(&boundary).collect();
        assert_eq!(pieces.pop(), Some("--\r\n"), "what closes it");
        pieces.iter().skip(1).map(|piece| Self::parse(piece.strip_prefix("\r\n").unwrap())).collect()
    }
}

fn fields(header: &str) -> Vec<(String, String)> {
    let unfolded = header.replace("\r\n ", " ").replace("\r\n\t", " ");
    let lines = unfolded.split("\r\n").filter(|line| !line.is_empty());
    lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn find<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let mut found = fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let first = found.next();
    assert_eq!(found.next(), None, "{name} once");
    first
}

fn parsed(text: &[u8]) -> (Entity, Vec<Entity>) {
    let text = String::from_utf8_lossy(text);
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "bare line ends");
    assert!(text.split("\r\n").all(|line| line.len() <= LONGEST_LINE), "long lines");
    let whole = Entity::parse(&text);
    let parts = whole.parts();
    assert_eq!(parts.len(), 3);
    (whole, parts)
}

/// The fields of the message, then those of each recipient (RFC 3464 section 2.1).
fn groups(part: &Entity) -> Vec<Vec<(String, String)>> {
    part.content.split("\r\n\r\n").map(fields).collect()
}

#[test]
fn a_failure_is_a_report_of_three_parts() {
    let (text, envelope) = notification(Kind::Failed, &message(ENVELOPE, BODY), &refused());
    let (whole, parts) = parsed(&text);
    assert_eq!(whole.field("From"), "Mail Delivery Subsystem <MAILER-DAEMON@gw.example>");
    assert_eq!(whole.field("To"), "<a@example.org>");
    assert_eq!(whole.field("Message-ID"), "<1K3N5Q0ZC0000000000000@gw.example>");
    assert_eq!(whole.field("Auto-Submitted"), "auto-replied");
    assert_eq!(whole.field("MIME-Version"), "1.0");
    assert!(whole.field("Content-Type").starts_with("multipart/report; report-type=delivery-status;"));
    let types: Vec<&str> = parts.iter().map(|part| part.field("Content-Type")).collect();
    assert_eq!(types, ["text/plain; charset=us-ascii", "message/delivery-status", "message/rfc822"]);
    assert_eq!(parts[2].content.as_bytes(), BODY);
    assert_eq!(envelope.mail.to_string(), "<>");
    assert_eq!(envelope.recipients[0].to_string(), "<a@example.org> NOTIFY=NEVER");
}

#[test]
fn the_sender_reads_who_it_was_and_why() {
    let (text, _) = notification(Kind::Failed, &message(ENVELOPE, BODY), &refused());
    let (_, parts) = parsed(&text);
    let wanted = "It could not be delivered to this address:\r\n\r\n<c@example.com>\r\n    \
                  mail.inside[10.0.0.5]:25 said: 550 5.1.1 no such user\r\n\r\nIt will not be tried again.";
    assert!(parts[0].content.contains(wanted), "{}", parts[0].content);
}

#[test]
fn programs_read_the_fields_of_rfc_3464() {
    let envelope = ENVELOPE
        .replace("<a@example.org>", "<a@example.org> ENVID=QQ+2B1")
        .replace("<c@example.com>", "<c@example.com> ORCPT=rfc822;c+2Bx@example.net");
    let (text, _) = notification(Kind::Failed, &message(&envelope, BODY), &refused());
    let (_, parts) = parsed(&text);
    let groups = groups(&parts[1]);
    assert_eq!(groups.len(), 2);
    assert_eq!(find(&groups[0], "Reporting-MTA"), Some("dns; gw.example"));
    assert_eq!(find(&groups[0], "Original-Envelope-Id"), Some("QQ+1"));
    assert_eq!(
        find(&groups[0], "Arrival-Date"),
        Some(date(Timestamp::from_micros(1_795_247_311_123_456)).as_str())
    );
    assert_eq!(find(&groups[1], "Original-Recipient"), Some("rfc822; c+x@example.net"));
    assert_eq!(find(&groups[1], "Final-Recipient"), Some("rfc822; c@example.com"));
    assert_eq!(find(&groups[1], "Action"), Some("failed"));
    assert_eq!(find(&groups[1], "Status"), Some("5.1.1"));
    assert_eq!(find(&groups[1], "Remote-MTA"), Some("dns; mail.inside"));
    assert_eq!(find(&groups[1], "Diagnostic-Code"), Some("smtp; 550 5.1.1 no such user"));
    assert_eq!(find(&groups[1], "Last-Attempt-Date"), Some(date(refused().at).as_str()));
    assert_eq!(find(&groups[1], "Will-Retry-Until"), None);
}

#[test]
fn a_delay_says_until_when_it_is_tried_and_that_nothing_need_be_done() {
    let envelope = ENVELOPE.replace("<a@example.org>", "<a@example.org> RET=FULL");
    let late = Mark { status: "4.4.1".parse().unwrap(), ..mark("", "connection refused") };
    let (text, _) = notification(UNTIL, &message(&envelope, BODY), &late);
    let (_, parts) = parsed(&text);
    assert!(parts[0].content.contains("no need to send it again"));
    let groups = groups(&parts[1]);
    assert_eq!(find(&groups[1], "Action"), Some("delayed"));
    assert_eq!(find(&groups[1], "Status"), Some("4.4.1"));
    assert!(find(&groups[1], "Will-Retry-Until").is_some());
    assert_eq!(find(&groups[1], "Diagnostic-Code"), None, "not a reply of SMTP");
    assert_eq!(find(&groups[1], "Remote-MTA"), None);
    assert_eq!(parts[2].field("Content-Type"), "text/rfc822-headers");
    assert_eq!(parts[2].content, "Subject: hello\r\nFrom: a@example.org\r\n");
}

#[test]
fn what_another_host_says_begins_no_line_and_no_part() {
    let forged =
        "550 no\r\nAction: delivered\r\n\r\n--=_1K3N5Q0ZC0000000000000--\r\n\u{2028}X: \x1b[2J\u{202e}";
    let (text, _) = notification(Kind::Failed, &message(ENVELOPE, BODY), &mark("evil\r\nX: y[1]", forged));
    let (whole, parts) = parsed(&text);
    assert_eq!(whole.fields.len(), 8);
    let groups = groups(&parts[1]);
    assert_eq!(groups.len(), 2);
    assert_eq!(find(&groups[1], "Action"), Some("failed"));
    assert_eq!(find(&groups[1], "Remote-MTA"), None);
    assert!(!text.iter().any(|&b| b < b' ' && !b"\r\n\t".contains(&b)));
    assert!(parts[0].content.is_ascii());
}

#[test]
fn a_reply_without_end_is_cut_and_folded() {
    let reply = format!("550 {} {}", "word ".repeat(100), "x".repeat(10_000));
    let (text, _) = notification(Kind::Failed, &message(ENVELOPE, BODY), &mark("", &reply));
    let (_, parts) = parsed(&text);
    let groups = groups(&parts[1]);
    assert!(find(&groups[1], "Diagnostic-Code").unwrap().len() < 600);
}

#[test]
fn strange_addresses_stay_where_they_belong() {
    let strange = r#""a: b;\"<>,\\(c)"@example.com"#;
    let envelope = ENVELOPE
        .replace("<a@example.org>", r#"<"x y\" Bcc: z"@example.org>"#)
        .replace("<c@example.com>", &format!("<{strange}>"));
    let (text, _) = notification(Kind::Failed, &message(&envelope, BODY), &refused());
    let (whole, parts) = parsed(&text);
    assert_eq!(whole.field("To"), r#"<"x y\" Bcc: z"@example.org>"#);
    assert_eq!(find(&groups(&parts[1])[1], "Final-Recipient"), Some(format!("rfc822; {strange}").as_str()));
}

#[test]
fn hidden_control_characters_are_not_decoded() {
    let envelope = ENVELOPE
        .replace("<a@example.org>", "<a@example.org> ENVID=x+0D+0AAction:+20delivered")
        .replace("<c@example.com>", "<c@example.com> ORCPT=rfc822;c+0D+0Ax");
    let (text, _) = notification(Kind::Failed, &message(&envelope, BODY), &refused());
    let groups = groups(&parsed(&text).1[1]);
    assert_eq!(find(&groups[0], "Original-Envelope-Id"), None);
    assert_eq!(find(&groups[1], "Original-Recipient"), None);
}

#[test]
fn the_whole_message_goes_back_only_where_it_may() {
    use Returned::{Full, Headers};
    let cases = [
        (Kind::Failed, None, SMALL, Full),
        (Kind::Failed, None, SMALL + 1, Headers),
        (Kind::Failed, Some(Return::Full), MOST, Full),
        (Kind::Failed, Some(Return::Full), MOST + 1, Headers),
        (Kind::Failed, Some(Return::Headers), 1, Headers),
        (UNTIL, Some(Return::Full), 1, Headers),
        (UNTIL, None, 1, Headers),
    ];
    for (kind, said, length, wanted) in cases {
        assert_eq!(Returned::decide(kind, said, length), wanted, "{kind:?} {said:?} {length}");
    }
}

#[test]
fn a_header_without_end_is_cut_at_a_line() {
    let body = b"X-Long: 0123456789\r\n".repeat(60_000);
    let (text, _) = notification(Kind::Failed, &message(ENVELOPE, &body), &refused());
    let (_, parts) = parsed(&text);
    assert_eq!(parts[2].content.len(), MOST_HEADER / 20 * 20);
}

#[test]
fn a_last_line_without_end_does_not_go_back() {
    let envelope = ENVELOPE.replace("<a@example.org>", "<a@example.org> RET=HDRS");
    let (text, _) = notification(Kind::Failed, &message(&envelope, b"A: b\r\nC: d"), &refused());
    assert_eq!(parsed(&text).1[2].content, "A: b\r\n");
}

#[test]
fn a_message_without_header_gives_none_back() {
    let envelope = ENVELOPE.replace("<a@example.org>", "<a@example.org> RET=HDRS");
    for body in [&b""[..], b"\r\ntext: secret\r\n\r\n"] {
        let (text, _) = notification(Kind::Failed, &message(&envelope, body), &refused());
        assert_eq!(parsed(&text).1[2].content, "");
    }
}

#[test]
fn a_large_message_goes_back_whole_when_it_was_asked_for() {
    let body = [b"Subject: x\r\n\r\n", b"0123456789\r\n".repeat(20_000).as_slice()].concat();
    let envelope = ENVELOPE.replace("<a@example.org>", "<a@example.org> RET=FULL");
    let (text, _) = notification(Kind::Failed, &message(&envelope, &body), &refused());
    assert_eq!(parsed(&text).1[2].content.as_bytes(), body);
}

#[test]
fn octets_beyond_ascii_are_declared_where_they_go_back() {
    let body = b"Subject: x\r\n\r\ngr\xfc\xdfe\r\n";
    let (text, envelope) = notification(Kind::Failed, &message(ENVELOPE, body), &refused());
    let (whole, parts) = parsed(&text);
    assert_eq!(whole.field("Content-Transfer-Encoding"), "8bit");
    assert_eq!(parts[2].field("Content-Transfer-Encoding"), "8bit");
    assert_eq!(parts[2].field("Content-Type"), "message/rfc822");
    assert_eq!(envelope.mail.to_string(), "<> BODY=8BITMIME");

    let headers = ENVELOPE.replace("<a@example.org>", "<a@example.org> RET=HDRS");
    let (text, envelope) = notification(Kind::Failed, &message(&headers, body), &refused());
    assert!(text.is_ascii());
    assert_eq!(envelope.mail.to_string(), "<>");
}

#[test]
fn utf8_in_an_address_makes_an_international_report() {
    let envelope = ENVELOPE
        .replace("<a@example.org>", "<jürgen@example.org> SMTPUTF8")
        .replace("<c@example.com>", "<müller@example.com>");
    let (text, dsn) =
        notification(Kind::Failed, &message(&envelope, BODY), &mark("", "550 kein Benutzer müller"));
    let (whole, parts) = parsed(&text);
    assert_eq!(whole.field("To"), "<jürgen@example.org>");
    let types: Vec<&str> = parts.iter().map(|part| part.field("Content-Type")).collect();
    assert_eq!(types, ["text/plain; charset=utf-8", "message/global-delivery-status", "message/global"]);
    let groups = groups(&parts[1]);
    assert_eq!(find(&groups[1], "Final-Recipient"), Some("utf-8; müller@example.com"));
    assert_eq!(find(&groups[1], "Diagnostic-Code"), Some("smtp; 550 kein Benutzer müller"));
    assert_eq!(dsn.mail.to_string(), "<> BODY=8BITMIME SMTPUTF8");
}

#[test]
fn utf8_that_was_only_announced_needs_no_international_report() {
    let envelope = ENVELOPE.replace("<a@example.org>", "<a@example.org> SMTPUTF8");
    let (text, dsn) = notification(Kind::Failed, &message(&envelope, BODY), &mark("", "550 müller"));
    assert!(text.is_ascii());
    assert_eq!(dsn.mail.to_string(), "<>");
}

#[test]
fn nobody_is_told_of_a_notification_nor_of_what_he_does_not_want_to_know() {
    assert_eq!(addressee(&message(&ENVELOPE.replace("<a@example.org>", "<>"), BODY).envelope), None);
    let cases = [
        ("NEVER", false, false),
        ("FAILURE", true, false),
        ("DELAY", false, true),
        ("SUCCESS", false, false),
    ];
    for (notify, failure, delay) in cases {
        let notify: Notify = notify.parse().unwrap();
        assert_eq!((Kind::Failed.is_wanted(notify), UNTIL.is_wanted(notify)), (failure, delay));
    }
    assert!(Kind::Failed.is_wanted(Notify::Unsaid) && UNTIL.is_wanted(Notify::Unsaid));
}

#[test]
fn the_host_of_a_relay_is_its_name_or_its_address() {
    let cases = [
        ("mail.inside[10.0.0.5]:25", Some("mail.inside")),
        ("mail.inside:2525", Some("mail.inside")),
        ("[10.0.0.5]:25", Some("[10.0.0.5]")),
        ("[2001:db8::1]:25", Some("[IPv6:2001:db8::1]")),
        ("unix:/run/lmtp", None),
        ("/var/mail/c/", None),
        ("", None),
    ];
    for (relay, host) in cases {
        assert_eq!(host_of(relay).map(|host| host.to_string()).as_deref(), host, "{relay}");
    }
}

#[test]
fn what_was_tried_for_too_long_says_so() {
    let late = Mark { status: "5.4.7".parse().unwrap(), ..mark("", "connection refused") };
    let (text, _) = notification(Kind::Failed, &message(ENVELOPE, BODY), &late);
    let (_, parts) = parsed(&text);
    assert!(
        parts[0].content.contains("    It was tried for too long. The last time: connection refused\r\n")
    );
}
