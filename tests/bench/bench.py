#!/usr/bin/env python3
"""How fast smap accepts and smapd delivers, beside a loop that only writes and syncs files on the same disk.

    cargo build --release && tests/bench/bench.py [--spool FOLDER] [--repeat N]

Prints the machine, the commit and the command, then one table. Every figure is the median of N runs; the runs of
smap and of the bare loop are interleaved, so that both see the same disk. Needs Postfix's smtp-source and smtp-sink
and ucspi-tcp's tcpserver. Root makes two users of smap and smapd, as in an installation; without it both are yours.
"""

import argparse
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("SMAP_BIN_DIR", os.path.join(ROOT, "target", "release"))
SIZE = 5120
SMAP_UID, SMAPD_UID = 40001, 40002
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def program(name):
    path = shutil.which(name, path=PATH)
    if path is None:
        sys.exit(f"bench: {name} is not installed")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_true(what, condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"bench: {what} did not come about in {seconds:.0f} s")
        time.sleep(0.002)


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            return bool(client.recv(1))
    except OSError:
        return False


class Gateway:
    """smap and smapd in a folder of their own, relaying to a sink that forgets everything."""

    def __init__(self, folder, with_smapd=True):
        self.folder = tempfile.mkdtemp(prefix="smap-bench.", dir=folder)
        os.chmod(self.folder, 0o755)
        self.spool = os.path.join(self.folder, "spool")
        self.port, self.sink_port = free_port(), free_port()
        self.table = os.path.join(self.folder, "netperm-table")
        users = f"smap: userid {SMAP_UID}\nsmapd: userid {SMAPD_UID}\n" if os.getuid() == 0 else ""
        with open(self.table, "w") as table:
            table.write(
                f"{users}smap, smapd: directory {self.spool}\nsmap, smapd: hostname bench.example\n"
                f"smap, smapd: domain relay.example smtp:[127.0.0.1]:{self.sink_port}\n"
                "smap: max-sessions 1000\nsmap: max-sessions-per-host 1000\n"
            )
        os.chmod(self.table, 0o644)
        self.log = open(os.path.join(self.folder, "log"), "w")
        self.children = []
        sink_user = ["-u", "root"] if os.getuid() == 0 else []
        self.start(program("smtp-sink"), *sink_user, f"127.0.0.1:{self.sink_port}", "1000")
        smapd = self.start(os.path.join(BIN, "smapd"), "--config", self.table, "--foreground")
        await_true("the spool", lambda: os.path.isdir(os.path.join(self.spool, "queue")))
        if not with_smapd:
            self.end(smapd)
        self.smap = self.start(
            os.path.join(BIN, "smap"), "--config", self.table, "--foreground", "--listen", f"127.0.0.1:{self.port}"
        )
        await_true("the greeting", lambda: answers(self.port))

    def start(self, *command):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.children.append(child)
        return child

    def end(self, child):
        self.children.remove(child)
        child.terminate()
        child.wait()

    def close(self):
        for child in list(self.children):
            self.end(child)
        shutil.rmtree(self.folder)

    def spooled(self):
        return sum(
            not name.endswith(".state") for place in ("incoming", "queue") for name in os.listdir(os.path.join(self.spool, place))
        )

    def send(self, sessions, messages):
        subprocess.run(
            [program("smtp-source"), "-d", "-s", str(sessions), "-m", str(messages), "-l", str(SIZE),
             "-f", "a@b.example", "-t", "c@relay.example", f"127.0.0.1:{self.port}"],
            check=True,
        )


def accepted(folder, sessions, messages):
    """Messages a second that a client has read the 250 of; smapd does not run."""
    gateway = Gateway(folder, with_smapd=False)
    begin = time.monotonic()
    gateway.send(sessions, messages)
    rate = messages / (time.monotonic() - begin)
    count = gateway.spooled()
    gateway.close()
    if count != messages:
        sys.exit(f"bench: {messages} were accepted and {count} are in the spool")
    return rate


def delivered(folder, sessions, messages):
    """Messages a second to the last one at the sink, and the CPU of both programs for each, in milliseconds."""
    gateway = Gateway(folder)
    before = cpu(gateway)
    begin = time.monotonic()
    gateway.send(sessions, messages)
    await_true("an empty spool", lambda: gateway.spooled() == 0)
    rate = messages / (time.monotonic() - begin)
    spent = (cpu(gateway) - before) * 1000 / messages
    gateway.close()
    return rate, spent


