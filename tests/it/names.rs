//! Rules over the names of clients: smap and smap-lookup, the real one and one that a test makes lie.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use netperm::ClientName;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use smap_common::lookup::{Answer, Answered, Found, MAX_PACKET, Question};
use smap_common::packet::Writer;
use smap_tests::client::Client;
use smap_tests::dns::Dns;
use smap_tests::gateway::{Gateway, Listener};
use smap_tests::needs::Need::{Ipv6, Program, Root};
use smap_tests::post::Post;
use smap_tests::process::run;
use smap_tests::scripted::{Said, Scripted, names};
use smap_tests::{PATIENCE, eventually, programs, tests};

use crate::lookup;

tests! {
    a_confirmed_name_stands_in_log_and_trace;
    a_name_that_nobody_needs_is_not_asked_for;
    who_is_let_in_by_address_needs_no_smap_lookup;
    without_smap_lookup_a_listener_warns_and_clients_come_back;
    a_new_table_that_needs_names_warns_too;
    without_smap_lookup_an_inetd_session_ends_with_421;
    a_smap_lookup_that_ends_fails_what_needs_a_name;
    without_smap_lookup_mail_for_us_comes_in_although_relaying_needs_names;
    a_smap_lookup_that_lies_fails_the_question;
    what_follows_an_answer_is_not_read;
    a_silent_smap_lookup_is_waited_for_no_longer_than_the_client;
    nobody_waits_for_the_name_of_another;
    two_hundred_sessions_ask_at_once;
    names_of_the_dns_decide: [Root, Program("ip")];
    names_of_ipv6_clients_decide: [Root, Program("ip"), Ipv6];
    check_says_whether_smap_lookup_answers;
}

fn mail_example() -> ClientName {
    ClientName::Known(vec!["mail.example.org".parse().unwrap()])
}

/// A listener whose table has these lines, and a smap-lookup that does what the script says.
fn scripted(
    lines: &str,
    script: impl Fn(&smap_common::lookup::Asked) -> Said + Send + Sync + 'static,
) -> (Listener, Scripted) {
    let gateway = Gateway::new(lines);
    let lookup = Scripted::start(&gateway.folder().join("lookup"), script);
    (gateway.listen(), lookup)
}

/// A client that is told to come back, at once.
fn assert_comes_back(listener: &Listener) {
    let mut client = Client::connect(listener.address());
    client.expect("421 4.4.3 gw.example.com ");
    client.expect_end();
}

fn a_confirmed_name_stands_in_log_and_trace() {
    let lines = |lines: &str| format!("{}\n{lines}", lookup::no_servers());
    let post = Post::with_maildirs(&lines("netacl-smap: permit-hosts *.example.org"));
    let _lookup = Scripted::naming(&post.path("lookup"), mail_example());
    let id = post.send("a@sender.example", &["b@example.com"], "hello");
    let log = &post.listener.process;
    for words in
        ["]: connect host=mail.example.org/127.0.0.1 id=", "]: exiting host=mail.example.org/127.0.0.1 "]
    {
        let _line = log.wait_for_log(|line| line.contains(words));
    }
    let _line = log.wait_for_log(|line| line.contains(&format!("id={id} host=mail.example.org/127.0.0.1 ")));
    assert_eq!(post.once().code, 0);
    let message = String::from_utf8(post.maildir("b").swap_remove(0)).unwrap();
    assert!(message.contains("(mail.example.org [127.0.0.1])"), "{message}");
}

