//! Whether strangers can send mail to strangers: nmap asks from outside, and we do in more ways than it knows.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use netperm::ClientName;
use smap_tests::client::Client;
use smap_tests::gateway::Gateway;
use smap_tests::needs::Need::{Program, Root};
use smap_tests::post::Post;
use smap_tests::process::{Process, run};
use smap_tests::scripted::Scripted;
use smap_tests::sink::Sink;
use smap_tests::{network, programs, tests};

tests! {
    row_041_nmap_finds_no_open_relay: [Root, Program("ip"), Program("nmap")];
    row_041_no_way_to_write_an_address_leads_outside: [Root, Program("ip")];
}

/// Where the gateway listens.
const GATEWAY: &str = "192.0.2.1";
/// The ends of the cable between the two networks.
const CABLE: [&str; 2] = ["198.51.100.1", "198.51.100.7"];
const OPEN: &str = "smap: permit-relay *\n";

/// A usual gateway: mail for domains of ours goes to a host inside, all other mail to the one outside.
struct Site {
    post: Post,
    inside: Sink,
    outside: Sink,
    _nobody_has_a_name: Scripted,
    _smap: Process,
}

impl Site {
    /// With these lines at the head of its table.
    fn new(lines: &str) -> Self {
        let (inside, outside) = (Sink::start(), Sink::start());
        let hop = |sink: &Sink| format!("smtp:[127.0.0.1]:{}", sink.port());
        let gateway = Gateway::new("");
        let mut table = format!(
            "{lines}smap, smapd: domain gw.example.com example.org .inside.example virtual.example {}\n\
             smap: permit-relay 10.0.0.0/8\nsmapd: relay-host {}\n",
            hop(&inside),
            hop(&outside)
        );
        for (who, attribute, rows) in [
            ("smap", "access", "Connect:10 RELAY\nTo:partner.example RELAY\nFrom:friend.example OK\n"),
            ("smap", "relay-domains", "relayed.example\n"),
            ("smap, smapd", "local-host-names", "named.example\n"),
            ("smap, smapd", "virtusertable", "@virtual.example %1@example.org\n"),
            ("smapd", "mailertable", "partner.example relay:[127.0.0.1]\nrelayed.example discard:\n"),
        ] {
            let file = gateway.folder().join(attribute);
            fs::write(&file, rows).unwrap();
            table += &format!("{who}: {attribute} {}\n", file.display());
        }
        gateway.write_table(&table);
        let nobody_has_a_name = Scripted::naming(&gateway.folder().join("lookup"), ClientName::Unknown);
        let mut smap = gateway.program("smap");
        let smap = Process::start(smap.args(["--foreground", "--listen", &format!("{GATEWAY}:25")]));
        let said = smap.wait_for_log(|line| line.contains("listening on") || line.contains("error: "));
        assert!(said.contains("listening on"), "{said}");
        let post = Post::of(gateway);
        Self { post, inside, outside, _nobody_has_a_name: nobody_has_a_name, _smap: smap }
    }
}

/// Runs something outside of a gateway whose table begins with these lines, and then looks at the gateway.
fn beside(lines: &str, outside: impl FnOnce() + Send, look: impl FnOnce(&Site) + Send) {
    network::alone(&[GATEWAY], || {
        let site = Site::new(lines);
        let [here, there] = CABLE;
        network::outside(here, there, outside);
        // One pass delivers all that can be.
        assert_eq!(site.post.once().code, 0);
        look(&site);
    });
}

/// What nmap says of it.
fn nmap() -> String {
    let mut nmap = Command::new(programs::peer("nmap"));
    nmap.args(["-Pn", "-n", "-sT", "-p", "25", "--script", "smtp-open-relay", GATEWAY]);
    let said = String::from_utf8(run(&mut nmap, Stdio::null()).output).unwrap();
    assert!(said.contains("25/tcp open"), "{said}");
    said
}

fn row_041_nmap_finds_no_open_relay() {
    for (lines, found) in
        [("", "Server doesn't seem to be an open relay, all tests failed"), (OPEN, "Server is an open relay")]
    {
        let outside = || {
            let said = nmap();
            assert!(said.contains(found), "{said}");
        };
        beside(lines, outside, |_| {});
    }
}

