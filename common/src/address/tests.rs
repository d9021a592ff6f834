use super::*;

fn path(text: &str) -> Result<String, AddressError> {
    parse_path(text.as_bytes()).map(|(address, _)| address.to_string())
}

#[test]
fn a_path_reads_back_as_it_was_written() {
    let same = [
        "a@b",
        "first.last+tag@mail.example.com",
        "\"a b\"@c.d",
        "\"a\\\"b\"@c.d",
        "u@[127.0.0.1]",
        "u@[IPv6:::1]",
        "!#$%&'*+-/=?^_`{|}~@x",
        "-oQ/tmp@our.example",
        "пример@пример.рф",
        "u@my_host.example",
    ];
    for text in same {
        assert_eq!(path(&format!("<{text}>")).as_deref(), Ok(text), "{text}");
    }
}

#[test]
fn quotes_that_are_not_needed_are_dropped() {
    assert_eq!(path("<\"abc\"@d>").as_deref(), Ok("abc@d"));
    assert_eq!(path("<\"a\\bc\"@d>").as_deref(), Ok("abc@d"));
}

#[test]
fn the_domain_is_lower_case_and_the_local_part_is_left_alone() {
    assert_eq!(path("<User@EXAMPLE.Com>").as_deref(), Ok("User@example.com"));
}

#[test]
fn a_source_route_is_read_over() {
    assert_eq!(path("<@a,@b:u@d>").as_deref(), Ok("u@d"));
    assert_eq!(path("<@a.b.c:u@d>").as_deref(), Ok("u@d"));
    assert_eq!(path("<@a,:u@d>"), Err(AddressError::Domain));
    assert_eq!(path("<@:u@d>"), Err(AddressError::Domain));
    assert_eq!(path("<@a;u@d>"), Err(AddressError::Domain));
}

#[test]
fn only_postmaster_needs_no_domain() {
    assert_eq!(path("<PostMaster>").as_deref(), Ok("PostMaster"));
    assert_eq!(path("<root>"), Err(AddressError::NoDomain));
    assert_eq!(path("<|/bin/sh>"), Err(AddressError::NoDomain));
}

#[test]
fn what_is_not_an_address_is_refused() {
    use AddressError as E;
    let cases = [
        ("a@b", E::Brackets),
        ("<a@b", E::Brackets),
        ("<>", E::Empty),
        ("<@>", E::Domain),
        ("<a@>", E::Domain),
        ("<@b>", E::Domain),
        ("<a@@b>", E::Domain),
        ("<a b@c>", E::NoDomain),
        ("<.@b>", E::LocalPart),
        ("<a..b@c>", E::LocalPart),
        ("<a.@c>", E::LocalPart),
        ("<\"\"@c>", E::LocalPart),
        ("<\"a@c>", E::LocalPart),
        ("<\"a\\\u{7f}\"@c>", E::LocalPart),
        ("<\"a\rb\"@c>", E::LocalPart),
        ("<a\0b@c>", E::NoDomain),
        ("<:include:/etc/passwd@c>", E::LocalPart),
        ("<;sh;@c>", E::LocalPart),
        ("<a@b..c>", E::Domain),
        ("<a@.b>", E::Domain),
        ("<a@b.>", E::Domain),
        ("<a@-b>", E::Domain),
        ("<a@b->", E::Domain),
        ("<u@[999.1.1.1]>", E::Domain),
        ("<u@[127.0.0.1>", E::Domain),
        ("<u@[IPv6:1.2.3.4]>", E::Domain),
        ("<u@victim@our>", E::Brackets),
        ("<a\u{202e}b@c>", E::NoDomain),
        ("<a@b\u{0085}>", E::Brackets),
    ];
    for (text, fault) in cases {
        assert_eq!(path(text), Err(fault), "{text:?}");
    }
    assert_eq!(parse_path(b"<\xff@b>").map(|_| ()), Err(E::Encoding));
}

#[test]
fn lengths_end_where_the_rfc_ends_them() {
    let long = |n: usize| "a".repeat(n);
    assert!(path(&format!("<{}@b>", long(64))).is_ok());
    assert_eq!(path(&format!("<{}@b>", long(65))), Err(AddressError::TooLong));
    assert!(path(&format!("<a@{}>", long(63))).is_ok());
    assert_eq!(path(&format!("<a@{}>", long(64))), Err(AddressError::TooLong));
    let label = long(63);
    let domain = format!("{label}.{label}.{label}.{}", long(62));
    assert_eq!(domain.len(), 254);
    assert!(domain.parse::<Domain>().is_ok());
    assert!(format!("{domain}a").parse::<Domain>().is_ok());
    assert_eq!(format!("{domain}.aa").parse::<Domain>(), Err(AddressError::TooLong));
    // 1 + 64 + 1 + 189 + 1 = 256
    let path_256 = format!("<{}@{label}.{label}.{}>", long(64), long(61));
    assert_eq!(path_256.len(), MAX_PATH);
    assert!(path(&path_256).is_ok());
    assert_eq!(path(&format!("<{}@{label}.{label}.{}>", long(64), long(62))), Err(AddressError::TooLong));
}

#[test]
fn an_address_that_fits_in_no_path_is_none() {
    let label = "a".repeat(63);
    let long = |last: usize| format!("{}@{label}.{label}.{}", "u".repeat(64), "a".repeat(last));
    let address: Address = long(61).parse().unwrap();
    assert_eq!(path(&format!("<{address}>")), Ok(address.to_string()));
    assert_eq!(long(62).parse::<Address>(), Err(AddressError::TooLong));
}

