"""Reads pairs of files, a message and what a host was given of it, and says where they differ: same_parts.py [FILE FILE]...

The same are the structure, and of each part its type and its octets once they are decoded; line ends are all alike.
What was given must be ASCII in lines of at most 998 octets, but for long lines in the header and in what is encoded
already.
"""

import email
import sys


def parts(text):
    found = []
    for part in email.message_from_bytes(text).walk():
        payload = None if part.is_multipart() else part.get_payload(decode=True)
        if payload is not None:
            payload = payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n")
        found.append((part.get_content_type(), payload))
    return found


def fault(before, after):
    with open(before, "rb") as file:
        before = file.read()
    with open(after, "rb") as file:
        after = file.read()
    if not after.isascii():
        return "8-bit octets are left"
    before, after = parts(before), parts(after)
    if len(before) != len(after):
        return f"{len(before)} parts became {len(after)}"
    for number, (one, other) in enumerate(zip(before, after)):
        if one != other:
            return f"part {number}: {one!r:.500} became {other!r:.500}"


def main(files):
    faults = 0
    for before, after in zip(files[::2], files[1::2]):
        what = fault(before, after)
        if what:
            faults += 1
            print(f"{before}: {what}")
    return 1 if faults else 0


sys.exit(main(sys.argv[1:]))
