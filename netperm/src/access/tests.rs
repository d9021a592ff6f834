use super::*;

fn parsed(text: &str) -> (Access, Vec<String>) {
    let (access, mut faults) = Access::parse(Path::new("a"), text.as_bytes());
    faults.sort();
    (access, faults.iter().map(ToString::to_string).collect())
}

fn access(text: &str) -> Access {
    let (access, faults) = parsed(text);
    assert_eq!(faults, [""; 0], "{text}");
    access
}

fn fault(row: &str) -> String {
    let (_, faults) = parsed(row);
    let [fault] = faults.try_into().unwrap();
    fault.strip_prefix("a:1: ").unwrap().to_owned()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mailbox(text: &str) -> Address {
    text.parse().unwrap()
}

fn client(address: &str, name: ClientName) -> Client {
    Client { address: address.parse().ok(), name }
}

fn named(names: &[&str]) -> ClientName {
    ClientName::Known(names.iter().map(|name| name.parse().unwrap()).collect())
}

fn tried(search: Search) -> String {
    search.tried.join(" ")
}

fn row(search: Search) -> String {
    search.row.map_or("none".to_owned(), |row| row.to_string())
}

#[test]
fn a_client_is_looked_up_by_name_and_then_by_address() {
    let nothing = access("");
    assert_eq!(
        tried(nothing.connect(&client("192.168.1.5", named(&["Mx.Example.Com"])))),
        "connect:mx.example.com mx.example.com connect:.example.com .example.com connect:example.com example.com \
         connect:.com .com connect:com com connect:192.168.1.5 192.168.1.5 connect:192.168.1 192.168.1 \
         connect:192.168 192.168 connect:192 192"
    );
    assert_eq!(
        tried(nothing.connect(&client("::ffff:10.0.0.1", ClientName::Unknown))),
        "connect:[10.0.0.1] [10.0.0.1] connect:[10.0.0] [10.0.0] connect:[10.0] [10.0] connect:[10] [10] \
         connect:10.0.0.1 10.0.0.1 connect:10.0.0 10.0.0 connect:10.0 10.0 connect:10 10"
    );
}

#[test]
fn an_ipv6_client_is_looked_up_as_sendmail_writes_it_and_plain() {
    assert_eq!(
        tried(access("").relay_from(address("2001:db8::1"))),
        "connect:ipv6:2001:db8:0:0:0:0:0:1 ipv6:2001:db8:0:0:0:0:0:1 connect:ipv6:2001:db8::1 ipv6:2001:db8::1 \
         connect:2001:db8:0:0:0:0:0:1 2001:db8:0:0:0:0:0:1 connect:2001:db8::1 2001:db8::1 \
         connect:ipv6:2001:db8:0:0:0:0:0 ipv6:2001:db8:0:0:0:0:0 connect:2001:db8:0:0:0:0:0 2001:db8:0:0:0:0:0 \
         connect:ipv6:2001:db8:0:0:0:0 ipv6:2001:db8:0:0:0:0 connect:2001:db8:0:0:0:0 2001:db8:0:0:0:0 \
         connect:ipv6:2001:db8:0:0:0 ipv6:2001:db8:0:0:0 connect:2001:db8:0:0:0 2001:db8:0:0:0 \
         connect:ipv6:2001:db8:0:0 ipv6:2001:db8:0:0 connect:2001:db8:0:0 2001:db8:0:0 \
         connect:ipv6:2001:db8:0 ipv6:2001:db8:0 connect:2001:db8:0 2001:db8:0 \
         connect:ipv6:2001:db8 ipv6:2001:db8 connect:2001:db8 2001:db8 \
         connect:ipv6:2001 ipv6:2001 connect:ipv6 ipv6"
    );
}

#[test]
fn networks_are_looked_up_by_the_lengths_that_occur() {
    let table = access("10.0.0.0/9 RELAY\n172.16.0.0/12 REJECT\nConnect:10.1 OK\n");
    assert_eq!(
        tried(table.relay_from(address("11.2.3.4"))),
        "connect:11.2.3.4 11.2.3.4 connect:11.2.3 11.2.3 connect:11.2 11.2 connect:11.0.0.0/12 11.0.0.0/12 \
         connect:11.0.0.0/9 11.0.0.0/9 connect:11 11"
    );
    assert_eq!(row(table.relay_from(address("10.2.3.4"))), "a:1: access 10.0.0.0/9 RELAY");
    assert_eq!(row(table.relay_from(address("10.1.3.4"))), "none");
    assert_eq!(row(table.relay_from(address("10.200.3.4"))), "none");
}

#[test]
fn a_sender_is_looked_up_by_mailbox_user_and_domain() {
    assert_eq!(
        tried(access("").sender(&mailbox("Joe+News@Mail.Example.Com"))),
        "from:joe+news@mail.example.com joe+news@mail.example.com from:joe+*@mail.example.com joe+*@mail.example.com \
         from:joe@mail.example.com joe@mail.example.com from:joe+news@ joe+news@ from:joe+*@ joe+*@ from:joe@ joe@ \
         from:mail.example.com mail.example.com from:.example.com .example.com from:example.com example.com \
         from:.com .com from:com com"
    );
}

#[test]
fn a_recipient_is_looked_up_by_user_alone_only_where_the_domain_is_ours() {
    let of = |ours| tried(access("").recipient(&mailbox("joe@a.b"), ours));
    assert_eq!(of(false), "to:joe@a.b joe@a.b to:a.b a.b to:.b .b to:b b");
    assert_eq!(of(true), "to:joe@a.b joe@a.b to:joe@ joe@ to:a.b a.b to:.b .b to:b b");
}

#[test]
fn an_address_literal_is_looked_up_in_its_brackets() {
    assert_eq!(
        tried(access("").relay_to(&mailbox("x@[192.0.2.1]"))),
        "to:x@[192.0.2.1] x@[192.0.2.1] to:[192.0.2.1] [192.0.2.1] to:[192.0.2] [192.0.2] to:[192.0] [192.0] to:[192] [192]"
    );
    let table = access("To:[IPv6:2001:db8::1] RELAY\nTo:[192.0.2] RELAY\n");
    assert_eq!(
        row(table.relay_to(&mailbox("x@[IPv6:2001:DB8:0::1]"))),
        "a:1: access to:[ipv6:2001:db8::1] RELAY"
    );
    assert_eq!(row(table.relay_to(&mailbox("x@[192.0.2.9]"))), "a:2: access to:[192.0.2] RELAY");
}

#[test]
fn a_domain_that_is_a_number_is_not_looked_up_as_an_address() {
    let table = access("10 RELAY\n192.0.2.1 RELAY\n");
    for to in ["x@foo.10", "x@10", "x@192.0.2.1", "x@a.192.0.2.1"] {
        assert_eq!(row(table.relay_to(&mailbox(to))), "none", "{to}");
    }
}

#[test]
fn a_quoted_local_part_names_no_row() {
    let table = access("b@c.example REJECT\nTo:joe@ REJECT\njoe@a.example REJECT\n");
    for from in ["\"a@b@c.example\"@x.example", "\"to:joe\"@x.example", "\"joe@a.example\"@x.example"] {
        let search = table.sender(&mailbox(from));
        assert!(search.tried.first().unwrap().starts_with("from:x.example"), "{from}: {:?}", search.tried);
        assert_eq!(row(search), "none", "{from}");
    }
    assert_eq!(row(table.sender(&mailbox("\"joe\"@a.example"))), "a:3: access joe@a.example REJECT");
}

#[test]
fn the_tagged_row_comes_before_the_one_without() {
    let table = access("example.com REJECT\nFrom:example.com OK\nTo:a.example.com OK\n");
    assert_eq!(row(table.sender(&mailbox("x@a.example.com"))), "a:2: access from:example.com OK");
    assert_eq!(row(table.recipient(&mailbox("x@a.example.com"), false)), "a:3: access to:a.example.com OK");
    assert_eq!(row(table.recipient(&mailbox("x@b.example.com"), false)), "a:1: access example.com REJECT");
}

#[test]
fn skip_ends_the_search_of_its_kind_as_if_there_were_no_row() {
    let table = access("a.example.com SKIP\nexample.com REJECT\n192.168.1 SKIP\n192.168 REJECT\n");
    assert_eq!(row(table.sender(&mailbox("x@a.example.com"))), "none");
    assert_eq!(row(table.sender(&mailbox("x@b.example.com"))), "a:2: access example.com REJECT");
    let of = |address, name| row(table.connect(&client(address, named(&[name]))));
    assert_eq!(of("192.168.1.5", "a.example.com"), "none");
    assert_eq!(of("192.168.2.5", "a.example.com"), "a:4: access 192.168 REJECT");
}

#[test]
fn of_several_names_one_that_is_refused_decides() {
    let table = access("good.example OK\nbad.example REJECT\n");
    for names in [["good.example", "bad.example"], ["bad.example", "good.example"]] {
        let search = table.connect(&client("192.0.2.1", named(&names)));
        assert_eq!(row(search), "a:2: access bad.example REJECT");
    }
}

#[test]
fn only_the_first_row_that_is_found_can_let_a_client_relay() {
    let table =
        access("192.168 RELAY\n192.168.1 OK\n192.168.2 REJECT\nConnect:a.example RELAY\nx.a.example OK\n");
    assert_eq!(row(table.relay_from(address("192.168.3.1"))), "a:1: access 192.168 RELAY");
    assert_eq!(row(table.relay_from(address("192.168.1.1"))), "none");
    assert_eq!(row(table.relay_from(address("192.168.2.1"))), "none");
    let names = |name: &str| row(table.relay_from_names(&[name.parse().unwrap()]));
    assert_eq!(names("b.a.example"), "a:4: access connect:a.example RELAY");
    assert_eq!(names("x.a.example"), "none");
    assert_eq!(names("nota.example"), "none");
}

#[test]
fn a_million_rows_are_looked_up_and_not_read_through() {
    let rows =
        (0..200_000_u32).map(|n| format!("Connect:{}/{} REJECT\n", std::net::Ipv4Addr::from(n << 12), 20));
    let table = access(&rows.collect::<String>());
    let search = table.connect(&client("10.1.2.3", ClientName::NotAsked));
    assert_eq!(search.tried.len(), 5, "{:?}", search.tried);
}

#[test]
fn keys_that_are_never_looked_up_are_faults() {
    for (row, what) in [
        (
            "Form:a.example OK",
            "\"form:a.example\": form: is not one of Connect:, From: and To:, did you mean \"from\"?",
        ),
        (
            "TLS_Srv:a.example VERIFY",
            "\"tls_srv:a.example\": tls_srv: is sendmail's, and nothing that smap does",
        ),
        (
            "AuthInfo:a.example x",
            "\"authinfo:a.example\": authinfo: is sendmail's, and nothing that smap does",
        ),
        ("To: RELAY", "\"to:\": nothing stands behind the tag"),
        (
            "*.a.example OK",
            "\"*.a.example\": no * here: example.com means every name below it too, and 192.168 every address",
        ),
        (
            "192.168.1.* OK",
            "\"192.168.1.*\": no * here: example.com means every name below it too, and 192.168 every address",
        ),
        ("192.168.1. OK", "\"192.168.1.\": not an address or a network, such as 192.168 or 2001:db8::/32"),
        ("300.1 OK", "\"300.1\": not an address or a network, such as 192.168 or 2001:db8::/32"),
        ("10.1.2.3/8 OK", "\"10.1.2.3/8\": this is never looked up, did you mean \"10.0.0.0/8\"?"),
        ("010.1 OK", "\"010.1\": this is never looked up, did you mean \"10.1\"?"),
        ("IPv6:2001:0db8 OK", "\"ipv6:2001:0db8\": this is never looked up, did you mean \"ipv6:2001:db8\"?"),
        ("::ffff:10.0.0.1 OK", "\"::ffff:10.0.0.1\": this is never looked up, did you mean \"10.0.0.1\"?"),
        (
            "::ffff:10.0.0.0/104 OK",
            "\"::ffff:10.0.0.0/104\": this is never looked up, did you mean \"10.0.0.0/8\"?",
        ),
        (
            "To:192.168.1.5 OK",
            "\"to:192.168.1.5\": in a mail address an address stands in brackets, did you mean \"[192.168.1.5]\"?",
        ),
        ("Connect:joe@a OK", "\"connect:joe@a\": this is never looked up for connect:"),
        ("a.example. OK", "\"a.example.\": bad domain"),
        ("a@b@c OK", "\"a@b@c\": bad local part"),
        ("\"a\"@c OK", "\"\"a\"@c\": bad local part"),
        (
            "a*@c OK",
            "\"a*@c\": no * here: example.com means every name below it too, and 192.168 every address",
        ),
        ("@a.example OK", "\"@a.example\": bad local part"),
        ("a.10 OK", "\"a.10\": not an address or a network, such as 192.168 or 2001:db8::/32"),
    ] {
        assert_eq!(fault(row), what, "{row}");
    }
}

#[test]
fn a_sender_is_never_a_reason_to_relay() {
    for row in ["From:a.example RELAY", "From:joe@a.example relay", "From:joe@ RELAY"] {
        assert!(
            fault(row).contains("a sender is no reason to relay, because everyone can forge it"),
            "{row}"
        );
    }
    assert!(fault("joe@a.example SKIP").contains("SKIP ends the search among domains and networks"));
}

#[test]
fn values_are_sendmails() {
    let reads =
        |text: &str| Value::read(text).map_or_else(|fault| fault.to_string(), |value| value.to_string());
    for (text, what) in [
        ("Relay", "RELAY"),
        ("reject", "REJECT"),
        ("ERROR:5.7.1:550 Go away", "ERROR:5.7.1:550 Go away"),
        ("error:\"550 5.7.1 Go away\"", "ERROR:5.7.1:550 Go away"),
        ("ERROR:4.2.1:Not now", "ERROR:4.2.1:450 Not now"),
        ("ERROR:451 Not now: ask", "ERROR:4.0.0:451 Not now: ask"),
        ("ERROR:Go away", "ERROR:5.0.0:553 Go away"),
        ("550 Go away", "ERROR:5.0.0:550 Go away"),
        ("550 5.7.1 Go away", "ERROR:5.7.1:550 Go away"),
        ("ERROR:5.7.1:450 Go", "the code 450 does not go with the status 5.7.1"),
        ("ERROR:2.0.0:250 Yes", "the code of an error is 4yz or 5yz"),
        ("ERROR:2.0.0:Yes", "the code 553 does not go with the status 2.0.0"),
        ("250 Yes", "the code of an error is 4yz or 5yz"),
        ("550", "the text of an error must be printable ASCII, and not empty"),
        ("550 \u{e4}", "the text of an error must be printable ASCII, and not empty"),
        ("550 see %0", "%0 stands for nothing here"),
        ("QUARANTINE:spam", "QUARANTINE is sendmail's, and nothing that smap does"),
        ("FRIEND", "FRIEND is sendmail's, and nothing that smap does"),
        ("OK # mine", "nothing may stand behind OK (a comment stands on a line of its own)"),
        (
            "RELAI",
            "\"RELAI\" is neither one of RELAY, REJECT, DISCARD, OK, SKIP, ERROR: nor a code and a text, did you mean \"RELAY\"?",
        ),
    ] {
        assert_eq!(reads(text), what, "{text}");
    }
    let long = format!("550 {}", "x".repeat(1_000_000));
    assert_eq!(reads(&long), "the text of an error is longer than 450 octets");
}

#[test]
fn what_is_shown_of_a_value_reads_back() {
    for text in ["RELAY", "REJECT", "DISCARD", "OK", "SKIP", "ERROR:5.7.1:550 Go away"] {
        let value = Value::read(text).unwrap();
        assert_eq!(Value::read(&value.to_string()), Ok(value));
    }
}

fn noted(text: &str) -> Vec<String> {
    let ours = [address("192.0.2.1")];
    notes(&access(text), &ours).iter().map(ToString::to_string).collect()
}

#[test]
fn rows_that_let_strangers_relay_are_told() {
    let begins = |text: &str, what: &str| {
        let [note] = noted(text).try_into().unwrap_or_else(|notes| panic!("{text}: {notes:?}"));
        assert!(note.starts_with(&format!("a:1: note: {what}")), "{note}");
    };
    for row in ["0.0.0.0/0", "::/0", "IPv6", "0", "Connect:8", "2000::/3", "128.0.0.0/1", "10.0.0.0/7"] {
        begins(&format!("{row} RELAY"), "so large a network");
    }
    for row in ["127.0.0.1", "127", "::1", "IPv6:0:0:0:0:0:0:0:1", "192.0.2.1", "Connect:localhost"] {
        begins(&format!("{row} RELAY"), "this is our own address");
    }
    for row in ["To:com", "To:.org"] {
        begins(&format!("{row} RELAY"), "everyone may send to every domain below this one");
    }
    begins("Connect:mail.example RELAY", "hosts whose confirmed name");
    begins("Connect:mail.example RELAY\nConnect:b.example RELAY", "hosts whose confirmed name");
}

#[test]
fn lines_of_relay_domains_that_let_strangers_relay_are_told() {
    use crate::names::Names;
    let noted = |text: &str| {
        let (names, faults) =
            Names::parse(crate::tables::Kind::RelayDomains, Path::new("a"), text.as_bytes());
        assert!(faults.is_empty(), "{faults:?}");
        notes_of_names(&names, &[address("192.0.2.1")]).len()
    };
    for line in ["0.0.0.0/0", "com", "127.0.0.1", "192.0.2.1"] {
        assert_eq!(noted(line), 1, "{line}");
    }
    assert_eq!(noted("example.com\n192.168\n.example.org\n"), 0);
}

#[test]
fn an_address_that_may_relay_alone_is_told_from_its_network() {
    let table = access("192.0.2.1 RELAY\n192.0.2 RELAY\n2001:db8::1/128 RELAY\n");
    let alone = |text: &str| table.relays_alone(address(text)).map(|row| row.key);
    assert_eq!(alone("192.0.2.1").as_deref(), Some("192.0.2.1"));
    assert_eq!(alone("192.0.2.2"), None);
    assert_eq!(alone("2001:db8::1").as_deref(), Some("2001:db8::1/128"));
}

#[test]
fn rows_that_let_no_stranger_relay_are_not_told() {
    for row in ["10", "10.0.0.0/8", "192.0.2", "172.16.0.0/12", "fd00::/8", "To:example.com", "2001:db8::/32"]
    {
        assert_eq!(noted(&format!("{row} RELAY")), [""; 0], "{row}");
    }
    assert_eq!(noted("0.0.0.0/0 REJECT\nTo:com OK\n"), [""; 0]);
}
