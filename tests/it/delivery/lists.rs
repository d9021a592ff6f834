//! Recipients who stand for others: rows of a virtusertable, aliases, lists, programs and files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use smap_tests::gateway::chmod;
use smap_tests::needs::Need::{Program, Root};
use smap_tests::post::{MAILBOX_TRACE, Post, Smapd, folder_of_smapd, without_trace};
use smap_tests::process::run;
use smap_tests::sink::{Act, Sink};
use smap_tests::{eventually, tests};

use super::notifications::{assert_fields, notice, told};

tests! {
    a_row_of_a_virtusertable_leads_to_another_domain;
    a_row_that_says_error_returns_the_message: [Program("python3")];
    an_alias_leads_to_each_of_several_once;
    a_list_is_read_from_its_file;
    a_list_that_cannot_be_read_is_waited_for;
    a_program_is_run_from_the_folder_of_safe_programs;
    a_file_is_appended_to_as_a_mailbox_is;
    a_link_leads_out_of_the_folder_of_safe_files_nowhere;
    a_list_that_leads_back_to_itself_is_told_of_and_its_others_get_it: [Program("python3")];
    the_owner_of_a_list_is_its_sender_and_hears_of_failures: [Program("python3")];
    a_sender_hears_of_an_alias_whom_he_wrote_to: [Program("python3")];
    a_sender_who_asks_hears_that_an_alias_of_several_went_on: [Program("python3")];
    a_table_that_changes_changes_no_list_that_has_begun;
    a_list_that_is_killed_in_the_middle_reaches_each_once;
    postmaster_leads_to_the_administrator_where_nothing_else_is_said;
    an_operator_sees_who_has_it_and_returns_the_rest: [Program("python3")];
    what_is_held_before_its_list_is_durable_goes_to_nobody: [Root];
    a_list_that_a_list_names_may_lie_elsewhere;
    a_mailertable_of_smap_alone_may_lie_elsewhere;
}

const FROM: &str = "a@example.com";
const TEXT: &str = "Subject: greetings\r\n\r\nhello";

/// What the files say; whoever writes is in `example.com`, where everybody has a Maildir.
#[derive(Default)]
struct Tables<'a> {
    aliases: &'a str,
    virtual_users: &'a str,
    list: &'a str,
    lines: &'a str,
}

/// `LIST` in an alias is the path of the list; `MAIL` is the folder of mailboxes.
fn written(folder: &Path, text: &str) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    text.replace("LIST", &path("list")).replace("MAIL", &path("mail"))
}

fn post(tables: &Tables<'_>) -> Post {
    Post::new(|folder| {
        fs::create_dir(folder.join("programs")).unwrap();
        for (name, text) in
            [("aliases", tables.aliases), ("virtual", tables.virtual_users), ("list", tables.list)]
        {
            fs::write(folder.join(name), written(folder, text)).unwrap();
        }
        let (folder, mail) = (folder.display(), folder.join("mail").display().to_string());
        format!(
            "{}\nsmapd: retry 1s\nsmapd: aliases {folder}/aliases\nsmapd: virtusertable {folder}/virtual\n\
             smapd: safe-programs {folder}/programs\nsmapd: safe-files {mail}/files\n\
             smap, smapd: domain example.com maildir:{mail}/%u/\n\
             smap, smapd: domain no.example error:5.1.1:550 No such user here\n\
             smap, smapd: domain virtual.example error:5.1.1:550 No such user there",
            tables.lines,
        )
    })
}

fn delivered_to(post: &Post, user: &str) -> Vec<(String, Vec<u8>)> {
    let mail = post.maildir(user);
    let read = |message: &Vec<u8>| {
        let (fields, text) = without_trace(message, &MAILBOX_TRACE);
        (format!("{} {}", fields[0], fields[1]), text)
    };
    mail.iter().map(read).collect()
}

