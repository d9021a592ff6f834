//! `sendmail` and `pipe:`: what a program is given, and what its end means.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use smap_tests::gateway::{Gateway, chmod};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::needs::is_root;
use smap_tests::post::{MAILBOX_TRACE, Post, Smapd, folder_of_smapd, maildir, read_by_python, without_trace};
use smap_tests::process::run;
use smap_tests::{eventually, programs, tests};

use crate::superservers::dialogue;

tests! {
    sendmail_is_called_with_exactly_these_arguments;
    sendmail_is_told_the_null_sender;
    row_048_a_recipient_that_looks_like_an_option_is_none;
    row_030_a_pipe_gets_its_arguments_without_a_shell;
    a_pipe_runs_once_for_each_recipient;
    a_program_has_a_clean_environment_and_no_other_descriptors;
    a_message_with_a_lone_dot_arrives_whole;
    each_exit_status_has_its_meaning;
    a_program_that_hangs_is_ended_and_tried_again;
    a_program_that_dies_by_a_signal_has_not_delivered;
    a_program_that_outlives_smapd_is_told_to_end;
    a_program_that_is_missing_is_waited_for;
    a_program_that_does_not_read_has_delivered_if_it_says_so;
    several_recipients_that_fail_together_are_tried_one_by_one;
    several_recipients_that_are_deferred_together_stay_together;
    as_many_programs_run_at_once_as_maxchildren_says;
    maildrop_delivers_into_a_maildir: [Program("maildrop")];
    procmail_delivers_into_an_mbox: [Program("procmail"), Program("python3")];
    a_table_of_the_toolkit_delivers_by_its_sendmail: [Root];
    a_table_of_the_toolkit_serves_with_listen_too: [Root];
}

const FROM: &str = "a@sender.example";

/// A program that writes down how it was called.
struct Stub(PathBuf);

struct Call {
    arguments: Vec<String>,
    environment: Vec<String>,
    descriptors: Vec<String>,
    input: Vec<u8>,
}

impl Stub {
    fn install(folder: &Path) -> Self {
        let path = folder.join("stub");
        // Written here it would be busy while another test starts a program.
        let mut install = Command::new("install");
        let copied =
            run(install.args(["-m", "755"]).arg(programs::script("stub.sh")).arg(&path), Stdio::null());
        assert_eq!(copied.code, 0, "{copied:?}");
        folder_of_smapd(&folder.join("calls"));
        Self(folder.to_owned())
    }

    /// What it does after it has written everything down; shell commands.
    fn behave(&self, commands: &str) {
        let new = self.0.join("behave.new");
        fs::write(&new, commands).unwrap();
        chmod(&new, 0o644);
        fs::rename(new, self.0.join("behave")).unwrap();
    }

    /// Its calls, in their order.
    fn calls(&self) -> Vec<Call> {
        let entries = fs::read_dir(self.0.join("calls")).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_none_or(|end| end != "part")).collect();
        folders.sort();
        folders.iter().map(|folder| Call::read(folder)).collect()
    }

    /// How many of its calls have left this file.
    fn calls_with(&self, name: &str) -> usize {
        let entries = fs::read_dir(self.0.join("calls")).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|call| call.join(name).exists()).count()
    }

    fn wait_for_calls(&self, count: usize) -> Vec<Call> {
        eventually("the program is called", || {
            let calls = self.calls();
            (calls.len() >= count).then_some(calls)
        })
    }
}

impl Call {
    fn read(folder: &Path) -> Self {
        let list = |name: &str, end: u8| {
            let octets = fs::read(folder.join(name)).unwrap();
            let items =
                octets.split(|&octet| octet == end).map(|item| String::from_utf8_lossy(item).into_owned());
            let mut items: Vec<String> = items.collect();
            items.pop_if(|last| last.is_empty());
            items
        };
        Self {
            arguments: list("arguments", 0),
            environment: list("environment", 0),
            descriptors: list("descriptors", b'\n'),
            input: fs::read(folder.join("input")).unwrap(),
        }
    }

