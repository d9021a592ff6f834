use super::*;

fn parsed(text: &str) -> (Mailertable, Vec<String>) {
    let (table, faults) = Mailertable::parse(Path::new("m"), text.as_bytes());
    (table, faults.iter().map(ToString::to_string).collect())
}

fn table(text: &str) -> Mailertable {
    let (table, faults) = parsed(text);
    assert_eq!(faults, [""; 0], "{text}");
    table
}

/// The line that decides, and the transport that it comes to.
fn way(text: &str, to: &str) -> String {
    let (table, to): (_, Address) = (table(text), to.parse().unwrap());
    match table.find(to.domain().unwrap()) {
        Some((entry, wildcard)) => format!("{}: {}", entry.place, entry.transport(&to, wildcard)),
        None => "none".to_owned(),
    }
}

/// What one line sends `joe@a.b.example` to.
fn sends(value: &str) -> String {
    way(&format!(".example {value}"), "joe@a.b.example").strip_prefix("m:1: ").unwrap().to_owned()
}

fn fault(line: &str) -> String {
    let (table, faults) = parsed(line);
    assert!(table.entries().is_empty());
    let [fault] = faults.try_into().unwrap();
    fault.strip_prefix("m:1: ").unwrap().to_owned()
}

const ORDER: &str = "\
.\tsmtp:[10.0.0.1]
.example  smtp:[10.0.0.2]
# more specific lines may stand behind

.b.example smtp:[10.0.0.3]
  a.b.Example\tsmtp:[10.0.0.4]
";

#[test]
fn the_name_itself_comes_first_and_then_the_nearest_name_above_it() {
    assert_eq!(way(ORDER, "x@A.B.EXAMPLE"), "m:6: smtp:[10.0.0.4]");
    assert_eq!(way(ORDER, "x@c.b.example"), "m:5: smtp:[10.0.0.3]");
    assert_eq!(way(ORDER, "x@d.a.b.example"), "m:5: smtp:[10.0.0.3]");
    assert_eq!(way(ORDER, "x@b.example"), "m:2: smtp:[10.0.0.2]");
    assert_eq!(way(ORDER, "x@example"), "m:1: smtp:[10.0.0.1]");
    assert_eq!(way(ORDER, "x@other.org"), "m:1: smtp:[10.0.0.1]");
}

#[test]
fn a_name_with_a_dot_does_not_mean_the_name_without() {
    assert_eq!(way(".example.com smtp:[10.0.0.1]", "x@example.com"), "none");
    assert_eq!(way(".example.com smtp:[10.0.0.1]", "x@notexample.com"), "none");
    assert_eq!(way("example.com smtp:[10.0.0.1]", "x@a.example.com"), "none");
}

#[test]
fn an_address_literal_is_not_looked_up() {
    assert_eq!(way(". smtp:[10.0.0.1]", "x@[192.0.2.1]"), "none");
    assert!(fault("[192.0.2.1] smtp:[10.0.0.1]").contains("never looked up"));
}

#[test]
fn sendmails_mailers_for_smtp_are_all_one() {
    for mailer in ["smtp", "esmtp", "relay", "SMTP"] {
        assert_eq!(sends(&format!("{mailer}:mail.example")), "smtp:mail.example");
    }
}

#[test]
fn a_colon_begins_the_next_host_and_digits_are_a_port() {
    assert_eq!(sends("smtp:[10.0.0.5]:2525:[10.0.0.6]"), "smtp:[10.0.0.5]:2525,smtp:[10.0.0.6]");
    assert_eq!(sends("smtp:a.example:b.example:26"), "smtp:a.example,smtp:b.example:26");
    assert_eq!(sends("smtp:[IPv6:2001:db8::1]:587:[::1]"), "smtp:[2001:db8::1]:587,smtp:[::1]");
    assert_eq!(sends("smtp:[a.example],[b.example]"), "smtp:[a.example],smtp:[b.example]");
}

#[test]
fn hosts_that_are_not_written_out_are_faults() {
    for (value, what) in [
        ("smtp:", "no host stands beside a colon"),
        ("smtp:a:", "no host stands beside a colon"),
        ("smtp:,a", "no host stands beside a colon"),
        ("smtp:25", "25 is a port, and no host stands before it"),
        ("smtp:a:25:26", "26 is a port, and no host stands before it"),
        ("smtp:a:0", "\"0\" is not a port"),
        ("smtp:joe@a", "\"joe@a\" is neither the name nor the address of a host"),
        ("smtp:10.0.0.5", "an address has no MX, did you mean \"[10.0.0.5]\"?"),
        ("smtp:%2.a", "%2 stands for nothing here"),
        ("smtp:[a] # a comment", "nothing may stand behind this (a comment stands on a line of its own)"),
        ("smpt:a", "unknown mailer \"smpt\", did you mean \"smtp\"?"),
        ("a.example", "\"a.example\" is not of the form mailer:host"),
    ] {
        assert_eq!(fault(&format!(".example {value}")), what, "{value}");
    }
}