fn a_row_of_a_virtusertable_leads_to_another_domain() {
    let sink = Sink::start();
    let far = format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{}", sink.port());
    let post = post(&Tables {
        virtual_users: "info@virtual.example b@example.com\n@virtual.example %1@far.example\n",
        lines: &far,
        ..Tables::default()
    });
    let smapd = post.smapd();
    let id = post.send(FROM, &["info@virtual.example", "Else@virtual.example"], TEXT);
    let line = smapd.outcome(&id, "b@example.com", "sent");
    assert!(line.contains(" to=<b@example.com> orig=<info@virtual.example> transport=maildir "), "{line}");
    let _line = smapd.outcome(&id, "Else@far.example", "sent");
    smapd.removed(&id);
    let rule =
        format!("id={id} to=<info@virtual.example> expanded=1 rule={}:1", post.path("virtual").display());
    assert_eq!(smapd.count(&rule), 1);
    let trace = "Return-Path: <a@example.com> Delivered-To: b@example.com".to_owned();
    assert_eq!(delivered_to(&post, "b"), [(trace, b"Subject: greetings\n\nhello\n".to_vec())]);
    let received = sink.received();
    assert_eq!(
        (received[0].sender.as_str(), received[0].recipients.as_slice()),
        ("<a@example.com>", ["<Else@far.example>".to_owned()].as_slice())
    );
    post.assert_spool_is_empty();
}

fn a_row_that_says_error_returns_the_message() {
    let post = post(&Tables {
        virtual_users: "old@virtual.example error:5.1.6:551 He has moved\n",
        ..Tables::default()
    });
    let smapd = post.smapd();
    let id = post.send(FROM, &["old@virtual.example"], TEXT);
    told(&smapd, &id);
    smapd.removed(&id);
    let wanted = [
        ("recipient0.Final-Recipient", "rfc822; old@virtual.example"),
        ("recipient0.Status", "5.1.6"),
        ("recipient0.Diagnostic-Code", "smtp; 551 5.1.6 He has moved"),
    ];
    assert_fields(&notice(&post, "a"), &wanted);
    post.assert_spool_is_empty();
}

fn an_alias_leads_to_each_of_several_once() {
    let post = post(&Tables {
        aliases: "staff: b, c@example.com, lab, /dev/null\nlab: c@example.com, \\b\nb: b@example.com\n",
        ..Tables::default()
    });
    let smapd = post.smapd();
    let id = post.send(FROM, &["staff@gw.example.com", "lab@gw.example.com", "c@example.com"], TEXT);
    // Nobody says where mail for a user at home goes.
    let _line = smapd.outcome(&id, "b@gw.example.com", "deferred");
    let _line = smapd.outcome(&id, "b@example.com", "sent");
    let _line = smapd.outcome(&id, "c@example.com", "sent");
    assert_eq!(smapd.count(&format!("id={id} to=/dev/null orig=<staff@gw.example.com> ")), 1);
    assert_eq!([post.maildir("b").len(), post.maildir("c").len()], [1, 1]);
}

fn a_list_is_read_from_its_file() {
    let post = post(&Tables {
        aliases: "staff: :include:LIST\n",
        list: "# everybody\nb@example.com\nc@example.com, d@example.com\n",
        ..Tables::default()
    });
    let smapd = post.smapd();
    let id = post.send(FROM, &["staff@gw.example.com"], TEXT);
    smapd.removed(&id);
    assert_eq!(["b", "c", "d"].map(|user| post.maildir(user).len()), [1, 1, 1]);
    assert_eq!(smapd.count(" expanded=3 "), 1);
    post.assert_spool_is_empty();
}

fn a_list_that_cannot_be_read_is_waited_for() {
    let post = post(&Tables {
        aliases: "staff: b@example.com, :include:LIST\n",
        list: "c@example.com\n",
        ..Tables::default()
    });
    let smapd = post.smapd();
    fs::rename(post.path("list"), post.path("list.new")).unwrap();
    let id = post.send(FROM, &["staff@gw.example.com", "d@example.com"], TEXT);
    let line = smapd.outcome(&id, "staff@gw.example.com", "deferred");
    assert!(line.contains("/list") && line.contains("dsn=4.3.0"), "{line}");
    let _line = smapd.outcome(&id, "d@example.com", "sent");
    assert_eq!(post.maildir("b").len(), 0);
    fs::rename(post.path("list.new"), post.path("list")).unwrap();
    smapd.removed(&id);
    assert_eq!(["b", "c", "d"].map(|user| post.maildir(user).len()), [1, 1, 1]);
}