    /// Its arguments but the first, which is its name.
    fn given(&self) -> Vec<&str> {
        self.arguments[1..].iter().map(String::as_str).collect()
    }
}

fn with_sendmail(options: &str) -> (Post, Stub) {
    let post = Post::new(|folder| {
        let stub = folder.join("stub");
        format!(
            "smapd: retry 1s\nsmapd: sendmail {}\nsmap, smapd: domain example.com sendmail {options}",
            stub.display()
        )
    });
    let stub = Stub::install(post.gateway.folder());
    (post, stub)
}

/// `rest` stands behind the program.
fn with_pipe(rest: &str) -> (Post, Stub) {
    let post = Post::new(|folder| {
        let stub = folder.join("stub");
        format!("smapd: retry 1s\nsmap, smapd: domain example.com pipe:{} {rest}", stub.display())
    });
    let stub = Stub::install(post.gateway.folder());
    (post, stub)
}

fn sendmail_is_called_with_exactly_these_arguments() {
    let (post, stub) = with_sendmail("");
    let smapd = post.smapd();
    let to = ["b@example.com", "C@Example.COM", "\"d e; $(id)\"@example.com", "root@gw.example.com"];
    let id = post.send("a+x@sender.example", &to, "hello");
    smapd.removed(&id);
    let calls = stub.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].arguments[0], post.path("stub").display().to_string());
    let given = calls[0].given();
    assert_eq!(given[..5], ["-oi", "-f", "a+x@sender.example", "--", "b@example.com"]);
    assert!(given[5].eq_ignore_ascii_case("C@example.com") && given[5].starts_with("C@"), "{given:?}");
    assert_eq!(given[6..], ["\"d e; $(id)\"@example.com", "root@gw.example.com"]);
}

fn sendmail_is_told_the_null_sender() {
    let (post, stub) = with_sendmail("");
    let smapd = post.smapd();
    let id = post.send("", &["b@example.com"], "hello");
    smapd.removed(&id);
    assert_eq!(stub.calls()[0].given(), ["-oi", "-f", "<>", "--", "b@example.com"]);
}

fn row_048_a_recipient_that_looks_like_an_option_is_none() {
    let (post, stub) = with_sendmail("");
    let smapd = post.smapd();
    let id = post.send("", &["-C/etc/shadow@example.com", "--help@example.com"], "hello");
    smapd.removed(&id);
    let wanted = ["-oi", "-f", "<>", "--", "-C/etc/shadow@example.com", "--help@example.com"];
    assert_eq!(stub.calls()[0].given(), wanted);
    let id = post.send("-q@sender.example", &["b@example.com"], "hello");
    smapd.removed(&id);
    assert_eq!(stub.calls()[1].given(), ["-oi", "-f", "-q@sender.example", "--", "b@example.com"]);
}

fn row_030_a_pipe_gets_its_arguments_without_a_shell() {
    let (post, stub) = with_pipe("--user=%u -f %s \"two words\" $HOME `id` ; %d 50%%");
    let smapd = post.smapd();
    let id = post.send(FROM, &["\"b c;d\"@example.com"], "hello");
    smapd.removed(&id);
    let wanted =
        ["--user=b c;d", "-f", "a@sender.example", "two words", "$HOME", "`id`", ";", "example.com", "50%"];
    assert_eq!(stub.calls()[0].given(), wanted);
    let id = post.send("", &["b@example.com"], "hello");
    smapd.removed(&id);
    assert_eq!(stub.calls()[1].given()[..3], ["--user=b", "-f", ""]);
}

