use super::*;
use crate::clock::Timestamp;

fn id() -> QueueId {
    QueueId::new(Timestamp::from_micros(0), 0)
}

fn host() -> Host<'static> {
    Host { name: HostName::NotAsked, client: Some("192.0.2.1:99".parse().unwrap()) }
}

fn lines(event: &Event<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    event.lines(|line| lines.push(line.to_owned()));
    lines
}

#[test]
fn events_use_the_toolkits_words() {
    let (from, to) = (ReversePath::Null, "c@d".parse().unwrap());
    let to = vec![(&to, "domain@t:5"), (&to, "domain@t:5")];
    let accepted = Event::Accepted { id: id(), host: host(), bytes: 5, helo: None, from: &from, to };
    assert_eq!(
        lines(&accepted),
        [format!("id={} host=unknown/192.0.2.1 bytes=5 from=<> to=<c@d>,<c@d> rule=domain@t:5", id())]
    );
    let exiting = Event::Exiting { host: host(), bytes: 5, messages: 1, why: "" };
    assert_eq!(lines(&exiting), ["exiting host=unknown/192.0.2.1 bytes=5 messages=1"]);
}

#[test]
fn nothing_from_outside_forges_a_field_or_a_line() {
    let to: Address = "\"a> status=sent, x\"@d".parse().unwrap();
    let event = Event::Delivery {
        id: id(),
        to: &format!("<{to}>"),
        original: None,
        transport: "smtp",
        rule: "domain@a b:5",
        relay: "evil host",
        tls: Some(Tls { version: "TLSv1.3", cipher: "x status=sent", verify: &"OK" }),
        delay: Duration::from_millis(1500),
        status: "failed",
        dsn: Status::permanent(1, 1),
        reply: "550 \"no\"\nid=X status=sent\u{1b}[2J",
    };
    let [line] = lines(&event).try_into().unwrap();
    assert_eq!(
        line,
        format!(
            "id={} to=<\\x22a>\\x20status\\x3dsent\\x2c\\x20x\\x22@d> transport=smtp rule=domain@a\\x20b:5 relay=evil\\x20host \
             tls=TLSv1.3 cipher=x\\x20status\\x3dsent verify=OK delay=1.500 \
             dsn=5.1.1 status=failed reply=\"550 \\x22no\\x22\\x0aid=X status=sent\\x1b[2J\"",
            id()
        )
    );
}

#[test]
fn a_call_out_says_who_was_asked_for_whom() {
    let to: Address = "\"a b\"@d".parse().unwrap();
    let event = Event::CallOut { to: &to, relay: "mx[192.0.2.1]:25", status: "unknown", reply: "550 \"no\"" };
    assert_eq!(
        lines(&event),
        ["callout to=<\\x22a\\x20b\\x22@d> relay=mx[192.0.2.1]:25 status=unknown reply=\"550 \\x22no\\x22\""]
    );
    let event = Event::CallOut { to: &to, relay: "", status: "failed", reply: "" };
    assert_eq!(lines(&event), ["callout to=<\\x22a\\x20b\\x22@d> status=failed reply=\"\""]);
}

#[test]
fn a_long_list_continues_with_the_same_id() {
    let (from, to) = (ReversePath::Null, "somebody.with.a.long.name@example.com".parse().unwrap());
    let to = vec![(&to, "access@/etc/mail/access:7"); 100];
    let accepted = Event::Accepted { id: id(), host: host(), bytes: 5, helo: None, from: &from, to };
    let lines = lines(&accepted);
    assert!(lines.len() > 1);
    assert!(lines.iter().all(|line| line.len() < 2048 && line.starts_with(&format!("id={} ", id()))));
    let named: usize = lines.iter().map(|line| line.matches("<somebody").count()).sum();
    assert_eq!(named, 100);
}

#[test]
fn recipients_by_several_rules_have_each_its_own() {
    let (from, to): (_, Address) = (ReversePath::Null, "c@d".parse().unwrap());
    let rules: Vec<String> =
        (0..200).map(|row| format!("access@/etc/mail/access,with=odd name:{row}")).collect();
    let to = rules.iter().map(|rule| (&to, rule.as_str())).collect();
    let helo = "mail.example.org".parse().unwrap();
    let name = HostName::Failed;
    let host = Host { name, ..host() };
    let lines = lines(&Event::Accepted { id: id(), host, bytes: 5, helo: Some(&helo), from: &from, to });
    assert!(lines[0].contains(" name=failed bytes=5 helo=mail.example.org from=<> to=<c@d>,<c@d>,"));
    assert!(lines.iter().all(|line| line.len() < 2048), "{lines:?}");
    for line in &lines {
        let (to, rules) = line.split_once(" to=").unwrap().1.split_once(" rule=").unwrap();
        assert_eq!(to.split(',').count(), rules.split(',').count());
        assert!(!rules.contains([' ', '=']), "{rules}");
    }
}

#[test]
fn an_order_says_who_gave_it_and_its_words_forge_nothing() {
    let event = Event::Ordered { id: id(), order: "bounce", by: 1000, text: "go\" by=0\n" };
    assert_eq!(lines(&event), [format!("order=bounce id={} by=1000 text=\"go\\x22 by=0\\x0a\"", id())]);
    let event = Event::Ordered { id: id(), order: "hold", by: 0, text: "" };
    assert_eq!(lines(&event), [format!("order=hold id={} by=0", id())]);
}
