//! `backlog SPOOL COUNT DOMAINS`: puts so many deferred messages of 5 KB into a spool, each tried once and due again
//! in four hours, for so many domains in turn. For `tests/bench/queue.py`.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a tool of the tests stops where it cannot go on"
)]

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Origin};
use smap_common::smtp::command::{Mail, Recipient};
use smap_common::spool::{Draft, Incoming, Mark, Outcome, QUEUE, QueueId, StateFile};
use smap_common::status::Status;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |place: usize| arguments[place].parse::<u64>().expect("backlog SPOOL COUNT DOMAINS");
    let queue = File::open(Path::new(&arguments[1]).join(QUEUE)).expect("the spool has its folders");
    let folder = Incoming::new(queue.try_clone().expect("a descriptor").into());
    let body = "A line of a message that nobody has taken yet, and that waits.\r\n".repeat(80);
    for message in 0..number(2) {
        defer(
            &queue,
            &folder,
            &format!("user{message}@domain{}.example", message % number(3)),
            body.as_bytes(),
        );
    }
}

fn defer(queue: &File, folder: &Incoming, to: &str, body: &[u8]) {
    let now = Timestamp::now();
    let id = QueueId::generate().expect("random numbers");
    let envelope = Envelope {
        id,
        arrived: now,
        origin: Origin::default(),
        mail: Mail::parse(b"<sender@elsewhere.example>").expect("a sender"),
        recipients: vec![Recipient::parse(format!("<{to}>").as_bytes()).expect("a recipient")],
    };
    let mut draft = Draft::begin(folder, &envelope).expect("room");
    draft.write(body).expect("room");
    let _stored = draft.commit().expect("room");
    let mut state = StateFile::open(queue.as_fd(), id).expect("room");
    let mark = Mark {
        recipient: 0,
        at: now,
        outcome: Outcome::Deferred,
        status: Status::transient(4, 1),
        relay: "mail.elsewhere.example[192.0.2.1]:25".to_owned(),
        reply: "connection refused".to_owned(),
    };
    state.mark(&[mark]).expect("room");
    state.next(1, now.after(std::time::Duration::from_hours(4))).expect("room");
}