#[test]
fn what_follows_the_path_is_given_back() {
    let (sender, rest) = ReversePath::parse_prefix(b"<> SIZE=1").unwrap();
    assert_eq!((sender, rest), (ReversePath::Null, b" SIZE=1".as_slice()));
    let (_, rest) = parse_path(b"<a@b>junk").unwrap();
    assert_eq!(rest, b"junk");
}

#[test]
fn a_sender_without_a_domain_is_the_null_path_or_an_error() {
    let sender = |text: &str| ReversePath::parse_prefix(text.as_bytes()).map(|(sender, _)| sender);
    assert_eq!(sender("<mailer-daemon>"), Ok(ReversePath::Null));
    assert_eq!(sender("<MAILER-DAEMON> SIZE=1"), Ok(ReversePath::Null));
    assert_eq!(sender("<root>"), Err(AddressError::NoDomain));
}

#[test]
fn every_fault_is_said_in_words_of_its_own() {
    use AddressError as E;
    let faults = [E::Brackets, E::Empty, E::LocalPart, E::NoDomain, E::Domain, E::TooLong, E::Encoding];
    let words: std::collections::BTreeSet<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), faults.len());
    assert!(words.iter().all(|said| said.contains(' ')), "{words:?}");
}

#[test]
fn a_domain_is_a_name_or_an_address() {
    let domain = |text: &str| text.parse::<Domain>().unwrap();
    let name = domain("Mail-1.Example.com");
    assert_eq!((name.name(), name.literal()), (Some("mail-1.example.com"), None));
    let literal = domain("[192.0.2.1]");
    assert_eq!((literal.name(), literal.literal()), (None, Some(Ipv4Addr::new(192, 0, 2, 1).into())));
    assert_eq!(domain("[ipv6:2001:db8::1]"), Domain::from_ip("2001:db8::1".parse().unwrap()));
    for wrong in ["[2001:db8::1]", "[IPv6:192.0.2.1]", "[IPv4:192.0.2.1]", "[]", "[192.0.2.1", "a b", "a/b"] {
        assert!(wrong.parse::<Domain>().is_err(), "{wrong}");
    }
}

#[test]
fn no_character_that_hides_or_turns_text_stands_in_an_address() {
    for c in [
        '\u{61c}', '\u{7f}', '\u{85}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{202e}', '\u{2066}',
        '\u{2069}', '\u{feff}',
    ] {
        for text in [format!("a{c}b@c"), format!("\"a{c}b\"@c"), format!("a@b{c}c")] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
    for text in ["пётр@пример.рф", "\"пётр первый\"@пример.рф", "用户@例子.广告"]
    {
        assert_eq!(text.parse::<Address>().map(|address| address.to_string()).as_deref(), Ok(text));
    }
}

#[test]
fn postmaster_is_one_in_any_case_at_any_domain() {
    let is_postmaster = |text: &str| text.parse::<Address>().unwrap().is_postmaster();
    assert!(is_postmaster("postmaster") && is_postmaster("PostMaster@example.com"));
    assert!(!is_postmaster("postmaster1@example.com") && !is_postmaster("root@example.com"));
}

#[test]
fn an_address_may_move_to_another_domain() {
    let bare: Address = "postmaster".parse().unwrap();
    assert_eq!((bare.local_part(), bare.domain()), ("postmaster", None));
    let there = bare.at("Example.com".parse().unwrap());
    assert_eq!(there.to_string(), "postmaster@example.com");
    assert_eq!(there.domain().and_then(Domain::name), Some("example.com"));
}

#[test]
fn smtputf8_is_needed_beyond_ascii_on_either_side() {
    let cases = [
        ("a@b", true),
        ("postmaster", true),
        ("a@[127.0.0.1]", true),
        ("ä@b", false),
        ("a@ä", false),
        ("ä@[127.0.0.1]", false),
    ];
    for (text, ascii) in cases {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.is_ascii(), ascii, "{text}");
        assert_eq!(ReversePath::Mailbox(address).is_ascii(), ascii, "<{text}>");
    }
    assert!(ReversePath::Null.is_ascii());
}

#[test]
fn an_address_has_nothing_around_it() {
    for text in ["a@b>", "a@b c", " a@b", "<a@b>", "a@b,c@d", ""] {
        assert!(Address::parse(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[test]
fn a_sender_is_written_in_brackets_and_reads_back() {
    for text in ["<>", "<a@b>", "<\"a b\"@c.d>"] {
        let (sender, rest) = ReversePath::parse_prefix(text.as_bytes()).unwrap();
        assert_eq!((sender.to_string().as_str(), rest), (text, b"".as_slice()));
        let address = text.trim_matches(['<', '>']).parse::<Address>().ok();
        assert_eq!(sender.address(), address.as_ref(), "{text}");
    }
}

#[test]
fn an_address_is_serialized_as_its_text() {
    use serde::de::value::{Error, StrDeserializer};
    struct Serialized(Address);
    impl fmt::Display for Serialized {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.serialize(f)
        }
    }
    let read = |text| Address::deserialize(StrDeserializer::<Error>::new(text));
    assert_eq!(Serialized(read("\"a b\"@c").unwrap()).to_string(), "\"a b\"@c");
    assert_eq!(read("a b").unwrap_err().to_string(), "\"a b\": the domain is missing");
}

#[test]
fn what_follows_a_path_does_not_make_it_longer() {
    let line = format!("<a@b> {}", "x".repeat(MAX_PATH));
    assert!(parse_path(line.as_bytes()).is_ok());
}
