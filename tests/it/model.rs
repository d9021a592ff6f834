//! The spool on a disk in memory: whatever a crash leaves of what smap and smapd do to files, nothing that was
//! promised is lost. What they do is recorded from the programs themselves; see `src/model/`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use smap_common::clock::Timestamp;
use smap_common::envelope::{Envelope, Origin};
use smap_common::smtp::command::{Mail, Recipient};
use smap_common::spool::{Draft, Folder, QueueId, QueueState, SpoolFile};
use smap_tests::gateway::{Gateway, SMAP_UID, SMAPD_UID, chmod};
use smap_tests::model::Run;
use smap_tests::model::disk::{Profile, Step, Tree};
use smap_tests::model::judge::{Event, Known, Letter};
use smap_tests::model::trace::{Timed, steps, watched};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::needs::is_root;
use smap_tests::post::{Post, Smapd, folder_of_smapd};
use smap_tests::sink::{Act, Sink};
use smap_tests::{eventually, tests};

tests! {
    a_committed_message_survives_whatever_is_lost;
    a_message_whose_sync_failed_is_never_back;
    a_250_before_the_sync_is_found;
    a_failed_sync_that_is_not_undone_is_found;
    nothing_is_lost_whenever_the_power_goes: [Root, Program("strace")];
    what_a_strict_system_would_lose_is_known: [Root, Program("strace")];
    a_recovery_that_is_cut_off_loses_nothing: [Root, Program("strace")];
    a_session_that_does_not_sync_is_found: [Root, Program("strace")];
    a_reply_before_the_sync_is_found: [Root, Program("strace")];
    a_mark_before_the_delivery_is_found: [Root, Program("strace")];
    a_removal_before_the_notification_is_found: [Root, Program("strace")];
    a_mailbox_that_is_not_synced_is_found: [Root, Program("strace")];
    a_mailbox_that_publishes_before_it_syncs_is_found: [Root, Program("strace")];
    marks_and_removals_that_are_never_synced_are_found: [Root, Program("strace")];
}

type Steps = Vec<Step<Event>>;

const FOLDERS: [&str; 5] = ["spool", "spool/incoming", "spool/queue", "spool/bad", "mail"];
const SAFE: Profile = Profile::FirstEntryWithFile;

fn empty() -> Tree {
    Tree::of(&FOLDERS, &[])
}

fn run<'a>(tree: &'a Tree, steps: &'a [Step<Event>], known: &'a Known) -> Run<'a> {
    Run { profile: SAFE, tree, steps, known }
}

// What smap's draft does.

/// Writes down what is done to a folder; the disk fails when it is told to.
#[derive(Clone)]
struct Recorder {
    steps: Rc<RefCell<Steps>>,
    name: String,
    failing_syncs: Rc<RefCell<Vec<bool>>>,
}

impl Folder for Recorder {
    type File = Self;
    fn create(&self, name: &str) -> io::Result<Self> {
        let file = Self { name: format!("spool/incoming/{name}"), ..self.clone() };
        self.steps.borrow_mut().push(Step::Create(file.name.clone()));
        Ok(file)
    }
}

impl SpoolFile for Recorder {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.steps.borrow_mut().push(Step::Write(self.name.clone(), None, octets.to_vec()));
        Ok(())
    }
    fn overwrite(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        self.steps.borrow_mut().push(Step::Write(self.name.clone(), Some(at), octets.to_vec()));
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        let well = self.failing_syncs.borrow_mut().pop().is_none_or(|fails| !fails);
        let number = u64::try_from(self.steps.borrow().len()).unwrap();
        self.steps
            .borrow_mut()
            .extend([Step::SyncBegins(number, self.name.clone()), Step::SyncEnds(number, well)]);
        if well { Ok(()) } else { Err(io::Error::from_raw_os_error(5)) }
    }
}

