//! Points, one after the other: each begins anew, goes wrong once, and is judged when all is delivered.

use std::collections::HashMap;

use nix::errno::Errno;
use syscalls::Sysno;

use super::letters::{Letter, Said, Way};
use super::order;
use super::report::Report;
use super::scenario::{Scenario, Traced};
use super::tracer::{Call, Fault, Point, Trace};
use super::verdict::Account;
use super::world::{Ground, World};

/// Errors that a call may have.
pub const ERRORS: [Errno; 9] = [
    Errno::EIO,
    Errno::ENOSPC,
    Errno::EDQUOT,
    Errno::EMFILE,
    Errno::ENFILE,
    Errno::EINTR,
    Errno::ENOMEM,
    Errno::EACCES,
    Errno::EROFS,
];

/// Why a file cannot grow: its disk is full, or it has the size that one may have (RLIMIT_FSIZE).
const FULL: [Errno; 2] = [Errno::EFBIG, Errno::ENOSPC];

/// Calls behind which something outside of the process is another than before. Between two of them it makes no
/// difference where everything dies.
const EFFECTS: [&str; 26] = [
    "write",
    "writev",
    "pwrite64",
    "sendto",
    "sendmsg",
    "fsync",
    "fdatasync",
    "linkat",
    "renameat2",
    "unlinkat",
    "mkdirat",
    "ftruncate",
    "flock",
    "fcntl",
    "close",
    "connect",
    "shutdown",
    "execve",
    "clone",
    "clone3",
    "vfork",
    "exit_group",
    "rename",
    "link",
    "unlink",
    "mkdir",
];

/// Calls that cannot fail, or whose failure only the kernel's own faults would bring.
const INFALLIBLE: [&str; 14] = [
    "exit",
    "exit_group",
    "rt_sigreturn",
    "restart_syscall",
    "munmap",
    "madvise",
    "sched_yield",
    "gettid",
    "getpid",
    "set_robust_list",
    "rseq",
    "clock_gettime",
    "sigaltstack",
    "rt_sigprocmask",
];

/// smap-lookup, which smapd starts first, knows nothing of the spool.
const LOOKUP: &str = "1.";

/// Which points are run of those that there are.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// One of so many.
    pub every: usize,
    /// Which of them.
    pub seed: usize,
    /// No more than these, of each scenario.
    pub most: usize,
    /// The first violation is enough.
    pub stop_at_first: bool,
}

impl Sample {
    /// Those that are run.
    fn of<T>(&self, all: Vec<T>) -> Vec<T> {
        let every = self.every.max(all.len().div_ceil(self.most.max(1))).max(1);
        all.into_iter().skip(self.seed % every).step_by(every).collect()
    }

    /// Whether enough was found.
    #[must_use]
    pub fn is_enough(&self, report: &Report) -> bool {
        self.stop_at_first && report.violations > 0
    }
}

/// What became of one run.
#[derive(Debug)]
pub struct Attempt {
    /// What the disturbed program did.
    pub trace: Trace,
    /// What is not as it must be.
    pub wrong: Vec<String>,
}

/// Tries a scenario once, with something that went wrong before and something that goes wrong now.
pub fn attempt(
    world: &mut World,
    scenario: &Scenario,
    mark: &str,
    before: Option<&Fault>,
    fault: Option<&Fault>,
) -> Attempt {
    world.fresh();
    world.weather(true, scenario.home_is_down);
    let letters = (scenario.letters)(mark);
    let (account, trace) = match scenario.traced {
        Traced::Session => accepted(world, letters, fault),
        Traced::Smapd => delivered(world, letters, before, fault),
    };
    judge(world, mark, account, trace, scenario)
}

fn accepted(world: &mut World, letters: Vec<Letter>, fault: Option<&Fault>) -> (Account, Trace) {
    let (said, trace) = world.traced_session(&letters, fault);
    world.cut();
    let taken = said.iter().filter(|said| matches!(said, Said::Taken(_))).count();
    let mut account = Account::new(letters, said);
    account.disturbed(world, true);
    let is_sync = |call: &&Call| call.point.call == "fsync" && call.file.contains("/incoming/");
    if let Some(Fault::Short(..)) = fault {
        account.refusal = "452 4.3.1 ";
    }
    account.may_be_taken_unheard = trace.calls.iter().filter(is_sync).count() > taken;
    (account, trace)
}

fn delivered(
    world: &mut World,
    letters: Vec<Letter>,
    before: Option<&Fault>,
    fault: Option<&Fault>,
) -> (Account, Trace) {
    let said = world.session(&letters);
    let mut account = Account::new(letters, said);
    if before.is_some() {
        let crashed = world.traced_smapd(before);
        world.cut();
        account.disturbed(world, crashed.hit);
        world.broken_session();
    }
    let trace = world.traced_smapd(fault);
    world.cut();
    let killed = matches!(fault, Some(Fault::Kill(_))) || trace.stuck || trace.code > 100;
    if trace.hit || world.ground() != Ground::Firm {
        account.disturbed(world, killed);
    }
    if account.has_begun_with_a_list(world) {
        world.change_list();
    }
    (account, trace)
}

