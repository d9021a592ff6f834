use super::*;

fn parsed(text: &str) -> (Virtusertable, Vec<String>) {
    let (table, mut faults) = Virtusertable::parse(Path::new("v"), text.as_bytes());
    faults.extend(table.loops(Delimiter::default(), &home()));
    faults.sort();
    (table, faults.iter().map(ToString::to_string).collect())
}

fn table(text: &str) -> Virtusertable {
    let (table, faults) = parsed(text);
    assert_eq!(faults, [""; 0], "{text}");
    table
}

fn home() -> Domain {
    "gw.example".parse().unwrap()
}

/// The row that means an address, and what it makes of it.
fn becomes(text: &str, address: &str) -> String {
    match table(text).find(&address.parse().unwrap(), Delimiter::default(), &home()) {
        None => "none".to_owned(),
        Some((row, Meaning::Address(address))) => format!("{}: {address}", row.place),
        Some((row, Meaning::Error(transport))) => format!("{}: {transport}", row.place),
        Some((row, Meaning::NoAddress)) => format!("{}: no address", row.place),
    }
}

/// What is wrong with one row.
fn fault(row: &str) -> String {
    let [fault] = parsed(row).1.try_into().unwrap();
    fault.strip_prefix("v:1: ").unwrap().to_owned()
}

fn keys_of(address: &str) -> Vec<String> {
    keys(&address.parse().unwrap(), Delimiter::default()).into_iter().map(|key| key.text).collect()
}

#[test]
fn the_keys_of_an_address_are_looked_up_in_sendmails_order() {
    assert_eq!(keys_of("Joe@Example.COM"), ["joe@example.com", "@example.com"]);
    assert_eq!(
        keys_of("joe+Tag@example.com"),
        [
            "joe+tag@example.com",
            "joe++@example.com",
            "joe+*@example.com",
            "joe@example.com",
            "++@example.com",
            "+*@example.com",
            "@example.com",
        ]
    );
    assert_eq!(
        keys_of("joe+@example.com"),
        ["joe+@example.com", "joe+*@example.com", "joe@example.com", "+*@example.com", "@example.com"]
    );
}

#[test]
fn nothing_in_a_local_part_names_another_domain() {
    assert_eq!(keys_of("joe%other.org@example.com"), ["joe%other.org@example.com", "@example.com"]);
    assert_eq!(keys_of("\"joe@other.org\"@example.com"), ["\"joe@other.org\"@example.com", "@example.com"]);
    assert_eq!(keys_of("other.org!joe@example.com").last().unwrap(), "@example.com");
    assert_eq!(keys_of("joe@[192.0.2.1]"), [""; 0]);
    assert_eq!(keys_of("postmaster"), [""; 0]);
}

#[test]
fn the_most_specific_row_decides_wherever_it_stands() {
    let text = "@a.example all@b.example\n+*@a.example plus\njoe@a.example joseph\njoe+*@a.example tagged\n\
                joe+x@a.example exact\n";
    for (address, found) in [
        ("joe+x@a.example", "v:5: exact@gw.example"),
        ("JOE+X@A.example", "v:5: exact@gw.example"),
        ("joe+y@a.example", "v:4: tagged@gw.example"),
        ("joe+@a.example", "v:4: tagged@gw.example"),
        ("joe@a.example", "v:3: joseph@gw.example"),
        ("jim+y@a.example", "v:2: plus@gw.example"),
        ("jim@a.example", "v:1: all@b.example"),
        ("jim@x.a.example", "none"),
        ("jim@xa.example", "none"),
    ] {
        assert_eq!(becomes(text, address), found, "{address}");
    }
}

#[test]
fn a_double_plus_wants_a_detail_that_is_not_empty() {
    let text = "joe++@a.example b\n++@a.example c\n";
    assert_eq!(becomes(text, "joe+x@a.example"), "v:1: b@gw.example");
    assert_eq!(becomes(text, "jim+x@a.example"), "v:2: c@gw.example");
    assert_eq!(becomes(text, "joe+@a.example"), "none");
    assert_eq!(becomes(text, "joe@a.example"), "none");
}

#[test]
fn the_parts_of_the_address_stand_where_the_row_wants_them() {
    for (row, address, found) in [
        ("@a.example %1@b.example", "Joe@a.example", "Joe@b.example"),
        ("@a.example %1%3@b.example", "joe+x@a.example", "joe+x@b.example"),
        ("@a.example %1%3@b.example", "joe@a.example", "joe@b.example"),
        ("@a.example %2@lists.b.example", "join+dev@a.example", "dev@lists.b.example"),
        ("@a.example x@%1.b.example", "joe@a.example", "x@joe.b.example"),
        ("joe+x@a.example %1@b.example", "joe+x@a.example", "joe+x@b.example"),
        ("joe@a.example joseph%3@b.example", "joe+x@a.example", "joseph+x@b.example"),
        ("@a.example %1-100%%@b.example", "joe@a.example", "joe-100%@b.example"),
        ("@a.example \"%1 there\"@b.example", "joe@a.example", "\"joe there\"@b.example"),
        ("@a.example %1", "joe@a.example", "joe@gw.example"),
    ] {
        assert_eq!(becomes(row, address), format!("v:1: {found}"), "{row}");
    }
}

