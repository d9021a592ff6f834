//! The rows of the list of hostile inputs that are no dialogue of one client: files in the spool, machines
//! that fail, servers that lie, bounces and loops. `tests/ROWS.md` says of each row what holds it.

mod bounces;
pub(crate) mod files;
mod growth;
mod resources;
mod servers;
pub(crate) mod table;
mod tls;

use smap_tests::needs::Test;

pub(crate) fn tests() -> Vec<Test> {
    let all = [
        files::tests(),
        growth::tests(),
        resources::tests(),
        servers::tests(),
        tls::tests(),
        bounces::tests(),
    ];
    all.into_iter().flatten().collect()
}
