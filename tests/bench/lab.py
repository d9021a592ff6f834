"""Where servers are compared: a network of their own, a disk of their own, and a count of their CPU.

The network has nothing but loopback, so no mail can leave it and nobody asks a name server. The disk is an ext4 in
a file that is written before, reached by a loop device with direct I/O: a sync reaches the disk below, but what the
file system below does on its own (a journal that others use too, discarding what is deleted) is not measured. All
of it is in namespaces and goes with the last process of the bench, however that ends.
"""

import errno
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

from machine import memory

INSIDE = "SMAP_BENCH_INSIDE"
CLIENT, GATEWAY, SINK, PORT = "127.0.0.1", "127.0.0.2", "127.0.0.3", 25
QUIET = 0.15  # cores that others may use


class Failed(Exception):
    """A server did not do what it was to do; the others go on."""


def enter():
    """Starts this program again, in namespaces."""
    if os.environ.pop(INSIDE, None) is None:
        os.environ[INSIDE] = "1"
        unshare = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable]
        os.execvp("unshare", unshare + [os.path.abspath(sys.argv[0])] + sys.argv[1:])


def run(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


class Account:
    """CPU of the bench and of a server, by control groups: they count processes that have ended too."""

    def __init__(self):
        with open("/proc/self/mounts") as mounts, open("/proc/self/cgroup") as own:
            found = re.search(r"^\S+ (\S+) cgroup2 ", mounts.read(), re.MULTILINE)
            self.home = re.search(r"^0::(.*)", own.read(), re.MULTILINE)
        if not found or not self.home:
            sys.exit("peers: no cgroup2 is mounted; nothing else counts the CPU of processes that have ended")
        self.home = found[1] + self.home[1]
        self.all = os.path.join(found[1], f"smap-bench-{os.getpid()}")
        self.own, self.server = os.path.join(self.all, "own"), os.path.join(self.all, "server")
        for group in (self.all, self.own, self.server):
            os.mkdir(group)
        self.join(self.own)

    def join(self, group):
        with open(os.path.join(group, "cgroup.procs"), "w") as members:
            members.write("0")

    def used(self, group, key="usage_usec"):
        """Seconds."""
        with open(os.path.join(group, "cpu.stat")) as stat:
            return int(re.search(rf"^{key} (\d+)", stat.read(), re.MULTILINE)[1]) / 1e6

    def server_pids(self):
        with open(os.path.join(self.server, "cgroup.procs")) as members:
            return members.read().split()

    def server_memory(self):
        """KB of PSS, KB of page tables, processes."""
        total = [0, 0, 0]
        for pid in self.server_pids():
            try:
                pss, tables = memory(pid)
            except OSError:
                continue  # it has ended
            total = [total[0] + pss, total[1] + tables, total[2] + 1]
        return total

    def await_rest(self, limit=10.0):
        """Until the server does nothing; the CPU seconds that it has used by then."""
        end = time.monotonic() + limit
        before = self.used(self.server)
        while True:
            time.sleep(0.3)
            after = self.used(self.server)
            if after - before < 0.006 or time.monotonic() > end:
                return after
            before = after

    def foreign(self):
        """CPU seconds of programs that are not of the bench; what the kernel does by itself is left out."""
        with open("/proc/stat") as stat:
            user, nice = stat.readline().split()[1:3]
        return (int(user) + int(nice)) / os.sysconf("SC_CLK_TCK") - self.used(self.all, "user_usec")

    def close(self):
        self.join(self.home)
        for group in (self.own, self.server, self.all):
            remove_group(group)


def remove_group(group, limit=10.0):
    """What was killed in it may not be gone yet."""
    end = time.monotonic() + limit
    while True:
        try:
            return os.rmdir(group)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > end:
                raise
            time.sleep(0.05)


class Noise:
    """What others do meanwhile."""

    def __init__(self, account):
        self.account, self.since, self.before = account, time.monotonic(), account.foreign()

    def cores(self):
        return max(0.0, (self.account.foreign() - self.before) / (time.monotonic() - self.since))


class Lab:
    """The place."""

    def __init__(self, image, megabytes, patience):
        run("ip", "link", "set", "lo", "up")
        self.patience = patience
        self.account = Account()
        self.disk = tempfile.mkdtemp(prefix="smap-bench-")
        self.mount_disk(image, megabytes)
        self.take_log()
        self.rooms = 0

    def mount_disk(self, image, megabytes):
        zeros = bytes(1 << 20)
        with open(image, "xb", buffering=0) as file:
            try:
                file.writelines(zeros for _ in range(megabytes))
                os.fsync(file.fileno())
                ready = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
                run("mkfs.ext4", "-q", "-F", "-E", ready, image)
                device = run("losetup", "--find", "--show", "--direct-io=on", image)
                run("mount", "-t", "ext4", device, self.disk)
                run("losetup", "--detach", device)  # once it is mounted no more
            finally:
                os.unlink(image)
        os.chmod(self.disk, 0o755)

    def take_log(self):
        """Is the system's log: lines are read and written, which counts for nobody."""
        for folder in ("dev", "dev.work"):
            os.mkdir(os.path.join(self.disk, folder))
        layers = f"lowerdir=/dev,upperdir={self.disk}/dev,workdir={self.disk}/dev.work"
        run("mount", "-t", "overlay", "-o", layers, "overlay", "/dev")
        with open("/proc/sys/net/unix/max_dgram_qlen", "w") as setting:
            setting.write("512")
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.lexists("/dev/log"):
            os.unlink("/dev/log")
        log.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        threading.Thread(target=self.read_log, args=(log,), daemon=True).start()

    def read_log(self, log):
        with open(os.path.join(self.disk, "syslog"), "wb") as file:
            while True:
                file.write(log.recv(65536) + b"\n")

    def room(self, name):
        """An empty folder on the disk."""
        self.rooms += 1
        path = os.path.join(self.disk, f"{name}-{self.rooms}")
        os.mkdir(path, 0o755)
        return path

    def await_quiet(self, at_most=15.0):
        """Until others rest, as long as there is patience left."""
        begin = time.monotonic()
        while time.monotonic() - begin < min(at_most, self.patience):
            noise = Noise(self.account)
            time.sleep(0.4)
            if noise.cores() <= QUIET:
                break
        self.patience -= time.monotonic() - begin
        return Noise(self.account)

    def close(self):
        self.account.close()
        run("umount", "--lazy", "/dev")
        run("umount", "--lazy", self.disk)
        shutil.rmtree(self.disk, ignore_errors=True)
