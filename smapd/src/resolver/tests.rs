use std::net::Ipv4Addr;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};

use super::*;

fn wait_for(resolver: &Resolver) {
    assert_eq!(poll(&mut [PollFd::new(resolver.as_fd(), PollFlags::POLLIN)], 30_000u16), Ok(1), "no answer");
}

fn ask(resolver: &Resolver, host: &str) -> Result<Vec<IpAddr>, LookupError> {
    resolver.ask(&Question::Addresses { id: 42, host: host.to_owned() }).unwrap();
    wait_for(resolver);
    let mut answers = Vec::new();
    resolver.answers(&mut answers).unwrap();
    match answers.as_slice() {
        [Answer::Addresses { id: 42, result }] => result.clone(),
        others => panic!("{others:?}"),
    }
}

#[test]
fn names_and_literals_have_addresses() {
    let resolver = Resolver::start().unwrap();
    let localhost = ask(&resolver, "localhost").unwrap();
    assert!(!localhost.is_empty() && localhost.iter().all(IpAddr::is_loopback), "{localhost:?}");
    assert_eq!(ask(&resolver, "192.0.2.7"), Ok(vec!["192.0.2.7".parse().unwrap()]));
    assert_eq!(ask(&resolver, "2001:db8::7"), Ok(vec!["2001:db8::7".parse().unwrap()]));
}

#[test]
fn a_name_that_is_not_there_has_none() {
    let resolver = Resolver::start().unwrap();
    assert!(ask(&resolver, "does-not-exist.invalid").is_err());
    // Not a name at all: no name server is needed to know that.
    assert_eq!(ask(&resolver, ""), Err(LookupError::NoSuchHost));
    assert_eq!(ask(&resolver, "nul\0in.it"), Err(LookupError::Temporary));
}

#[test]
fn only_the_absence_of_a_name_is_final() {
    assert_eq!(judge(LookupErrorKind::NoName), LookupError::NoSuchHost);
    for kind in [LookupErrorKind::Again, LookupErrorKind::Fail, LookupErrorKind::System, LookupErrorKind::IO]
    {
        assert_eq!(judge(kind), LookupError::Temporary, "{kind:?}");
    }
}

#[test]
fn many_questions_are_all_answered() {
    let resolver = Resolver::start().unwrap();
    let mut answers = Vec::new();
    for id in 0..500 {
        let question = Question::Addresses { id, host: "127.0.0.1".to_owned() };
        while let Err(error) = resolver.ask(&question) {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            wait_for(&resolver);
            resolver.answers(&mut answers).unwrap();
        }
    }
    while answers.len() < 500 {
        wait_for(&resolver);
        resolver.answers(&mut answers).unwrap();
    }
    let mut ids: Vec<u64> = answers
        .iter()
        .map(|Answer::Addresses { id, result }| {
            assert_eq!(result, &Ok(vec![Ipv4Addr::LOCALHOST.into()]));
            *id
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..500).collect::<Vec<_>>());
}

#[test]
fn a_name_that_is_too_long_is_not_asked_for() {
    let resolver = Resolver::start().unwrap();
    let question = Question::Addresses { id: 1, host: "x".repeat(256) };
    assert_eq!(resolver.ask(&question).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn its_death_is_seen() {
    let resolver = Resolver::start().unwrap();
    kill(resolver.pid(), Signal::SIGKILL).unwrap();
    wait_for(&resolver);
    assert_eq!(resolver.answers(&mut Vec::new()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn it_ends_with_smapd() {
    let resolver = Resolver::start().unwrap();
    let pid = resolver.pid();
    drop(resolver);
    assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 0)));
}
