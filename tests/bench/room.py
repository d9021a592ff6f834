"""A server with `/etc`, `/var`, `/run` and users of its own, on the disk of the bench, for one measurement."""

import os
import shutil
import socket
import subprocess
import time

from lab import GATEWAY, PORT, SINK, Failed
from machine import ROOT

HOST = "gw.example"
USERS = [f"u{number}" for number in range(10)]
FIRST_UID = 41001
PEERS = os.environ.get("SMAP_PEERS", os.path.join(ROOT, "target", "peers"))
ROOM = os.path.join(ROOT, "tests", "peers", "room.sh")
APART = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
]
JOIN = 'echo 0 >"$0/cgroup.procs" && exec "$@"'


class Server:
    """One that runs."""

    name, tree, users, notes = "", None, [], ""
    pause = 0  # seconds between one load to the next host and the next

    def __init__(self, lab):
        self.account, self.folder = lab.account, lab.room(self.name)
        self.furnish()
        command = self.prepare()
        inside = [ROOM, self.folder, self.unpacked(), "sh", "-c", JOIN, self.account.server, *command]
        with open(self.path("said"), "w") as said:
            self.process = subprocess.Popen(APART + inside, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        self.await_greeting()

    @classmethod
    def unpacked(cls):
        return os.path.realpath(os.path.join(PEERS, cls.tree)) if cls.tree else ""

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, name, owner=0, mode=0o755, group=0):
        os.makedirs(self.path(name), exist_ok=True)
        os.chown(self.path(name), owner, group)
        os.chmod(self.path(name), mode)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as file:
            file.write(text)
        # Postfix waits until nobody seems to write its files any more.
        os.utime(self.path(name), (time.time() - 60, time.time() - 60))

    def furnish(self):
        """What a machine has before a server is installed on it."""
        for name in ("var/log", "var/spool", "var/lib", "var/tmp", "var/home"):
            self.make(name)
        os.symlink("/run", self.path("var/run"))
        self.write("etc/hosts", f"127.0.0.1 localhost client.example\n{GATEWAY} {HOST}\n{SINK} sink.example\n")
        self.write("etc/resolv.conf", "nameserver 127.0.0.1\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
        for file in ("passwd", "group"):
            with open(f"/etc/{file}") as known:
                self.write(f"etc/{file}", known.read())
        for uid, user in enumerate(self.users + USERS, FIRST_UID):
            self.add(user, uid)

    def add(self, user, uid):
        if self.number("passwd", user) is None:
            with open(self.path("etc/passwd"), "a") as file:
                file.write(f"{user}:x:{uid}:{uid}::/var/home/{user}:/bin/sh\n")
        if self.number("group", user) is None:
            with open(self.path("etc/group"), "a") as file:
                file.write(f"{user}:x:{uid}:\n")
        self.make(f"var/home/{user}", self.number("passwd", user), 0o700)

    def number(self, file, name):
        with open(self.path(f"etc/{file}")) as lines:
            numbers = [line.split(":")[2] for line in lines if line.split(":")[0] == name]
        return int(numbers[0]) if numbers else None

    def await_greeting(self, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with socket.create_connection((GATEWAY, PORT), timeout=5) as client:
                    if client.recv(512).startswith(b"220"):
                        client.sendall(b"QUIT\r\n")
                        client.recv(512)
                        return self.account.await_rest()
            except OSError:
                time.sleep(0.02)
        with open(self.path("said")) as said:
            text = said.read()[-2000:]
        self.close()
        raise Failed(f"it does not greet: {text}")

    def mailboxes(self):
        return [self.path(f"var/home/{user}/Maildir/new") for user in USERS]

    def close(self):
        self.process.kill()
        self.process.wait()
        while self.account.server_pids():
            time.sleep(0.01)
        shutil.rmtree(self.folder)