/// A program that writes down what it is given.
fn install_program(post: &Post) {
    let script = post.path("script");
    let mail = post.path("mail").display().to_string();
    let text = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$0\" \"$@\" \"$SENDER\" \"$RECIPIENT\" >{mail}/called\nexec cat >{mail}/input\n"
    );
    fs::write(&script, text).unwrap();
    // Written here it would be busy while another test starts a program.
    let mut install = Command::new("install");
    let to = post.path("programs/keep");
    let copied = run(install.args(["-m", "755"]).arg(&script).arg(to), Stdio::null());
    assert_eq!(copied.code, 0, "{copied:?}");
}

fn a_program_is_run_from_the_folder_of_safe_programs() {
    // It has to be there when the table is read.
    let post = post(&Tables::default());
    install_program(&post);
    let alias = "kept: \"|/usr/bin/keep -x \\\"two words\\\"\"\n";
    fs::write(post.path("aliases"), alias).unwrap();
    let smapd = post.smapd();
    let id = post.send(FROM, &["kept@gw.example.com"], TEXT);
    smapd.removed(&id);
    let called = fs::read_to_string(post.path("mail/called")).unwrap();
    let program = post.path("programs/keep").display().to_string();
    let lines: Vec<&str> = called.lines().collect();
    assert_eq!(lines, [program.as_str(), "-x", "two words", FROM, "kept@gw.example.com"]);
    let (fields, text) = without_trace(&fs::read(post.path("mail/input")).unwrap(), &MAILBOX_TRACE);
    assert_eq!(fields[1], "Delivered-To: kept@gw.example.com");
    assert_eq!(text, b"Subject: greetings\n\nhello\n");
    assert_eq!(smapd.count(" orig=<kept@gw.example.com> transport=prog "), 1);
}

fn a_file_is_appended_to_as_a_mailbox_is() {
    let post = post(&Tables {
        aliases: "archive: MAIL/files/archive, b@example.com\nowner-archive: o@example.com\n",
        ..Tables::default()
    });
    folder_of_smapd(&post.path("mail/files"));
    let smapd = post.smapd();
    for _ in 0..2 {
        let id = post.send(FROM, &["archive@gw.example.com"], TEXT);
        smapd.removed(&id);
    }
    let text = fs::read_to_string(post.path("mail/files/archive")).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("From o@example.com ")).count(), 2, "{text}");
    assert_eq!(text.matches("\nhello\n\n").count(), 2, "{text}");
    assert!(text.contains("Return-Path: <o@example.com>\nDelivered-To: archive@gw.example.com\n"), "{text}");
    assert!(!post.path("mail/files/archive.lock").exists());
}

fn a_link_leads_out_of_the_folder_of_safe_files_nowhere() {
    let post = post(&Tables {
        aliases: "one: MAIL/files/link\ntwo: MAIL/files/folder/archive\n",
        ..Tables::default()
    });
    folder_of_smapd(&post.path("mail/files"));
    folder_of_smapd(&post.path("mail/other"));
    std::os::unix::fs::symlink(post.path("mail/other/file"), post.path("mail/files/link")).unwrap();
    std::os::unix::fs::symlink(post.path("mail/other"), post.path("mail/files/folder")).unwrap();
    let smapd = post.smapd();
    for name in ["one", "two"] {
        let id = post.send(FROM, &[&format!("{name}@gw.example.com")], TEXT);
        let original = format!("]: id={id} to={}/", post.path("mail/files").display());
        let line = smapd.process().wait_for_log(|line| line.contains(&original));
        assert!(line.contains(" status=deferred ") && line.contains("link"), "{line}");
    }
    assert_eq!(fs::read_dir(post.path("mail/other")).unwrap().count(), 0);
}

