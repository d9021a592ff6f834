//! What an error of the DNS means: whose it is, and whether asking again may help.
//!
//! Only what a name server has said of the name is final: that it is not there, or has no such record.

use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use smap_common::lookup::Failure;

/// An answer that holds nothing which can be used, though it says that there is something.
pub(crate) fn unusable() -> Failure {
    Failure::Temporary("the answer holds nothing that can be used".to_owned())
}

/// Aliases of which the last led nowhere: round in a circle, or too far.
pub(crate) fn endless() -> Failure {
    Failure::Temporary("the aliases of the name do not end".to_owned())
}

/// Whether it only seems that there is nothing: nobody who is responsible for the name says so. Some servers leave
/// that out, and it is all that is seen of aliases that do not end.
pub(crate) fn is_doubtful(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            none.response_code == ResponseCode::NoError && none.soa.is_none()
        }
        _ => false,
    }
}

/// The failure of a question.
pub(crate) fn judge(error: &NetError) -> Failure {
    let temporary = |why: String| Failure::Temporary(why);
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => nothing(none),
        NetError::Dns(DnsError::ResponseCode(code)) => temporary(format!("a name server said: {code}")),
        NetError::Timeout => temporary("no name server has answered".to_owned()),
        NetError::NoConnections | NetError::Io(_) => {
            temporary(format!("the name servers cannot be reached: {error}"))
        }
        error => temporary(error.to_string()),
    }
}

fn nothing(none: &NoRecords) -> Failure {
    match none.response_code {
        ResponseCode::NXDomain => Failure::NoSuchName,
        // RFC 2308 section 2.2: without a SOA and with name servers, it is a referral and no answer.
        ResponseCode::NoError if none.soa.is_none() && none.ns.is_some() => {
            Failure::Temporary("a name server knows only of others".to_owned())
        }
        ResponseCode::NoError => Failure::NoRecords,
        code => Failure::Temporary(format!("a name server said: {code}")),
    }
}