/// A message of so many octets through a real draft, and what the client is told.
fn drafted(octets: usize, failing_syncs: &[bool]) -> (Steps, Known) {
    let id = QueueId::new(Timestamp::from_micros(1_795_247_311_000_000), 1);
    let envelope = Envelope {
        id,
        arrived: Timestamp::from_micros(1_795_247_311_000_000),
        origin: Origin::default(),
        mail: Mail::parse(b"<a@box.example>").unwrap(),
        recipients: vec![Recipient::parse(b"<b@box.example>").unwrap()],
    };
    let failing_syncs = failing_syncs.iter().rev().copied().collect();
    let recorder = Recorder {
        steps: Rc::default(),
        name: String::new(),
        failing_syncs: Rc::new(RefCell::new(failing_syncs)),
    };
    let mut draft = Draft::begin(&recorder, &envelope).unwrap();
    let text = "0123456\r\n".repeat(octets / 9 + 1);
    text.as_bytes().chunks(9).for_each(|line| draft.write(line).unwrap());
    let event = match draft.commit() {
        Ok(committed) => Event::Accepted(committed.id().to_string()),
        Err(_) => Event::Refused(id.to_string()),
    };
    let mut steps = recorder.steps.borrow().clone();
    steps.push(Step::Event(event));
    let letter =
        Letter { sender: "a@box.example".to_owned(), recipients: vec!["b@box.example".to_owned()], text };
    (steps, Known::of([(id.to_string(), letter)]))
}

fn a_committed_message_survives_whatever_is_lost() {
    for octets in [0, 5000, 200_000] {
        let (steps, known) = drafted(octets, &[]);
        let findings = run(&empty(), &steps, &known).explore();
        assert!(findings.disks > 4 && findings.wrong.is_empty(), "{octets}: {findings:#?}");
    }
}

fn a_message_whose_sync_failed_is_never_back() {
    for octets in [0, 5000, 200_000] {
        let (steps, known) = drafted(octets, &[true]);
        let findings = run(&empty(), &steps, &known).explore();
        assert!(findings.disks > 4 && findings.wrong.is_empty(), "{octets}: {findings:#?}");
    }
}

fn a_250_before_the_sync_is_found() {
    let (mut steps, known) = drafted(5000, &[]);
    let event = steps.pop().unwrap();
    steps.insert(steps.len() - 2, event);
    assert!(run(&empty(), &steps, &known).finds("I1: b@box.example"));
}

fn a_failed_sync_that_is_not_undone_is_found() {
    let (mut steps, known) = drafted(5000, &[true]);
    steps.retain(|step| !matches!(step, Step::Write(_, Some(_), _)));
    assert!(run(&empty(), &steps, &known).finds("I4: "));
}

// What both programs do.

/// What was recorded of a run, and all that is known at its end.
struct Record {
    steps: Steps,
    known: Known,
}

/// A server and what it has taken, when.
struct Relay {
    sink: Sink,
    taken: Arc<Mutex<Vec<Timed>>>,
    /// Recipients that it does not take now.
    closed_to: Arc<Mutex<Vec<&'static str>>>,
}

impl Relay {
    fn start(closed_to: &[&'static str]) -> Self {
        let taken: Arc<Mutex<Vec<Timed>>> = Arc::default();
        let closed_to = Arc::new(Mutex::new(closed_to.to_vec()));
        let (notes, closed) = (Arc::clone(&taken), Arc::clone(&closed_to));
        let transactions: Mutex<HashMap<usize, Vec<String>>> = Mutex::default();
        let sink = Sink::scripted(move |connection, line| {
            let mut transactions = transactions.lock().unwrap();
            let recipients = transactions.entry(connection).or_default();
            if let Some(rest) = line.strip_prefix("RCPT TO:<") {
                let recipient = rest.split('>').next().unwrap().to_owned();
                if closed.lock().unwrap().iter().any(|name| recipient.starts_with(name)) {
                    return Act::say("451 4.2.0 later");
                }
                recipients.push(recipient);
            } else if line == "." {
                let relayed =
                    recipients.drain(..).map(|recipient| (now(), Step::Event(Event::Relayed(recipient))));
                notes.lock().unwrap().extend(relayed);
            } else if line.starts_with("MAIL") {
                recipients.clear();
            }
            Act::Usual
        });
        Self { sink, taken, closed_to }
    }

    fn opens_to(&self, name: &str) {
        self.closed_to.lock().unwrap().retain(|other| *other != name);
    }

    fn events(&self) -> Vec<Timed> {
        self.taken.lock().unwrap().clone()
    }
}

fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()
}

