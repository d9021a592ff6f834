#!/usr/bin/env python3
"""Sends messages in parallel sessions, and waits for each reply before it says more.

    source.py ADDRESS PORT SESSIONS EACH SIZE SECONDS MESSAGES TAG RECIPIENT...

So many sessions at a time, each of EACH messages of SIZE octets, none begun after SECONDS, at most so many MESSAGES.
TAG begins every Message-Id, the recipients take turns. No more than a few connections wait for their greeting at a
time: some servers listen with a backlog of 5. The answer is one line of JSON: how many messages were sent and accepted,
what went wrong, and when the first connection was begun and the last 250 read (time.monotonic).
"""

import json
import select
import socket
import sys
import time

LINE = b"A line of a message that is sent to see how long that takes, and no more than.\r\n"
ENOUGH = 50  # failures after which it gives up
AT_THE_DOOR = 4  # connections that wait for the greeting


def text_of(size, ending):
    """A message of so many octets, but for what differs in each."""
    head = b"From: a@src.example\r\nTo: you\r\nSubject: one of many\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    body = size - len(head) - ending
    lines = LINE * (body // len(LINE) + 1)
    return head, lines[: body - 2].rstrip(b"\r\n").ljust(body - 2, b".") + b"\r\n.\r\n"


class Load:
    """What is still to be sent, and what became of the rest."""

    def __init__(self, each, size, seconds, messages, tag, recipients):
        self.each, self.left, self.number = each, messages, 0
        self.begin = time.monotonic()
        self.end = self.begin + seconds
        self.recipients, self.tag = [address.encode() for address in recipients], tag.encode()
        self.head, self.body = text_of(size, len(self.message_id(0)))
        self.accepted, self.failures, self.last = 0, [], 0.0

    def message_id(self, number):
        return b"Message-Id: <%s.%08d@src.example>\r\n\r\n" % (self.tag, number)

    def is_open(self):
        return self.left > 0 and time.monotonic() < self.end

    def take(self):
        """How many messages the next session has."""
        count = min(self.each, self.left)
        self.left -= count
        return count

    def steps(self, count):
        """What a session says, and how the reply to it has to begin."""
        yield b"", b"220"
        yield b"EHLO client.example\r\n", b"250"
        for _ in range(count):
            number = self.number = self.number + 1
            recipient = self.recipients[number % len(self.recipients)]
            yield b"MAIL FROM:<a@src.example>\r\n", b"250"
            yield b"RCPT TO:<%s>\r\n" % recipient, b"250"
            yield b"DATA\r\n", b"354"
            yield self.head + self.message_id(number) + self.body, b"250"
            self.accepted, self.last = self.accepted + 1, time.monotonic()
        yield b"QUIT\r\n", b"221"


class Session:
    """A connection."""

    def __init__(self, target, load, poll):
        self.load, self.poll, self.reply, self.unsent = load, poll, b"", b""
        self.steps = load.steps(load.take())
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(target)
        self.greeted = self.waits_to_send = False
        poll.register(self.socket, select.EPOLLIN)
        _, self.wanted = next(self.steps)

    def go_on(self, events):
        """False once it is over."""
        try:
            if events & ~select.EPOLLOUT and not self.read():
                return False
            if self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self.load.failures.append(str(error))
            return False
        if bool(self.unsent) != self.waits_to_send:
            self.waits_to_send = bool(self.unsent)
            self.poll.modify(self.socket, select.EPOLLIN | (select.EPOLLOUT if self.unsent else 0))
        return True

    def read(self):
        """False after the last reply."""
        octets = self.socket.recv(4096)
        if not octets:
            raise OSError("it was closed")
        self.reply += octets
        last_line = self.reply[self.reply.rfind(b"\n", 0, -1) + 1 :]
        if not self.reply.endswith(b"\n") or last_line[3:4] == b"-":
            return True
        if not self.reply.startswith(self.wanted):
            raise OSError(self.reply.decode(errors="replace").strip())
        text, self.wanted = next(self.steps, (None, None))
        self.greeted = True
        self.reply, self.unsent = b"", memoryview(text or b"")
        return text is not None

    def end(self):
        self.poll.unregister(self.socket)
        self.socket.close()


def run(target, count, load):
    poll, sessions = select.epoll(), {}
    while sessions or load.is_open():
        while len(sessions) < count and load.is_open():
            if sum(not session.greeted for session in sessions.values()) >= AT_THE_DOOR:
                break
            session = Session(target, load, poll)
            sessions[session.socket.fileno()] = session
        for descriptor, events in poll.poll():
            if not sessions[descriptor].go_on(events):
                sessions.pop(descriptor).end()
        if len(load.failures) >= ENOUGH:
            return


def main():
    address, port, sessions, each, size, seconds, messages, tag, *recipients = sys.argv[1:]
    load = Load(int(each), int(size), float(seconds), int(messages), tag, recipients)
    run((address, int(port)), int(sessions), load)
    answer = {"sent": load.number, "accepted": load.accepted, "failures": sorted(set(load.failures))[:3]}
    print(json.dumps(answer | {"begin": load.begin, "end": load.last}))


if __name__ == "__main__":
    main()