fn a_pipe_runs_once_for_each_recipient() {
    let (post, stub) = with_pipe("%u");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com", "c@example.com"], "Subject: x\r\n\r\nhello");
    smapd.removed(&id);
    let calls = stub.calls();
    let mut users: Vec<&str> = calls.iter().map(|call| call.given()[0]).collect();
    users.sort_unstable();
    assert_eq!(users, ["b", "c"]);
    for call in &calls {
        let (fields, text) = without_trace(&call.input, &MAILBOX_TRACE);
        assert_eq!(fields[1], format!("Delivered-To: {}@example.com", call.given()[0]));
        assert_eq!(text, b"Subject: x\n\nhello\n");
    }
}

fn a_program_has_a_clean_environment_and_no_other_descriptors() {
    let (post, stub) = with_pipe("%u");
    let mut command = post.gateway.program("smapd");
    command.env("LD_PRELOAD_X", "/tmp/x").env("IFS", "/").env("SECRET", "x");
    let smapd = Smapd::start(&mut command);
    let id = post.send(FROM, &["b@example.com"], "hello");
    smapd.removed(&id);
    let call = &stub.calls()[0];
    let mut environment = call.environment.clone();
    environment.sort();
    let wanted = [
        "HOME=/".to_owned(),
        "PATH=/usr/bin:/bin".to_owned(),
        format!("QUEUE_ID={id}"),
        "RECIPIENT=b@example.com".to_owned(),
        "SENDER=a@sender.example".to_owned(),
        "SHELL=/bin/sh".to_owned(),
    ];
    assert_eq!(environment, wanted);
    let output = call.descriptors.iter().find_map(|line| line.split_once(" 2 -> ")).expect("it has one").1;
    // The shell has the script itself open.
    let script = post.path("stub").display().to_string();
    let others = call.descriptors.iter().filter(|line| {
        let Some((facts, link)) = line.split_once(" -> ") else { return false };
        let number = facts.rsplit(' ').next().unwrap();
        // It also keeps its standard output while another program has it.
        !["0", "1", "2"].contains(&number) && link != script && link != output
    });
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&String>::new());
}

fn a_message_with_a_lone_dot_arrives_whole() {
    let (post, stub) = with_sendmail("");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "Subject: x\r\n\r\nbefore\r\n..\r\nafter\r\n...");
    smapd.removed(&id);
    let calls = stub.calls();
    let (_, text) = without_trace(&calls[0].input, &["Received"]);
    assert_eq!(String::from_utf8_lossy(&text), "Subject: x\n\nbefore\n.\nafter\n..\n");
}

/// The table at the head of smapd's `runner`.
const MEANINGS: [(u8, &str, &str); 20] = [
    (0, "sent", "2.0.0"),
    (1, "deferred", "4.3.0"),
    (64, "deferred", "4.3.5"),
    (65, "failed", "5.6.0"),
    (66, "deferred", "4.3.0"),
    (67, "failed", "5.1.1"),
    (68, "failed", "5.1.2"),
    (69, "failed", "5.0.0"),
    (70, "deferred", "4.3.0"),
    (71, "deferred", "4.3.0"),
    (72, "deferred", "4.3.5"),
    (73, "failed", "5.2.0"),
    (74, "deferred", "4.3.0"),
    (75, "deferred", "4.3.0"),
    (76, "failed", "5.5.0"),
    (77, "failed", "5.7.0"),
    (78, "deferred", "4.3.5"),
    (126, "deferred", "4.3.5"),
    (127, "deferred", "4.3.5"),
    (255, "deferred", "4.3.0"),
];

fn each_exit_status_has_its_meaning() {
    let (post, stub) = with_pipe("%u");
    stub.behave("echo \"said of $1\"; exit \"${1#exit}\"");
    let smapd = post.smapd();
    let mut client = post.listener.extended_client();
    for (code, status, dsn) in MEANINGS {
        let to = format!("exit{code}@example.com");
        let recipient = format!("<{to}> NOTIFY=NEVER");
        let id = smap_tests::post::send(&mut client, "<a@sender.example>", &[recipient], "hello");
        let line = smapd.outcome(&id, &to, status);
        assert!(line.contains(&format!(" dsn={dsn} ")), "{line}");
        assert!(line.contains(&format!("said of exit{code}")), "{line}");
    }
}