fn gateway(port: u16) -> Gateway {
    let gateway = Gateway::new("");
    let mail = gateway.folder().join("mail");
    gateway.write_table(&format!(
        "smapd: retry 1s\n\
         smap, smapd: domain box.example maildir:{0}/%u/\n\
         smap, smapd: domain mbox.example mbox:{0}/%u\n\
         smap, smapd: domain relay.example smtp:[127.0.0.1]:{port}\n\
         smap, smapd: domain no.example error:5.1.1:550 No such user",
        mail.display()
    ));
    folder_of_smapd(&mail);
    gateway
}

/// smapd under strace. It is ended, not strace.
struct Watched(Smapd);

impl Watched {
    fn start(gateway: &Gateway, notes: &Path) -> Self {
        Self(Smapd::start(&mut watched(&gateway.program("smapd"), &notes.join("smapd"))))
    }

    fn end(self) {
        let log = self.0.process().log();
        let pid = log.iter().find_map(|line| line.split_once("smapd[")?.1.split_once(']')?.0.parse().ok());
        kill(Pid::from_raw(pid.expect("its log has its number")), Signal::SIGTERM).unwrap();
        assert_eq!(self.0.ended().code, 0);
    }
}

fn record() -> &'static Record {
    static RECORD: OnceLock<Record> = OnceLock::new();
    RECORD.get_or_init(|| {
        let notes = tempfile::tempdir().unwrap();
        let relay = Relay::start(&["later", "held", "gone", "back"]);
        let gateway = gateway(relay.sink.port());
        let listener = gateway
            .listen_as(&["127.0.0.1"], || watched(&gateway.program("smap"), &notes.path().join("smap")));
        let post = Post { gateway, listener };
        let smapd = Watched::start(&post.gateway, notes.path());
        let mut letters = Vec::new();
        let deleted = deliver_everything(&post, &smapd.0, &relay, &mut letters);
        smapd.end();
        let root = post.gateway.folder().to_owned();
        let mut timed = steps(notes.path(), &root);
        timed.extend(relay.events());
        timed.push(deleted);
        timed.sort_by_key(|(at, _)| *at);
        let steps: Steps = timed.into_iter().map(|(_, step)| step).collect();
        assert!(steps.len() > 100, "{steps:#?}");
        Record { steps, known: Known::of(letters) }
    })
}

/// Each way that a message can go. When one was deleted.
fn deliver_everything(
    post: &Post,
    smapd: &Smapd,
    relay: &Relay,
    letters: &mut Vec<(String, Letter)>,
) -> Timed {
    let mut send = |number: usize, to: &[&str]| {
        let sender = format!("s{number}@box.example");
        let text = format!("Subject: {number}\r\n\r\nbegin {number}\r\n.end {number}");
        let id = post.send(&sender, to, &text.replace("\r\n.", "\r\n.."));
        let recipients = to.iter().map(|to| (*to).to_owned()).collect();
        letters.push((id.clone(), Letter { sender, recipients, text: text + "\r\n" }));
        id
    };
    let order = |what: &str, id: &str| {
        let ended = post.smapctl(&["queue", what, id]);
        assert_eq!(ended.code, 0, "{what}: {ended:#?}");
    };
    let mailboxes = send(1, &["one@box.example", "two@mbox.example"]);
    smapd.removed(&mailboxes);
    let several =
        send(2, &["now@relay.example", "nobody@no.example", "later@relay.example", "three@box.example"]);
    let held = send(3, &["held@relay.example"]);
    let gone = send(4, &["gone@relay.example"]);
    let back = send(5, &["back@relay.example"]);
    for (id, to) in [(&several, "later"), (&held, "held"), (&gone, "gone"), (&back, "back")] {
        let _line = smapd.outcome(id, &format!("{to}@relay.example"), "deferred");
    }
    order("hold", &held);
    let deleted = (now(), Step::Event(Event::Deleted(gone.clone())));
    order("delete", &gone);
    order("bounce", &back);
    ["later", "held"].iter().for_each(|name| relay.opens_to(name));
    smapd.removed(&several);
    order("release", &held);
    smapd.removed(&held);
    smapd.removed(&back);
    eventually("nothing is left", || {
        (post.names("queue").is_empty() && post.names("incoming").is_empty()).then_some(())
    });
    deleted
}

fn find(steps: &Steps, wanted: impl Fn(&Step<Event>) -> bool) -> usize {
    steps.iter().position(wanted).unwrap_or_else(|| panic!("it was not recorded: {steps:#?}"))
}

