"""Loads: the source and the sink as processes, sessions that do nothing, one client after another, and a bare disk."""

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time

from lab import GATEWAY, PORT, SINK, Failed
from machine import example

MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
SIZE = 5120
AT_MOST = 20_000  # messages of one load
PATIENCE = 60.0  # seconds in which nothing comes any more, after which it is lost


class Load:
    """So many sessions at a time, each of so many messages of a size."""

    def __init__(self, sessions, each=10, size=SIZE):
        self.sessions, self.each, self.size = sessions, each, size
        unit, count = ("MB", size / 1e6) if size >= 1e6 else ("KB", size / 1e3)
        plural = "session" if sessions == 1 else "sessions"
        self.name = f"{count:.0f} {unit}, {sessions} {plural} of {each}"

    def warm_up(self):
        """A small one, with as many sessions."""
        return Load(self.sessions, min(self.each, 2), self.size)


def send(load, seconds, tag, recipients, at_most=AT_MOST, to=GATEWAY):
    """What the source says in the end."""
    numbers = [load.sessions, load.each, load.size, seconds, max(at_most, load.sessions * load.each)]
    command = [example("source"), f"{to}:{PORT}", *map(str, numbers), tag, *recipients]
    try:
        source = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=PATIENCE + seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f"after {PATIENCE:.0f} s not all is accepted") from None
    answer = json.loads(source.stdout)
    if answer["accepted"] != answer["sent"]:
        raise Failed(f"{answer['accepted']} of {answer['sent']} were accepted: {answer['failures']}")
    return answer


class Sink:
    """The next host."""

    def __init__(self):
        command = [example("sink"), f"{SINK}:{PORT}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seen()

    def seen(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Mailboxes:
    """Maildirs, which say what they got as the sink does."""

    def __init__(self, folders):
        self.folders = folders

    def files(self):
        for folder in filter(os.path.isdir, self.folders):
            yield from os.scandir(folder)

    def seen(self):
        return {"messages": (count := sum(1 for _ in self.files())), "distinct": count, "last": 0.0}

    def read(self):
        """The same, from what is in them."""
        names, ids, last = 0, set(), 0.0
        for file in self.files():
            with open(file.path, "rb") as message:
                found = MESSAGE_ID.search(message.read(4096))
            names, last = names + 1, max(last, file.stat().st_ctime)
            ids.add(found[1] if found else file.name)
        return {"messages": names, "distinct": len(ids), "last": last - time.time() + time.monotonic()}


def await_messages(place, count):
    """Until so many more have come, or none comes."""
    most, since = -1, time.monotonic()
    while time.monotonic() - since < PATIENCE:
        seen = place.seen()["distinct"]
        if seen >= count:
            return
        if seen > most:
            most, since = seen, time.monotonic()
        time.sleep(0.02)


class Peak(threading.Thread):
    """The most memory that a server has while this runs, in KB."""

    def __init__(self, account):
        super().__init__()
        self.account, self.over, self.most = account, threading.Event(), 0

    def run(self):
        while not self.over.is_set():
            self.look()
            self.over.wait(0.1)

    def look(self):
        self.most = max(self.most, self.account.server_memory()[0])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def open_idle(count):
    """Connections that have said EHLO."""
    clients = []
    for _ in range(count):
        client = socket.create_connection((GATEWAY, PORT), timeout=30)
        clients.append(client)
        lines = client.makefile("rb")
        converse(client, lines, b"", b"220")
        converse(client, lines, b"EHLO client.example\r\n", b"250")
    return clients


def converse(client, lines, text, wanted):
    client.sendall(text)
    reply = lines.readline()
    while reply[3:4] == b"-":
        reply = lines.readline()
    if not reply.startswith(wanted):
        raise Failed(f"after {text[:60]!r}: {reply!r}")


def greeting(after=0):
    """Seconds from connect to 220, of a client that comes so many seconds after the last one."""
    time.sleep(after)
    begin = time.perf_counter()
    with socket.create_connection((GATEWAY, PORT), timeout=30) as client:
        client.recv(512)
        passed = time.perf_counter() - begin
        client.sendall(b"QUIT\r\n")
        client.recv(512)
    return passed


def message(number, recipient):
    """Seconds from connect to the 250 after the dot."""
    head = f"From: a@src.example\r\nSubject: one\r\nMessage-Id: <one.{number}@src.example>\r\n\r\n".encode()
    text = head + (b"x" * 78 + b"\r\n") * (SIZE // 80) + b".\r\n"
    begin = time.perf_counter()
    with socket.create_connection((GATEWAY, PORT), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = client.makefile("rb")
        converse(client, lines, b"", b"220")
        converse(client, lines, b"EHLO client.example\r\n", b"250")
        converse(client, lines, b"MAIL FROM:<a@src.example>\r\n", b"250")
        converse(client, lines, b"RCPT TO:<%s>\r\n" % recipient.encode(), b"250")
        converse(client, lines, b"DATA\r\n", b"354")
        converse(client, lines, text, b"250")
        passed = time.perf_counter() - begin
        converse(client, lines, b"QUIT\r\n", b"221")
    return passed


def percentiles(times):
    """The median and the 99th of a hundred, in milliseconds."""
    return statistics.median(times) * 1e3, sorted(times)[len(times) * 99 // 100] * 1e3


def bare(folder, writers, seconds):
    """Files a second by so many writers that only create, write and sync."""
    text, counts = b"x" * SIZE, [0] * writers
    os.mkdir(folder)
    end = time.monotonic() + seconds

    def write(writer):
        while time.monotonic() < end:
            path = os.path.join(folder, f"{writer}.{counts[writer]}")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(descriptor, text)
            os.fsync(descriptor)
            os.close(descriptor)
            counts[writer] += 1

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = sum(counts) / (time.monotonic() - begin)
    shutil.rmtree(folder)
    return rate