/// One more letter, so that it is seen that the next session works, then everything is delivered.
fn judge(world: &World, mark: &str, mut account: Account, trace: Trace, scenario: &Scenario) -> Attempt {
    let next = vec![Letter::new(&format!("{mark}-next"), &["next@relay.example"], 100, Way::Data)];
    let said = world.session(&next);
    let mut wrong = Vec::new();
    if !matches!(said.as_slice(), [Said::Taken(_)]) {
        wrong.push(format!("the next session does not work: {said:?}"));
    }
    account.letters.extend(next.into_iter().zip(said));
    if let Err(what) = world.drain() {
        wrong.push(what);
    }
    wrong.extend(account.violations(world));
    // Of two letters, one may well leave while the other is written.
    if account.letters.len() == 2 && account.is_undisturbed() {
        wrong.extend(order::violations(scenario.traced, &trace));
    }
    Attempt { trace, wrong }
}

/// The undisturbed run that says which points there are, and, for a scenario that begins behind a crash, that crash.
fn reference(world: &mut World, scenario: &Scenario, report: &mut Report) -> (Option<Fault>, Trace) {
    let before = scenario.after_a_crash.map(|share| {
        let clean = attempt(world, &Scenario { after_a_crash: None, ..*scenario }, "clean", None, None);
        let points = effects(&clean.trace.calls);
        let at = points.len() * share / 100;
        Fault::Kill(points.into_iter().nth(at).expect("it makes calls"))
    });
    let mut undisturbed = attempt(world, scenario, "reference", before.as_ref(), None);
    if undisturbed.trace.stuck {
        // What it would have done further has no points.
        undisturbed.wrong.push("it does not end even if it is not disturbed".to_owned());
    }
    report.point(&format!("{} undisturbed", scenario.name), false, &undisturbed.wrong, &world.log());
    (before, undisturbed.trace)
}

/// Kills everything at each call with an effect; where the ground has power, it goes too.
pub fn kill(world: &mut World, scenario: &Scenario, sample: Sample, report: &mut Report) {
    let (before, trace) = reference(world, scenario, report);
    let faults = sample.of(effects(&trace.calls)).into_iter().map(Fault::Kill).collect();
    run_all(world, scenario, before.as_ref(), faults, sample, report);
}

/// Has each call fail, with each error, once and from then on.
pub fn errors(world: &mut World, scenario: &Scenario, sample: Sample, report: &mut Report) {
    let (before, trace) = reference(world, scenario, report);
    let mut faults = Vec::new();
    for point in fallible(&trace.calls) {
        for errno in ERRORS {
            faults.push(Fault::Error(point.clone(), errno, false));
            // A call that a signal breaks off for ever is made again for ever.
            if errno != Errno::EINTR {
                faults.push(Fault::Error(point.clone(), errno, true));
            }
        }
    }
    run_all(world, scenario, before.as_ref(), sample.of(faults), sample, report);
}

/// Has each call that writes a file write half of what it is given, without an error and with one for the rest.
pub fn short(world: &mut World, scenario: &Scenario, sample: Sample, report: &mut Report) {
    let (before, trace) = reference(world, scenario, report);
    let whys = || [None].into_iter().chain(FULL.map(Some));
    let faults = writing(&trace.calls).into_iter();
    let faults = faults.flat_map(|point| whys().map(move |why| Fault::Short(point.clone(), why))).collect();
    run_all(world, scenario, before.as_ref(), sample.of(faults), sample, report);
}

fn run_all(
    world: &mut World,
    scenario: &Scenario,
    before: Option<&Fault>,
    faults: Vec<Fault>,
    sample: Sample,
    report: &mut Report,
) {
    for (number, fault) in faults.into_iter().enumerate() {
        let mark = format!("{}-{number}", scenario.name);
        run(world, scenario, &mark, before, &fault, report);
        if sample.is_enough(report) {
            return;
        }
    }
}

/// Kills a pass of smapd at one point, and the one that cleans up behind it at another.
pub fn pairs(world: &mut World, scenario: &Scenario, sample: Sample, report: &mut Report) {
    let (_, trace) = reference(world, scenario, report);
    let points = effects(&trace.calls);
    let mut random = u64::try_from(sample.seed).unwrap_or_default();
    for number in 0..sample.most {
        let mut any = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(random >> 33).unwrap_or_default() % points.len();
            Fault::Kill(points[at].clone())
        };
        let (first, second) = (any(), any());
        run(world, scenario, &format!("{}-{number}", scenario.name), Some(&first), &second, report);
        if sample.is_enough(report) {
            return;
        }
    }
}

