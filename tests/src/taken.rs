//! A process that was taken over: what somebody could do who runs code of his own in it.
//!
//! It is stopped by ptrace(2) and made to enter the kernel with whatever system call it is told: as the code of an
//! attacker would, past everything that is Rust. Its filter can be read out of it, and put around a process that
//! tries every number. For root, on x86-64.

use std::ffi::{CString, c_long, c_void};
use std::mem::size_of;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{attach, detach, getregs, read, setregs, step, write};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// What became of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel did it.
    Done(i64),
    /// The kernel refused.
    Refused(Errno),
    /// The filter killed the process.
    Killed,
    /// This kernel has no calls of that architecture.
    NoWayIn,
}

/// A process that does what this test says.
#[derive(Debug)]
pub struct Taken {
    pid: Pid,
    /// Where it was stopped: in a system call.
    stopped: libc::user_regs_struct,
    /// Where the next text goes, below its stack.
    room: u64,
}

impl Taken {
    /// Takes over a process, when it waits in a system call.
    ///
    /// # Panics
    /// It can't be traced, or does not wait.
    #[must_use]
    pub fn over(pid: Pid) -> Self {
        let stopped = crate::eventually("it waits in a system call", || stop_in_call(pid));
        Self { pid, stopped, room: (stopped.rsp - 16 * 1024) & !7 }
    }

    /// Puts a text into its memory; where it is.
    ///
    /// # Panics
    /// There is no room for it.
    pub fn text(&mut self, text: &str) -> u64 {
        self.octets(CString::new(text).unwrap().as_bytes_with_nul())
    }

    /// Puts octets into its memory; where they are.
    ///
    /// # Panics
    /// There is no room for them.
    pub fn octets(&mut self, octets: &[u8]) -> u64 {
        let address = self.room;
        for chunk in octets.chunks(size_of::<c_long>()) {
            let mut word = [0; size_of::<c_long>()];
            word[..chunk.len()].copy_from_slice(chunk);
            write(self.pid, place(self.room), c_long::from_ne_bytes(word)).expect("its stack can be written");
            self.room += 8;
        }
        address
    }

    /// Memory that it may write.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.room
    }

    /// Has it make a system call. After one that killed it there is nothing more to be had of it.
    ///
    /// # Panics
    /// It does something else.
    pub fn call(&mut self, number: c_long, arguments: &[u64]) -> Outcome {
        let mut registers = self.registers(number);
        let mut arguments = arguments.iter().copied().chain(std::iter::repeat(0));
        for place in [
            &mut registers.rdi,
            &mut registers.rsi,
            &mut registers.rdx,
            &mut registers.r10,
            &mut registers.r8,
            &mut registers.r9,
        ] {
            *place = arguments.next().unwrap();
        }
        setregs(self.pid, registers).unwrap();
        self.enter(number)
    }

    /// Has it make a system call as a program of 32 bits does. There is nothing more to be had of it afterwards.
    ///
    /// # Panics
    /// It does something else.
    pub fn call_as_32_bit(&mut self, number: c_long) -> Outcome {
        const INT_80: [u8; 2] = [0xcd, 0x80];
        let at = place(self.stopped.rip - 2);
        let mut code = read(self.pid, at).unwrap().to_ne_bytes();
        code[..2].copy_from_slice(&INT_80);
        write(self.pid, at, c_long::from_ne_bytes(code)).expect("whoever traces it may change its code");
        setregs(self.pid, self.registers(number)).unwrap();
        self.enter(number)
    }

    /// It was stopped behind the instruction that enters the kernel: there it enters again.
    fn registers(&self, number: c_long) -> libc::user_regs_struct {
        let mut registers = self.stopped;
        registers.rip -= 2;
        registers.rax = u64::try_from(number).unwrap();
        registers.orig_rax = u64::MAX;
        registers
    }

    fn enter(&self, number: c_long) -> Outcome {
        step(self.pid, None).unwrap();
        match waitpid(self.pid, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::Signaled(_, Signal::SIGSYS, _) => Outcome::Killed,
            WaitStatus::Stopped(_, Signal::SIGSEGV) => Outcome::NoWayIn,
            WaitStatus::Stopped(_, Signal::SIGTRAP) => result(getregs(self.pid).unwrap().rax),
            other => panic!("{number}: {other:?}"),
        }
    }

    /// What was put around it.
    ///
    /// # Panics
    /// Nothing was, or this kernel does not tell.
    #[must_use]
    pub fn filter(&self) -> Filter {
        let mut programs = vec![get_filter(self.pid, 0).expect("the kernel has CONFIG_CHECKPOINT_RESTORE")];
        while let Ok(program) = get_filter(self.pid, programs.len()) {
            programs.push(program);
        }
        Filter(programs)
    }
}

