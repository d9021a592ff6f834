"""Sends files as they are, one message each, in one session: send.py HOST PORT FILE...

Lines that end in LF alone end in CRLF on the wire; nothing else is changed. Says a line for each file: what the
server replied to it.
"""

import smtplib
import sys


def wire(path):
    with open(path, "rb") as file:
        return file.read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def send(server, path):
    for reply in (server.mail("a@sender.example"), server.rcpt("b@example.com")):
        if reply[0] != 250:
            return reply
    return server.data(wire(path))


def main(host, port, *paths):
    with smtplib.SMTP(host, int(port), "client.example", timeout=20) as server:
        server.ehlo()
        for path in paths:
            code, text = send(server, path)
            print(code, text.decode())


main(*sys.argv[1:])
