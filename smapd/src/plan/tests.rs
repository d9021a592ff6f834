use super::*;
use smap_common::envelope::Envelope;
use smap_common::spool::Outcome;

/// A table of `tables/`, by its name.
fn site(table: &str) -> Site {
    Site::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/tables").join(table)).unwrap()
}

fn envelope(sender: &str, recipients: &[&str]) -> Envelope {
    let recipients: String = recipients.iter().map(|one| format!("RCPT <{one}>\n")).collect();
    let text = format!(
        "smap 1\nID 1K3N5Q0ZB7R2M4D8XJ9WTV\nTIME 1.0\nCLIENT -\nROLE mx\nFROM <{sender}>\n{recipients}\n"
    );
    Envelope::parse(text.as_bytes()).unwrap().0
}

fn all(table: &str, sender: &str, recipients: &[&str]) -> Vec<Job> {
    let pending: Vec<u32> = (0..u32::try_from(recipients.len()).unwrap()).collect();
    let (site, interface) = (site(table), "192.0.2.77".parse().unwrap());
    let envelope = envelope(sender, recipients);
    let everyone = Everyone::of(&envelope, &[]);
    jobs(&site, &exchangers::ourselves(&site, &[interface]), everyone, &pending)
}

fn only(recipient: &str) -> Way {
    let [job] = all("every-way", "a@b", &[recipient]).try_into().unwrap();
    job.way
}

fn argv(way: &Way) -> Vec<&str> {
    let Way::Program(program) = way else { panic!("no program: {way:?}") };
    program.argv.iter().map(String::as_str).collect()
}

fn settled(way: Way) -> (Outcome, String) {
    let Way::Settled(report) = way else { panic!("not settled: {way:?}") };
    (report.outcome, report.status.to_string())
}

#[test]
fn recipients_of_one_destination_go_together_whatever_their_domain() {
    let jobs = all("every-way", "a@b", &["x@relay.example", "y@maildir.example", "z@other.example"]);
    assert_eq!(jobs.len(), 2);
    assert_eq!((jobs[0].transport, jobs[0].recipients.as_slice()), ("smtp", [0, 2].as_slice()));
    let Way::Relay(destination) = &jobs[0].way else { panic!() };
    let hops = [Hop::Address([10, 0, 0, 5].into(), 2525), Hop::Name("mail.inside".to_owned(), 25)];
    assert_eq!(destination.hops, hops);
}

#[test]
fn what_is_asked_of_tls_parts_recipients_of_the_same_hosts() {
    let jobs = all("every-way", "a@b", &["x@relay.example", "y@proved.example"]);
    let destination = |job: &Job| match &job.way {
        Way::Relay(destination) => destination.clone(),
        way => panic!("{way:?}"),
    };
    let [any, proved] = [&jobs[0], &jobs[1]].map(destination);
    assert_eq!((any.tls, proved.tls), (Tls::Opportunistic, Tls::Verify));
    assert_eq!(any.hops, proved.hops);
}