fn a_name_that_nobody_needs_is_not_asked_for() {
    let lines = "netacl-smap: permit-hosts 127.0.0.1 *.example.org\nsmap: permit-relay *.example.org";
    let (listener, lookup) = scripted(lines, |asked| Said::answer(asked, names(&mail_example())));
    let mut client = listener.extended_client();
    client.mail("hello", "250 ");
    assert_eq!(lookup.asked(), []);
    // Now it is a rule's turn, and once is enough.
    for _ in 0..2 {
        client.say("MAIL FROM:<a@sender.example>", "250 ");
        client.say("RCPT TO:<u@elsewhere.example>", "250 ");
        client.say("RSET", "250 ");
    }
    assert_eq!(lookup.asked(), [Question::Names { address: Ipv4Addr::LOCALHOST.into() }]);
    client.quit();
    let line = listener.process.wait_for_log(|line| line.contains("]: exiting "));
    assert!(line.contains("host=mail.example.org/127.0.0.1"), "{line}");
}

fn who_is_let_in_by_address_needs_no_smap_lookup() {
    let lines = "netacl-smap: permit-hosts 127.0.0.1\nnetacl-smap: permit-hosts *.example.org\n\
                 smap: permit-relay 127.*\nsmap: permit-relay *.example.org";
    let listener = Gateway::new(lines).listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    client.say("RCPT TO:<u@elsewhere.example>", "250 ");
}

fn without_smap_lookup_a_listener_warns_and_clients_come_back() {
    let gateway = Gateway::new("netacl-smap: permit-hosts *.example.org");
    let listener = gateway.listen();
    let warned = listener.process.wait_for_log(|line| line.contains("warning: "));
    assert!(warned.contains("netperm-table:1: the pattern \"*.example.org\" needs"), "{warned}");
    assert_comes_back(&listener);
    let line = listener.process.wait_for_log(|line| line.contains("error: "));
    assert!(line.contains("netperm-table:1: ") && line.contains("No such file"), "{line}");
    // It may come later.
    let _lookup = Scripted::naming(&gateway.folder().join("lookup"), mail_example());
    listener.client().quit();
}

fn a_new_table_that_needs_names_warns_too() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    gateway.write_table("# A comment.\nsmap: permit-relay *.example.org");
    listener.process.signal(Signal::SIGHUP);
    let warned = listener.process.wait_for_log(|line| line.contains("warning: "));
    assert!(warned.contains("netperm-table:2: "), "{warned}");
}

/// All that smap says to a client that has connected to its super-server, and its exit code.
fn inetd(gateway: &Gateway, octets: &[u8]) -> (String, Option<i32>) {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let served = server.accept().unwrap().0;
    let end = || OwnedFd::from(served.try_clone().unwrap());
    let mut smap = gateway.program("smap").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    drop(served);
    client.write_all(octets).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).expect("it is said, and then the end");
    (said, smap.wait().unwrap().code())
}

fn without_smap_lookup_an_inetd_session_ends_with_421() {
    let gateway = Gateway::new("netacl-smap: permit-hosts *.example.org");
    let (said, code) = inetd(&gateway, b"");
    assert!(said.starts_with("421 4.4.3 ") && said.lines().count() == 1, "{said:?}");
    assert_eq!(code, Some(75));
    let _lookup = Scripted::naming(&gateway.folder().join("lookup"), mail_example());
    let (said, code) = inetd(&gateway, b"QUIT\r\n");
    assert!(said.starts_with("220 ") && said.ends_with("221 2.0.0 Closing connection\r\n"), "{said:?}");
    assert_eq!(code, Some(0));
}

fn a_smap_lookup_that_ends_fails_what_needs_a_name() {
    let gateway = Gateway::new(&format!("smap: permit-relay *.example.org\n{}", lookup::no_servers()));
    let mut lookup = lookup::start(&gateway);
    let listener = gateway.listen();
    let mut client = listener.extended_client();
    lookup.signal(Signal::SIGKILL);
    lookup.wait();
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    for _ in 0..2 {
        client.say("RCPT TO:<u@elsewhere.example>", "451 4.4.3 ");
    }
    // Mail for us needs no name.
    client.say("RCPT TO:<b@example.com>", "250 ");
    client.say("DATA", "354 ");
    client.say("hello\r\n.", "250 ");
    let line = listener.process.wait_for_log(|line| line.contains("]: refused "));
    assert!(line.contains("netperm-table:1: permit-relay *.example.org needs the name"), "{line}");
    assert!(line.contains("reply=\"451 4.4.3 "), "{line}");
}

