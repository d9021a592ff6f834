//! Users of this machine, asked for by smap-lookup's helper.

use std::fs;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use smap_common::lookup::{Answer, Failure, Question};
use smap_tests::asker::Asker;
use smap_tests::gateway::{Gateway, chmod};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::process::Process;
use smap_tests::{programs, tests};

use super::callout::Desk;
use super::{no_servers, socket, start};

tests! {
    a_user_of_this_machine_exists;
    who_is_added_while_it_runs_exists: [Root, Program("unshare")];
    it_ends_with_its_helper;
}

const PASSWD: &str = "smap, smapd: recipients example.com passwd";

fn user(name: &str) -> Question {
    Question::User { name: name.to_owned() }
}

fn gateway() -> Gateway {
    Gateway::new(&format!("{}\n{PASSWD}", no_servers()))
}

fn a_user_of_this_machine_exists() {
    let desk = Desk::with(PASSWD);
    let asker = desk.asker();
    for name in ["root", "ROOT"] {
        let Answer::User(Ok(found)) = asker.ask(user(name)) else { panic!("{name} is there") };
        assert_eq!(found.records, ["root"]);
    }
    assert_eq!(asker.ask(user("no-such-user-here")), Answer::User(Err(Failure::NoSuchName)));
}

fn who_is_added_while_it_runs_exists() {
    let gateway = gateway();
    let passwd = gateway.folder().join("passwd");
    let line = |user: &str, uid: u32| format!("{user}:x:{uid}:{uid}::/:/bin/false\n");
    fs::write(&passwd, line("root", 0) + &line("joe", 41000)).unwrap();
    chmod(&passwd, 0o644);
    let bind = "mount --bind \"$0\" /etc/passwd && exec \"$@\"";
    let mut command = Command::new(programs::peer("unshare"));
    command.args(["--mount", "sh", "-c", bind]).arg(&passwd).arg(programs::ours("smap-lookup"));
    let process = Process::start(command.arg("--config").arg(gateway.table()).arg("--foreground"));
    let _there = process.wait_for_log(|line| line.contains("started"));
    let asker = Asker::connect(&socket(&gateway)).unwrap();
    assert!(matches!(asker.ask(user("joe")), Answer::User(Ok(_))));
    assert_eq!(asker.ask(user("jane")), Answer::User(Err(Failure::NoSuchName)));
    fs::write(&passwd, line("root", 0) + &line("jane", 41001)).unwrap();
    assert!(matches!(asker.ask(user("jane")), Answer::User(Ok(_))));
    assert_eq!(asker.ask(user("joe")), Answer::User(Err(Failure::NoSuchName)));
}

/// Whoever supervises it starts it anew.
fn it_ends_with_its_helper() {
    let gateway = gateway();
    let mut process = start(&gateway);
    let pid = process.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it is there");
    let helper: i32 = children.trim().parse().expect("it has one");
    kill(Pid::from_raw(helper), Signal::SIGKILL).unwrap();
    assert_eq!(process.wait(), 75);
    let _why = process.wait_for_log(|line| line.contains("the process that asks for users is gone"));
}
