use super::*;
use crate::spool::{BadOrder, Target};
use std::os::fd::AsFd;

fn mark(recipient: u32, outcome: Outcome, reply: &str) -> Mark {
    Mark {
        recipient,
        at: Timestamp::from_micros(1_795_247_311_123_456),
        outcome,
        status: Status::transient(4, 1),
        relay: "mail.inside[10.0.0.5]:25".into(),
        reply: reply.into(),
    }
}

fn id() -> QueueId {
    QueueId::new(Timestamp::from_micros(1), 1)
}

#[test]
fn what_was_added_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let queue = File::open(folder.path()).unwrap();
    let mut file = StateFile::open(queue.as_fd(), id()).unwrap();
    file.mark(&[mark(0, Outcome::Delivered, "250 ok"), mark(1, Outcome::Deferred, "450 later")]).unwrap();
    file.next(2, Timestamp::from_micros(77)).unwrap();
    file.warned(Timestamp::from_micros(99)).unwrap();
    file.told(Timestamp::from_micros(98)).unwrap();
    let state = QueueState::load(queue.as_fd(), id()).unwrap().unwrap();
    assert_eq!(state.marks[&1], mark(1, Outcome::Deferred, "450 later"));
    assert_eq!((state.attempts, state.next), (2, Some(Timestamp::from_micros(77))));
    assert_eq!(state.warned, Some(Timestamp::from_micros(99)));
    assert_eq!(state.told, Some(Timestamp::from_micros(98)));
    assert!(state.is_settled(0) && !state.is_settled(1) && !state.is_settled(2));
}

#[test]
fn the_last_mark_of_a_recipient_counts() {
    let text: String = [mark(0, Outcome::Deferred, "a"), mark(0, Outcome::Failed, "b")]
        .map(|mark| Record::Mark(mark).to_string())
        .concat();
    assert_eq!(QueueState::parse(text.as_bytes()).marks[&0].reply, "b");
}

fn ordered(seconds: u64, order: Order) -> Ordered {
    Ordered { at: Timestamp::from_micros(seconds * 1_000_000), order, by: 7, text: String::new() }
}

fn after(orders: &[Ordered]) -> QueueState {
    let text: String = orders.iter().map(|order| Record::Ordered(order.clone()).to_string()).collect();
    QueueState::parse(text.as_bytes())
}

#[test]
fn the_last_order_counts_and_a_release_leaves_none() {
    let (hold, bounce) = (ordered(5, Order::Hold), ordered(9, Order::Bounce));
    assert_eq!(after(std::slice::from_ref(&hold)).ordered, Some(hold.clone()));
    assert_eq!(after(&[hold.clone(), bounce.clone()]).ordered, Some(bounce));
    assert_eq!(after(&[hold, ordered(9, Order::Release)]).ordered, None);
}

#[test]
fn the_time_of_a_message_that_is_held_does_not_count() {
    let all = [5, 7, 10, 20, 21].into_iter();
    let how = [Order::Hold, Order::Hold, Order::Release, Order::Hold, Order::Delete];
    let orders: Vec<Ordered> = all.zip(how).map(|(seconds, order)| ordered(seconds, order)).collect();
    assert!(after(&orders[..2]).is_held() && !after(&orders[..3]).is_held());
    assert_eq!(after(&orders[..3]).held_for, Duration::from_secs(5));
    assert_eq!(after(&orders).held_for, Duration::from_secs(6));
}

#[test]
fn the_words_of_an_operator_forge_no_record() {
    let text = "over\n00000000 next 9 9".to_owned();
    let state = after(&[Ordered { text, ..ordered(1, Order::Bounce) }]);
    assert_eq!(state.ordered.unwrap().text, "over?00000000 next 9 9");
    for rubbish in
        ["", "1 hold", "1 sing by=0 text=", "x hold by=0 text=", "1 hold by=x text=", "1 hold by=0 x"]
    {
        assert_eq!(rubbish.parse::<Ordered>(), Err(BadOrder), "{rubbish}");
    }
}

#[test]
fn a_torn_line_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let queue = File::open(folder.path()).unwrap();
    let whole = Record::Mark(mark(0, Outcome::Delivered, "250 ok")).to_string();
    for cut in 0..whole.len() {
        let torn = [whole.as_str(), whole.get(..cut).unwrap()].concat();
        std::fs::write(folder.path().join(state_name(id())), torn).unwrap();
        StateFile::open(queue.as_fd(), id()).unwrap().next(1, Timestamp::from_micros(5)).unwrap();
        let state = QueueState::load(queue.as_fd(), id()).unwrap().unwrap();
        assert!(state.is_settled(0), "cut at {cut}");
        assert_eq!(state.attempts, 1, "cut at {cut}");
    }
}

