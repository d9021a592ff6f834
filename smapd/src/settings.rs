//! What smapd was told: the table, and what the files hold that it names.

use netperm::site::Site;
use smap_common::log::Event;

use crate::tls;

/// All of it.
#[derive(Debug)]
pub struct Settings {
    /// The table.
    pub site: Site,
    /// What is needed for TLS.
    pub tls: tls::Client,
}

impl Settings {
    /// Reads the files that a table names, and logs what the administrator should know of them.
    ///
    /// # Errors
    /// What is wrong with them, a fault a line.
    pub fn of(site: Site) -> Result<Self, String> {
        let tls = tls::Client::load(&site).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })?;
        site.warnings.iter().for_each(|text| Event::Warning { text }.log());
        tls.notes.iter().for_each(|text| Event::Warning { text }.log());
        Ok(Self { site, tls })
    }
}