fn a_program_that_hangs_is_ended_and_tried_again() {
    let (post, stub) = with_pipe("timeout=1s %u");
    stub.behave("sleep 1000 & wait");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "deferred");
    assert!(line.contains("dsn=4.3.0") && line.contains("did not end in time"), "{line}");
    stub.behave("exit 0");
    smapd.removed(&id);
    let left = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let cmdline = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        let stub = post.path("stub").display().to_string();
        String::from_utf8_lossy(&cmdline).contains(&stub).then_some(())
    });
    assert_eq!(left.count(), 0, "something of it is left behind");
}

fn a_program_that_dies_by_a_signal_has_not_delivered() {
    let (post, stub) = with_pipe("%u");
    stub.behave("kill -KILL $$");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "deferred");
    assert!(line.contains("dsn=4.3.0") && line.contains("killed by signal 9"), "{line}");
    stub.behave("exit 0");
    smapd.removed(&id);
}

/// So that it does not deliver beside the one that is started after it.
fn a_program_that_outlives_smapd_is_told_to_end() {
    let (post, stub) = with_pipe("%u");
    stub.behave("trap '> \"$call/told\"; exit 75' TERM; sleep 1000 & wait; > \"$call/delivered\"");
    let mut smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let _first = stub.wait_for_calls(1);
    smapd.kill();
    eventually("it is told", || (stub.calls_with("told") == 1).then_some(()));
    stub.behave("> \"$call/delivered\"");
    let smapd = post.smapd();
    smapd.removed(&id);
    assert_eq!((stub.calls().len(), stub.calls_with("delivered")), (2, 1));
}

fn a_program_that_is_missing_is_waited_for() {
    let post = Post::new(|folder| {
        let stub = folder.join("stub");
        format!("smapd: retry 1s\nsmap, smapd: domain example.com pipe:{} %u", stub.display())
    });
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "hello");
    let line = smapd.outcome(&id, "b@example.com", "deferred");
    assert!(line.contains("dsn=4.3.5") && line.contains("cannot be started"), "{line}");
    let stub = Stub::install(post.gateway.folder());
    smapd.removed(&id);
    assert_eq!(stub.wait_for_calls(1).len(), 1);
}

fn a_program_that_does_not_read_has_delivered_if_it_says_so() {
    let post = Post::new(|_| "smap, smapd: domain example.com pipe:/bin/true".to_owned());
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], &"x\r\n".repeat(500_000));
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    smapd.removed(&id);
}

fn several_recipients_that_fail_together_are_tried_one_by_one() {
    let (post, stub) = with_sendmail("");
    stub.behave("case \"$*\" in *bad@*) exit 67;; esac");
    let smapd = post.smapd();
    let id = post.send("", &["b@example.com", "bad@example.com", "c@example.com"], "hello");
    for to in ["b@example.com", "c@example.com"] {
        let _line = smapd.outcome(&id, to, "sent");
    }
    let line = smapd.outcome(&id, "bad@example.com", "failed");
    assert!(line.contains("dsn=5.1.1"), "{line}");
    let calls = stub.calls();
    let mut recipients: Vec<Vec<&str>> = calls.iter().map(|call| call.given()[4..].to_vec()).collect();
    recipients.sort();
    let mut wanted = vec![
        vec!["b@example.com"],
        vec!["b@example.com", "bad@example.com", "c@example.com"],
        vec!["bad@example.com"],
        vec!["c@example.com"],
    ];
    wanted.sort();
    assert_eq!(recipients, wanted);
}

