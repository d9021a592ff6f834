//! The SMTP grammar (RFC 5321 and the extensions that are announced), for both sides of a session.

pub mod client;
pub mod command;
pub mod data;
pub mod dsn;
pub mod reply;
