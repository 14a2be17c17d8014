"""A disk that others fill, a disk that refuses the spool call by call (what else may be full: test_full_disk)."""

from __future__ import annotations

from pathlib import Path

from tests.front_process import FrontProcess
from tests.process.harness import Daemon, until
from tests.process.judge import judge, settle
from tests.process.mounts import ext4, fill, inside
from tests.process.sender import event_of
from tests.process.tracer import injecting

#: Events of one request.
FEW = 50
#: A ring that fills up soon, and a spool that is asked for at once.
SMALL = ("daemon.workers=1", "ring.size=64KiB", "spool.start_at=1", "spool.keep_free=0", "batch.max_age=0.05")


class Sent:
    """What was sent in requests of ``FEW``, and what of it was answered 200."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.count = 0
        self.answered: set[int] = set()

    def post(self) -> bool:
        """Send the next; whether it was taken. What is not taken must be refused in time, as it should be."""
        numbers = range(self.count, self.count + FEW)
        status, answer = self.daemon.post([event_of(n, 0) for n in numbers])
        assert status == 200 or (status, answer["error"]) == (503, "ring_full"), answer
        self.count += FEW
        self.answered |= set(numbers) if status == 200 else set()
        return status == 200

    def assert_stored(self) -> None:
        """All of it once, and nothing set aside or left behind."""
        settle(self.daemon)
        verdict = judge(self.daemon, self.count, self.answered)
        assert verdict.kept, verdict
        assert self.daemon.status()["totals"]["records_quarantined"] == 0


def test_a_disk_filled_by_others_stops_no_answer_while_the_rings_have_room_and_all_lands_when_it_is_free(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    disk = ext4(data, tmp_path / "image", 192 * 2**20)
    with Daemon(tmp_path, "store.url=chdb:", "dedup.max_ids=20000", "batch.max_age=0.05", before=disk) as daemon:
        sent = Sent(daemon)
        assert sent.post()
        settle(daemon)
        ballast = inside(daemon.pid("supervisor"), data / "ballast")
        fill(ballast)
        for _ in range(20):
            assert sent.post(), "the rings are there and have room"
        daemon.await_status(lambda status: not status["health"]["ready"])
        pids = daemon.pids()
        ballast.unlink()
        sent.assert_stored()
        assert daemon.pids() == pids, "nothing was killed by SIGBUS"
        assert daemon.stop() == 0


#: strace's ``inject`` → what the disk refuses then.
REFUSED = {
    "write:error=EIO:when=1": "the segment's bytes",
    "fsync:error=EIO:when=1": "their sync",
    "rename:error=EIO:when=1": "their name",
    "fsync:error=EIO:when=2": "the sync of the directory",
    "openat:error=EMFILE:when=1+": "a descriptor",
}


def spooling_fails(sent: Sent, flusher: int, what: str, time: int) -> None:
    """The next batch meets it, stays where it is, says so, and is in the spool when it is over."""
    daemon = sent.daemon
    spooled = daemon.status()["totals"]["batches_spooled"]
    with injecting(flusher, what):
        assert sent.post()
        until(lambda: daemon.log().count("events wait in the rings") == time)
        assert daemon.status()["totals"]["batches_spooled"] == spooled
    daemon.await_status(lambda status: status["totals"]["batches_spooled"] > spooled)


def test_a_batch_whose_spooling_fails_at_any_call_stays_in_the_ring_and_is_spooled_later(tmp_path: Path) -> None:
    with FrontProcess(tmp_path / "front") as front, Daemon(tmp_path, f"store.url={front.url}", *SMALL) as daemon:
        sent = Sent(daemon)
        front.order("refuse")
        assert sent.post()
        daemon.await_status(lambda status: status["totals"]["batches_spooled"])
        flusher = daemon.pid("flusher")
        for time, what in enumerate(REFUSED, start=1):
            spooling_fails(sent, flusher, what, time)
        front.order("accept")
        sent.assert_stored()
        assert daemon.pid("flusher") == flusher
        assert list((daemon.data_dir / "spool").iterdir()) == []
        assert daemon.stop() == 0