/// Domains that the gateway takes mail for, each for another reason.
const OURS: [&str; 8] = [
    "example.org",
    "a.inside.example",
    "gw.example.com",
    "partner.example",
    "relayed.example",
    "named.example",
    "virtual.example",
    "[192.0.2.1]",
];

/// Ways to write that mail is to go on to elsewhere.example, or somewhere else that is not ours; OURS is one of those
/// domains.
const WAYS: [&str; 40] = [
    "<victim@elsewhere.example>",
    "<VICTIM@ELSEWHERE.EXAMPLE>",
    "<victim@elsewhere.example.>",
    "<victim%elsewhere.example@OURS>",
    "<VICTIM%ELSEWHERE.EXAMPLE@OURS>",
    "<victim%elsewhere.example@OURS.>",
    "<victim%elsewhere.example.@OURS>",
    "<victim%elsewhere.example%OURS@OURS>",
    "<victim%elsewhere.example>",
    "<victim%elsewhere.example@>",
    "<elsewhere.example!victim@OURS>",
    "<OURS!elsewhere.example!victim@OURS>",
    "<elsewhere.example!victim>",
    "<elsewhere.example!victim%OURS@OURS>",
    "<\"victim@elsewhere.example\"@OURS>",
    "<\"victim%elsewhere.example\"@OURS>",
    "<\"elsewhere.example!victim\"@OURS>",
    "<\"victim\\@elsewhere.example\"@OURS>",
    "<\"<victim@elsewhere.example>\"@OURS>",
    "<\"@OURS:victim@elsewhere.example\"@OURS>",
    "<\"victim@elsewhere.example\">",
    "<\"victim\"@elsewhere.example>",
    "<victim@elsewhere.example@OURS>",
    "<victim@OURS@elsewhere.example>",
    "<victim@elsewhere.example%OURS>",
    "<victim@OURS%elsewhere.example>",
    "<@OURS:victim@elsewhere.example>",
    "<@OURS,@OURS:victim@elsewhere.example>",
    "<@elsewhere.example:victim%elsewhere.example@OURS>",
    "<@elsewhere.example,@OURS:victim@elsewhere.example>",
    "<@OURS:elsewhere.example!victim>",
    "<victim@elsewhere.example,OURS>",
    "<victim@elsewhere.example OURS>",
    "<victim@OURS.elsewhere.example>",
    "<victim@OURSx>",
    "<victim@[203.0.113.9]>",
    "<victim@[IPv6:2001:db8::9]>",
    "<victim@127.0.0.1>",
    "victim@elsewhere.example",
    "<<victim@elsewhere.example>@OURS>",
];

/// Sends a message to each recipient whom smap takes, in each of these ways; one way, one session.
fn try_all_ways() {
    let address: SocketAddr = format!("{GATEWAY}:25").parse().unwrap();
    for way in WAYS {
        let mut client = Client::greeted(address);
        client.say("EHLO outside.example", "250-");
        for ours in OURS {
            client.say("MAIL FROM:<a@example.org>", "250 ");
            client.send(format!("RCPT TO:{}\r\n", way.replace("OURS", ours)).as_bytes());
            match client.reply() {
                taken if taken.starts_with("250 ") => {
                    client.say("DATA", "354 ");
                    client.say("Subject: greetings\r\n\r\nhello\r\n.", "250 ");
                }
                refused => {
                    assert!(refused.starts_with('5'), "{way} {ours}: {refused}");
                    client.say("RSET", "250 ");
                }
            }
        }
    }
}

fn row_041_no_way_to_write_an_address_leads_outside() {
    beside("", try_all_ways, |site| {
        assert_eq!(site.outside.received(), []);
        // The host inside might go where a local part leads.
        assert_eq!(site.inside.received(), []);
    });
    beside(OPEN, try_all_ways, |site| {
        assert!(!site.outside.received().is_empty() && !site.inside.received().is_empty());
    });
}
