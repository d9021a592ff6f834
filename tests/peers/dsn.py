"""Reads delivery status notifications as Python's email package does: dsn.py FILE...

Says `FIELD: value` lines: those of the message, of each block of its second part, and what its third part is.
"""

import email
import email.policy
import sys


def say(name, value):
    print(f"{name}: {' '.join(str(value).split())}")


def fields(prefix, message, names):
    for name in names:
        if message[name] is not None:
            say(prefix + name, message[name])


def report(path):
    with open(path, "rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.SMTPUTF8)
    say("content-type", message.get_content_type())
    say("report-type", message.get_param("report-type"))
    fields("", message, ["Return-Path", "From", "To", "Subject", "Auto-Submitted", "Message-ID"])
    people, programs, returned = message.get_payload()
    say("people", people.get_content())
    say("programs-type", programs.get_content_type())
    blocks = programs.get_payload()
    if programs.get_content_type() == "message/global-delivery-status":
        # The package does not know it, and takes all blocks but the first for the text of a message.
        rest = blocks[0].get_payload(decode=True).decode().split("\n\n")
        blocks += [email.message_from_string(block, policy=email.policy.SMTPUTF8) for block in rest if block.strip()]
    fields("message.", blocks[0], blocks[0].keys())
    for number, block in enumerate(blocks[1:]):
        fields(f"recipient{number}.", block, block.keys())
    say("returned-type", returned.get_content_type())
    content = returned.get_payload()
    inner = content[0] if isinstance(content, list) else email.message_from_bytes(
        returned.get_payload(decode=True), policy=email.policy.SMTPUTF8)
    fields("returned.", inner, ["Subject"])
    for part in message.walk():
        for defect in part.defects:
            say("defect", repr(defect))


for path in sys.argv[1:]:
    report(path)
