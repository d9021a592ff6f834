//! A name server that says what a text tells it to, by UDP and TCP, and lies where it is told to.
//!
//! ```text
//! mail.example     A         192.0.2.1
//! example          MX        10 mail.example
//! alias.example    CNAME     mail.example
//! broken.example   SERVFAIL
//! ```
//!
//! A name that does not stand there does not exist; one that has no such record says so. Words without data say how
//! a name is answered: `SERVFAIL`, `REFUSED`, `SILENT`, `TRUNCATED` (by UDP), `WRONG-ID` (one answer before the
//! right one), `SERVFAIL-AAAA` (where that kind is asked for), `SECURE` (as if it had been validated), `ALONE` (what an alias leads to has to be asked for), `EMPTY`
//! (it is there and has nothing).

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, TLSA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Seconds for which what it says may be kept.
const TTL: u32 = 300;
/// Aliases that it follows in one answer.
const MAX_CHAIN: usize = 10;

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub struct Dns {
    /// Where it answers.
    pub address: SocketAddr,
    served: Arc<Served>,
}

#[derive(Debug)]
struct Served {
    records: Vec<(Name, RData)>,
    words: Vec<(Name, String)>,
    /// What it was asked, and whether by TCP.
    asked: Mutex<Vec<(String, RecordType, bool)>>,
    over: AtomicBool,
}

impl Dns {
    /// Starts one.
    ///
    /// # Panics
    /// The text is wrong, or no port is free.
    #[must_use]
    pub fn start(zone: &str) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), zone)
    }

    /// Starts one at this address of ours.
    ///
    /// # Panics
    /// The text is wrong, the address is none of ours, or no port is free.
    #[must_use]
    pub fn start_at(own: IpAddr, zone: &str) -> Self {
        let (udp, tcp) = std::iter::repeat_with(|| {
            let udp = UdpSocket::bind((own, 0)).expect("a port is free");
            let tcp = TcpListener::bind(udp.local_addr().unwrap());
            tcp.ok().map(|tcp| (udp, tcp))
        })
        .take(20)
        .flatten()
        .next()
        .expect("a port is free");
        let address = udp.local_addr().unwrap();
        let served = Arc::new(Served::read(zone));
        let (by_udp, by_tcp) = (Arc::clone(&served), Arc::clone(&served));
        std::thread::spawn(move || by_udp.serve_udp(&udp));
        std::thread::spawn(move || by_tcp.serve_tcp(&tcp));
        Self { address, served }
    }

    /// How often it was asked for this, by TCP and UDP.
    ///
    /// # Panics
    /// Never, but for another test that panicked here.
    #[must_use]
    pub fn asked(&self, name: &str, kind: RecordType) -> usize {
        self.count(|(asked, of, _)| asked == name && *of == kind)
    }

    /// How often it was asked for this by TCP.
    #[must_use]
    pub fn asked_by_tcp(&self, name: &str) -> usize {
        self.count(|(asked, _, by_tcp)| asked == name && *by_tcp)
    }

    fn count(&self, is_meant: impl Fn(&(String, RecordType, bool)) -> bool) -> usize {
        self.served.asked.lock().unwrap().iter().filter(|asked| is_meant(asked)).count()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.served.over.store(true, Ordering::Relaxed);
        // Both threads wake up and see it.
        let _woken = UdpSocket::bind((self.address.ip(), 0)).map(|udp| udp.send_to(b"", self.address));
        let _woken = TcpStream::connect(self.address);
    }
}

fn name(text: &str) -> Name {
    // Not as a name of a host has to be: it says whatever it is told to.
    let labels = text.split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
    let mut name = Name::from_labels(labels).expect("a name");
    name.set_fqdn(true);
    name
}

fn data(kind: &str, words: &[&str]) -> Option<RData> {
    Some(match (kind, words) {
        ("A", [address]) => RData::A(A(address.parse().unwrap())),
        ("AAAA", [address]) => RData::AAAA(AAAA(address.parse().unwrap())),
        ("MX", [preference, host]) => RData::MX(MX::new(preference.parse().unwrap(), name(host))),
        ("PTR", [host]) => RData::PTR(PTR(name(host))),
        ("CNAME", [host]) => RData::CNAME(CNAME(name(host))),
        ("TXT", texts) => RData::TXT(TXT::new(texts.iter().map(|text| (*text).to_owned()).collect())),
        ("TLSA", [usage, selector, matching, data]) => {
            let number = |text: &str| text.parse::<u8>().unwrap();
            let (usage, selector, matching) = (number(usage), number(selector), number(matching));
            let data = data.as_bytes().to_vec();
            RData::TLSA(TLSA::new(usage.into(), selector.into(), matching.into(), data))
        }
        _ => return None,
    })
}

