"""Writes the messages of a mailbox as Python's own module reads them: mailbox_of.py maildir|mbox PATH

Each behind a line with its length. The quoting of an mbox (mboxrd) is undone, which the module leaves to others.
"""

import mailbox
import re
import sys


def messages(kind, path):
    if kind == "maildir":
        box = mailbox.Maildir(path, create=False)
        return [box.get_bytes(key) for key in box.keys()]
    box = mailbox.mbox(path, create=False)
    return [re.sub(rb"(?m)^>(>*From )", rb"\1", box.get_bytes(key)) for key in box.keys()]


for message in messages(*sys.argv[1:]):
    sys.stdout.buffer.write(b"%d\n%s" % (len(message), message))
