#!/usr/bin/env python3
"""A next host that takes every message and keeps none, but knows which it has seen.

    sink.py ADDRESS PORT

A line on standard input has it answer with one line of JSON: how many messages came, how many of them for the first
time (by Message-Id), how many from the empty sender, their octets, and when the last one came (time.monotonic).
"""

import json
import re
import select
import socket
import sys
import time

MESSAGE_ID = re.compile(rb"\r\nmessage-id:\s*(\S+)", re.IGNORECASE)
END = b"\r\n.\r\n"
HEAD = 8192  # octets in which the Message-Id stands
REPLIES = {
    b"EHLO": b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 bye\r\n",
}


class Counts:
    """What came."""

    def __init__(self):
        self.messages, self.bounces, self.octets, self.last, self.ids = 0, 0, 0, 0.0, set()

    def add(self, head):
        self.messages += 1
        self.last = time.monotonic()
        found = MESSAGE_ID.search(head)
        self.ids.add(found[1] if found else b"%d" % self.messages)

    def report(self):
        facts = {"messages": self.messages, "distinct": len(self.ids), "bounces": self.bounces}
        return json.dumps(facts | {"octets": self.octets, "last": self.last})


class Session:
    """One connection: commands, and within a message its first octets and its last ones."""

    def __init__(self, client, counts):
        self.client, self.counts = client, counts
        self.rest, self.head, self.text = b"", b"", False
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(b"220 sink.example ESMTP\r\n")

    def read(self):
        """False once it is over."""
        try:
            octets = self.client.recv(262144)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not octets:
            return False
        replies = []
        while octets:
            octets = self.read_text(octets, replies) if self.text else self.read_commands(octets, replies)
        try:
            self.client.sendall(b"".join(replies))
        except OSError:
            return False
        return REPLIES[b"QUIT"] not in replies

    def read_commands(self, octets, replies):
        """What follows a DATA."""
        octets = self.rest + octets
        while True:
            line, end, octets = octets.partition(b"\r\n")
            if not end:
                self.rest = line
                return b""
            verb = line[:4].upper()
            replies.append(REPLIES.get(verb, b"250 ok\r\n"))
            if verb == b"DATA":
                self.text, self.head, self.rest = True, b"\r\n", b"\r\n"
                return octets
            if line[:12].upper() == b"MAIL FROM:<>":
                self.counts.bounces += 1

    def read_text(self, octets, replies):
        """What follows the last dot."""
        self.counts.octets += len(octets)
        if len(self.head) < HEAD:
            self.head += octets[:HEAD]
        text, end, after = (self.rest + octets).partition(END)
        if not end:
            self.rest = text[-4:]
            return b""
        self.counts.octets -= len(after)
        self.counts.add(self.head)
        self.text, self.rest = False, b""
        replies.append(b"250 ok\r\n")
        return after


def main():
    counts, sessions, poll = Counts(), {}, select.epoll()
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=4096)
    poll.register(listener, select.EPOLLIN)
    poll.register(sys.stdin, select.EPOLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                client, _ = listener.accept()
                sessions[client.fileno()] = Session(client, counts)
                poll.register(client, select.EPOLLIN)
            elif descriptor == sys.stdin.fileno():
                if not sys.stdin.readline():
                    return
                print(counts.report(), flush=True)
            elif not sessions[descriptor].read():
                poll.unregister(descriptor)
                sessions.pop(descriptor).client.close()


if __name__ == "__main__":
    main()
