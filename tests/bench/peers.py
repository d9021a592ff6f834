#!/usr/bin/env python3
"""smap beside Postfix, Exim and OpenSMTPD: what they relay, deliver and cost, on one disk in one run.

    cargo build --release --bins --examples && tests/bench/peers.py [--peers smap,...] [--tests relay,...] [--repeat N]

For root. `.ci/install` gets the others; SMAP_PEERS says where Exim and OpenSMTPD are (target/peers). The servers take
turns, each on queues of its own; every 250 of theirs is for a message that they have synced. A load is timed to its
last message at the sink, or in the mailbox, where each is counted by its Message-Id. CPU is that of all processes of
a server, the kernel's work for them included; the source, the sink and whoever writes the log count for none.
"""

import argparse
import os
import signal
import sys
import time

import lab
import measures
import report
from machine import example, head, output
from servers import KINDS, Floor


def names(of):
    def parse(text):
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in of]:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(of)}")
        return chosen

    return parse


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, of in (("--peers", KINDS), ("--tests", measures.TESTS)):
        parser.add_argument(option, type=names(of), default=list(of), help=f"some of {','.join(of)}; without it, all")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="that one load is made for (%(default)s)")
    parser.add_argument("--image", default="/var/tmp/smap-bench.img", help="the file of the disk (%(default)s)")
    parser.add_argument("--megabytes", type=int, default=2048, help="of the disk (%(default)s)")
    waiting = "seconds to wait in all for others to rest (%(default)s)"
    parser.add_argument("--patience", type=float, default=300, help=waiting)
    chosen = parser.parse_args()
    if os.getuid() != 0:
        sys.exit("peers: only root can start mail servers and make a disk")
    needed = [KINDS[name] for name in chosen.peers] + [Floor] * ("disk" in chosen.tests)
    for program in [kind.program() for kind in needed] + [example("source"), example("sink")]:
        if not os.access(program, os.X_OK):
            sys.exit(f"peers: {program} is not there; .ci/install gets what is not smap's own")
    return chosen


def runs(chosen):
    """What is done, in order: another server begins each time."""
    for turn in range(chosen.repeat):
        for test in chosen.tests:
            if test in measures.LOADS:
                yield turn, test, None
            if test == "disk":
                yield turn, test, KINDS["smap"]
                continue
            first = turn % len(chosen.peers)
            for name in chosen.peers[first:] + chosen.peers[:first]:
                yield turn, test, KINDS[name]


def rows_of(place, test, kind, seconds):
    if kind is None:
        return measures.straight(place, test, measures.LOADS[test], seconds)
    return measures.TESTS[test](place, kind, seconds)


def measure(place, chosen):
    """All rows, or those there are when it is interrupted."""
    rows, failures, begin = [], [], time.monotonic()
    try:
        for turn, test, kind in runs(chosen):
            try:
                for row in rows_of(place, test, kind, chosen.seconds):
                    rows.append(row)
                    say(f"{time.monotonic() - begin:5.0f} s  {turn + 1}/{chosen.repeat}  {report.progress(row)}")
            except (lab.Failed, OSError) as error:
                failures.append(f"{test}, {kind.name if kind else measures.STRAIGHT}: {error}")
                say(failures[-1])
    except KeyboardInterrupt:
        failures.append("stopped before the end")
    return rows, failures


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    chosen = arguments()
    lab.enter()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("peers: stopped"))
    place = lab.Lab(chosen.image, chosen.megabytes, chosen.patience)
    try:
        rows, failures = measure(place, chosen)
    finally:
        place.close()
    below = output("findmnt", "-no", "SOURCE,FSTYPE,OPTIONS", "-T", os.path.dirname(chosen.image))
    print(f"{head()}disk:    ext4 of its own, in a file on {below}\n")
    for name in chosen.peers:
        print(f"{name}: {KINDS[name].version()}. Not its defaults: {KINDS[name].notes}")
    report.print_all(rows, failures, chosen.peers)


if __name__ == "__main__":
    main()