/// The record with some changes breaks this.
fn assert_finds(invariant: &str, change: impl FnOnce(&mut Steps)) {
    let Record { steps, known } = record();
    let mut steps = steps.clone();
    change(&mut steps);
    assert!(run(&empty(), &steps, known).finds(invariant), "{invariant}: {steps:#?}");
}

/// The id of the message that has such a recipient.
fn id_of(recipient: &str) -> &'static str {
    let mut letters = record().known.letters.iter();
    letters.find(|(_, letter)| letter.recipients.iter().any(|to| to == recipient)).unwrap().0
}

/// The syncs of these paths are left out.
fn without_sync(steps: &mut Steps, is_it: impl Fn(&str) -> bool) {
    let mut numbers = Vec::new();
    for step in steps.iter() {
        if let Step::SyncBegins(number, path) = step
            && is_it(path)
        {
            numbers.push(*number);
        }
    }
    assert!(!numbers.is_empty());
    steps.retain(|step| !matches!(step, Step::SyncBegins(number, _) | Step::SyncEnds(number, _) if numbers.contains(number)));
}

fn nothing_is_lost_whenever_the_power_goes() {
    let Record { steps, known } = record();
    let findings = run(&empty(), steps, known).explore();
    assert!(findings.disks > 1000 && findings.wrong.is_empty(), "{findings:#?}");
}

/// Ids are different in each run.
fn without_ids(text: &str) -> String {
    let is_id = |word: &&str| word.parse::<QueueId>().is_ok();
    match text.split([' ', '/', '.']).find(is_id) {
        Some(id) => text.replace(id, "ID"),
        None => text.to_owned(),
    }
}

/// What the loss of one single thing would cost there. A message that was just accepted has no name until smapd syncs
/// `incoming/`; nor has a notification, or a deferred message, in `queue/`. Nothing else would be lost.
const STRICT: [&str; 2] = ["I1: the entry spool/incoming/ID", "I1: the entry spool/queue/ID"];

fn what_a_strict_system_would_lose_is_known() {
    let Record { steps, known } = record();
    let tree = empty();
    let run = Run { profile: Profile::StrictPosix, ..run(&tree, steps, known) };
    let findings = run.explore();
    let of_kind = |wrong: &str| wrong.get(..2).unwrap_or_default().to_owned();
    let mut lost: Vec<String> = findings
        .alone
        .iter()
        .map(|(wrong, lost)| format!("{}: {}", of_kind(wrong), without_ids(lost)))
        .collect();
    lost.sort();
    lost.dedup();
    assert_eq!(lost, STRICT, "{:#?}", findings.wrong);
}

fn a_session_that_does_not_sync_is_found() {
    assert_finds("I1: one@box.example", |steps| {
        without_sync(steps, |path| path.starts_with("spool/incoming/"))
    });
}

fn a_reply_before_the_sync_is_found() {
    assert_finds("I1: one@box.example", |steps| {
        let accepted = find(steps, |step| matches!(step, Step::Event(Event::Accepted(_))));
        let event = steps.remove(accepted);
        let is_it = |path: &str| path.starts_with("spool/incoming/");
        let sync = find(steps, |step| matches!(step, Step::SyncBegins(_, path) if is_it(path)));
        steps.insert(sync, event);
    });
}

fn a_mark_before_the_delivery_is_found() {
    assert_finds("I1: now@relay.example", |steps| {
        let relayed = Step::Event(Event::Relayed("now@relay.example".to_owned()));
        let at = find(steps, |step| *step == relayed);
        steps.remove(at);
        let state = format!("spool/queue/{}.state", id_of("now@relay.example"));
        let is_mark = |text: &[u8]| String::from_utf8_lossy(text).contains(" mark 0 ");
        let mark =
            find(steps, |step| matches!(step, Step::Write(path, _, text) if *path == state && is_mark(text)));
        steps.insert(mark + 1, relayed);
    });
}

fn a_removal_before_the_notification_is_found() {
    assert_finds("I1: back@relay.example", |steps| {
        let id = id_of("back@relay.example");
        let names = [format!("spool/incoming/{id}"), format!("spool/queue/{id}")];
        let removed = find(steps, |step| matches!(step, Step::Remove(path) if names.contains(path)));
        let removal = steps.remove(removed);
        let is_order = |text: &[u8]| String::from_utf8_lossy(text).contains(" bounce by=");
        let ordered = find(steps, |step| matches!(step, Step::Write(_, _, text) if is_order(text)));
        steps.insert(ordered + 1, removal);
    });
}

