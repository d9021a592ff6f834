use super::*;

const SAMPLE: &str = "smap 1\nID 1K3N5Q0ZB7R2M4D8XJ9WTV\nTIME 1795247311.123456\nCLIENT 192.0.2.7:40112\n\
NAME mail.example.org\nEHLO mail.example.org\nROLE mx\nFROM <a@example.org> SIZE=5120 BODY=8BITMIME\n\
RCPT <c@example.com> NOTIFY=FAILURE ORCPT=rfc822;c+40example.com\nRCPT <\"d e\"@example.com>\n\n";

#[test]
fn an_envelope_reads_back_as_it_was_written() {
    let (envelope, length) = Envelope::parse(format!("{SAMPLE}Subject: x\r\n").as_bytes()).unwrap();
    assert_eq!(length, SAMPLE.len());
    assert_eq!(envelope.recipients.len(), 2);
    let mut text = Vec::new();
    envelope.write(&mut text);
    assert_eq!(String::from_utf8(text).unwrap(), SAMPLE);
}

#[test]
fn a_broken_envelope_names_the_line() {
    let cases = [
        ("smap 1", "smap 9", 1),
        ("ID 1K3N5Q", "ID ../../", 2),
        ("TIME 1", "TIME x", 3),
        ("CLIENT 192.0.2.7:40112", "CLIENT 192.0.2.7", 4),
        ("NAME mail.example.org", "NAME \x1b[2J", 5),
        ("ROLE mx", "ROLE king", 7),
        ("FROM <a@example.org>", "FROM a@example.org", 8),
        ("RCPT <c@example.com>", "RCPT <>", 9),
        ("RCPT <c@example.com>", "EXEC <c@example.com>", 9),
    ];
    for (good, bad, line) in cases {
        let fault = Envelope::parse(SAMPLE.replacen(good, bad, 1).as_bytes()).unwrap_err();
        assert_eq!(fault.line, line, "{bad}: {fault}");
    }
}

#[test]
fn an_envelope_cut_anywhere_is_refused() {
    for cut in 0..SAMPLE.len() {
        assert!(Envelope::parse(&SAMPLE.as_bytes()[..cut]).is_err(), "cut at {cut}");
    }
}
