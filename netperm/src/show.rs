//! What a program was told, as lines of a table: every attribute, defaults too.
//!
//! Guarantees that the lines read back to the same struct.

use std::fmt::{self, Display, Formatter};

use crate::check::nowhere;
use crate::detail::Delimiter;
use crate::hosts::Rule;
use crate::names::Names;
use crate::place::Located;
use crate::recipients::Tables;
use crate::schema::{Account, Lookup, Smap, Smapd};
use crate::table::Written;
use crate::units::ShowDuration;

/// The lines of one program.
struct Lines<'f, 'a> {
    program: &'static str,
    f: &'f mut Formatter<'a>,
}

impl Lines<'_, '_> {
    fn line(&mut self, attribute: &str, value: impl Display) -> fmt::Result {
        writeln!(self.f, "{}: {attribute} {value}", self.program)
    }

    fn some<T: Display>(&mut self, attribute: &str, value: Option<T>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.line(attribute, value))
    }

    fn path(&mut self, attribute: &str, path: &std::path::Path) -> fmt::Result {
        self.line(attribute, Written(&path.to_string_lossy()))
    }

    fn each<T: Display>(&mut self, attribute: &str, values: &[Located<T>]) -> fmt::Result {
        values.iter().try_for_each(|value| self.line(attribute, &value.value))
    }

    fn names(&mut self, attribute: &str, names: Option<&Located<Names>>) -> fmt::Result {
        names.map_or(Ok(()), |names| self.path(attribute, names.file()))
    }

    fn rules(&mut self, set: &str, rules: &[Located<Rule>]) -> fmt::Result {
        rules.iter().try_for_each(|rule| writeln!(self.f, "{}: {}", self.program, rule.show(set)))
    }

    fn accounts(&mut self, user: Option<&Located<Account>>, group: Option<&Located<Account>>) -> fmt::Result {
        self.some("userid", user.map(|user| &user.value))?;
        self.some("groupid", group.map(|group| &group.value))
    }

    /// Who somebody is; the usual delimiter is not shown.
    fn people(&mut self, people: &Tables<'_>) -> fmt::Result {
        if let Some(virtusertable) = people.virtusertable {
            self.path("virtusertable", virtusertable.file())?;
        }
        if let Some(aliases) = people.aliases {
            let files = aliases.files().iter().map(|file| Written(&file.to_string_lossy()).to_string());
            self.line("aliases", files.collect::<Vec<_>>().join(" "))?;
        }
        for (attribute, folder) in
            [("safe-programs", people.safe_programs), ("safe-files", people.safe_files)]
        {
            folder.map_or(Ok(()), |folder| self.path(attribute, folder))?;
        }
        self.each("recipients", people.recipients)?;
        let usual = people.delimiter == Delimiter::default();
        if usual { Ok(()) } else { self.line("recipient-delimiter", people.delimiter) }
    }
}

impl Display for Smap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut lines = Lines { program: "smap", f };
        lines.accounts(self.userid.as_ref(), self.groupid.as_ref())?;
        lines.path("directory", &self.directory)?;
        lines.some("hostname", self.hostname.as_ref())?;
        lines.each("domain", &self.domain)?;
        lines.names("local-host-names", self.local_host_names.as_ref())?;
        if let Some(mailertable) = &self.mailertable {
            lines.path("mailertable", mailertable.file())?;
        }
        if let Some(access) = &self.access {
            lines.path("access", access.file())?;
        }
        lines.names("relay-domains", self.relay_domains.as_ref())?;
        lines.line("timeout", ShowDuration(self.timeout))?;
        lines.line("session-timeout", ShowDuration(self.session_timeout))?;
        lines.line("maxbytes", self.maxbytes)?;
        lines.line("maxrecip", self.maxrecip)?;
        lines.line("maxmessages", self.maxmessages)?;
        lines.line("maxerrors", self.maxerrors)?;
        lines.rules("hosts", &self.hosts)?;
        lines.rules("relay", &self.relay)?;
        lines.each("listen", &self.listen)?;
        lines.line("max-sessions", self.max_sessions)?;
        lines.line("max-sessions-per-host", self.max_sessions_per_host)?;
        lines.people(&self.people(&nowhere()))?;
        lines.line("callout-outage", self.callout_outage)?;
        self.shadow.as_ref().map_or(Ok(()), |shadow| lines.path("shadow", &shadow.0))
    }
}

impl Display for Smapd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut lines = Lines { program: "smapd", f };
        lines.accounts(self.userid.as_ref(), self.groupid.as_ref())?;
        lines.path("directory", &self.directory)?;
        lines.some("hostname", self.hostname.as_ref())?;
        lines.each("domain", &self.domain)?;
        lines.names("local-host-names", self.local_host_names.as_ref())?;
        if let Some(mailertable) = &self.mailertable {
            lines.path("mailertable", mailertable.file())?;
        }
        lines.some("relay-host", self.relay_host.as_ref().map(|relay| &relay.value))?;
        if let Some(sendmail) = &self.sendmail {
            lines.path("sendmail", &sendmail.0)?;
        }
        lines.path("baddir", &self.bad_directory())?;
        let badadmin = self.badadmin.as_ref().map(ToString::to_string);
        lines.some("badadmin", badadmin.as_deref().map(Written))?;
        lines.line("wakeup", ShowDuration(self.wakeup))?;
        lines.line("maxchildren", self.maxchildren)?;
        let retry: Vec<String> = self.retry.iter().map(|wait| ShowDuration(wait).to_string()).collect();
        lines.line("retry", retry.join(" "))?;
        lines.line("expire", ShowDuration(self.expire))?;
        lines.line("warn", ShowDuration(self.warn))?;
        for (attribute, file) in
            [("cacert", &self.cacert), ("client-cert", &self.client_cert), ("client-key", &self.client_key)]
        {
            file.as_ref().map_or(Ok(()), |file| lines.path(attribute, &file.0))?;
        }
        lines.line("max-connections", self.max_connections)?;
        lines.line("max-connections-per-destination", self.max_connections_per_destination)?;
        lines.each("our-address", &self.our_address)?;
        lines.people(&self.people(&nowhere()))?;
        lines.some("masquerade-as", self.masquerade_as.as_ref().map(|domain| &domain.value))?;
        lines.each("masquerade-domain", &self.masquerade_domain)?;
        lines.each("exposed-user", &self.exposed_user)?;
        for (attribute, said) in [
            ("masquerade-envelope", self.masquerade_envelope),
            ("masquerade-recipients", self.masquerade_recipients),
            ("masquerade-limited", self.masquerade_limited),
        ] {
            said.map_or(Ok(()), |_| lines.line(attribute, ""))?;
        }
        lines.some("always-add-domain", self.always_add_domain.as_ref().map(|domain| &domain.value))
    }
}

impl Display for Lookup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut lines = Lines { program: "smap-lookup", f };
        lines.accounts(self.userid.as_ref(), self.groupid.as_ref())?;
        lines.path("socket", &self.socket)?;
        lines.each("nameserver", &self.nameserver)?;
        for (attribute, time) in [
            ("callout-positive", self.callout_positive),
            ("callout-negative", self.callout_negative),
            ("callout-stale", self.callout_stale),
        ] {
            lines.line(attribute, ShowDuration(time))?;
        }
        Ok(())
    }
}