/// Stops it; lets it go again where the instruction behind it is not the one that enters the kernel.
fn stop_in_call(pid: Pid) -> Option<libc::user_regs_struct> {
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    attach(pid).expect("root may trace it");
    let status = waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
    assert!(matches!(status, WaitStatus::Stopped(_, Signal::SIGSTOP)), "{status:?}");
    let registers = getregs(pid).unwrap();
    if read(pid, place(registers.rip - 2)).is_ok_and(|word| word.to_ne_bytes().starts_with(&SYSCALL)) {
        return Some(registers);
    }
    detach(pid, None).unwrap();
    None
}

/// A place in the memory of a process.
fn place(address: u64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap())
}

fn result(rax: u64) -> Outcome {
    let value = i64::from_ne_bytes(rax.to_ne_bytes());
    if (-4095..0).contains(&value) {
        Outcome::Refused(Errno::from_raw(i32::try_from(-value).unwrap()))
    } else {
        Outcome::Done(value)
    }
}

/// One of its filters; the first is the one that was put around it first.
#[expect(unsafe_code, reason = "nix does not know this request")]
fn get_filter(pid: Pid, index: usize) -> nix::Result<Vec<libc::sock_filter>> {
    const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;
    let get = |buffer: *mut libc::sock_filter| {
        // SAFETY: with a null pointer the kernel only counts; the buffer below has room for what it counted.
        Errno::result(unsafe { libc::ptrace(PTRACE_SECCOMP_GET_FILTER, pid.as_raw(), index, buffer) })
    };
    let length = usize::try_from(get(std::ptr::null_mut())?).unwrap();
    let mut program = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; length];
    get(program.as_mut_ptr())?;
    Ok(program)
}

/// The filters of a process's system calls, as the kernel has them, in the order in which they were put around it: a
/// call has to get through all.
pub struct Filter(Vec<Vec<libc::sock_filter>>);

impl Filter {
    /// Whether this call gets through it: tried by a process of its own.
    ///
    /// # Panics
    /// No process can be had.
    #[must_use]
    #[expect(unsafe_code, reason = "a process that may be killed is a forked one")]
    pub fn lets_through(&self, number: u64, arguments: [u64; 6]) -> bool {
        let program = |program: &Vec<libc::sock_filter>| libc::sock_fprog {
            len: u16::try_from(program.len()).unwrap(),
            filter: program.as_ptr().cast_mut(),
        };
        let programs: Vec<libc::sock_fprog> = self.0.iter().map(program).collect();
        // SAFETY: the child does nothing but system calls.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                // SAFETY: it ends in it.
                unsafe { try_it(&programs, number, arguments) }
            }
            ForkResult::Parent { child } => {
                let end = waitpid(child, None).unwrap();
                assert!(!matches!(end, WaitStatus::Exited(_, 99)), "the filter was not taken");
                !matches!(end, WaitStatus::Signaled(_, Signal::SIGSYS, _))
            }
        }
    }
}

/// # Safety
/// To be called in a forked child.
#[expect(unsafe_code, reason = "system calls as they are")]
unsafe fn try_it(programs: &[libc::sock_fprog], number: u64, [a, b, c, d, e, f]: [u64; 6]) -> ! {
    // What waits for ever has got through.
    let soon = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 2, tv_usec: 0 },
    };
    // SAFETY: system calls with memory of our own; what `number` does, the child does to itself.
    unsafe {
        libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const soon, 0);
        // The first must let the call through that puts the next one up.
        let put = |program: *const libc::sock_fprog| {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, program) == 0
        };
        let taken = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && programs.iter().all(|program| put(&raw const *program));
        if !taken {
            libc::_exit(99);
        }
        libc::syscall(c_long::from_ne_bytes(number.to_ne_bytes()), a, b, c, d, e, f);
        libc::_exit(0)
    }
}
