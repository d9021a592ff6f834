#!/usr/bin/env python3
"""How fast smap and smapd relay, beside Debian's Postfix, which relays the same in the same run.

    cargo build --release && tests/bench/relay.py [--spool FOLDER] [--messages N] [--repeat N] [--reconnect]

smtp-source sends messages of 5 KB, smtp-sink takes them; both belong to Postfix. The two systems take turns, each
round on new queues in the same folder, so that both see the same disk, and each says 250 only to what it has synced.
Prints the machine, the commit and the command, then for each number of sessions the median of the rounds: messages a
second, to the last one at the sink; CPU for each message, user and system, of all processes of the system, those that
have ended too; and the most memory of all of them together (PSS). The generator and the sink count for neither.

Both log as they do by default, smap to a file, Postfix to syslog, whose CPU is not counted. Postfix has Debian's
master.cf, and its defaults but for what is below. Only root can start Postfix.
"""

import argparse
import os
import pwd
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from bench import BIN, SIZE, SMAP_UID, SMAPD_UID, answers, await_true, children_of, free_port, print_head, program

MASTER = "/usr/lib/postfix/sbin/master"
MASTER_CF = "/usr/share/postfix/master.cf.dist"
WARM_UP = 3  # messages for each session, so that what is started once is there


class Sink:
    """smtp-sink, which tells how many messages it has taken."""

    def __init__(self):
        self.port, self.count, self.last = free_port(), 0, 0.0
        self.changed = threading.Condition()
        command = [program("smtp-sink"), "-u", "root", "-c", f"127.0.0.1:{self.port}", "1000"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        threading.Thread(target=self.watch, daemon=True).start()
        await_true("the sink", lambda: answers(self.port))

    def watch(self):
        rest = b""
        while text := os.read(self.process.stdout.fileno(), 65536):
            seen = time.monotonic()
            counts = re.findall(rb"mesg=\s*(\d+)\s*\r", rest + text)
            rest = (rest + text)[-80:]
            if counts:
                with self.changed:
                    self.count, self.last = int(counts[-1]), seen
                    self.changed.notify_all()

    def await_messages(self, count, seconds=600):
        """When the last of so many came."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.count >= count, seconds):
                sys.exit(f"relay: {self.count} of {count} messages arrived in {seconds} s")
            return self.last

    def close(self):
        self.process.kill()
        self.process.wait()


class System:
    """Programs that relay from a port to a sink, in a folder of their own."""

    def __init__(self, folder):
        self.folder = tempfile.mkdtemp(prefix="smap-relay.", dir=folder)
        os.chmod(self.folder, 0o755)
        self.port, self.sink, self.children = free_port(), Sink(), []
        self.log = open(self.path("log"), "w")
        self.peak = 0
        self.prepare()
        await_true("the greeting", lambda: answers(self.port))

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)

    def start(self, *command):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.children.append(child)

    def pids(self):
        found = [str(child.pid) for child in self.children]
        for pid in found:
            try:
                found += children_of(pid)
            except OSError:
                pass  # it has ended
        return found

    def cpu(self):
        """CPU seconds of all processes, with what their children used that have ended."""
        ticks = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    ticks += sum(int(field) for field in stat.read().rsplit(")", 1)[1].split()[11:15])
            except OSError:
                pass
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """KB that all processes have together."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as rollup:
                    total += int(re.search(r"^Pss:\s+(\d+)", rollup.read(), re.M)[1])
            except (OSError, TypeError):
                pass
        return total

    def watch_memory(self, over):
        while not over.wait(0.5):
            self.peak = max(self.peak, self.memory())

    def rested_cpu(self):
        """CPU seconds, once nothing is done any more."""
        last, since = self.cpu(), time.monotonic()
        while time.monotonic() - since < 0.5:
            time.sleep(0.05)
            if (now := self.cpu()) != last:
                last, since = now, time.monotonic()
        return last

    def send(self, sessions, messages, options):
        subprocess.run(
            [program("smtp-source"), *options, "-s", str(sessions), "-m", str(messages), "-l", str(SIZE),
             "-f", "a@here.example", "-t", "b@relay.example", f"127.0.0.1:{self.port}"],
            check=True,
        )

    def close(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait()
        self.sink.close()
        self.log.close()
        shutil.rmtree(self.folder)


class Smap(System):
    """smap --listen and smapd."""

    name = "smap"

    def prepare(self):
        spool, table = self.path("spool"), self.path("netperm-table")
        self.write(
            "netperm-table",
            f"smap: userid {SMAP_UID}\nsmapd: userid {SMAPD_UID}\nsmap, smapd: directory {spool}\n"
            f"smap, smapd: hostname bench.example\n"
            f"smap, smapd: domain relay.example smtp:[127.0.0.1]:{self.sink.port}\n"
            f"smap: max-sessions 1000\nsmap: max-sessions-per-host 1000\nsmap: maxmessages 1000000\n"
            f"smap-lookup: socket {self.path('lookup')}\n",
        )
        os.chmod(table, 0o644)
        self.start(os.path.join(BIN, "smapd"), "--config", table, "--foreground")
        await_true("the spool", lambda: os.path.isdir(os.path.join(spool, "queue")))
        self.start(
            os.path.join(BIN, "smap"), "--config", table, "--foreground", "--listen", f"127.0.0.1:{self.port}"
        )


class Postfix(System):
    """Postfix, as Debian's package has it, with folders of its own."""

    name = "postfix"

    def prepare(self):
        queue, data = self.path("queue"), self.path("data")
        owner = pwd.getpwnam("postfix").pw_uid
        for folder in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
                       "saved", "trace", "maildrop", "public"):
            os.makedirs(os.path.join(queue, folder), 0o700)
            os.chown(os.path.join(queue, folder), owner, -1)
        os.mkdir(os.path.join(queue, "pid"))
        os.mkdir(data, 0o700)
        os.chown(data, owner, -1)
        self.write(
            "main.cf",
            f"compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {data}\n"
            f"myhostname = bench.example\nmydestination =\nmynetworks = 127.0.0.0/8\ninet_protocols = ipv4\n"
            f"relayhost = [127.0.0.1]:{self.sink.port}\nalias_maps =\nalias_database =\n",
        )
        with open(MASTER_CF) as services:
            listen = re.sub(r"(?m)^smtp +inet", f"127.0.0.1:{self.port} inet", services.read(), count=1)
        self.write("master.cf", listen)
        self.start(MASTER, "-c", self.folder, "-d")


def measure(kind, folder, sessions, messages, options):
    """Messages a second, CPU in milliseconds for each, memory in MB."""
    system = kind(folder)
    over = threading.Event()
    try:
        warm = WARM_UP * sessions
        system.send(sessions, warm, options)
        system.sink.await_messages(warm)
        before = system.rested_cpu()
        threading.Thread(target=system.watch_memory, args=(over,)).start()
        begin = time.monotonic()
        system.send(sessions, messages, options)
        rate = messages / (system.sink.await_messages(warm + messages) - begin)
        over.set()
        spent = (system.rested_cpu() - before) * 1000 / messages
        if system.sink.count != warm + messages:
            sys.exit(f"relay: {system.sink.count} messages arrived of {warm + messages}")
    finally:
        over.set()
        system.close()
    return rate, spent, system.peak / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spool", default="/var/tmp", help="where queues are made (default: /var/tmp)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 10, 50, 100])
    parser.add_argument("--reconnect", action="store_true", help="a connection for each message")
    arguments = parser.parse_args()
    if os.getuid() != 0:
        sys.exit("relay: only root can start Postfix")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("relay: stopped"))
    print_head(arguments.spool)
    print(f"postfix: {subprocess.run([program('postconf'), '-h', 'mail_version'], capture_output=True, text=True).stdout}")
    print(f"{'sessions':>8}  {'':8} {'messages/s':>24} {'CPU ms/message':>24} {'PSS MB':>8}")
    for sessions in arguments.sessions:
        rounds = {Smap: [], Postfix: []}
        for turn in range(arguments.repeat):
            for kind in list(rounds)[:: 1 if turn % 2 == 0 else -1]:
                options = [] if arguments.reconnect else ["-d"]
                rounds[kind].append(measure(kind, arguments.spool, sessions, arguments.messages, options))
        for kind, results in rounds.items():
            rates, spent, memory = zip(*results)
            print(
                f"{sessions:>8}  {kind.name:8} {statistics.median(rates):>8.0f} ({min(rates):5.0f} to {max(rates):5.0f})"
                f" {statistics.median(spent):>8.2f} ({min(spent):5.2f} to {max(spent):5.2f}) {max(memory):>8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
