//! The same questions, asked of us and of others who decide the same: sendmail and Postfix.
//!
//! A file `tests/oracles/*.in` is some tables and questions about them. Where two answers differ, `tests/oracles/differences`
//! says so and why: a difference that is not listed there is a fault, and so is one that is listed and gone.

mod data;
mod open_relay;
mod ours;
mod postfix;
mod sendmail;

use smap_tests::needs::Test;

pub(crate) fn tests() -> Vec<Test> {
    [sendmail::tests(), postfix::tests(), open_relay::tests()].into_iter().flatten().collect()
}
