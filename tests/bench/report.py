"""Tables of what was measured: medians, with the least and the most; the budgets; and the short table."""

import statistics

from measures import STRAIGHT, WRITERS, Load

TITLES = {"postfix": "Postfix", "exim": "Exim", "opensmtpd": "OpenSMTPD"}
LOUD = 0.5  # cores of others, from which on a figure is marked
COLUMNS = {
    "relay": [
        ("rate", "messages a second, to the last one at the sink", 0),
        ("cpu", "CPU ms a message", 2),
        ("peak", "most memory of all processes, MB (PSS)", 1),
    ],
    "large": [
        ("rate", "messages a second, to the last one at the sink", 1),
        ("cpu", "CPU ms a message", 2),
        ("peak", "most memory of all processes, MB (PSS)", 1),
    ],
    "local": [("rate", "messages a second, to the last one in a Maildir", 0), ("cpu", "CPU ms a message", 2)],
    "idle": [
        ("pss", "KB (PSS) for each idle session", 0),
        ("tables", "page tables, KB for each", 1),
        ("processes", "processes for each", 2),
        ("rest", "MB (PSS) before, without any", 1),
    ],
    "greeting": [("p50", "ms, half of them", 2), ("p99", "ms, 99 of 100", 2)],
    "disk": [
        ("bare", "files a second that a bare loop creates, writes and syncs", 0),
        ("floor", "the same, of messages that the source sends to it by SMTP, and nothing else (floor.rs)", 0),
        ("accepted", "messages a second that smap accepts", 0),
        ("share", "the same, % of the bare loop", 0),
        ("floor share", "the same, % of floor.rs", 0),
    ],
}


def progress(row):
    said = " ".join(f"{key}={value:.4g}" for key, value in row.values.items())
    return f"{row.test:8} {row.server:10} {row.load:26} {said} noise={row.noise:.2f}"


class Results:
    """The rows, by what they are about."""

    def __init__(self, rows):
        self.rows, self.cells = rows, {}
        for row in rows:
            self.cells.setdefault((row.test, row.load, row.server), []).append(row)

    def loads(self, test):
        return list(dict.fromkeys(row.load for row in self.rows if row.test == test))

    def values(self, test, load, server, key):
        return [row.values[key] for row in self.cells.get((test, load, server), []) if key in row.values]

    def median(self, *where):
        """None where there is nothing."""
        values = self.values(*where)
        return statistics.median(values) if values else None

    def cell(self, test, load, server, key, digits):
        values = self.values(test, load, server, key)
        if not values:
            return ""
        rows, middle = self.cells[test, load, server], statistics.median(values)
        text = f"{middle:.{digits}f}"
        if any(row.noise > LOUD for row in rows):
            text = "~" + text
        if len(values) > 1:
            text += f" ({min(values):.{digits}f}..{max(values):.{digits}f})"
        reference = self.median(test, load, "postfix", key)
        if reference and server not in ("postfix", STRAIGHT):
            text += f" {middle / reference:.2f}x"
        for fault in ("lost", "twice"):
            if count := sum(row.values.get(fault, 0) for row in rows):
                text += f" {count} {fault.upper()}"
        return text


def table(head, lines):
    widths = [max(map(len, column)) for column in zip(head, *lines)]
    padded = [" | ".join(text.ljust(width) for text, width in zip(line, widths)) for line in (head, *lines)]
    padded.insert(1, "-|-".join("-" * width for width in widths))
    print("\n".join(f"| {line} |" if at != 1 else f"|-{line}-|" for at, line in enumerate(padded)))


