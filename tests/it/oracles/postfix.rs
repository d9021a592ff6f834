//! What Postfix answers: by SMTP beside a running smap, and in its report about an address (`sendmail -bv`).

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use netperm::ClientName;
use smap_tests::client::Client;
use smap_tests::gateway::Gateway;
use smap_tests::needs::Test;
use smap_tests::network;
use smap_tests::peers::{Kind, PORT, Server};
use smap_tests::scripted::Scripted;

use super::data::{Asked, FOLDER, Question, Tables, Who};
use super::ours::{self, HOST, Ours, in_order};

pub(super) fn tests() -> Vec<Test> {
    vec![Test {
        name: concat!(module_path!(), "::a_gateway_is_read_alike"),
        needs: Kind::Postfix.needs(),
        run: || network::alone(&[OUR_ADDRESS], || compare("gateway")),
    }]
}

/// Where both servers listen.
const OUR_ADDRESS: &str = "203.0.113.1";
/// Where Postfix has what is written while it runs.
const VARIABLE: &str = "/var/oracle";

fn compare(name: &'static str) {
    let tables = Tables::read(name);
    for address in tables.questions.iter().filter_map(client).collect::<BTreeSet<IpAddr>>() {
        network::add(&address.to_string());
    }
    let (explained, (gateway, postfix)) = (Ours::new(&tables), (gateway(&tables), postfix(&tables)));
    let _nobody_has_a_name = Scripted::naming(&gateway.folder().join("lookup"), ClientName::Unknown);
    let smap = gateway.listen_on(&[OUR_ADDRESS]);
    let reports = reports(&postfix, &tables.questions);
    let answers = tables.questions.iter().enumerate().map(|(number, question)| {
        let answers = match client(question) {
            Some(_) => [smap.address(), SocketAddr::new(OUR_ADDRESS.parse().unwrap(), PORT)]
                .map(|server| dialogue(server, question)),
            None => [explained.answer(question), answer(&tables, question, &reports[&number])],
        };
        let [ours, theirs] = answers;
        [question.text.clone(), ours, theirs]
    });
    tables.compare("postfix", answers);
}

fn gateway(tables: &Tables) -> Gateway {
    let gateway = Gateway::new("");
    let folder = gateway.folder().join("mail");
    tables.write(&folder, &folder.display().to_string());
    gateway.write_table(&ours::lines(tables, &folder));
    gateway
}

fn postfix(tables: &Tables) -> Server {
    let mut server = Server::new(Kind::Postfix, &[OUR_ADDRESS]);
    tables.write(&server.path(VARIABLE.trim_start_matches('/')), VARIABLE);
    let more = [
        ("main.cf", format!("home_mailbox = Maildir/\n{}", tables.part("main.cf").replace(FOLDER, VARIABLE))),
        ("master.cf", "pickup unix n - n 60 1 pickup\nrelay unix - - n - - smtp\n".to_owned()),
    ];
    for (file, lines) in more {
        let path = server.path(&format!("etc/postfix/{file}"));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text + &lines).unwrap();
    }
    let made = server.run(Command::new("postalias").arg(format!("hash:{VARIABLE}/aliases")));
    assert_eq!(made.code, 0, "{made:#?}");
    server.start();
    server
}

/// Who asks by SMTP, where that is how it is asked.
fn client(question: &Question) -> Option<IpAddr> {
    match &question.asked {
        Asked::Connect(who) | Asked::To(who, _) => Some(who.address),
        Asked::From(_) => Some(Who::anyone().address),
        Asked::Route(_) | Asked::Expand(_) => None,
    }
}

