//! The walls around a session, seen from outside, and what it does when the disk is full.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::Pid;
use smap_tests::gateway::{Gateway, Listener, SMAP_UID, chmod};
use smap_tests::needs::Need::{Program, Root};
use smap_tests::process::run;
use smap_tests::{programs, tests};

use crate::listener::pid_in;

tests! {
    a_session_has_no_privilege: [Root];
    a_session_is_limited;
    a_session_holds_only_its_own_descriptors: [Root];
    descriptors_of_whoever_starts_it_are_closed: [Root];
    the_spool_is_the_root_of_a_session: [Root];
    the_listener_keeps_only_what_children_need: [Root];
    started_as_its_own_user_it_is_confined_too: [Root];
    started_by_an_ordinary_user_it_is_confined_as_far_as_can_be;
    a_message_belongs_to_smap_and_only_smapd_may_read_it: [Root];
    row_103_a_full_disk_is_said_and_leaves_no_message: [Root];
    row_103_a_full_ext4_is_said_and_leaves_no_message: [Root, Program("mkfs.ext4")];
    row_103_a_disk_without_inodes_is_said: [Root];
}

/// The process of the first session.
pub(crate) fn session_of(listener: &Listener) -> Pid {
    pid_in(&listener.process.wait_for_log(|line| line.contains("]: connect host=")))
}

/// A field of /proc/PID/status, its words.
fn status(pid: Pid, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.expect("the kernel knows the field").split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn assert_walls(pid: Pid) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(pid, set), "0000000000000000", "{set}");
    }
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert_eq!(status(pid, "Seccomp"), "2");
}

pub(crate) fn assert_is_smap(pid: Pid) {
    let four_times = vec![SMAP_UID.to_string(); 4].join(" ");
    assert_eq!(status(pid, "Uid"), four_times);
    assert_eq!(status(pid, "Gid"), four_times);
    assert_eq!(status(pid, "Groups"), "");
}

fn a_session_has_no_privilege() {
    let listener = Gateway::new("").listen();
    let _client = listener.extended_client();
    let pid = session_of(&listener);
    assert_walls(pid);
    assert_is_smap(pid);
    assert_eq!(status(pid, "CapBnd"), "0000000000000000");
}

fn a_session_is_limited() {
    let listener = Gateway::new("smap: maxbytes 1M").listen();
    let _client = listener.extended_client();
    let limits = fs::read_to_string(format!("/proc/{}/limits", session_of(&listener))).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max processes")[..2], ["0", "0"]);
    assert_eq!(limit("Max core file size")[..2], ["0", "0"]);
    let file: u64 = limit("Max file size")[1].parse().expect("a number");
    assert!((1 << 20..100 << 20).contains(&file), "{file}");
}

fn a_session_holds_only_its_own_descriptors() {
    let gateway = Gateway::new("");
    let listener = gateway.listen_on(&["127.0.0.1", "127.0.0.2"]);
    let _clients = (listener.extended_client(), listener.extended_client());
    let connected = listener.process.wait_for_logs(2, |line| line.contains("]: connect host="));
    // What this program was started with itself is the matter of the next test.
    let inherited = descriptors(Pid::this());
    let mut links = descriptors(pid_in(&connected[1]));
    links.retain(|(number, link)| *number <= 2 || !inherited.contains(&(*number, link.clone())));
    let incoming = gateway.layout().incoming().display().to_string();
    let strange = links.iter().filter(|(number, link)| match link.split_once(':') {
        Some((kind, _)) if *number > 2 => kind != "socket",
        _ => !["/dev/null", "pipe", &incoming].iter().any(|known| link.starts_with(known)),
    });
    assert_eq!(strange.collect::<Vec<_>>(), Vec::<&(u32, String)>::new());
    assert_eq!(links.iter().filter(|(_, link)| link.starts_with("socket:")).count(), 1, "{links:?}");
    assert_eq!(links.iter().filter(|(_, link)| *link == incoming).count(), 1, "{links:?}");
}

fn descriptors_of_whoever_starts_it_are_closed() {
    let gateway = Gateway::new("");
    let listener = gateway.listen_as(&["127.0.0.1"], || {
        let mut command = Command::new("sh");
        command.args(["-c", "exec 9</dev/zero \"$0\" \"$@\""]).arg(programs::ours("smap"));
        command.arg("--config").arg(gateway.table());
        command
    });
    let _client = listener.extended_client();
    let links = descriptors(session_of(&listener));
    assert!(links.iter().all(|(_, link)| link != "/dev/zero"), "{links:?}");
}

pub(crate) fn descriptors(pid: Pid) -> Vec<(u32, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there");
    // Other tests open and close files of this program meanwhile.
    let named = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_string_lossy().parse().ok()?;
        Some((number, fs::read_link(path).ok()?.to_string_lossy().into_owned()))
    });
    named.collect()
}

fn the_spool_is_the_root_of_a_session() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let _client = listener.extended_client();
    let pid = session_of(&listener);
    assert_eq!(fs::read_link(format!("/proc/{pid}/root")).unwrap(), gateway.spool());
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), gateway.spool());
}

fn the_listener_keeps_only_what_children_need() {
    let listener = Gateway::new("").listen();
    // setgid, setuid, setpcap, sys_chroot
    for set in ["CapPrm", "CapEff"] {
        assert_eq!(status(listener.process.pid(), set), "00000000000401c0", "{set}");
    }
}