#[test]
fn a_reply_cannot_forge_a_record() {
    let text = Record::Mark(mark(0, Outcome::Failed, "550 no\n00000000 next 9 9\x1b")).to_string();
    assert_eq!(text.lines().count(), 1);
    assert_eq!(QueueState::parse(text.as_bytes()).marks[&0].reply, "550 no?00000000 next 9 9?");
}

#[test]
fn a_state_that_is_rubbish_is_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let queue = File::open(folder.path()).unwrap();
    assert_eq!(QueueState::load(queue.as_fd(), id()).unwrap(), None);
    std::fs::write(folder.path().join(state_name(id())), [0xff, 0xfe, b'\n', 0, 0]).unwrap();
    assert_eq!(QueueState::load(queue.as_fd(), id()).unwrap(), Some(QueueState::default()));
}

#[test]
fn a_state_is_kept_for_its_owner_alone_and_goes_to_no_program_that_is_started() {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use std::os::unix::fs::{MetadataExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let queue = File::open(folder.path()).unwrap();
    let path = folder.path().join(state_name(id()));
    let state = StateFile::open(queue.as_fd(), id()).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fcntl(&state.file, FcntlArg::F_GETFD), Ok(FdFlag::FD_CLOEXEC.bits()));
    std::fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    assert!(StateFile::open(queue.as_fd(), id()).is_err());
    assert!(QueueState::load(queue.as_fd(), id()).is_err());
}

#[test]
fn what_is_added_goes_behind_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let queue = File::open(folder.path()).unwrap();
    let mut one = StateFile::open(queue.as_fd(), id()).unwrap();
    let mut other = StateFile::open(queue.as_fd(), id()).unwrap();
    one.mark(&[mark(0, Outcome::Delivered, "250 ok")]).unwrap();
    other.mark(&[mark(1, Outcome::Failed, "550 no")]).unwrap();
    one.next(1, Timestamp::from_micros(5)).unwrap();
    let state = QueueState::load(queue.as_fd(), id()).unwrap().unwrap();
    assert_eq!((state.marks.len(), state.attempts), (2, 1));
}

#[test]
fn a_state_file_is_named_after_its_message() {
    assert_eq!(state_name(id()), format!("{}.state", id().as_str()));
}

#[test]
fn a_relay_is_one_word_and_a_reply_one_short_line() {
    let mark =
        Mark { relay: "a relay\twith\u{85}blanks".into(), ..mark(0, Outcome::Failed, &"ä".repeat(600)) };
    let read = QueueState::parse(Record::Mark(mark).to_string().as_bytes()).marks[&0].clone();
    assert_eq!((read.relay.as_str(), read.reply), ("a_relay_with_blanks", "ä".repeat(512)));
}

fn expansion(of: u32, first: u32, names: &[&str]) -> Expansion {
    let to = |name: &&str| Target::Mailbox(format!("{name}@example.com").parse().unwrap());
    let members = names.iter().map(|name| Member { to: to(name), owner: None }).collect();
    Expansion { of, first, members, rule: "/etc/mail/aliases:12".to_owned() }
}

fn written(expansions: &[Expansion]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let queue = File::open(folder.path()).unwrap();
    StateFile::open(queue.as_fd(), id()).unwrap().expanded(expansions).unwrap();
    QueueState::load_text(queue.as_fd(), id()).unwrap().unwrap()
}

#[test]
fn an_expansion_is_read_back() {
    let expansions = [expansion(1, 2, &["a", "b"]), expansion(0, 4, &[])];
    assert_eq!(QueueState::parse(&written(&expansions)).expansions, expansions);
}

#[test]
fn an_expansion_that_was_torn_is_none_and_the_next_one_counts() {
    let text = written(&[expansion(0, 1, &["a", "b", "c"])]);
    for length in 0..text.len() - 1 {
        let mut torn = text[..length].to_vec();
        assert_eq!(QueueState::parse(&torn).expansions, [], "{length}");
        torn.push(b'\n');
        torn.extend(written(&[expansion(0, 1, &["d", "e"])]));
        let found = QueueState::parse(&torn).expansions;
        assert_eq!(found, [expansion(0, 1, &["d", "e"])], "{length}");
    }
}

#[test]
fn what_must_be_understood_is_not_read_over() {
    let line = |text: &str| format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()));
    let folder = tempfile::tempdir().unwrap();
    let queue = File::open(folder.path()).unwrap();
    let file = folder.path().join(state_name(id()));
    std::fs::write(&file, line("later something 1")).unwrap();
    assert_eq!(QueueState::load(queue.as_fd(), id()).unwrap(), Some(QueueState::default()));
    std::fs::write(&file, line("LATER something 1")).unwrap();
    assert_eq!(QueueState::load(queue.as_fd(), id()).unwrap_err().kind(), io::ErrorKind::InvalidData);
}