fn a_list_that_leads_back_to_itself_is_told_of_and_its_others_get_it() {
    let post = post(&Tables {
        aliases: "round: :include:LIST\n",
        list: "b@example.com\nround\n",
        ..Tables::default()
    });
    let smapd = post.smapd();
    let id = post.send(FROM, &["round@gw.example.com"], TEXT);
    told(&smapd, &id);
    smapd.removed(&id);
    assert_eq!(post.maildir("b").len(), 1);
    let fields = notice(&post, "a");
    let wanted =
        [("recipient0.Final-Recipient", "rfc822; round@gw.example.com"), ("recipient0.Status", "5.4.6")];
    assert_fields(&fields, &wanted);
    assert!(fields["people"].contains("list:2: this leads back to"), "{fields:#?}");
}

fn the_owner_of_a_list_is_its_sender_and_hears_of_failures() {
    let sink = Sink::start();
    let far = format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{}", sink.port());
    let post = post(&Tables {
        aliases: "club: b@example.com, x@far.example, gone@no.example\nowner-club: o@example.com\n",
        lines: &far,
        ..Tables::default()
    });
    let smapd = post.smapd();
    let to = ["<club@gw.example.com> ORCPT=rfc822;Club@gw.example.com", "<y@far.example>"];
    let id = post.send_as("<a@example.com> ENVID=my-id RET=HDRS", &to, TEXT);
    assert_eq!(told(&smapd, &id), "<o@example.com>");
    smapd.removed(&id);
    let senders: BTreeMap<String, Vec<String>> =
        sink.received().into_iter().map(|one| (one.sender, one.recipients)).collect();
    assert_eq!(senders["<o@example.com>"], ["<x@far.example>"]);
    assert_eq!(senders.len(), 2);
    let trace = "Return-Path: <o@example.com> Delivered-To: b@example.com";
    assert_eq!(delivered_to(&post, "b")[0].0, trace);
    assert_eq!(post.maildir("a").len(), 0);
    let fields = notice(&post, "o");
    let wanted = [
        ("recipient0.Final-Recipient", "rfc822; gone@no.example"),
        ("recipient0.Action", "failed"),
        ("returned.Subject", "greetings"),
    ];
    assert_fields(&fields, &wanted);
    assert!(!fields.contains_key("recipient0.Original-Recipient"), "{fields:#?}");
    assert!(!fields.contains_key("message.Original-Envelope-Id"), "{fields:#?}");
}

fn a_sender_hears_of_an_alias_whom_he_wrote_to() {
    let post = post(&Tables { aliases: "gone: b@no.example\n", ..Tables::default() });
    let smapd = post.smapd();
    let id = post.send(FROM, &["gone@gw.example.com"], TEXT);
    told(&smapd, &id);
    let wanted = [
        ("recipient0.Original-Recipient", "rfc822; gone@gw.example.com"),
        ("recipient0.Final-Recipient", "rfc822; b@no.example"),
        ("recipient0.Status", "5.1.1"),
    ];
    assert_fields(&notice(&post, "a"), &wanted);
}

fn a_sender_who_asks_hears_that_an_alias_of_several_went_on() {
    let post = post(&Tables {
        aliases: "both: b@example.com, c@example.com\none: d@example.com\n",
        ..Tables::default()
    });
    let smapd = post.smapd();
    let id = post.send_as("<a@example.com>", &["<both@gw.example.com> NOTIFY=SUCCESS"], TEXT);
    told(&smapd, &id);
    smapd.removed(&id);
    let fields = notice(&post, "a");
    let wanted =
        [("recipient0.Final-Recipient", "rfc822; both@gw.example.com"), ("recipient0.Action", "expanded")];
    assert_fields(&fields, &wanted);
    assert!(!fields.contains_key("recipient1.Action"), "{fields:#?}");
    let id = post.send_as("<e@example.com>", &["<one@gw.example.com> NOTIFY=SUCCESS"], TEXT);
    told(&smapd, &id);
    let wanted =
        [("recipient0.Final-Recipient", "rfc822; d@example.com"), ("recipient0.Action", "delivered")];
    assert_fields(&notice(&post, "e"), &wanted);
}

