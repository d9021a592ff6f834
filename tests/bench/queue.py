#!/usr/bin/env python3
"""What a queue of deferred messages costs, for several lengths of it.

    cargo build --release --workspace --bins --examples && tests/bench/queue.py [--spool FOLDER] [COUNT...]

Prints the machine, the commit and the command, then a line for each length: how long smapd takes until it says that
it has started, until a message that comes then is with the next host, and until it has looked at the whole queue;
its memory after that; how long `smapctl queue list` takes; how long a new message takes while all the others wait.
The spool is best in memory (/dev/shm): it is smapd that is measured, not the disk. Run by one user, who is smap and
smapd.
"""

import argparse
import os
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time

from machine import BIN, example, head, memory

UID = 40001
AS_USER = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}


class Sink(threading.Thread):
    """A next host that says when a message has come."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.came = threading.Semaphore(0)

    def run(self):
        while True:
            threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, client):
        try:
            self.talk(client)
        except ConnectionError:
            pass  # smapd has ended

    def talk(self, client):
        lines, text = client.makefile("rb"), False
        client.sendall(b"220 sink.example\r\n")
        for line in lines:
            if text and line != b".\r\n":
                continue
            if text:
                self.came.release()
            was_text, text = text, line.upper() == b"DATA\r\n"
            client.sendall(b"354 go on\r\n" if text and not was_text else b"250 ok\r\n")


def start(program, *arguments):
    return subprocess.Popen(
        [os.path.join(BIN, program), *arguments], stderr=subprocess.PIPE, text=True, bufsize=1, **AS_USER
    )


def await_line(process, wanted):
    said = []
    for line in process.stderr:
        said.append(line)
        if wanted in line:
            threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
            return line
    sys.exit(f"queue: {wanted!r} was not said, but {said}")


def worked(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def await_rest(pid):
    """Until it has not worked for a while; when that while began."""
    last, since = worked(pid), time.monotonic()
    while time.monotonic() - since < 0.3:
        time.sleep(0.01)
        if worked(pid) != last:
            last, since = worked(pid), time.monotonic()
    return since


def send(port):
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("a@here.example", ["b@new.example"], "Subject: new\r\n\r\nhello\r\n")


def measure(count, folder):
    os.makedirs(folder)
    os.chmod(folder, 0o755)
    spool, table, sink = os.path.join(folder, "spool"), os.path.join(folder, "netperm-table"), Sink()
    sink.start()
    os.mkdir(spool)
    for name in ("incoming", "queue", "bad"):
        os.mkdir(os.path.join(spool, name), 0o700)
    with open(table, "w") as lines:
        lines.write(
            f"smap, smapd: directory {spool}\nsmap, smapd: hostname gw.example\n"
            f"smap, smapd: domain new.example smtp:[127.0.0.1]:{sink.port}\nsmapd: relay-host smtp:[127.0.0.1]:9\n"
        )
    if os.geteuid() == 0:
        for path, _, _ in os.walk(folder):
            os.chown(path, UID, UID)
    backlog = example("backlog")
    subprocess.run([backlog, spool, str(count), "1000"], check=True, **AS_USER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listener = start("smap", "--config", table, "--foreground", "--listen", f"127.0.0.1:{port}")
    await_line(listener, "listening on ")
    send(port)
    begun = time.monotonic()
    smapd = start("smapd", "--config", table, "--foreground")
    await_line(smapd, "started; ")
    started = time.monotonic() - begun
    sink.came.acquire()
    first = time.monotonic() - begun
    read = await_rest(smapd.pid) - begun
    used, _ = memory(smapd.pid)
    before = time.monotonic()
    command = [os.path.join(BIN, "smapctl"), "--config", table, "queue", "list"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, **AS_USER)
    listing = time.monotonic() - before
    before = time.monotonic()
    send(port)
    sink.came.acquire()
    new = time.monotonic() - before
    for process in (smapd, listener):
        process.terminate()
        process.wait()
    return started, first, read, used, listing, new


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spool", default="/dev/shm", help="where the spools are made (default: %(default)s)")
    parser.add_argument("counts", metavar="COUNT", nargs="*", type=int, default=[0, 50_000, 100_000, 200_000])
    arguments = parser.parse_args()
    print(head())
    print(f"{'messages':>9} {'started':>9} {'first new':>10} {'all read':>9} {'memory':>10} {'list':>8} {'new':>8}")
    for count in arguments.counts:
        folder = tempfile.mkdtemp(prefix="smap-queue-", dir=arguments.spool)
        os.chmod(folder, 0o755)
        try:
            started, first, read, used, listing, new = measure(count, os.path.join(folder, "gateway"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(
            f"{count:>9} {started:>7.3f} s {first:>8.3f} s {read:>7.2f} s {used:>7} KB {listing:>6.2f} s "
            f"{new * 1000:>5.1f} ms"
        )


if __name__ == "__main__":
    main()