fn run(
    world: &mut World,
    scenario: &Scenario,
    mark: &str,
    before: Option<&Fault>,
    fault: &Fault,
    report: &mut Report,
) {
    let tried = attempt(world, scenario, mark, before, Some(fault));
    let first = before.map(|before| format!(" after {}", name(before))).unwrap_or_default();
    let name = format!("{} {}{first}", scenario.name, name(fault));
    report.point(&name, tried.trace.hit, &tried.wrong, &world.log());
}

/// One fault, behind another if one is named.
pub fn one(
    world: &mut World,
    scenario: &Scenario,
    before: Option<&Fault>,
    fault: &Fault,
    report: &mut Report,
) {
    let own = if scenario.after_a_crash.is_some() { reference(world, scenario, report).0 } else { None };
    run(world, scenario, scenario.name, before.or(own.as_ref()), fault, report);
}

/// As it can be given to `--at`.
fn name(fault: &Fault) -> String {
    match fault {
        Fault::Kill(point) => format!("{point}:KILL"),
        Fault::Error(point, errno, on) => format!("{point}{}:{errno:?}", if *on { "+" } else { "" }),
        Fault::Short(point, None) => format!("{point}:SHORT"),
        Fault::Short(point, Some(errno)) => format!("{point}:SHORT-{errno:?}"),
    }
}

/// What a report calls a fault: `0.1:fsync:2:KILL`, `0.0:write:3+:EIO`, `0.0:write:3:SHORT-EFBIG`.
#[must_use]
pub fn fault_named(name: &str) -> Option<Fault> {
    let words: Vec<&str> = name.split(':').collect();
    let [role, call, number, what] = words.as_slice() else { return None };
    let on = number.ends_with('+');
    let number = number.trim_end_matches('+').parse().ok()?;
    let point = Point { role: (*role).to_owned(), call: call.parse::<Sysno>().ok()?.name(), number };
    if *what == "KILL" {
        return Some(Fault::Kill(point));
    }
    if let Some(why) = what.strip_prefix("SHORT") {
        let errno = FULL.into_iter().find(|errno| format!("-{errno:?}") == why);
        return (why.is_empty() || errno.is_some()).then_some(Fault::Short(point, errno));
    }
    let errno = ERRORS.into_iter().find(|errno| format!("{errno:?}") == *what)?;
    Some(Fault::Error(point, errno, on))
}

/// The points at which it makes a difference to die.
#[must_use]
pub fn effects(calls: &[Call]) -> Vec<Point> {
    let confined = Confined::of(calls);
    let matters = |(index, call): &(usize, &Call)| {
        // What a start closes is its own.
        has_effect(call) && (confined.is(*index, call) || !["close", "fcntl"].contains(&call.point.call))
    };
    calls.iter().enumerate().filter(matters).map(|(_, call)| call.point.clone()).collect()
}

/// Since which call each process is confined: one may be about it while another is at work.
struct Confined<'a>(HashMap<&'a str, usize>);

impl<'a> Confined<'a> {
    fn of(calls: &'a [Call]) -> Self {
        let filters = calls.iter().enumerate().filter(|(_, call)| call.point.call == "seccomp");
        Self(filters.map(|(index, call)| (process_of(call), index)).collect())
    }

    fn is(&self, index: usize, call: &Call) -> bool {
        self.0.get(process_of(call)).is_none_or(|confined| index > *confined)
    }
}

fn process_of(call: &Call) -> &str {
    call.point.role.split('.').next().unwrap_or_default()
}

fn has_effect(call: &Call) -> bool {
    if call.point.role.starts_with(LOOKUP) {
        return false;
    }
    /// `O_CREAT`, and what is in `O_TMPFILE` beyond `O_DIRECTORY`.
    const MAKES: u64 = 0o100 | 0o20_000_000;
    match call.point.call {
        "openat" => call.arguments[2] & MAKES != 0,
        name => EFFECTS.contains(&name),
    }
}

/// The points at which something can fail, from when the programs are confined on.
#[must_use]
pub fn fallible(calls: &[Call]) -> Vec<Point> {
    let confined = Confined::of(calls);
    let after = calls.iter().enumerate().filter(|(index, call)| confined.is(*index, call));
    let after = after.map(|(_, call)| call).filter(|call| !INFALLIBLE.contains(&call.point.call));
    let after = after.filter(|call| !call.point.role.starts_with(LOOKUP));
    after.map(|call| call.point.clone()).collect()
}

/// The points at which a file may take less than it is given.
#[must_use]
pub fn writing(calls: &[Call]) -> Vec<Point> {
    let points = fallible(calls);
    let writes = calls.iter().filter(|call| call.is_write() && call.result.is_some_and(|octets| octets > 1));
    writes.map(|call| call.point.clone()).filter(|point| points.contains(point)).collect()
}