impl Served {
    fn read(zone: &str) -> Self {
        let (mut records, mut words) = (Vec::new(), Vec::new());
        for line in zone.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [owner, kind, rest @ ..] = fields.as_slice() else { continue };
            match data(kind, rest) {
                Some(data) => records.push((name(owner), data)),
                None => words.push((name(owner), (*kind).to_owned())),
            }
        }
        Self { records, words, asked: Mutex::default(), over: AtomicBool::new(false) }
    }

    fn is(&self, name: &Name, word: &str) -> bool {
        self.words.iter().any(|(owner, said)| owner == name && said == word)
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut packet = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut packet) {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            for answer in self.answer(&packet[..length], false) {
                let _gone = socket.send_to(&answer, peer);
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        while let Ok((mut client, _)) = listener.accept() {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let mut length = [0; 2];
            while client.read_exact(&mut length).is_ok() {
                let mut packet = vec![0; u16::from_be_bytes(length).into()];
                if client.read_exact(&mut packet).is_err() {
                    break;
                }
                for answer in self.answer(&packet, true) {
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    let _gone = client.write_all(&[&length, answer.as_slice()].concat());
                }
            }
        }
    }

    /// The packets that answer this one.
    fn answer(&self, packet: &[u8], by_tcp: bool) -> Vec<Vec<u8>> {
        let Ok(question) = Message::from_vec(packet) else { return Vec::new() };
        let query = question.queries[0].clone();
        let (asked, kind) = (query.name().clone(), query.query_type());
        let text = asked.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        self.asked.lock().unwrap().push((text, kind, by_tcp));
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.add_query(query);
        answer.metadata.recursion_available = true;
        answer.metadata.authentic_data = self.is(&asked, "SECURE") && question.metadata.authentic_data;
        match () {
            () if self.is(&asked, "SILENT") => return Vec::new(),
            () if self.is(&asked, "SERVFAIL") || self.is(&asked, &format!("SERVFAIL-{kind}")) => {
                answer.metadata.response_code = ResponseCode::ServFail;
            }
            () if self.is(&asked, "REFUSED") => answer.metadata.response_code = ResponseCode::Refused,
            () if self.is(&asked, "TRUNCATED") && !by_tcp => answer.metadata.truncation = true,
            () => self.fill(&mut answer, asked.clone(), kind),
        }
        let right = answer.to_vec().unwrap();
        if !self.is(&asked, "WRONG-ID") {
            return vec![right];
        }
        answer.metadata.id = answer.metadata.id.wrapping_add(1);
        answer.answers.clear();
        vec![answer.to_vec().unwrap(), right]
    }

    fn fill(&self, answer: &mut Message, asked: Name, kind: RecordType) {
        let mut end = asked;
        for _ in 0..MAX_CHAIN {
            let of_end = self.records.iter().filter(|(owner, _)| *owner == end);
            let fits = |data: &RData| data.record_type() == kind || data.record_type() == RecordType::CNAME;
            let found: Vec<RData> = of_end.map(|(_, data)| data.clone()).filter(fits).collect();
            for data in &found {
                answer.add_answer(Record::from_rdata(end.clone(), TTL, data.clone()));
            }
            match found.first() {
                Some(RData::CNAME(_)) if self.is(&end, "ALONE") => return,
                Some(RData::CNAME(alias)) => end = alias.0.clone(),
                Some(_) => return,
                None => break,
            }
        }
        let is_there = self.records.iter().any(|(owner, _)| *owner == end) || self.is(&end, "EMPTY");
        if !is_there {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        if answer.answers.is_empty() {
            let soa = SOA::new(name("ns.example"), name("root.example"), 1, 3600, 600, 86400, TTL);
            answer.add_authority(Record::from_rdata(Name::root(), TTL, RData::SOA(soa)));
        }
    }
}
