use std::fs::File;
use std::io::{Seek, Write};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn runner() -> Runner {
    Runner::start_with(4, SetId::Ignored, Duration::from_millis(50)).unwrap()
}

fn body(text: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

fn request(job: u64, argv: &[&str], deadline: Duration) -> Request {
    Request { job, argv: argv.iter().map(OsString::from).collect(), env: Vec::new(), deadline }
}

fn wait_for(runner: &Runner) {
    assert_eq!(poll(&mut [PollFd::new(runner.as_fd(), PollFlags::POLLIN)], 30_000u16), Ok(1), "no answer");
}

fn collect(runner: &Runner, count: usize) -> Vec<Response> {
    let mut responses = Vec::new();
    while responses.len() < count {
        wait_for(runner);
        runner.answers(&mut responses).unwrap();
    }
    responses
}

fn run_request(request: &Request, input: &str) -> Response {
    let runner = runner();
    runner.ask(request, body(input).as_fd()).unwrap();
    collect(&runner, 1).remove(0)
}

fn run(argv: &[&str], input: &str) -> (Ending, String) {
    let response = run_request(&request(1, argv, LONG), input);
    (response.ending, response.output)
}

fn sh(script: &str) -> (Ending, String) {
    run(&["/bin/sh", "-c", script], "")
}

#[test]
fn every_exit_code_arrives() {
    let runner = runner();
    let mut responses = Vec::new();
    for code in 0..=255 {
        let request = request(code, &["/bin/sh", "-c", &format!("exit {code}")], LONG);
        while let Err(error) = runner.ask(&request, body("").as_fd()) {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            wait_for(&runner);
            runner.answers(&mut responses).unwrap();
        }
    }
    responses.extend(collect(&runner, 256 - responses.len()));
    responses.sort_unstable_by_key(|response| response.job);
    for (code, response) in (0..=255).zip(responses) {
        assert_eq!((response.job, response.ending), (u64::from(code), Ending::Exited(code)));
    }
}

#[test]
fn a_program_has_limits_of_its_own() {
    let request = request(1, &["/bin/sh", "-c", "ulimit -c; ulimit -Hn; ulimit -t"], Duration::from_secs(7));
    assert_eq!(run_request(&request, "").output, "0\n1024\n8\n");
}

#[test]
fn death_by_a_signal_is_told_from_an_exit() {
    assert_eq!(sh("kill -KILL $$").0, Ending::Signaled(9));
    assert_eq!(sh("kill -TERM $$").0, Ending::Signaled(15));
}

#[test]
fn arguments_arrive_as_they_are() {
    let arguments = ["a b", "line\nline", "", "*", "$(id)", "-f", "\u{e4}'\"\\"];
    let argv = [["/usr/bin/printf", "[%s]"].as_slice(), &arguments].concat();
    let wanted: String = arguments.iter().map(|argument| format!("[{argument}]")).collect();
    assert_eq!(run(&argv, ""), (Ending::Exited(0), wanted));
}

#[test]
fn standard_input_is_the_body() {
    assert_eq!(
        run(&["/bin/cat"], "From here\n.\nto here\n"),
        (Ending::Exited(0), "From here\n.\nto here\n".into())
    );
}

#[test]
fn both_outputs_are_heard() {
    assert_eq!(sh("echo out; echo err >&2").1, "out\nerr\n");
}

#[test]
fn the_environment_holds_what_was_given_and_no_more() {
    let mut request = request(1, &["/usr/bin/env"], LONG);
    request.env = vec![("SENDER".to_owned(), "a b@c".to_owned())];
    let response = run_request(&request, "");
    let mut lines: Vec<&str> = response.output.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["HOME=/", "PATH=/usr/bin:/bin", "SENDER=a b@c", "SHELL=/bin/sh"]);
}

#[test]
fn a_program_inherits_nothing() {
    // The fourth is the folder that ls is reading.
    assert_eq!(run(&["/bin/ls", "/proc/self/fd"], "").1, "0\n1\n2\n3\n");
    let (_, status) = run(&["/bin/grep", "-E", "^(Sig(Blk|Ign)|NoNewPrivs)", "/proc/self/status"], "");
    for line in status.lines() {
        let (name, value) = line.split_once(":\t").unwrap();
        let wanted = if name == "NoNewPrivs" { 1 } else { 0 };
        // The C library keeps signals beyond these for itself.
        let ordinary = u64::from_str_radix(value, 16).unwrap() & 0x7fff_ffff;
        assert_eq!(ordinary, wanted, "{line}");
    }
    assert_eq!(sh("pwd").1, "/\n");
    assert_eq!(sh("test $$ = $(ps -o pgid= -p $$) && echo own group").1, "own group\n");
}

#[test]
fn much_output_is_read_over() {
    let (ending, output) = sh("head -c 10000000 /dev/zero | tr '\\0' x");
    assert_eq!((ending, output), (Ending::Exited(0), "x".repeat(KEPT)));
}

#[test]
fn what_is_left_in_the_background_is_not_waited_for() {
    let (ending, output) = sh("sleep 1000 & echo $!");
    assert_eq!(ending, Ending::Exited(0));
    let left = Pid::from_raw(output.trim().parse().unwrap());
    kill(left, Signal::SIGKILL).unwrap();
}

