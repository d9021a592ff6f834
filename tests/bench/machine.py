"""What every bench says first, and how it looks at processes."""

import os
import platform
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
BIN = os.environ.get("SMAP_BIN_DIR", os.path.join(TARGET, "release"))


def example(name):
    """A program of tests/examples."""
    return os.path.join(TARGET, "release", "examples", name)


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()


def head():
    """The machine, the commit and the command, a line each."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"model name\s*:\s*(.*)", cpuinfo.read())
    model = model[1] if model else platform.machine()
    return (
        f"machine: {model}, {os.cpu_count()} cores, Linux {platform.release()}\n"
        f"commit:  {output('git', 'describe', '--always', '--dirty', '--exclude=*')}\n"
        f"command: {shlex.join(sys.argv)}\n"
    )


def memory(pid):
    """KB of a process: its share of what it has mapped (PSS), and its page tables."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup, open(f"/proc/{pid}/status") as status:
        pss = re.search(r"^Pss:\s+(\d+)", rollup.read(), re.MULTILINE)
        tables = re.search(r"^VmPTE:\s+(\d+)", status.read(), re.MULTILINE)
    return (int(pss[1]) if pss else 0), (int(tables[1]) if tables else 0)