fn several_recipients_that_are_deferred_together_stay_together() {
    let (post, stub) = with_sendmail("");
    stub.behave("exit 75");
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com", "c@example.com"], "hello");
    for to in ["b@example.com", "c@example.com"] {
        let _line = smapd.outcome(&id, to, "deferred");
    }
    stub.behave("exit 0");
    smapd.removed(&id);
    assert!(stub.calls().iter().all(|call| call.given().len() == 6));
}

fn as_many_programs_run_at_once_as_maxchildren_says() {
    let (post, stub) = with_pipe("%u");
    post.gateway.write_table(&format!(
        "smapd: maxchildren 2\nsmap, smapd: domain example.com pipe:{} %u",
        post.path("stub").display()
    ));
    // A call is let go by the test, which looks at how many there are.
    stub.behave("while [ ! -f \"$here/go\" ]; do sleep 0.05; done");
    let smapd = post.smapd();
    let to: Vec<String> = (0..6).map(|number| format!("b{number}@example.com")).collect();
    let id = post.send(FROM, &to.iter().map(String::as_str).collect::<Vec<_>>(), "hello");
    assert_eq!(stub.wait_for_calls(2).len(), 2);
    let other = post.send(FROM, &["x@gw.example.com"], "hello");
    let _other = smapd.outcome(&other, "x@gw.example.com", "deferred");
    assert_eq!(stub.calls().len(), 2);
    fs::write(post.path("go"), "").unwrap();
    smapd.removed(&id);
    assert_eq!(stub.calls().len(), 6);
}

/// A file that belongs to smapd and that nobody else can write.
fn file_of_smapd(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    chmod(path, 0o600);
    if is_root() {
        let smapd = smap_tests::gateway::SMAPD_UID;
        std::os::unix::fs::chown(path, Some(smapd), Some(smapd)).unwrap();
    }
}

/// The user `games` of every system.
const GAMES: u32 = 5;

fn give_to_games(path: &Path) {
    std::os::unix::fs::chown(path, Some(GAMES), Some(GAMES)).unwrap();
}

/// A post whose smapd has a name, which not every program can do without.
fn by_somebody_known(lines: impl Fn(&Path) -> String) -> Post {
    let gateway = Gateway::new("");
    let user = if is_root() { format!("smapd: userid {GAMES}\n") } else { String::new() };
    gateway.write_table(&format!("{user}{}", lines(gateway.folder())));
    if is_root() {
        for part in ["incoming", "queue", "bad", "lock"] {
            std::os::unix::fs::chown(gateway.spool().join(part), Some(GAMES), None).unwrap();
        }
    }
    Post::of(gateway)
}

fn maildrop_delivers_into_a_maildir() {
    let post = by_somebody_known(|folder| {
        let (filter, maildrop) = (folder.join("mail/filter"), programs::peer("maildrop"));
        format!("smap, smapd: domain example.com pipe:{} {}", maildrop.display(), filter.display())
    });
    let folder = post.path("mail/box");
    file_of_smapd(&post.path("mail/filter"), &format!("to \"{}/\"\n", folder.display()));
    let parts = ["mail", "mail/filter", "mail/box", "mail/box/tmp", "mail/box/new", "mail/box/cur"];
    parts[2..].iter().for_each(|part| folder_of_smapd(&post.path(part)));
    if is_root() {
        parts.iter().for_each(|part| give_to_games(&post.path(part)));
    }
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "Subject: x\r\n\r\n..\r\nhello");
    let line = smapd.process().wait_for_log(|line| line.contains(&format!("]: id={id} to=")));
    assert!(line.contains(" status=sent "), "{line}");
    let arrived = maildir(&folder);
    assert_eq!(arrived.len(), 1);
    assert!(arrived[0].ends_with(b"Subject: x\n\n.\nhello\n"), "{}", String::from_utf8_lossy(&arrived[0]));
}

