//! Nothing acknowledged is lost: proved by having the power go, programs die and calls fail at every system call.
//!
//! A [`scenario`] is letters and a program that is traced with them: a session of smap, or a pass of smapd. A first,
//! undisturbed run gives the list of its system calls. Then, for each of them, everything begins anew and something
//! goes wrong there ([`tracer`]); what is left is delivered by a smapd that nothing disturbs, and [`verdict`] compares
//! what the other side has got ([`copies`]) with what the client was told ([`letters`]).
//!
//! [`campaign`] tries points one after the other, [`cuts`] has the power go right after a 250, [`controls`] shows that
//! a program with a fault is found out.

pub mod campaign;
pub mod controls;
pub mod copies;
pub mod cuts;
pub mod disk;
pub mod letters;
pub mod order;
pub mod report;
pub mod scenario;
pub mod tracer;
pub mod verdict;
pub mod weather;
pub mod world;
