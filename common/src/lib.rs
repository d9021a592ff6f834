//! What the programs of smap must agree on, and nothing else: addresses, the SMTP grammar and client
//! session, the envelope, the spool, the questions to `smap-lookup`, confinement, the log, exit codes.

pub mod account;
pub mod address;
pub mod clock;
pub mod confine;
pub mod envelope;
pub mod exit;
pub mod helper;
pub mod interfaces;
pub mod link;
pub mod log;
pub mod lookup;
pub mod packet;
pub mod smtp;
pub mod spool;
pub mod status;