fn a_table_that_changes_changes_no_list_that_has_begun() {
    let is_open = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&is_open);
    let sink = Sink::scripted(move |_, line| match line {
        line if line.starts_with("RCPT TO:<later@") && !open.load(Ordering::SeqCst) => {
            Act::say("450 4.2.1 later")
        }
        _ => Act::Usual,
    });
    let far = format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{}", sink.port());
    let post = post(&Tables {
        aliases: "club: b@example.com, later@far.example\n",
        lines: &far,
        ..Tables::default()
    });
    let id = post.send(FROM, &["club@gw.example.com"], TEXT);
    assert_eq!(post.once().code, 0);
    assert_eq!((post.maildir("b").len(), sink.received().len()), (1, 0));
    fs::write(post.path("aliases"), "club: b@example.com, c@example.com\n").unwrap();
    is_open.store(true, Ordering::SeqCst);
    let smapd = post.smapd();
    smapd.removed(&id);
    assert_eq!((post.maildir("b").len(), post.maildir("c").len(), sink.received().len()), (1, 0, 1));
    assert_eq!(smapd.count(" expanded="), 0);
}

fn a_list_that_is_killed_in_the_middle_reaches_each_once() {
    let texts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&texts);
    // The second transaction gets no answer to its text; after the kill everybody is answered.
    let sink = Sink::scripted(move |_, line| {
        let is_second = line == "." && count.fetch_add(1, Ordering::SeqCst) == 1;
        if is_second { Act::Silence } else { Act::Usual }
    });
    let far = format!("smap, smapd: domain far.example smtp:[127.0.0.1]:{}", sink.port());
    let list: String = (0..200).map(|number| format!("u{number}@far.example\n")).collect();
    let post = post(&Tables {
        aliases: "club: :include:LIST\n",
        list: &list,
        lines: &format!("{far}\nsmapd: max-connections-per-destination 1"),
        ..Tables::default()
    });
    let mut smapd = post.smapd();
    let id = post.send(FROM, &["club@gw.example.com"], TEXT);
    let state = post.path("spool/queue").join(format!("{id}.state"));
    eventually("half of them are marked", || {
        let text = fs::read_to_string(&state).unwrap_or_default();
        (text.matches(" delivered ").count() == 100 && texts.load(Ordering::SeqCst) == 2).then_some(())
    });
    smapd.kill();
    fs::write(post.path("list"), "somebody@far.example\n").unwrap();
    let smapd = post.smapd();
    smapd.removed(&id);
    let mut got: Vec<String> = sink.received().into_iter().flat_map(|one| one.recipients).collect();
    got.sort();
    let mut wanted: Vec<String> = (0..200).map(|number| format!("<u{number}@far.example>")).collect();
    wanted.sort();
    assert_eq!(got, wanted);
    assert_eq!(smapd.end(Signal::SIGTERM).code, 0);
    post.assert_spool_is_empty();
}

fn postmaster_leads_to_the_administrator_where_nothing_else_is_said() {
    let post = Post::with_maildirs("smapd: retry 1s\nsmapd: badadmin admin@example.com");
    let smapd = post.smapd();
    for to in ["postmaster", "Postmaster@gw.example.com"] {
        let id = post.send(FROM, &[to], TEXT);
        let _line = smapd.outcome(&id, "admin@example.com", "sent");
        smapd.removed(&id);
    }
    assert_eq!(post.maildir("admin").len(), 2);
    post.assert_spool_is_empty();
}