fn without_smap_lookup_mail_for_us_comes_in_although_relaying_needs_names() {
    let gateway = Gateway::new("smap: permit-relay *.example.org");
    let listener = gateway.listen();
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    client.say("RCPT TO:<u@elsewhere.example>", "451 4.4.3 ");
    client.say("RCPT TO:<b@example.com>", "250 ");
    let pattern = "netperm-table:1: permit-relay *.example.org needs the name";
    let said = |line: &str| line.contains(" warning: ") && line.contains(pattern);
    let line = listener.process.wait_for_log(said);
    assert!(line.contains("smap-lookup cannot be asked"), "{line}");
}

/// Octets that are no answer to the only question, whose number is 1.
fn lies() -> Vec<(&'static str, Said)> {
    let head = |outcome: u64| {
        let mut packet = Writer::default();
        packet.number(1).number(3).number(1).number(outcome);
        packet
    };
    let found = |names: &[&[u8]]| {
        let mut packet = head(0);
        packet.number(0).number(300).count(names.len());
        names.iter().for_each(|name| {
            packet.octets(name);
        });
        packet.finish()
    };
    let right = Answered { id: 2, answer: names(&mail_example()) };
    let address = Found { records: vec![IpAddr::from([192, 0, 2, 1])], secure: false, ttl: 0 };
    let packets = [
        ("another number", right.encode()),
        ("another kind", Answered { id: 1, answer: Answer::Addresses(Ok(address)) }.encode()),
        ("garbage", b"garbage".to_vec()),
        ("no name at all", found(&[])),
        ("a second line", found(&[b"mail.example.org\r\n250 forged"])),
        ("a control character", found(&[b"mail.example.org\x1b[2J"])),
        ("a blank", found(&[b"mail.example.org forged=1"])),
        ("a capital letter", found(&[b"Mail.example.org"])),
        ("another script", found(&["b\u{fc}cher.example.org".as_bytes()])),
        ("the root", found(&[b"."])),
        ("one bad name of two", found(&[b"mail.example.org", b"a\nb"])),
        ("cut", found(&[b"mail.example.org"])[..60].to_vec()),
        ("too long", [found(&[b"mail.example.org"]), vec![0; MAX_PACKET]].concat()),
        ("forged trouble", head(3).octets(b"x\nsmap[1]: forged").finish()),
        ("unknown outcome", head(9).finish()),
    ];
    let mut lies: Vec<(&str, Said)> =
        packets.into_iter().map(|(what, packet)| (what, Said::Packets(vec![packet]))).collect();
    lies.push(("a flood", Said::Packets(vec![right.encode(); 1000])));
    lies.push(("nothing, and the end", Said::HangUp));
    lies.push(("an empty packet", Said::Packets(vec![Vec::new()])));
    lies
}

fn a_smap_lookup_that_lies_fails_the_question() {
    for (what, lie) in lies() {
        let (listener, _lookup) = scripted("netacl-smap: permit-hosts !unknown", move |_| lie.clone());
        let mut client = Client::connect(listener.address());
        let reply = client.reply();
        assert!(reply.starts_with("421 4.4.3 "), "{what}: {reply}");
        client.expect_end();
        listener.wait_for_sessions(1);
        let log = listener.process.log();
        assert!(
            log.iter().any(|line| line.contains("]: connect host=unknown/127.0.0.1 ")),
            "{what}: {log:#?}"
        );
        assert!(log.iter().all(|line| line.starts_with("smap[")), "{what}: {log:#?}");
        assert!(!log.concat().contains("forged"), "{what}: {log:#?}");
    }
}