def cpu(gateway):
    """CPU seconds of smap, smapd and their children that have ended."""
    ticks = 0
    for child in gateway.children[1:]:
        with open(f"/proc/{child.pid}/stat") as stat:
            ticks += sum(int(field) for field in stat.read().rsplit(")", 1)[1].split()[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def bare(folder, writers, messages):
    """Files a second by that many writers that only create, write and sync."""
    place = tempfile.mkdtemp(prefix="smap-bare.", dir=folder)
    text = b"x" * SIZE

    def write(writer):
        for number in range(messages // writers):
            fd = os.open(os.path.join(place, f"{writer}.{number}"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(fd, text)
            os.fsync(fd)
            os.close(fd)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = messages // writers * writers / (time.monotonic() - begin)
    shutil.rmtree(place)
    return rate


def idle_memory(folder, sessions=200):
    """KB (PSS) of one session that has said EHLO and nothing since."""
    gateway = Gateway(folder, with_smapd=False)
    await_true("no session", lambda: not children_of(gateway.smap.pid))
    clients = []
    for _ in range(sessions):
        client = socket.create_connection(("127.0.0.1", gateway.port))
        client.recv(1000)
        client.sendall(b"EHLO bench.example\r\n")
        client.recv(1000)
        clients.append(client)
    pids = children_of(gateway.smap.pid)
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            total += int(re.search(r"^Pss:\s+(\d+)", rollup.read(), re.M).group(1))
    for client in clients:
        client.close()
    gateway.close()
    return total / len(pids)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return children.read().split()


def banner(port, tries=200):
    """Microseconds from connect to the greeting."""
    times = []
    for _ in range(tries):
        begin = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.recv(1000)
            times.append((time.perf_counter() - begin) * 1e6)
            client.sendall(b"QUIT\r\n")
            client.recv(1000)
    return statistics.median(times)


def banners(folder):
    """The greeting of `smap --listen`, and of a smap that tcpserver starts for each connection."""
    gateway = Gateway(folder, with_smapd=False)
    port = free_port()
    gateway.start(
        program("tcpserver"), "-HRDl0", "127.0.0.1", str(port), os.path.join(BIN, "smap"), "--config", gateway.table
    )
    await_true("tcpserver", lambda: answers(port))
    result = banner(gateway.port), banner(port)
    gateway.close()
    return result


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def print_head(folder):
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"model name\s*:\s*(.*)", cpuinfo.read())
    dirty = " with changes" if output("git", "status", "--porcelain") else ""
    print(f"machine: {model.group(1) if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}")
    print(f"disk:    {output('findmnt', '-no', 'FSTYPE,SOURCE,OPTIONS', '-T', folder)}")
    print(f"commit:  {output('git', 'rev-parse', '--short', 'HEAD')}{dirty}")
    print(f"command: {' '.join(sys.argv)}\n")


def row(label, values, unit):
    print(f"{label:<58}{statistics.median(values):>9.1f} {unit}   ({min(values):.1f} to {max(values):.1f})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spool", default="/var/tmp", help="where spools are made (default: /var/tmp)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--messages", type=int, default=2000)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    folder = arguments.spool
    print_head(folder)
    for sessions in (1, 10, 50):
        messages = arguments.messages if sessions > 1 else arguments.messages // 4
        loops, accepts, deliveries = [], [], []
        for _ in range(arguments.repeat):
            loops.append(bare(folder, sessions, messages))
            accepts.append(accepted(folder, sessions, messages))
            deliveries.append(delivered(folder, sessions, messages))
        plural = "session" if sessions == 1 else "sessions"
        row(f"bare create-write-fsync, {sessions} at a time", loops, "files/s")
        row(f"accepted durably, 5 KB, {sessions} {plural}", accepts, "msgs/s ")
        row("  beside the bare loop", [a / b * 100 for a, b in zip(accepts, loops)], "%      ")
        row("delivered end to end (relay)", [rate for rate, _ in deliveries], "msgs/s ")
        row("  CPU of both programs", [spent for _, spent in deliveries], "ms/msg ")
    memory = [idle_memory(folder) for _ in range(arguments.repeat)]
    row("an idle session after EHLO, of 200, PSS", memory, "KB     ")
    greetings = [banners(folder) for _ in range(arguments.repeat)]
    row("connect to greeting, smap --listen", [listen for listen, _ in greetings], "us     ")
    row("connect to greeting, started by tcpserver", [inetd for _, inetd in greetings], "us     ")


if __name__ == "__main__":
    main()
