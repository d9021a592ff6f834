#!/usr/bin/env python3
"""What large tables cost a session that a super-server starts.

    cargo build --release --workspace --bins && tests/bench/tables.py [--rows COUNT] [--times COUNT]

Makes access, virtusertable, recipients and aliases of so many rows each (a million), compiles them, and starts smap
as inetd does, one process for each connection, by turns with these and with empty ones. Prints the machine, the
commit and the command; how long `smapctl compile` takes, and its memory; then a line for each kind of tables: the
least and the median of the time from the start of the process to its 220, the same to the reply to a RCPT whose rows
are looked up, and the memory that the session has for itself.
"""

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

from machine import BIN, head

UID = 40001


def rows(name, count):
    for n in range(count):
        yield {
            "access": f"From:host{n}.customer{n % 1000}.example\t550 5.7.1 Mail from there is refused\n",
            "virtusertable": f"alias{n}@example.com\tuser{n}\n",
            "recipients": f"user{n}@example.com\n",
            "aliases": f"list{n}: user{n}, user{n}x@example.org\n",
        }[name]


LINES = {
    "access": "access {}",
    "virtusertable": "virtusertable {}",
    "recipients": "recipients example.com file:{} aliases",
    "aliases": "aliases {}",
}


class Site:
    """A netperm-table, a spool and tables of so many rows."""

    def __init__(self, folder, count):
        self.count = count
        self.table = os.path.join(folder, "netperm-table")
        lines = [f"*: directory {folder}/spool", "*: hostname gw.example", "*: domain example.com discard"]
        if os.geteuid() == 0:
            lines.append(f"*: userid {UID}")
        for name, line in LINES.items():
            file = os.path.join(folder, name)
            with open(file, "w", encoding="ascii") as text:
                text.writelines(rows(name, count))
            lines.append("*: " + line.format(file))
        with open(self.table, "w", encoding="ascii") as table:
            table.write("\n".join(lines) + "\n")
        os.chmod(self.table, 0o644)
        os.makedirs(f"{folder}/spool")
        if os.geteuid() == 0:
            os.chown(f"{folder}/spool", UID, UID)
        os.chmod(f"{folder}/spool", 0o700)
        subprocess.run([f"{BIN}/smapd", "--config", self.table, "--once"], check=True, capture_output=True)

    def compile(self):
        """Seconds, and MB of memory at most."""
        began = time.monotonic()
        smapctl = subprocess.Popen([f"{BIN}/smapctl", "--config", self.table, "compile"])
        _, status, usage = os.wait4(smapctl.pid, 0)
        assert status == 0
        return time.monotonic() - began, usage.ru_maxrss / 1024

    def session(self, listener):
        """Milliseconds to the greeting, those of a RCPT, and KB that it has for itself."""
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        replies = client.makefile("rb")
        began = time.monotonic()
        smap = subprocess.Popen(
            [f"{BIN}/smap", "--config", self.table], stdin=server, stdout=server, stderr=server, close_fds=True
        )
        greeting = replies.readline()
        greeted = time.monotonic()
        assert greeting.startswith(b"220 "), greeting
        last = max(self.count - 1, 0)
        for command in (f"MAIL FROM:<x@host{last}x.example>", f"RCPT TO:<postmaster+{last}@example.com>"):
            asked = time.monotonic()
            client.sendall(command.encode() + b"\r\n")
            reply = replies.readline()
            assert reply[:1] in b"25", reply
        answered = time.monotonic()
        own = written(smap.pid)
        client.sendall(b"QUIT\r\n")
        smap.wait()
        client.close()
        server.close()
        return (greeted - began) * 1000, (answered - asked) * 1000, own


def written(pid):
    """KB that it has written to, and so has for itself."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return int(re.search(r"^Private_Dirty:\s+(\d+)", rollup.read(), re.MULTILINE)[1])


def show(name, sessions):
    greeted, answered, own = zip(*sessions)
    print(
        f"{name}: 220 after {min(greeted):.2f} ms (median {statistics.median(greeted):.2f}), "
        f"RCPT {min(answered):.2f} ms (median {statistics.median(answered):.2f}), "
        f"{statistics.median(own):.0f} KB of its own"
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--times", type=int, default=50)
    wish = arguments.parse_args()
    print(head(), end="")
    folder = tempfile.mkdtemp(prefix="smap-tables-")
    os.chmod(folder, 0o755)
    try:
        sites = {}
        for name, count in (("empty", 0), (f"{wish.rows} rows", wish.rows)):
            os.makedirs(f"{folder}/{count}")
            sites[name] = Site(f"{folder}/{count}", count)
        seconds, memory = sites[f"{wish.rows} rows"].compile()
        print(f"compiled in {seconds:.1f} s, with {memory:.0f} MB")
        sessions = {name: [] for name in sites}
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(wish.times):
                for name, site in sites.items():
                    sessions[name].append(site.session(listener))
        for name in sites:
            show(name, sessions[name])
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