fn what_follows_an_answer_is_not_read() {
    let (listener, _lookup) = scripted("netacl-smap: permit-hosts *.example.org", |asked| {
        let answer = |name: &ClientName| Answered { id: asked.id, answer: names(name) }.encode();
        let packets = [vec![answer(&mail_example())], vec![answer(&ClientName::Unknown); 500]];
        Said::Packets(packets.concat())
    });
    let mut client = listener.extended_client();
    client.mail("hello", "250 ");
    client.quit();
}

fn a_silent_smap_lookup_is_waited_for_no_longer_than_the_client() {
    let lines = "smap: timeout 1\nnetacl-smap: permit-hosts *.example.org";
    let (listener, lookup) = scripted(lines, |_| Said::Nothing);
    assert_comes_back(&listener);
    assert_eq!(lookup.asked().len(), 1);
    // The session ends it before the client does.
    let lines = "smap: session-timeout 1\nsmap: permit-relay *.example.org";
    let (listener, _lookup) = scripted(lines, |_| Said::Nothing);
    let mut client = listener.extended_client();
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    client.send(b"RCPT TO:<u@elsewhere.example>\r\n");
    assert!(client.last_line().starts_with("421 4.4.2 "));
}

fn nobody_waits_for_the_name_of_another() {
    let (listener, lookup) =
        scripted("netacl-smap: permit-hosts *.example.org", |asked| match &asked.question {
            Question::Names { address } if *address == IpAddr::from([127, 0, 0, 2]) => Said::Nothing,
            _ => Said::answer(asked, names(&mail_example())),
        });
    let _waiting = Client::connect_from([127, 0, 0, 2].into(), listener.address());
    eventually("its name is asked for", || (lookup.asked().len() == 1).then_some(()));
    listener.client().quit();
}

/// Each has a connection of its own, as long as a rule may need it. 127.0.0.1 is localhost everywhere.
fn two_hundred_sessions_ask_at_once() {
    let lines = "smap: max-sessions-per-host 500\nsmap: permit-relay localhost";
    let gateway = Gateway::new(&format!("{lines}\n{}", lookup::no_servers()));
    let _lookup = lookup::start(&gateway);
    let listener = gateway.listen();
    let mut clients: Vec<Client> = (0..200).map(|_| listener.extended_client()).collect();
    for client in &mut clients {
        client.send(b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<u@elsewhere.example>\r\n");
    }
    for client in &mut clients {
        client.expect("250 ");
        client.expect("250 ");
    }
}

/// Does it in a network of its own, which has what `ip` is told to add, this address too.
fn in_a_network(added: &str, own: &str, act: impl FnOnce() + Send) {
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // Of this thread only, and of what it starts.
            unshare(CloneFlags::CLONE_NEWNET).expect("root may");
            let ip = |words: &str| {
                let ended = run(Command::new(programs::peer("ip")).args(words.split(' ')), Stdio::null());
                assert_eq!(ended.code, 0, "{words}: {ended:?}");
            };
            ip("link set lo up");
            ip(added);
            // It takes a moment before packets reach it.
            let own: IpAddr = own.parse().unwrap();
            eventually("the address is there", || {
                let server = TcpListener::bind((own, 0)).ok()?;
                TcpStream::connect_timeout(&server.local_addr().ok()?, Duration::from_millis(100)).ok()
            });
            act();
        });
        thread.join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

const ZONE: &str = "\
7.2.0.192.in-addr.arpa PTR mail.example.org
mail.example.org A 192.0.2.7
8.2.0.192.in-addr.arpa PTR liar.example.org
liar.example.org A 192.0.2.99
9.2.0.192.in-addr.arpa SERVFAIL
10.2.0.192.in-addr.arpa SILENT
11.2.0.192.in-addr.arpa PTR broken.example.org
broken.example.org SERVFAIL
13.2.0.192.in-addr.arpa PTR 192.0.2.13
14.2.0.192.in-addr.arpa PTR mx.bad.example
mx.bad.example A 192.0.2.14
20.2.0.192.in-addr.arpa PTR mx.bad.example
21.2.0.192.in-addr.arpa PTR mail.example.org
";