/// smap's own file, where every user can start it.
pub(crate) fn copy_of_smap(gateway: &Gateway) -> PathBuf {
    let copy = gateway.folder().join("smap");
    // Written here it would be busy while another test starts a program.
    let copied = run(Command::new("install").arg(programs::ours("smap")).arg(&copy), Stdio::null());
    assert_eq!(copied.code, 0, "{copied:?}");
    copy
}

fn started_as_its_own_user_it_is_confined_too() {
    let gateway = Gateway::new("");
    let smap = copy_of_smap(&gateway);
    let listener = gateway.listen_as(&["127.0.0.1"], || {
        let mut command = Command::new(&smap);
        command.arg("--config").arg(gateway.table()).uid(SMAP_UID).gid(SMAP_UID);
        command
    });
    let mut client = listener.extended_client();
    assert_walls(session_of(&listener));
    assert_is_smap(session_of(&listener));
    client.mail("hello", "250 ");
    assert_eq!(gateway.incoming().len(), 1);
}

fn started_by_an_ordinary_user_it_is_confined_as_far_as_can_be() {
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    let mut client = listener.extended_client();
    assert_walls(session_of(&listener));
    client.mail("hello", "250 ");
}

fn a_message_belongs_to_smap_and_only_smapd_may_read_it() {
    use std::os::unix::fs::MetadataExt;
    let gateway = Gateway::new("");
    let listener = gateway.listen();
    listener.extended_client().mail("hello", "250 ");
    let id = gateway.incoming()[0].envelope.id;
    let facts = fs::metadata(gateway.layout().incoming().join(id.as_str())).unwrap();
    assert_eq!((facts.uid(), facts.mode() & 0o7777, facts.nlink()), (SMAP_UID, 0o440, 1));
}

/// A file system that is there for one test.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    pub(crate) fn tmpfs(at: &Path, options: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        mount(Some("none"), at, Some("tmpfs"), MsFlags::empty(), Some(options)).expect("root may mount");
        Self(at.to_owned())
    }

    pub(crate) fn ext4(at: &Path, image: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        fs::File::create(image).unwrap().set_len(2 << 20).unwrap();
        let mut make = Command::new(programs::peer("mkfs.ext4"));
        let make = run(make.args(["-q", "-m", "0"]).arg(image), Stdio::null());
        assert_eq!(make.code, 0, "{make:?}");
        Self::image(at, image)
    }

    /// What a restart finds of a disk. It is looked at in a copy: the file system itself may live on for a while, in
    /// the mount namespaces of other tests.
    pub(crate) fn again(at: &Path, image: &Path) -> Self {
        let copy = image.with_extension("again");
        fs::copy(image, &copy).unwrap();
        Self::image(at, &copy)
    }

    fn image(at: &Path, image: &Path) -> Self {
        let mount = run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at), Stdio::null());
        assert_eq!(mount.code, 0, "{mount:?}");
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).expect("it was mounted");
    }
}

/// The disk is full but for less than a message; then it is not.
fn assert_full_is_said(gateway: &Gateway) {
    chmod(&gateway.spool(), 0o755);
    gateway.layout().create_missing().unwrap();
    let listener = gateway.listen();
    let fillers = fill(&gateway.spool());
    let mut client = listener.extended_client();
    client.mail(&"x".repeat(200_000), "452 4.3.1 ");
    client.say("NOOP", "250 ");
    client.mail("small", "452 4.3.1 ");
    client.quit();
    assert!(gateway.incoming().is_empty());
    fillers.iter().for_each(|filler| fs::remove_file(filler).unwrap());
    listener.extended_client().mail("hello", "250 ");
    assert_eq!(gateway.incoming().len(), 1);
}

/// Writes until there is no room for anything; a file system may find room again once it has written.
pub(crate) fn fill(folder: &Path) -> Vec<PathBuf> {
    let mut fillers = Vec::new();
    loop {
        let path = folder.join(format!("filler{}", fillers.len()));
        let mut filler = fs::File::create(&path).unwrap();
        fillers.push(path);
        let written = (0..100_000).take_while(|_| filler.write_all(&[b'x'; 1024]).is_ok()).count();
        nix::unistd::sync();
        if written == 0 {
            return fillers;
        }
    }
}

fn row_103_a_full_disk_is_said_and_leaves_no_message() {
    let gateway = Gateway::without_spool("");
    let _disk = Mounted::tmpfs(&gateway.spool(), "size=1m,mode=0755");
    assert_full_is_said(&gateway);
}

fn row_103_a_full_ext4_is_said_and_leaves_no_message() {
    let gateway = Gateway::without_spool("");
    let _disk = Mounted::ext4(&gateway.spool(), &gateway.folder().join("image"));
    assert_full_is_said(&gateway);
}

fn row_103_a_disk_without_inodes_is_said() {
    let gateway = Gateway::without_spool("");
    let _disk = Mounted::tmpfs(&gateway.spool(), "size=1m,nr_inodes=7,mode=0755");
    gateway.layout().create_missing().unwrap();
    let listener = gateway.listen();
    let mut client = listener.extended_client();
    let replies: Vec<String> = (0..6).map(|_| client_mail(&mut client)).collect();
    assert!(replies[0].starts_with("250 "), "{replies:#?}");
    assert!(replies[5].starts_with("452 4.3.1 "), "{replies:#?}");
}

/// The reply to DATA, or to the message behind it.
fn client_mail(client: &mut smap_tests::client::Client) -> String {
    client.envelope();
    client.send(b"DATA\r\n");
    match client.reply() {
        go if go.starts_with("354 ") => client.say(".", ""),
        refused => refused,
    }
}
