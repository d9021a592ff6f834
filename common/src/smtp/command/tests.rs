use super::*;

fn error(line: &str) -> CommandError {
    parse(line.as_bytes()).unwrap_err()
}

#[test]
fn verbs_are_known_in_any_case() {
    assert_eq!(parse(b"data"), Ok(Command::Data));
    assert_eq!(parse(b"QuIt"), Ok(Command::Quit));
    assert_eq!(parse(b"rset "), Ok(Command::Rset));
    assert_eq!(parse(b"NOOP anything at all"), Ok(Command::Noop));
    assert_eq!(parse(b"vrfy root"), Ok(Command::Vrfy));
}

#[test]
fn commands_without_arguments_refuse_them() {
    for line in ["DATA junk", "RSET junk", "QUIT junk"] {
        assert!(matches!(error(line), CommandError::Syntax(_)), "{line}");
    }
}

#[test]
fn lines_that_are_no_commands_are_named_by_their_fault() {
    assert_eq!(error(""), CommandError::Unknown);
    assert_eq!(error("WIZ"), CommandError::Unknown);
    assert_eq!(error("XCLIENT NAME=x"), CommandError::Unknown);
    assert_eq!(error("TURN"), CommandError::NotImplemented);
    assert_eq!(error("HELO a\0b"), CommandError::BadOctet);
    assert_eq!(error("HELO a\rb"), CommandError::BadOctet);
    assert_eq!(error("GET / HTTP/1.1"), CommandError::WrongProtocol);
    assert_eq!(parse(b"\xffELO x"), Err(CommandError::Unknown));
}

#[test]
fn a_client_may_misname_itself_but_not_forge_a_line() {
    for name in ["mail.example.com", "[192.0.2.1]", "[IPv6:2001:db8::1]", "my_pc", "localhost."] {
        assert_eq!(parse(format!("EHLO {name}").as_bytes()), Ok(Command::Ehlo(name.parse().unwrap())));
    }
    for name in ["", "a b", "\x1b[2J", "$(id)", "a;b", "<a>", "a=b", &"x".repeat(256)] {
        assert!(parse(format!("EHLO {name}").as_bytes()).is_err(), "{name:?}");
    }
}

#[test]
fn mail_takes_each_parameter_once() {
    let line = b"mail from:<a@b> size=1000 BODY=8BITMIME smtputf8 RET=HDRS ENVID=QQ+2B1";
    let Ok(Command::Mail(mail)) = parse(line) else { panic!("refused") };
    assert_eq!(mail.sender.to_string(), "<a@b>");
    let parameters = mail.parameters;
    assert_eq!(parameters.size, Some(1000));
    assert_eq!(parameters.body, Some(BodyType::EightBitMime));
    assert!(parameters.smtputf8);
    assert_eq!(parameters.ret, Some(Return::Headers));
    assert_eq!(parameters.envid.unwrap().as_str(), "QQ+2B1");
    for twice in ["SIZE=1 SIZE=1", "SMTPUTF8 SMTPUTF8", "BODY=7BIT BODY=7BIT", "RET=FULL RET=FULL"] {
        assert_eq!(error(&format!("MAIL FROM:<a@b> {twice}")), CommandError::BadParameter, "{twice}");
    }
}

#[test]
fn mail_refuses_what_it_did_not_announce() {
    assert_eq!(error("MAIL FROM:<a@b> AUTH=<>"), CommandError::UnknownParameter);
    assert_eq!(error("MAIL FROM:<a@b> XYZZY"), CommandError::UnknownParameter);
    assert_eq!(error("RCPT TO:<a@b> SIZE=1"), CommandError::UnknownParameter);
}

#[test]
fn bad_parameter_values_are_refused() {
    let long_envid = format!("ENVID={}", "a".repeat(101));
    let bad = [
        "SIZE",
        "SIZE=",
        "SIZE=-1",
        "SIZE=1x",
        "SIZE=999999999999999999999999",
        "BODY=JUNK",
        "BODY=BINARYMIME",
        "SMTPUTF8=1",
        "RET=X",
        "ENVID=a=b",
        "=x",
        "-a=b",
        "\"a",
        &long_envid,
    ];
    for parameter in bad {
        assert_eq!(error(&format!("MAIL FROM:<a@b> {parameter}")), CommandError::BadParameter, "{parameter}");
    }
    let bad =
        ["NOTIFY=NEVER,SUCCESS", "NOTIFY", "ORCPT=a@b", "ORCPT=rfc822;a=b", "NOTIFY=DELAY NOTIFY=DELAY"];
    for parameter in bad {
        assert_eq!(error(&format!("RCPT TO:<a@b> {parameter}")), CommandError::BadParameter, "{parameter}");
    }
}

#[test]
fn a_size_too_large_to_hold_is_still_too_large() {
    let Ok(Command::Mail(mail)) = parse(b"MAIL FROM:<> SIZE=99999999999999999999") else { panic!("refused") };
    assert_eq!(mail.parameters.size, Some(u64::MAX));
}

#[test]
fn the_path_needs_its_colon_and_its_brackets() {
    use AddressError::Brackets;
    assert!(matches!(error("MAIL <a@b>"), CommandError::Syntax(_)));
    assert!(matches!(error("RCPT FROM:<a@b>"), CommandError::Syntax(_)));
    assert_eq!(error("MAIL FROM: <a@b>"), CommandError::Path(PathKind::Sender, Brackets));
    assert_eq!(error("MAIL FROM:a@b"), CommandError::Path(PathKind::Sender, Brackets));
    assert_eq!(error("RCPT TO:<a@b>SIZE=1"), CommandError::Path(PathKind::Recipient, Brackets));
    assert_eq!(error("RCPT TO:<>"), CommandError::Path(PathKind::Recipient, AddressError::Empty));
}

#[test]
fn bdat_takes_a_size_and_perhaps_last() {
    assert_eq!(parse(b"BDAT 0 LAST"), Ok(Command::Bdat(Chunk { size: 0, last: true })));
    assert_eq!(parse(b"bdat 86 last"), Ok(Command::Bdat(Chunk { size: 86, last: true })));
    assert_eq!(parse(b"BDAT 10"), Ok(Command::Bdat(Chunk { size: 10, last: false })));
    for line in
        ["BDAT", "BDAT x", "BDAT -1", "BDAT 1 FIRST", "BDAT 1 LAST x", "BDAT 99999999999999999999 LAST"]
    {
        assert!(matches!(error(line), CommandError::Syntax(_)), "{line}");
    }
}
