//! What an error of the DNS means: whose it is, and whether asking again may help.
//!
//! Only what a name server has said of the name is final: that it is not there, or has no such record.

use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use smap_common::lookup::Failure;

/// An answer that holds nothing which can be used, though it says that there is something.
pub(crate) fn unusable() -> Failure {
    Failure::Temporary("the answer holds nothing that can be used".to_owned())
}

/// The failure of a question for `name`.
pub(crate) fn judge(name: &Name, error: &NetError) -> Failure {
    let temporary = |why: String| Failure::Temporary(why);
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => nothing(name, none),
        NetError::Dns(DnsError::ResponseCode(code)) => temporary(format!("a name server said: {code}")),
        NetError::Timeout => temporary("no name server has answered".to_owned()),
        NetError::NoConnections | NetError::Io(_) => {
            temporary(format!("the name servers cannot be reached: {error}"))
        }
        error => temporary(error.to_string()),
    }
}

fn nothing(name: &Name, none: &NoRecords) -> Failure {
    match none.response_code {
        ResponseCode::NXDomain => Failure::NoSuchName,
        // RFC 2308 section 2.2: without a SOA and with name servers, it is a referral and no answer.
        ResponseCode::NoError if none.soa.is_none() && none.ns.is_some() => {
            Failure::Temporary("a name server knows only of others".to_owned())
        }
        // Aliases were followed, and the last of them led nowhere: round in a circle, or too far.
        ResponseCode::NoError if none.soa.is_none() && none.query.name() != name => {
            Failure::Temporary("the aliases of the name do not end".to_owned())
        }
        ResponseCode::NoError => Failure::NoRecords,
        code => Failure::Temporary(format!("a name server said: {code}")),
    }
}