#[test]
fn a_program_that_hangs_is_ended() {
    let started = std::time::Instant::now();
    let response = run_request(&request(1, &["/bin/sleep", "1000"], Duration::from_millis(50)), "");
    assert_eq!(response.ending, Ending::Deadline);
    assert!(started.elapsed() < LONG);
}

#[test]
fn a_program_that_ends_well_when_asked_to_end_has_still_not_delivered() {
    let script = "trap 'echo caught; exit 0' TERM; while :; do :; done";
    let response = run_request(&request(1, &["/bin/sh", "-c", script], Duration::from_millis(200)), "");
    assert_eq!(response.ending, Ending::Deadline);
}

#[test]
fn a_program_that_does_not_listen_is_killed_with_its_children() {
    // The first leader listens and its child does not, the second does not listen either.
    for leader in ["trap 'exit 0' TERM", ":"] {
        let script = format!("trap '' TERM; sleep 1000 & echo $!; {leader}; while :; do /bin/true; done");
        let response = run_request(&request(1, &["/bin/sh", "-c", &script], Duration::from_millis(300)), "");
        assert_eq!(response.ending, Ending::Deadline);
        let child: i32 = response.output.lines().next().unwrap().parse().unwrap();
        let until = std::time::Instant::now() + LONG;
        while is_alive(child) {
            assert!(std::time::Instant::now() < until, "the child of the program still runs");
            std::thread::yield_now();
        }
    }
}

/// Nobody may have reaped it yet.
fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

#[test]
fn what_cannot_be_started_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("text"), "x").unwrap();
    assert_eq!(run(&[&path("missing")], "").0, Ending::NotStarted(nix::libc::ENOENT));
    assert_eq!(run(&[&path("text")], "").0, Ending::NotStarted(nix::libc::EACCES));
    assert_eq!(run(&[], "").0, Ending::NotStarted(nix::libc::EINVAL));
    assert_eq!(run(&["/bin/echo", "a\0b"], "").0, Ending::NotStarted(nix::libc::EINVAL));
}

#[test]
fn a_hundred_of_the_longest_recipients_fit_and_more_than_a_packet_does_not() {
    let runner = runner();
    let recipient = format!("{}@{}", "l".repeat(64), "d".repeat(189));
    let argv: Vec<&str> =
        std::iter::once("/bin/echo").chain(std::iter::repeat_n(recipient.as_str(), 100)).collect();
    assert_eq!(run(&argv, "").0, Ending::Exited(0));
    let huge = "x".repeat(link::MAX_PACKET);
    let refused = runner.ask(&request(1, &["/bin/echo", &huge], LONG), body("").as_fd()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn no_more_run_at_once_than_may() {
    let folder = tempfile::tempdir().unwrap();
    let runner = Runner::start(1, SetId::Ignored).unwrap();
    // Each fails where another is at work.
    let script = format!("mkdir {0}/busy && echo in && rmdir {0}/busy", folder.path().display());
    for job in 0..20 {
        runner.ask(&request(job, &["/bin/sh", "-c", &script], LONG), body("").as_fd()).unwrap();
    }
    for (job, response) in (0..20).zip(collect(&runner, 20)) {
        assert_eq!(response, Response { job, ending: Ending::Exited(0), output: "in\n".to_owned() });
    }
}

#[test]
fn its_death_is_seen() {
    let runner = runner();
    kill(runner.pid(), Signal::SIGKILL).unwrap();
    wait_for(&runner);
    assert_eq!(runner.answers(&mut Vec::new()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert!(runner.ask(&request(1, &["/bin/true"], LONG), body("").as_fd()).is_err());
}

#[test]
fn when_smapd_is_gone_programs_are_told_to_end_and_no_more_are_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let runner = Runner::start(1, SetId::Ignored).unwrap();
    let script = format!(
        "cd {}; trap 'echo told > first; exit 75' TERM; echo > started; while :; do sleep 0.01; done",
        folder.path().display()
    );
    runner.ask(&request(1, &["/bin/sh", "-c", &script], LONG), body("").as_fd()).unwrap();
    let second = format!("echo done > {}", path("second").display());
    runner.ask(&request(2, &["/bin/sh", "-c", &second], LONG), body("").as_fd()).unwrap();
    let until = std::time::Instant::now() + LONG;
    while !path("started").exists() {
        assert!(std::time::Instant::now() < until, "the program was not started");
        std::thread::yield_now();
    }
    let pid = runner.pid();
    drop(runner);
    assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 0)));
    assert_eq!(std::fs::read_to_string(path("first")).unwrap(), "told\n");
    assert!(!path("second").exists());
}

#[test]
fn a_request_and_a_response_read_back_as_they_were_written() {
    let mut request = request(u64::MAX, &["/bin/x", "a\nb", ""], LONG);
    request.argv.push(OsString::from_vec(vec![0xff, 0xfe]));
    request.env.push(("NAME".to_owned(), "value".to_owned()));
    assert_eq!(Request::decode(&request.encode()), Some(request.clone()));
    for cut in 0..request.encode().len() {
        assert_eq!(Request::decode(&request.encode()[..cut]), None);
    }
    let response = Response { job: 3, ending: Ending::Deadline, output: "x".to_owned() };
    assert_eq!(Response::decode(&response.encode()), Some(response));
}
