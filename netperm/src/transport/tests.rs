use super::*;

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn read(text: &str) -> Transport {
    Transport::from_words(&words(text)).unwrap()
}

fn smtp_hops(text: &str) -> Vec<NextHop> {
    let Transport::Smtp { hops, .. } = read(text) else { panic!("{text}") };
    hops
}

fn direct(host: &str, port: u16) -> NextHop {
    let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
    NextHop::Direct { host, port }
}

fn by_mx(host: &str, port: u16) -> NextHop {
    NextHop::ByMx { host: host.to_owned(), port }
}

#[test]
fn smtp_names_hosts_with_and_without_mx() {
    assert_eq!(smtp_hops("smtp:"), [NextHop::RecipientDomain]);
    assert_eq!(smtp_hops("smtp:Mail.Example.com"), [by_mx("mail.example.com", 25)]);
    assert_eq!(smtp_hops("smtp:mail.example.com:587"), [by_mx("mail.example.com", 587)]);
    assert_eq!(smtp_hops("smtp:[mail.example.com]:587"), [direct("mail.example.com", 587)]);
    assert_eq!(smtp_hops("smtp:[10.0.0.5]"), [direct("10.0.0.5", 25)]);
    assert_eq!(smtp_hops("smtp:[2001:db8::1]:2525"), [direct("2001:db8::1", 2525)]);
    assert_eq!(smtp_hops("smtp:[IPv6:2001:db8::1]"), [direct("2001:db8::1", 25)]);
    assert_eq!(smtp_hops("smtp:[::ffff:10.0.0.5]"), [direct("10.0.0.5", 25)]);
}

#[test]
fn several_hops_are_failover_in_their_order() {
    let both = [direct("10.0.0.5", 25), by_mx("example.com", 26)];
    assert_eq!(smtp_hops("smtp:[10.0.0.5],example.com:26"), both);
    assert_eq!(smtp_hops("smtp:[10.0.0.5]:25,smtp:example.com:26"), both);
    assert_eq!(smtp_hops("smtp:[10.0.0.5],smtp:"), [direct("10.0.0.5", 25), NextHop::RecipientDomain]);
}

#[test]
fn hops_that_are_not_written_out_are_errors() {
    for text in
        ["smtp:,", "smtp:[10.0.0.5],", "smtp:[10.0.0.5],,[10.0.0.6]", "smtp:smtp:", "smtp::25", "smtp:[]"]
    {
        assert!(Transport::from_words(&words(text)).is_err(), "{text}");
    }
}

#[test]
fn what_is_asked_of_tls_is_one_of_four_words() {
    let words = [
        ("off", Tls::Off),
        ("opportunistic", Tls::Opportunistic),
        ("require", Tls::Require),
        ("verify", Tls::Verify),
    ];
    for (word, tls) in words {
        assert_eq!(read(&format!("smtp: tls={word}")).tls(), tls);
    }
    assert_eq!(read("smtp:").tls(), Tls::Opportunistic);
    assert_eq!(read("lmtp:unix:/run/lmtp").tls(), Tls::Off);
    let error = Transport::from_words(&self::words("smtp: tls=verfy")).unwrap_err().to_string();
    assert!(error.contains("did you mean \"verify\"?"), "{error}");
}

#[test]
fn options_stand_before_the_arguments() {
    let Transport::Smtp { tls, timeout, .. } = read("smtp:[10.0.0.5] timeout=1m tls=off") else { panic!() };
    assert_eq!((tls, timeout), (Tls::Off, Some(Duration::from_secs(60))));
    let Transport::Pipe { args, timeout, .. } = read("pipe:/bin/x timeout=5 --box=%u a=b") else { panic!() };
    assert_eq!(timeout, Some(Duration::from_secs(5)));
    assert_eq!(args.iter().map(ToString::to_string).collect::<Vec<_>>(), ["--box=%u", "a=b"]);
    let Transport::Pipe { args, .. } = read("pipe:/bin/x -- timeout=5") else { panic!() };
    assert_eq!(args.len(), 1);
}

#[test]
fn lmtp_is_a_socket_or_a_port() {
    let tcp = |host: Host, port| Transport::Lmtp { to: LmtpTarget::Tcp { host, port }, timeout: None };
    assert_eq!(read("lmtp:localhost"), tcp(Host::Name("localhost".to_owned()), 24));
    assert_eq!(read("lmtp:127.0.0.1:2003"), tcp(Host::Address([127, 0, 0, 1].into()), 2003));
    assert_eq!(read("lmtp:[::1]:2003"), tcp(Host::Address("::1".parse().unwrap()), 2003));
    let unix = LmtpTarget::Unix(PathBuf::from("/run/dovecot/lmtp"));
    assert_eq!(read("lmtp:unix:/run/dovecot/lmtp"), Transport::Lmtp { to: unix, timeout: None });
}

#[test]
fn an_error_has_a_status_a_code_of_its_class_and_a_text() {
    let status = Status::permanent(7, 1);
    assert_eq!(
        read("error:5.7.1:550 No such user"),
        Transport::Error { status, code: 550, text: "No such user".to_owned() }
    );
    assert!(matches!(read("error:4.2.1:451 Later"), Transport::Error { code: 451, .. }));
    for text in [
        "error:2.0.0:250 Ok",
        "error:5.7:550 No",
        "error:5.7.1.1:550 No",
        "error:5.7.1:55 No",
        "error:5.7.1:650 No",
    ] {
        assert!(Transport::from_words(&words(text)).is_err(), "{text}");
    }
}

#[test]
fn a_transport_is_shown_as_it_may_be_written() {
    let cases = [
        "smtp:",
        "smtp:[10.0.0.5]:2525,smtp:example.com tls=off timeout=30s",
        "smtp:[2001:db8::1]:26 tls=require",
        "smtp: tls=verify",
        "lmtp:unix:/run/lmtp timeout=1m",
        "lmtp:[::1]:24",
        "lmtp:mail.example.com:2003",
        "maildir:/var/mail/%d/%u/",
        "mbox:/var/mail/%u",
        "pipe:/bin/x -f%s -- %u",
        "pipe:/bin/x -- -- %u",
        "pipe:/bin/x -- key=value",
        "sendmail timeout=10m",
        "local:root",
        "error:5.1.6:551 Moved to example.com",
        "error:5.1.6:551 -- see=this",
        "discard",
    ];
    for text in cases {
        let transport = read(text);
        assert_eq!(transport.to_string(), text);
        assert_eq!(read(&transport.to_string()), transport);
    }
}

#[test]
fn what_begins_a_transport_is_never_a_domain() {
    for word in ["smtp:", "smtp:[10.0.0.5]", "sendmail", "discard", "smpt:x", "a:b"] {
        assert!(begins(word), "{word}");
    }
    for word in ["example.com", ".example.com", "[10.0.0.5]", "[IPv6:2001:db8::1]", "smtp", "local"] {
        assert!(!begins(word), "{word}");
    }
}