def print_all(rows, failures, peers):
    results = Results(rows)
    for test, columns in COLUMNS.items():
        loads = results.loads(test)
        servers = [name for name in [*peers, STRAIGHT] if any((test, load, name) in results.cells for load in loads)]
        for key, what, digits in columns if loads else []:
            print(f"\n{test}: {what}\n")
            cells = [[load, *(results.cell(test, load, name, key, digits) for name in servers)] for load in loads]
            table(["", *(TITLES.get(name, name) for name in servers)], cells)
    print_counts(rows, failures)
    print("\nbudgets\n")
    table(["", "is", "may be", ""], list(budgets(results)))
    print("\nin short\n")
    table(["", *(TITLES.get(name, name) for name in peers)], list(short(results, peers)))


def print_counts(rows, failures):
    def total(key):
        return sum(row.values.get(key, 0) for row in rows if row.server != STRAIGHT)

    noise = [row.noise for row in rows] or [0.0]
    print(f"\n{total('count')} messages through servers, {total('lost')} lost, {total('twice')} came twice.")
    print("Medians (least..most), and what multiple of Postfix's that is. Other programs on the machine used")
    print(
        f"{statistics.median(noise):.2f} cores meanwhile, {max(noise):.2f} at most; ~ marks what had more than {LOUD}."
    )
    for failure in failures:
        print(f"FAILED: {failure}")


def budgets(results):
    """What it is, what it may be, whether it is met."""

    def line(what, value, limit, below, unit):
        if value is None or limit is None:
            return [what, "", "", "not measured"]
        met = value < limit if below else value >= limit
        bound = f"{'<' if below else '>='} {limit:.2f} {unit}"
        return [what, f"{value:.2f} {unit}", bound, "met" if met else "NOT MET"]

    def median(test, load, key, server="smap"):
        return results.median(test, load, server, key)

    for each, limit in ((10, 0.6), (1, 1.0)):
        load = Load(10, each=each).name
        yield line(f"CPU, {load}", median("relay", load, "cpu"), limit, True, "ms a message")
    for writers in WRITERS:
        load = Load(writers).name
        postfix, loop = median("relay", load, "rate", "postfix"), median("disk", f"{writers} at a time", "bare")
        limit = min(3 * postfix, 0.8 * loop) if postfix and loop else None
        what = "3 x Postfix" if limit is None or limit < 0.8 * loop else "80 % of a bare loop"
        yield line(f"relay, {load}: {what}", median("relay", load, "rate"), limit, False, "a second")
    yield line("idle session, of 200", median("idle", "200 sessions", "pss"), 67, True, "KB")
    greeting = median("greeting", "connect to 220", "p50", "postfix")
    yield line("greeting: below Postfix's", median("greeting", "connect to 220", "p50"), greeting, True, "ms")
    small, large = median("relay", Load(10).name, "peak"), median("large", Load(4, 2, 10_000_000).name, "peak")
    what = "most memory, 4 sessions of 10 MB: that of 10 of 5 KB, and a MB"
    yield line(what, large, small and small + 1, True, "MB")
    yield ["200,000 deferred messages", "", "", "see queue.py"]


SHORT = [
    ("relayed, 5 KB, 1 session, messages a second", "relay", Load(1).name, "rate", 0),
    ("the same, 10 sessions", "relay", Load(10).name, "rate", 0),
    ("the same, 100 sessions", "relay", Load(100).name, "rate", 0),
    ("CPU for each, 10 sessions, ms", "relay", Load(10).name, "cpu", 2),
    ("relayed, 10 MB, 4 sessions, messages a second", "large", Load(4, 2, 10_000_000).name, "rate", 1),
    ("into Maildirs, 5 KB, 10 sessions, messages a second", "local", Load(10).name, "rate", 0),
    ("an idle session, of 200, KB", "idle", "200 sessions", "pss", 0),
    ("connect to 220, ms", "greeting", "connect to 220", "p50", 2),
    ("connect to 250 after the dot, ms", "greeting", "connect to 250", "p50", 1),
]


def short(results, peers):
    for what, test, load, key, digits in SHORT:
        values = [results.median(test, load, name, key) for name in peers]
        if any(value is not None for value in values):
            yield [what, *("" if value is None else f"{value:.{digits}f}" for value in values)]
