"""What is measured: each function takes one server through one test and yields its rows."""

import os
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from lab import SINK, Failed
from load import (
    AT_MOST,
    Load,
    Mailboxes,
    Peak,
    Sink,
    await_messages,
    bare,
    greeting,
    message,
    open_idle,
    percentiles,
    send,
)
from room import USERS
from servers import LOCAL, RELAYED, Floor, SmapAlone

WRITERS = (1, 10, 50, 100)
RELAY = [*map(Load, WRITERS), Load(10, each=1)]
LARGE = [Load(10, size=100_000), Load(4, each=2, size=10_000_000)]
LOCALLY = [Load(1), Load(10)]
IDLE = (200, 500)
STRAIGHT = "no server"


@dataclass
class Row:
    """What came of one load; what others did meanwhile, in cores."""

    test: str
    load: str
    server: str
    values: dict = field(default_factory=dict)
    noise: float = 0.0


def through(lab, server, test, load, place, recipients, seconds):
    """One load through a server to where its messages come: a warm-up, whose memory is watched, and the load."""
    tag = f"{test}.{time.monotonic_ns():x}"
    before = place.seen()
    with Peak(lab.account) as peak:
        warm = send(load.warm_up(), 1, tag + ".w", recipients, at_most=600)
        await_messages(place, before["distinct"] + warm["sent"])
        rate = warm["sent"] / (time.monotonic() - warm["begin"])
    time.sleep(0 if isinstance(place, Mailboxes) else server.pause)
    cpu = lab.account.await_rest()
    before, noise = place.seen(), lab.await_quiet()
    # What is accepted faster than it is relayed has to be relayed too.
    sent = send(load, seconds, tag, recipients, at_most=min(AT_MOST, int(2 * rate * seconds)))
    peak.look()
    await_messages(place, before["distinct"] + sent["sent"])
    busy = noise.cores()
    cpu = lab.account.await_rest() - cpu
    seen = place.read() if isinstance(place, Mailboxes) else place.seen()
    came = seen["distinct"] - before["distinct"]
    values = {
        "count": sent["sent"],
        "rate": came / (seen["last"] - sent["begin"]) if came else 0.0,
        "accepted": sent["sent"] / (sent["end"] - sent["begin"]),
        "cpu": cpu * 1e3 / sent["sent"],
        "peak": peak.most / 1024,
        "lost": sent["sent"] - came,
        "twice": seen["messages"] - before["messages"] - came,
    }
    return Row(test, load.name, server.name, values, busy)


def relayed(test, loads):
    def measure(lab, kind, seconds):
        for load in loads:
            with closing(Sink()) as sink, closing(kind(lab)) as server:
                yield through(lab, server, test, load, sink, ["r@" + RELAYED], seconds)

    return measure


def local(lab, kind, seconds):
    with closing(kind(lab)) as server:
        boxes = Mailboxes(server.mailboxes())
        for load in LOCALLY:
            yield through(lab, server, "local", load, boxes, [f"{user}@{LOCAL}" for user in USERS], seconds)


def idle(lab, kind, _seconds):
    with closing(kind(lab)) as server, ExitStack() as clients:
        base = lab.account.server_memory()
        opened = 0
        for count in IDLE:
            for client in open_idle(count - opened):
                clients.enter_context(client)
            opened = count
            lab.account.await_rest()
            more = [(now - then) / count for now, then in zip(lab.account.server_memory(), base)]
            values = dict(zip(("pss", "tables", "processes"), more), rest=base[0] / 1024)
            yield Row("idle", f"{count} sessions", server.name, values)


def greetings(lab, kind, _seconds):
    with closing(Sink()), closing(kind(lab)) as server:
        for _ in range(20):
            greeting()
        noise = lab.await_quiet()
        p50, p99 = percentiles([greeting() for _ in range(200)])
        yield Row("greeting", "connect to 220", server.name, {"p50": p50, "p99": p99}, noise.cores())
        noise = lab.await_quiet()
        p50, p99 = percentiles([greeting(after=0.01) for _ in range(200)])
        yield Row("greeting", "the same, every 10 ms", server.name, {"p50": p50, "p99": p99}, noise.cores())
        lab.account.await_rest()
        noise = lab.await_quiet()
        p50, p99 = percentiles([message(number, "r@" + RELAYED) for number in range(100)])
        yield Row("greeting", "connect to 250", server.name, {"p50": p50, "p99": p99}, noise.cores())


def accepted(lab, kind, writers, seconds):
    """Messages a second that a server takes and keeps."""
    os.sync()  # what was removed before is removed
    with closing(kind(lab)) as server:
        load = Load(writers)
        warm = send(load.warm_up(), 1, "warm", ["r@" + RELAYED], at_most=600)["sent"]
        sent = send(load, seconds, "load", ["r@" + RELAYED])
        if (spooled := server.spooled()) != warm + sent["sent"]:
            raise Failed(f"{warm + sent['sent']} were accepted and {spooled} are in the spool")
    return sent["sent"] / (sent["end"] - sent["begin"])


def disk(lab, _kind, seconds):
    """smap without smapd, beside loops that only write and sync, with as many writers: one is fed by the source."""
    for writers in WRITERS:
        noise = lab.await_quiet()
        loop = bare(os.path.join(lab.disk, "bare"), writers, seconds)
        floor = accepted(lab, Floor, writers, seconds)
        rate = accepted(lab, SmapAlone, writers, seconds)
        shares = {"share": rate / loop * 100, "floor share": rate / floor * 100}
        values = {"bare": loop, "floor": floor, "accepted": rate} | shares
        yield Row("disk", f"{writers} at a time", "smap", values, noise.cores())


def straight(lab, test, loads, seconds):
    """From the source to the sink: what can be seen at most."""
    with closing(Sink()) as sink:
        for number, load in enumerate(loads):
            noise = lab.await_quiet()
            sent = send(load, seconds / 2, f"straight.{number}", ["r@" + RELAYED], to=SINK)
            rate = sent["sent"] / (sink.seen()["last"] - sent["begin"])
            values = {"count": sent["sent"], "rate": rate}
            yield Row(test, load.name, STRAIGHT, values, noise.cores())


LOADS = {"relay": RELAY, "large": LARGE}
TESTS = {
    "relay": relayed("relay", RELAY),
    "large": relayed("large", LARGE),
    "local": local,
    "idle": idle,
    "greeting": greetings,
    "disk": disk,
}