fn procmail_delivers_into_an_mbox() {
    let post = Post::new(|folder| {
        let file = folder.join("mail/procmailrc");
        let procmail = programs::peer("procmail");
        // With -m the file need not be in a home; with -f it writes the line that begins a message.
        format!("smap, smapd: domain example.com pipe:{} -f %s -m {}", procmail.display(), file.display())
    });
    let mbox = post.path("mail/mbox");
    file_of_smapd(&post.path("mail/procmailrc"), &format!(":0:\n{}\n", mbox.display()));
    let smapd = post.smapd();
    let id = post.send(FROM, &["b@example.com"], "Subject: x\r\n\r\n..\r\nhello");
    let line = smapd.process().wait_for_log(|line| line.contains(&format!("]: id={id} to=")));
    assert!(line.contains(" status=sent "), "{line}");
    let arrived = read_by_python("mbox", &mbox);
    assert_eq!(arrived.len(), 1);
    assert!(arrived[0].ends_with(b"Subject: x\n\n.\nhello\n"), "{}", String::from_utf8_lossy(&arrived[0]));
}

/// Six lines of the old toolkit; nothing of them but the folder is ours.
const TOOLKIT: &str = "\
smap, smapd:  userid 5
smap, smapd:  directory /var/spool/smap
smapd:        executable /usr/local/etc/smapd
smapd:        sendmail /usr/lib/sendmail
smapd:        baddir /var/spool/smap/bad
smap:         timeout 3600
";

struct Toolkit {
    gateway: Gateway,
    stub: Stub,
    smapd: Smapd,
}

/// The paths are in the test's folder; the spool belongs to one user, and nobody else may look into it.
fn toolkit() -> Toolkit {
    let gateway = Gateway::without_spool("");
    let folder = gateway.folder().to_owned();
    let here = |path: &str| folder.join(path).display().to_string();
    let table =
        TOOLKIT.replace("/var/spool/smap", &here("spool")).replace("/usr/lib/sendmail", &here("stub"));
    gateway.write_whole_table(&table);
    let stub = Stub::install(&folder);
    fs::create_dir(folder.join("spool")).unwrap();
    chmod(&folder.join("spool"), 0o700);
    ["spool", "calls"].iter().for_each(|name| give_to_games(&folder.join(name)));
    // It makes the folders that are missing.
    let smapd = Smapd::start(&mut gateway.program("smapd"));
    Toolkit { gateway, stub, smapd }
}

/// The dialogue, and what sendmail was given.
fn assert_toolkit_delivers(toolkit: &Toolkit, said: &str) {
    let id = said.split("250 Mail accepted ").nth(1).and_then(|rest| rest.split('\r').next());
    toolkit.smapd.removed(id.unwrap_or_else(|| panic!("{said}")));
    let calls = toolkit.stub.calls();
    assert_eq!(calls[0].given(), ["-oi", "-f", "a@sender.example", "--", "postmaster"]);
    assert!(calls[0].input.ends_with(b"Subject: x\n\n.\nhello\n"));
}

const DIALOGUE: &str = "HELO client.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<postmaster>\r\nDATA\r\n\
    Subject: x\r\n\r\n..\r\nhello\r\n.\r\nQUIT\r\n";

fn a_table_of_the_toolkit_delivers_by_its_sendmail() {
    let toolkit = toolkit();
    let (said, code) = dialogue(&mut toolkit.gateway.program("smap"), DIALOGUE.as_bytes());
    assert_eq!(code, Some(0), "{said}");
    assert_toolkit_delivers(&toolkit, &said);
}

fn a_table_of_the_toolkit_serves_with_listen_too() {
    let toolkit = toolkit();
    let listener = toolkit.gateway.listen();
    let mut client = listener.client();
    client.say("HELO client.example", "250 ");
    client.say("MAIL FROM:<a@sender.example>", "250 ");
    client.say("RCPT TO:<postmaster>", "250 ");
    client.say("DATA", "354 ");
    let reply = client.say("Subject: x\r\n\r\n..\r\nhello\r\n.", "250 ");
    assert_toolkit_delivers(&toolkit, &format!("{reply}\r\n"));
}