fn names_of_the_dns_decide() {
    in_a_network("route add local 192.0.2.0/24 dev lo", "192.0.2.1", || {
        let dns = Dns::start(ZONE);
        let gateway = Gateway::new(&format!(
            "netacl-smap: permit-hosts 192.0.2.20\nnetacl-smap: deny-hosts *.bad.example unknown\n\
             netacl-smap: permit-hosts *.example.org\n{}",
            lookup::table(&dns)
        ));
        let _lookup = lookup::start(&gateway);
        let listener = gateway.listen_on(&["192.0.2.1"]);
        // The silent one takes its time.
        let mut mute = Client::connect_from([192, 0, 2, 10].into(), listener.address());
        for (last, reply) in [
            (7, "220 "),
            (8, "554 5.7.1 "),
            (9, "421 4.4.3 "),
            (11, "421 4.4.3 "),
            (12, "554 5.7.1 "),
            (13, "554 5.7.1 "),
            (14, "554 5.7.1 "),
            (20, "220 "),
        ] {
            let mut client = Client::connect_from([192, 0, 2, last].into(), listener.address());
            let said = client.reply();
            assert!(said.starts_with(reply), "192.0.2.{last}: wanted {reply:?}, got {said:?}");
        }
        assert_eq!(dns.asked("7.2.0.192.in-addr.arpa", RecordType::PTR), 1);
        assert_eq!(dns.asked("20.2.0.192.in-addr.arpa", RecordType::PTR), 0);
        mute.expect("421 4.4.3 ");
        let shown = |host: &str| listener.process.log().iter().any(|line| line.contains(host));
        assert!(
            shown("connect host=mail.example.org/192.0.2.7 ") && shown("connect host=unknown/192.0.2.8 ")
        );
        assert!(!shown("liar") && !shown("192.0.2.13/"), "{:#?}", listener.process.log());
    });
}

fn names_of_ipv6_clients_decide() {
    in_a_network("-6 address add 2001:db8::1/64 dev lo nodad", "2001:db8::1", || {
        let dns = Dns::start(&format!(
            "{} PTR mail.example.org\nmail.example.org AAAA 2001:db8::1\nmail.example.org SERVFAIL-A",
            lookup::REVERSE.replacen('7', "1", 1)
        ));
        let gateway =
            Gateway::new(&format!("netacl-smap: permit-hosts *.example.org\n{}", lookup::table(&dns)));
        let _lookup = lookup::start(&gateway);
        let listener = gateway.listen_on(&["2001:db8::1"]);
        listener.client().quit();
        let _line = listener.process.wait_for_log(|line| line.contains("host=mail.example.org/2001:db8::1 "));
    });
}

fn check_says_whether_smap_lookup_answers() {
    let check = |gateway: &Gateway| {
        let ended = run(gateway.program("smapctl").arg("check"), Stdio::null());
        (ended.code, String::from_utf8(ended.output).unwrap())
    };
    let plain = Gateway::new("");
    let (code, said) = check(&plain);
    assert!(code == 0 && said.contains("note     smap-lookup does not answer at "), "{said}");
    let gateway = Gateway::new(&format!("smap: permit-relay *.example.org\n{}", lookup::no_servers()));
    let (code, said) = check(&gateway);
    let warning = format!("warning  {}:1: the pattern \"*.example.org\" needs ", gateway.table().display());
    assert!(code == 0 && said.contains(&warning), "{said}");
    let mute = Scripted::start(&gateway.folder().join("lookup"), |_| Said::HangUp);
    assert!(check(&gateway).1.contains(&warning));
    drop(mute);
    std::fs::remove_file(gateway.folder().join("lookup")).unwrap();
    let _lookup = lookup::start(&gateway);
    let (code, said) = check(&gateway);
    assert!(code == 0 && said.contains("ok       smap-lookup answers at "), "{said}");
}
