"""trackflowd.proc: the name in ps, and a child that never outlives its parent."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trackflowd import proc

#: A supervisor that starts one child and waits; the child ties itself to it, then says its pid.
PARENT = """
import socket, subprocess, sys
ours, theirs = socket.socketpair()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(theirs.fileno())], pass_fds=[theirs.fileno()])
child.wait()
"""
CHILD = """
import os, signal, sys
from trackflowd import proc
before = os.nice(0)
proc.become("trackflowd: worker 7", int(sys.argv[1]), 3)
ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
print(os.getpid(), ignored, os.nice(0) - before, flush=True)
signal.pause()
"""


def name(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def test_a_child_has_a_name_leaves_ctrl_c_alone_and_dies_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, ignored, nicer = parent.stdout.readline().split()
    child = os.pidfd_open(int(pid))
    try:
        assert name(int(pid)) == "trackflowd: worker 7"
        assert (ignored, nicer) == ("True", "3")
        parent.kill()
        parent.wait()
        assert select.select([child], [], [], 30)[0], "the child outlived its parent by 30 s"
    finally:
        os.close(child)
        parent.stdout.close()


def test_a_child_whose_supervisor_is_gone_ends() -> None:
    ours, theirs = socket.socketpair()
    code = "import sys; from trackflowd import proc; proc.become('x', int(sys.argv[1]))"
    # The shell in between stands for a parent that is not the one that made the channel.
    command = ["sh", "-c", '"$0" -c "$1" "$2"; exit $?', sys.executable, code, str(theirs.fileno())]
    done = subprocess.run(command, pass_fds=[theirs.fileno()], capture_output=True, text=True, check=False)
    ours.close()
    theirs.close()
    assert done.returncode == 1
    assert "Orphaned" in done.stderr


def test_without_a_channel_only_the_name_changes() -> None:
    code = "import os, signal; from trackflowd import proc; proc.become('trackflowd: supervisor')\n"
    code += "print(open('/proc/self/cmdline').read().rstrip('\\0'), signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "trackflowd: supervisor False\n"


def test_the_maker_of_a_socketpair_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert proc.socketpair_maker(theirs.fileno()) == os.getpid()
        theirs.getpeername()  # still open


def test_a_refused_prctl_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "_PR_SET_PDEATHSIG", 10**6)
    with pytest.raises(OSError, match="PDEATHSIG"):
        proc.die_with_parent()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_freed_memory_is_kept_for_the_next_batch() -> None:
    """In a process of its own: the second round of a batch's size faults no page in that the first one had."""
    code = """
import resource
from trackflowd import proc
assert proc.keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(b"x") * 2**24 for _ in range(4)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
assert first > 4 * 4000, first
assert faults() < first / 10
"""
    subprocess.run([sys.executable, "-c", code], check=True)
