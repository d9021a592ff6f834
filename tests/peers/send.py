"""Sends files as they are, one message each, in one session: send.py [--to=ADDRESS,...] HOST PORT FILE...

Lines that end in LF alone end in CRLF on the wire; nothing else is changed. Says a line for each file: what the
server replied to it.
"""

import smtplib
import sys


def wire(path):
    with open(path, "rb") as file:
        return file.read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def send(server, recipients, path):
    for reply in [server.mail("a@sender.example"), *map(server.rcpt, recipients)]:
        if reply[0] != 250:
            return reply
    return server.data(wire(path))


def main(host, port, *paths, recipients=("b@example.com",)):
    with smtplib.SMTP(host, int(port), "client.example", timeout=20) as server:
        server.ehlo()
        for path in paths:
            code, text = send(server, recipients, path)
            print(code, text.decode())


arguments = sys.argv[1:]
if arguments[0].startswith("--to="):
    main(*arguments[1:], recipients=arguments[0].removeprefix("--to=").split(","))
else:
    main(*arguments)