fn a_mailbox_that_is_not_synced_is_found() {
    let maildir = |steps: &mut Steps| without_sync(steps, |path| path.starts_with("mail/one/"));
    assert_finds("I1: one@box.example", maildir);
    assert_finds("I2: mail/one/new/", maildir);
    assert_finds("I1: two@mbox.example", |steps| without_sync(steps, |path| path == "mail/two"));
}

fn a_mailbox_that_publishes_before_it_syncs_is_found() {
    assert_finds("I2: mail/one/new/", |steps| {
        let link = find(steps, |step| matches!(step, Step::Link(_, to) if to.starts_with("mail/one/new/")));
        let link = steps.remove(link);
        let is_it = |path: &str| path.starts_with("mail/one/tmp/");
        let sync = find(steps, |step| matches!(step, Step::SyncBegins(_, path) if is_it(path)));
        steps.insert(sync, link);
    });
}

fn marks_and_removals_that_are_never_synced_are_found() {
    assert_finds("I3: ", |steps| {
        let is_it = |path: &str| matches!(path, "spool/incoming" | "spool/queue") || path.ends_with(".state");
        without_sync(steps, is_it);
    });
}

// What the next smapd does.

/// Disks that are given to the next smapd; each takes a second or two.
const RECOVERIES: usize = 3;

fn a_recovery_that_is_cut_off_loses_nothing() {
    let Record { steps, known } = record();
    let mut crashes: Vec<(Tree, Known)> = Vec::new();
    let findings = run(&empty(), steps, known).show(&mut |tree, known| {
        let is_ordered = |(path, text): (&str, &[u8])| {
            path.ends_with(".state") && QueueState::parse(text).ordered.is_some()
        };
        if tree.files("spool/queue").count() > 1 && !tree.files("spool/queue").any(is_ordered) {
            crashes.push((tree.clone(), known.clone()));
        }
    });
    assert!(findings.wrong.is_empty());
    let every = crashes.len() / RECOVERIES;
    assert!(every > 0, "{}", crashes.len());
    for (tree, known) in crashes.iter().skip(every / 2).step_by(every) {
        let steps = recovery(tree);
        let findings = run(tree, &steps, known).explore();
        assert!(findings.disks > 10 && findings.wrong.is_empty(), "{findings:#?}");
    }
}

/// What smapd does to this disk until nothing is left in the spool.
fn recovery(tree: &Tree) -> Steps {
    let notes = tempfile::tempdir().unwrap();
    let relay = Relay::start(&[]);
    let gateway = gateway(relay.sink.port());
    lay_out(tree, gateway.folder());
    let smapd = Watched::start(&gateway, notes.path());
    eventually("nothing is left", || {
        let is_empty = |folder: &str| fs::read_dir(gateway.spool().join(folder)).unwrap().count() == 0;
        (is_empty("incoming") && is_empty("queue")).then_some(())
    });
    smapd.end();
    let mut timed = steps(notes.path(), gateway.folder());
    timed.extend(relay.events());
    timed.sort_by_key(|(at, _)| *at);
    timed.into_iter().map(|(_, step)| step).collect()
}

/// The files of a disk, and long ago, so that nobody is waited for who writes them.
fn lay_out(tree: &Tree, root: &Path) {
    let own = |path: &Path, uid: u32| {
        if is_root() {
            chown(path, Some(uid), Some(uid)).unwrap();
        }
    };
    for folder in tree.folders().filter(|folder| !FOLDERS.contains(folder)) {
        fs::create_dir(root.join(folder)).unwrap();
        own(&root.join(folder), SMAPD_UID);
    }
    for (name, text) in ["spool/incoming", "spool/queue", "mail"].iter().flat_map(|folder| tree.files(folder))
    {
        let path = root.join(name);
        fs::write(&path, text).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(SystemTime::now() - Duration::from_secs(3600))
            .unwrap();
        own(&path, if name.starts_with("spool/incoming") { SMAP_UID } else { SMAPD_UID });
        chmod(&path, if name.ends_with(".state") || name.starts_with("mail") { 0o600 } else { 0o440 });
    }
}