#[test]
fn a_hundred_recipients_fill_a_transaction() {
    let names: Vec<String> = (0..250).map(|number| format!("u{number}@relay.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sizes: Vec<usize> = all("every-way", "a@b", &names).iter().map(|job| job.recipients.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
}

#[test]
fn a_mailbox_is_a_path_made_of_the_recipient() {
    assert_eq!(only("joe@maildir.example"), Way::Maildir("/mail/maildir.example/joe/".into()));
}

#[test]
fn a_name_that_would_leave_its_folder_has_no_mailbox() {
    for name in ["\"../../etc/cron.d/x\"", "\".\"", "\"..\"", "-x", "a/b"] {
        assert_eq!(
            settled(only(&format!("{name}@maildir.example"))),
            (Outcome::Failed, "5.1.3".into()),
            "{name}"
        );
    }
}

#[test]
fn arguments_of_a_pipe_are_never_options_by_chance() {
    assert_eq!(argv(&only("joe@pipe.example")), ["/bin/deliver", "--to", "joe", "-f", "a@b"]);
    assert_eq!(argv(&only("\"a b;c\"@pipe.example")), ["/bin/deliver", "--to", "a b;c", "-f", "a@b"]);
    assert_eq!(settled(only("-rf@pipe.example")).0, Outcome::Failed);
}

#[test]
fn a_pipe_that_does_not_name_the_recipient_runs_once_for_all() {
    assert_eq!(all("every-way", "a@b", &["x@all.example", "y@all.example"]).len(), 1);
    assert_eq!(all("every-way", "a@b", &["x@pipe.example", "y@pipe.example"]).len(), 2);
}

#[test]
fn sendmail_gets_the_sender_and_the_recipients_and_no_options_from_outside() {
    let jobs = all("toolkit", "", &["-oQ/tmp@our.example", "postmaster"]);
    assert_eq!(
        argv(&jobs[0].way),
        ["/usr/lib/sendmail", "-oi", "-f", "<>", "--", "-oQ/tmp@our.example", "postmaster"]
    );
    let jobs = all("toolkit", "a@b", &["x@y"]);
    assert_eq!(argv(&jobs[0].way), ["/usr/lib/sendmail", "-oi", "-f", "a@b", "--", "x@y"]);
}

#[test]
fn several_recipients_of_a_program_can_be_tried_one_by_one() {
    let (site, envelope) = (site("toolkit"), envelope("a@b", &["x@y", "z@y"]));
    let everyone = Everyone::of(&envelope, &[]);
    let [job] = jobs(&site, &Ourselves::default(), everyone, &[0, 1]).try_into().unwrap();
    let alone = job.one_by_one(&site, &Ourselves::default(), everyone);
    assert_eq!(alone.iter().map(|job| job.recipients.clone()).collect::<Vec<_>>(), [[0], [1]]);
    assert!(argv(&alone[1].way).ends_with(&["--", "z@y"]));
}

#[test]
fn errors_and_discards_are_settled_at_once() {
    assert_eq!(settled(only("x@error.example")), (Outcome::Failed, "5.1.1".into()));
    assert_eq!(settled(only("x@later.example")), (Outcome::Deferred, "4.2.1".into()));
    assert_eq!(settled(only("x@nothing.example")), (Outcome::Delivered, "2.0.0".into()));
}

#[test]
fn what_has_no_way_waits_and_says_which_line_is_missing() {
    let [job] = all("no-way", "a@b", &["postmaster"]).try_into().unwrap();
    let Way::Settled(report) = job.way else { panic!() };
    assert_eq!(report.outcome, Outcome::Deferred);
    assert!(report.reply.contains("smap, smapd: domain gw.example"), "{}", report.reply);
}

/// The hops of one recipient.
fn hops(table: &str, recipient: &str) -> Vec<Hop> {
    let [job] = all(table, "a@b", &[recipient]).try_into().unwrap();
    let Way::Relay(destination) = job.way else { panic!("not relayed: {:?}", job.way) };
    destination.hops
}

#[test]
fn mail_for_any_other_domain_goes_to_its_exchangers() {
    let by_mx = |domain: &str| [Hop::Mx(domain.to_owned(), 25, NamedBy::Recipient)];
    assert_eq!(hops("no-way", "x@Elsewhere.Example"), by_mx("elsewhere.example"));
    assert_eq!(all("no-way", "a@b", &["x@a.example", "y@b.example", "z@a.example"]).len(), 2);
}

#[test]
fn a_host_without_brackets_is_asked_for_its_exchangers() {
    let table = |domain: &str, port| Hop::Mx(domain.to_owned(), port, NamedBy::Table);
    assert_eq!(hops("by-mx", "x@a.example"), [table("relay.example", 587), table("other.example", 25)]);
    let itself = Hop::Mx("b.example".to_owned(), 2525, NamedBy::Recipient);
    assert_eq!(hops("by-mx", "x@b.example"), [itself]);
}

#[test]
fn an_address_literal_is_where_its_mail_goes() {
    let address = |text: &str| [Hop::Address(text.parse().unwrap(), 25)];
    assert_eq!(hops("no-way", "x@[192.0.2.1]"), address("192.0.2.1"));
    assert_eq!(hops("no-way", "x@[IPv6:2001:db8::1]"), address("2001:db8::1"));
    assert_eq!(hops("no-way", "x@[IPv6:::ffff:192.0.2.1]"), address("192.0.2.1"));
}

#[test]
fn an_address_literal_of_ours_is_a_loop() {
    for literal in [
        "127.0.0.1",
        "0.0.0.0",
        "IPv6:::1",
        "IPv6:::ffff:127.0.0.1",
        "192.0.2.25",
        "192.0.2.77",
        "198.51.100.1",
    ] {
        let [job] = all("by-mx", "a@b", &[&format!("x@[{literal}]")]).try_into().unwrap();
        assert_eq!(settled(job.way), (Outcome::Failed, "5.4.6".into()), "{literal}");
    }
}

#[test]
fn a_domain_beyond_ascii_is_asked_for_by_its_other_name() {
    let by_mx = |domain: &str| Hop::Mx(domain.to_owned(), 25, NamedBy::Recipient);
    assert_eq!(hops("by-mx", "x@Bücher.example"), [by_mx("xn--bcher-kva.example")]);
    let inside = Hop::Address([10, 0, 0, 5].into(), 25);
    assert_eq!(hops("by-mx", "x@sub.ü.example"), [by_mx("sub.xn--tda.example"), inside]);
    // Both spellings are one destination.
    assert_eq!(all("by-mx", "a@b", &["x@bücher.example", "y@xn--bcher-kva.example"]).len(), 1);
}

#[test]
fn a_domain_that_cannot_be_asked_for_fails_unless_another_hop_takes_it() {
    let [job] = all("by-mx", "a@b", &["x@\u{308}ü.example"]).try_into().unwrap();
    let Way::Settled(report) = &job.way else { panic!() };
    assert!(report.reply.contains("\u{308}ü.example cannot be looked up"), "{}", report.reply);
    assert_eq!(settled(job.way), (Outcome::Failed, "5.1.2".into()));
    assert_eq!(hops("by-mx", "x@\u{308}ü.ü.example"), [Hop::Address([10, 0, 0, 5].into(), 25)]);
}