#[test]
fn the_wildcard_is_what_the_key_leaves_of_the_domain() {
    assert_eq!(sends("smtp:%1.inside.org"), "smtp:a.b.inside.org");
    assert_eq!(sends("smtp:[%1.inside.org]:26:[10.0.0.5]"), "smtp:[a.b.inside.org]:26,smtp:[10.0.0.5]");
    assert_eq!(sends("local:%1"), "local:a.b");
    assert_eq!(way(". smtp:%1:587", "x@a.example"), "m:1: smtp:a.example:587");
    assert_eq!(
        fault("a.example smtp:%1"),
        "%1 stands for nothing behind \"a.example\", which does not begin with a dot"
    );
}

#[test]
fn a_wildcard_is_never_a_port_or_an_address() {
    let unknown = "m:1: error:5.1.2:550 Host unknown";
    assert_eq!(way(".example smtp:[%1]", "x@10.0.0.1.example"), unknown);
    assert_eq!(way(".example smtp:%1", "x@2525.example"), unknown);
    assert_eq!(way(".example smtp:gw.org:%1", "x@2525.example"), unknown);
    assert_eq!(way(".example smtp:gw.org:%1", "x@mail.example"), "m:1: smtp:gw.org,smtp:mail");
}

#[test]
fn a_wildcard_that_makes_no_name_leads_nowhere() {
    let long = format!("{0}.{0}.{0}", "a".repeat(60));
    let line = format!(".example smtp:%1.{long}");
    assert_eq!(way(&line, &format!("x@{long}.example")), "m:1: error:5.1.2:550 Host unknown");
    assert_eq!(way(".example smtp:%1", "x@ü.example"), "m:1: error:5.1.2:550 Host unknown");
}

#[test]
fn local_is_the_same_user_or_the_one_that_is_named() {
    assert_eq!(sends("local:"), "local:joe");
    assert_eq!(sends("local:root"), "local:root");
    assert_eq!(sends("local:a%%b"), "local:a%b");
    assert_eq!(fault("a.example local:joe@b"), "\"joe@b\" is not the name of a user");
}

#[test]
fn errors_have_a_status_a_code_and_a_text() {
    for (value, error) in [
        ("error:5.7.1:550 Go away", "error:5.7.1:550 Go away"),
        ("error:5.7.1:Go away", "error:5.7.1:553 Go away"),
        ("error:4.2.1:Not now", "error:4.2.1:450 Not now"),
        ("error:5.7.1:\"550 Go away\"", "error:5.7.1:550 Go away"),
        ("error:550 Go away", "error:5.0.0:550 Go away"),
        ("error:451 Not now", "error:4.0.0:451 Not now"),
        ("error:550 5.1.6 Gone", "error:5.1.6:550 Gone"),
        ("error:Go away", "error:5.0.0:553 Go away"),
        ("error:nohost No such host", "error:5.1.2:550 No such host"),
        ("error:nouser:No such user", "error:5.1.1:550 No such user"),
        ("error:nouser:551 Moved: ask", "error:5.1.1:551 Moved: ask"),
        ("error:tempfail Later", "error:4.0.0:450 Later"),
        ("error:unavailable 100%% closed # for good", "error:5.0.0:554 100% closed \"#\" for good"),
    ] {
        assert_eq!(sends(value), error, "{value}");
    }
}

#[test]
fn errors_that_say_nothing_or_contradict_themselves_are_faults() {
    let no_text = "the text of an error must be printable ASCII, and not empty";
    for value in ["error:", "error:5.7.1:", "error:550", "error:5.7.1:550 ", "error:nohost", "error:a\u{e4}"]
    {
        assert_eq!(fault(&format!("a.example {value}")), no_text, "{value}");
    }
    assert_eq!(fault("a error:5.7.1:450 No"), "the code 450 does not go with the status 5.7.1");
    assert_eq!(fault("a error:2.0.0:Yes"), "the code 553 does not go with the status 2.0.0");
}

#[test]
fn mail_can_be_discarded() {
    assert_eq!(sends("discard:"), "discard");
    assert_eq!(sends("discard:whatever"), "discard");
}

#[test]
fn every_fault_is_told_with_its_line() {
    let (table, faults) = parsed("a smtp:b\nB.c\n*.d smtp:e\na smtp:f\nA.\tsmtp:g\n\u{1} smtp:h\nz smtp:y");
    assert_eq!(table.entries().len(), 2);
    assert_eq!(
        faults,
        [
            "m:2: \"B.c\": where its mail goes is missing, such as smtp:[10.0.0.5]",
            "m:3: \"*.d\": no * here: .example.com means every name below example.com",
            "m:4: \"a\" stands here already: m:1",
            "m:5: \"A.\": bad domain",
            "m:6: a control character (0x01) stands in this line",
        ]
    );
    let (_, faults) = Mailertable::parse(Path::new("m"), b"a smtp:b\xff\r\n");
    assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), ["m:1: this line is not UTF-8"]);
}

#[test]
fn the_ports_of_all_lines_are_known() {
    let table = table("a smtp:b:2525\n.c smtp:[%1]:587:d\ne local:\nf discard:\n");
    assert_eq!(table.ports().collect::<Vec<_>>(), [25, 587, 2525]);
}