/// `permit`, or `refuse` and the class of the reply.
fn dialogue(server: SocketAddr, question: &Question) -> String {
    let mut client = Client::connect_from(client(question).unwrap(), server);
    let commands = match &question.asked {
        Asked::From(path) => vec![format!("MAIL FROM:{path}")],
        Asked::To(_, path) => vec!["MAIL FROM:<a@sender.example>".to_owned(), format!("RCPT TO:{path}")],
        _ => Vec::new(),
    };
    let mut reply = client.reply();
    for command in std::iter::once("EHLO client.example".to_owned()).chain(commands) {
        if reply.starts_with('2') {
            client.send(format!("{command}\r\n").as_bytes());
            reply = client.reply();
        }
    }
    match reply.chars().next() {
        Some('2') => "permit".to_owned(),
        class => format!("refuse {}", class.expect("a code")),
    }
}

/// What is reported of each question that is about an address.
fn reports(postfix: &Server, questions: &[Question]) -> HashMap<usize, String> {
    let addresses = questions.iter().enumerate().filter_map(|(number, question)| match &question.asked {
        Asked::Route(address) | Asked::Expand(address) => Some((number, address)),
        _ => None,
    });
    let asked: Vec<String> =
        addresses.map(|(number, address)| format!("sendmail -bv -f b+{number}@{HOST} '{address}'")).collect();
    let ended = postfix.run(Command::new("sh").args(["-c", &asked.join(" && ")]));
    assert_eq!(ended.code, 0, "{ended:#?}");
    let reports = postfix.wait_for("b", asked.len());
    let of = |report: Vec<u8>| {
        let report = String::from_utf8(report).unwrap();
        let to = report.lines().find_map(|line| line.strip_prefix("To: b+")).expect("it has a recipient");
        (to.split_once('@').unwrap().0.parse().unwrap(), report)
    };
    reports.into_iter().map(of).collect()
}

fn answer(tables: &Tables, question: &Question, report: &str) -> String {
    // A line that begins with blanks goes on.
    let report = report.replace("\n    ", " ");
    let told: Vec<Recipient> = report.split("\n\n").filter_map(Recipient::read).collect();
    match &question.asked {
        Asked::Route(address) => told.first().expect("something is told").route(address),
        _ => in_order(told.iter().map(|told| told.name(tables)).collect()),
    }
}

/// What is told of a recipient.
#[derive(Debug)]
struct Recipient<'a> {
    recipient: &'a str,
    diagnostic: &'a str,
}

impl<'a> Recipient<'a> {
    fn read(paragraph: &'a str) -> Option<Self> {
        let field = |name| paragraph.lines().find_map(|line| line.strip_prefix(name));
        let diagnostic = field("Diagnostic-Code: X-Postfix; ").unwrap_or_default();
        Some(Self { recipient: field("Final-Recipient: rfc822; ")?, diagnostic })
    }

    /// Where it was tried, or would be.
    fn route(&self, address: &str) -> String {
        let word_behind = |text| self.diagnostic.split_once(text)?.1.split([' ', '[']).next();
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        match (word_behind("connect to "), word_behind("for name=")) {
            (Some(host), _) if domain == format!("[{host}]") => "smtp".to_owned(),
            (Some(host), _) => format!("smtp:[{host}]"),
            (_, Some(host)) if host == domain => "smtp".to_owned(),
            (_, Some(host)) => format!("smtp:{host}"),
            _ if self.diagnostic.contains("via local") => "home".to_owned(),
            _ => format!("error {}", self.code()),
        }
    }

    /// The first that stands in its words.
    fn code(&self) -> &str {
        let mut words = self.diagnostic.split([' ', ':']);
        let is_code = |word: &&str| word.len() == 3 && word.bytes().all(|octet| octet.is_ascii_digit());
        words.find(is_code).unwrap_or_else(|| panic!("{self:?}"))
    }

    /// Who is meant at last.
    fn name(&self, tables: &Tables) -> String {
        let file = self.diagnostic.split_once("delivers to file: ").map(|(_, file)| file.to_owned());
        file.unwrap_or_else(|| ours::at_home(tables, &self.recipient.replace('"', "")))
    }
}