#[test]
fn what_a_sender_writes_stays_in_its_place() {
    let row = "@a.example %1@b.example";
    assert_eq!(becomes(row, "\"x@evil.org\"@a.example"), "v:1: \"x@evil.org\"@b.example");
    assert_eq!(becomes(row, "\"|sh -c id\"@a.example"), "v:1: \"|sh -c id\"@b.example");
    assert_eq!(becomes(row, "%2@a.example"), "v:1: %2@b.example");
    let host = "@a.example x@%1.b.example";
    assert_eq!(becomes(host, "\"evil.org b\"@a.example"), "v:1: no address");
    assert_eq!(becomes(host, "\"x@evil.org/\"@a.example"), "v:1: no address");
    assert_eq!(becomes("@a.example %2@b.example", "joe@a.example"), "v:1: no address");
}

#[test]
fn an_error_has_the_status_and_the_code_of_sendmails() {
    for (value, error) in [
        ("error:5.7.0:550 No mail here", "error:5.7.0:550 No mail here"),
        ("error:nouser 550 User unknown", "error:5.1.1:550 User unknown"),
        ("error:nouser User unknown", "error:5.1.1:550 User unknown"),
        ("ERROR:tempfail Later", "error:4.0.0:450 Later"),
    ] {
        assert_eq!(
            becomes(&format!("@a.example {value}"), "x@a.example"),
            format!("v:1: {error}"),
            "{value}"
        );
    }
}

#[test]
fn rows_that_make_no_sense_are_faults() {
    for (row, what) in [
        ("joe x@b", "\"joe\": a key is of the form user@domain or @domain"),
        (
            "joe@[192.0.2.1] x",
            "\"joe@[192.0.2.1]\": an address literal is never looked up in a virtusertable",
        ),
        ("joe@a. x", "\"joe@a.\": bad domain"),
        ("a@b@c x", "\"a@b@c\": bad local part"),
        ("@a |/bin/sh", "no program, file or list may stand here: name an alias that leads there"),
        ("@a \"|/bin/sh\"", "no program, file or list may stand here: name an alias that leads there"),
        ("@a /var/mail/x", "no program, file or list may stand here: name an alias that leads there"),
        ("@a :include:/x", "no program, file or list may stand here: name an alias that leads there"),
        ("@a joe%b.example", "\"joe%b.example\" is a route: write it as user@domain"),
        ("@a b.example!joe", "\"b.example!joe\" is a route: write it as user@domain"),
        ("@a %4@b", "%4 stands for nothing here"),
        ("@a error:nouser", "the text of an error must be printable ASCII, and not empty"),
        ("@a x@b@c", "\"x@b@c\": bad local part"),
        ("@a @b.example", "\"@b.example\": bad local part"),
    ] {
        assert_eq!(fault(row), what, "{row}");
    }
    for list in ["@a x, y", "@a x,y", "@a x # a comment"] {
        assert!(fault(list).starts_with("one address may stand here"), "{list}");
    }
    for open in ["@a x@%1", "@a %1@%2", "@a x@%1.example", "@a x@b.%2"] {
        assert!(fault(open).contains("would choose the domain"), "{open}");
    }
}

#[test]
fn rows_that_lead_back_to_themselves_are_faults() {
    assert_eq!(fault("joe@a.example joe@a.example"), "\"joe@a.example\" leads to itself");
    assert_eq!(fault("@a.example joe@a.example"), "\"@a.example\" leads to itself");
    let (_, faults) = parsed("x@a b@b\nb@b c@c\nc@c b@b\ny@a c@c\n");
    assert_eq!(faults, ["v:2: \"b@b\" leads back to itself, by way of v:3"]);
    table("@a.example joe@a.example\njoe@a.example joe\n");
}

#[test]
fn a_long_chain_and_a_long_row_are_read() {
    let mut text: String = (0..20_000).map(|n| format!("u{n}@a u{}@a\n", n + 1)).collect();
    text += &format!("big@a {}@b\n", "x".repeat(1 << 20));
    let (_, faults) = parsed(&text);
    let [fault] = faults.try_into().unwrap();
    assert!(fault.starts_with("v:20001: ") && fault.ends_with("the address is too long"), "{fault:.80}");
}
