//! `smapctl trace` where the log is systemd's journal: a real one, alone in a mount namespace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use smap_tests::needs::Need::{Program, Root};
use smap_tests::post::Post;
use smap_tests::process::{Process, run};
use smap_tests::{eventually, programs, tests};

use crate::superservers::dialogue;

tests! {
    a_trace_reads_the_journal_where_there_are_no_files: [
        Root, Program("unshare"), Program("nsenter"), Program("journalctl"), Program("systemd-cat"),
        Program(JOURNALD)
    ];
}

const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";

/// A running journal.
struct Journal(Process);

impl Journal {
    fn start(folder: &Path) -> Self {
        let devices = folder.join("dev");
        fs::create_dir(&devices).unwrap();
        let mut command = Command::new(programs::peer("unshare"));
        command.args(["--mount", "sh"]).arg(programs::script("journal.sh")).arg(programs::peer(JOURNALD));
        let process = Process::start(command.arg(&devices));
        let socket = PathBuf::from(format!("/proc/{}/root/run/systemd/journal/dev-log", process.pid()));
        eventually("the journal listens", || socket.exists().then_some(()));
        Self(process)
    }

    /// The same command, where this journal is the log.
    fn beside(&self, command: &Command) -> Command {
        let mut inside = Command::new(programs::peer("nsenter"));
        inside.arg(format!("--mount=/proc/{}/ns/mnt", self.0.pid()));
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }
}

const DIALOGUE: &str = "EHLO client.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n\
    Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n";

fn a_trace_reads_the_journal_where_there_are_no_files() {
    let post = Post::with_maildirs("");
    let journal = Journal::start(post.gateway.folder());
    let (said, code) = dialogue(&mut journal.beside(&post.gateway.program("smap")), DIALOGUE.as_bytes());
    let id = said.split("Mail accepted ").nth(1).and_then(|rest| rest.split('\r').next());
    let id = id.unwrap_or_else(|| panic!("{code:?}: {said}"));
    let ended = run(journal.beside(&post.gateway.program("smapd")).arg("--once"), Stdio::null());
    assert_eq!((ended.code, ended.log.len()), (0, 0), "{ended:?}");
    // Somebody else's lines are not ours, whatever they say.
    let mut stranger = Command::new(programs::peer("systemd-cat"));
    stranger.args(["--identifier=stranger", "echo"]).arg(format!("id={id} forged"));
    let mut written = Command::new(programs::peer("journalctl"));
    written.args(["--quiet", "--identifier=stranger"]);
    assert_eq!(run(&mut journal.beside(&stranger), Stdio::null()).code, 0);
    eventually("the journal has the other's line", || {
        let ended = run(&mut journal.beside(&written), Stdio::null());
        String::from_utf8_lossy(&ended.output).contains("forged").then_some(())
    });
    let mut trace = post.gateway.program("smapctl");
    trace.args(["trace", id]);
    let shown = eventually("the journal has all of it", || {
        let ended = run(&mut journal.beside(&trace), Stdio::null());
        assert_eq!(ended.log, Vec::<String>::new());
        let shown = String::from_utf8(ended.output).unwrap();
        shown.contains(&format!("id={id} removed")).then_some(shown)
    });
    for words in [": connect host=", "from=<a@sender.example>", " status=sent ", ": exiting host="] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(shown.ends_with("it is not in the spool\n") && !shown.contains("forged"), "{shown}");
}
