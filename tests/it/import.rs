//! `smapctl import` of the files that distributions ship, and masquerading beside the real sendmail's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use netperm::masquerade::Masquerade;
use netperm::{Syntax, Table};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::{programs, tests};

tests! {
    what_sendmail_ships_is_imported: [Program("sendmail/usr/share/sendmail/cf/debian/sendmail.mc")];
    what_postfix_ships_is_imported: [Program("postconf")];
    addresses_are_masqueraded_as_sendmail_does_it:
        [Root, Program("unshare"), Program("m4"), Program("sendmail/usr/libexec/sendmail/sendmail")];
}

/// The table that a file comes to, which has nothing that `check` calls wrong.
fn imported(source: &Path) -> String {
    let mut import = Command::new(programs::ours("smapctl"));
    let done = import.arg("import").arg(source).output().unwrap();
    assert!(done.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&done.stderr));
    let table = String::from_utf8(done.stdout).unwrap();
    let parsed = Table::parse(Path::new("netperm-table"), table.as_bytes(), Syntax::Netperm);
    if let Err(faults) = parsed.and_then(|table| table.check()) {
        panic!("{}:\n{faults}\n{table}", source.display());
    }
    table
}

fn what_sendmail_ships_is_imported() {
    let debian = programs::peer("sendmail/usr/share/sendmail/cf/debian/sendmail.mc");
    let table = imported(&debian);
    for line in ["\nsmap: listen 127.0.0.1:25 ", "\nsmap: access /etc/mail/access "] {
        assert!(table.contains(line), "{table}");
    }
    let others = fs::read_dir(debian.parent().unwrap().with_file_name("cf")).unwrap();
    let others: Vec<PathBuf> = others.map(|entry| entry.unwrap().path()).collect();
    let others = others.iter().filter(|path| path.extension().is_some_and(|extension| extension == "mc"));
    let tables: Vec<String> = others.map(|path| imported(path)).collect();
    assert!(tables.len() > 20);
}

fn what_postfix_ships_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    let defaults = Command::new(programs::peer("postconf")).arg("-d").output().unwrap().stdout;
    let file = folder.path().join("main.cf");
    fs::write(&file, defaults).unwrap();
    assert!(imported(&file).contains("\nsmapd: expire 5d "));
    for name in ["main.cf.debian", "main.cf.dist", "main.cf.tls"] {
        let shipped = Path::new("/usr/share/postfix").join(name);
        if shipped.is_file() {
            imported(&shipped);
        }
    }
}

const ADDRESSES: [&str; 20] = [
    "joe@gw.example.com",
    "joe@GW.Example.COM",
    "joe@local.example.com",
    "joe@inside.example.com",
    "joe@a.inside.example.com",
    "joe@a.b.lab.example.net",
    "joe@lab.example.net",
    "joe@xlab.example.net",
    "joe@example.com",
    "joe@elsewhere.example",
    "joe%other@gw.example.com",
    "\"joe @x\"@gw.example.com",
    "root@inside.example.com",
    "ROOT@inside.example.com",
    "daemon@gw.example.com",
    "roots@gw.example.com",
    "root@elsewhere.example",
    "joe.smith+x@inside.example.com",
    "joe",
    "root",
];

/// What sendmail makes of each as a sender in the header, with these lines before `MASQUERADE_AS`.
fn of_sendmail(features: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let share = programs::peers().join("sendmail/usr/share/sendmail/cf");
    let mc = format!(
        "include(`{}/m4/cf.m4')dnl\nOSTYPE(`linux')dnl\ndefine(`confDOMAIN_NAME', `gw.example.com')dnl\n\
         define(`confSERVICE_SWITCH_FILE', `{}')dnl\nFEATURE(`nocanonify')dnl\n{features}\
         MASQUERADE_AS(`example.com')dnl\nMASQUERADE_DOMAIN(`inside.example.com lab.example.net')dnl\n\
         EXPOSED_USER(`root Daemon')dnl\nLOCAL_DOMAIN(`local.example.com')dnl\nMAILER(`smtp')dnl\n",
        share.display(),
        at("switch"),
    );
    let asked: String = ADDRESSES.iter().map(|address| format!("/try esmtp {address}\n")).collect();
    for (name, text) in [
        ("mc", mc.as_str()),
        ("switch", "hosts files\naliases files\n"),
        ("hosts", "127.0.0.1 gw.example.com gw localhost\n"),
        ("asked", &format!("/tryflags HS\n{asked}")),
    ] {
        fs::write(at(name), text).unwrap();
    }
    let sendmail = programs::peer("sendmail/usr/libexec/sendmail/sendmail");
    let script = format!(
        "m4 -D_CF_DIR_={}/ {} >{} && hostname gw.example.com && mount --bind {} /etc/hosts &&
         exec {} -bt -C{} <{}",
        share.display(),
        at("mc"),
        at("cf"),
        at("hosts"),
        sendmail.display(),
        at("cf"),
        at("asked"),
    );
    let libraries = programs::peers().join("sendmail/usr/lib/x86_64-linux-gnu");
    let mut command = Command::new("unshare");
    command.args(["-m", "-u", "-n", "sh", "-c", &script]).env("LD_LIBRARY_PATH", libraries);
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let found = said.lines().filter_map(|line| line.strip_prefix("Rcode = 0, addr = "));
    let found: Vec<String> = found.map(str::to_owned).collect();
    assert_eq!(found.len(), ADDRESSES.len(), "{said}");
    found
}

/// What we make of each, in a field.
fn of_ours(lines: &str) -> Vec<String> {
    let table = format!(
        "smapd: masquerade-as example.com\nsmapd: masquerade-domain inside.example.com lab.example.net\n\
         smapd: exposed-user root Daemon\n{lines}"
    );
    let table = Table::parse(Path::new("netperm-table"), table.as_bytes(), Syntax::Netperm).unwrap();
    let (smapd, _) = table.smapd().unwrap();
    let ours = ["local.example.com".parse().unwrap()];
    let masquerade = Masquerade::new(&smapd, &"gw.example.com".parse().unwrap(), ours);
    let field = |address: &&str| match masquerade.field(b"From", address.as_bytes()) {
        Some(value) => String::from_utf8(value).unwrap(),
        None => (*address).to_owned(),
    };
    ADDRESSES.iter().map(field).collect()
}

fn addresses_are_masqueraded_as_sendmail_does_it() {
    for (features, lines) in [
        ("", ""),
        (
            "FEATURE(`masquerade_entire_domain')dnl\n",
            "smapd: masquerade-domain .inside.example.com .lab.example.net\n",
        ),
        ("FEATURE(`limited_masquerade')dnl\n", "smapd: masquerade-limited\n"),
    ] {
        assert_eq!(of_ours(lines), of_sendmail(features), "{features}");
    }
}