fn an_operator_sees_who_has_it_and_returns_the_rest() {
    let far = "smap, smapd: domain far.example error:4.2.1:450 not now";
    let post = post(&Tables {
        aliases: "club: b@example.com, later@far.example\n",
        lines: far,
        ..Tables::default()
    });
    let smapd = post.smapd();
    let id = post.send(FROM, &["club@gw.example.com"], TEXT);
    let _line = smapd.outcome(&id, "later@far.example", "deferred");
    eventually("it is deferred", || (post.names("queue").len() == 2).then_some(()));
    let listed = String::from_utf8(post.smapctl(&["queue", "list"]).output).unwrap();
    assert!(listed.contains("<later@far.example> for <club@gw.example.com>: 4.2.1"), "{listed}");
    assert!(!listed.contains("<b@example.com>"), "{listed}");
    let shown = String::from_utf8(post.smapctl(&["queue", "show", &id]).output).unwrap();
    for words in
        ["<club@gw.example.com>", "expanded", "<b@example.com> for <club@gw.example.com>", "delivered"]
    {
        assert!(shown.contains(words), "{shown}");
    }
    let ended = post.smapctl(&["queue", "bounce", &id]);
    assert_eq!(ended.code, 0, "{ended:?}");
    told(&smapd, &id);
    smapd.removed(&id);
    let wanted = [
        ("recipient0.Original-Recipient", "rfc822; club@gw.example.com"),
        ("recipient0.Final-Recipient", "rfc822; later@far.example"),
        ("recipient0.Status", "5.7.0"),
    ];
    assert_fields(&notice(&post, "a"), &wanted);
    assert_eq!(post.maildir("b").len(), 1);
}

/// A thread of smapd that does nothing until this is gone.
struct Stopped(Pid);

impl Stopped {
    fn new(smapd: &Smapd, name: &str) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", smapd.process().pid())).unwrap();
        let mut tasks = tasks.map(|task| task.unwrap());
        let task =
            tasks.find(|task| fs::read_to_string(task.path().join("comm")).unwrap().trim_end() == name);
        let number = task.expect("it has that thread").file_name();
        let thread = Pid::from_raw(number.to_str().unwrap().parse().unwrap());
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        let _stopped = waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        Self(thread)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        ptrace::detach(self.0, None).unwrap();
    }
}

fn what_is_held_before_its_list_is_durable_goes_to_nobody() {
    let post = post(&Tables { aliases: "club: b@example.com, c@example.com\n", ..Tables::default() });
    let smapd = post.smapd();
    let journal = Stopped::new(&smapd, "journal");
    let id = post.send(FROM, &["club@gw.example.com"], TEXT);
    eventually("it is written down", || {
        let state = fs::read_to_string(post.gateway.layout().queue().join(format!("{id}.state"))).ok()?;
        state.contains("EXPANDED ").then_some(())
    });
    assert_eq!(post.smapctl(&["queue", "hold", &id]).code, 0);
    drop(journal);
    eventually("it is held", || {
        let listed = post.smapctl(&["queue", "list", "--held"]).output;
        String::from_utf8(listed).unwrap().contains(&id).then_some(())
    });
    assert_eq!((post.maildir("b").len(), post.maildir("c").len()), (0, 0));
    assert_eq!(post.smapctl(&["queue", "release", &id]).code, 0);
    smapd.removed(&id);
    assert_eq!((post.maildir("b").len(), post.maildir("c").len()), (1, 1));
}

fn a_list_that_a_list_names_may_lie_elsewhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    chmod(elsewhere.path(), 0o755);
    let more = elsewhere.path().join("more");
    fs::write(&more, "c@example.com\n").unwrap();
    let post = post(&Tables {
        aliases: "staff: :include:LIST\n",
        list: &format!("b@example.com\n:include:{}\n", more.display()),
        ..Tables::default()
    });
    let smapd = post.smapd();
    let id = post.send(FROM, &["staff@gw.example.com"], TEXT);
    let _line = smapd.outcome(&id, "c@example.com", "sent");
    smapd.removed(&id);
}

fn a_mailertable_of_smap_alone_may_lie_elsewhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    chmod(elsewhere.path(), 0o755);
    let mailertable = elsewhere.path().join("mailertable");
    fs::write(&mailertable, "far.example discard:\n").unwrap();
    let lines = format!("smap: mailertable {}", mailertable.display());
    let post = post(&Tables { lines: &lines, ..Tables::default() });
    let smapd = post.smapd();
    smapd.process().signal(Signal::SIGHUP);
    let line = smapd
        .process()
        .wait_for_log(|line| line.contains("the table was read again") || line.contains("error: "));
    assert!(line.contains("the table was read again"), "{line}");
}
