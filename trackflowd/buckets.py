"""The buckets of all limits: memory that every worker maps and reads, and in which each writes its own part only.

A bucket is whole again at a time: what was ever taken from it (``spent``) plus the time it stood whole and let
allowance pass by (``idle``), both in ns. Each worker adds what it takes itself to a ``spent`` of its own; the bucket's
is their sum. ``idle`` never falls, and it grows only where somebody finds the bucket whole: right before taking from
it. So whoever takes knows the new value by itself, and the bucket's is the greatest anybody has written.

Nothing is locked or compared and swapped, and a limit holds for the daemon as a whole, however connections are dealt
among workers. Two workers that look at the same moment may both take the last of it; the sum says so to the next one,
so that it is owed, not lost.

Layout, in native words of 8 bytes, each written by one process through ``memoryview.cast("Q")`` (see ``shared``)::

    line 0      magic | regions | 4 words of random key                              supervisor
    then        a region for each worker slot: sets, each of
                8 tags | 8 spent | 8 idle | 8 times at which it was whole when last used   the worker

A bucket's tag is a keyed hash of what it counts, 64 bits; 0: the place is free. The tag gives the set; in it the worker
takes any place. A full set gives up the bucket that is whole again, which loses nothing, or else the one that
will be first. Sites have sets of their own, so that many addresses do not push them out.

The memory is a memfd of the supervisor's: it has no name and is in no file, addresses are not in it, and with the
daemon the key is gone, too. It outlives workers, so that killing one gives nobody a new allowance.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import time
from collections.abc import Callable, Sequence

from trackflowd.enrich.cache import Generations
from trackflowd.errors import TrackflowError
from trackflowd.limits import LONGEST, Limit, Want, counted_as

#: Buckets of one set.
WAYS = 8
#: Sets of a region: room for 8192 sites (2000 can be registered) and for 32,768 addresses that have sent within their
#: burst's time. A region takes 1.3 MB, of which only what is used is real.
SITE_SETS, ADDRESS_SETS = 1024, 4096

_SPENT, _IDLE, _WHOLE = WAYS, 2 * WAYS, 3 * WAYS
_SET = 4 * WAYS
_HEAD = 16
_REGION = _SET * (SITE_SETS + ADDRESS_SETS)
_MAGIC = int.from_bytes(b"TFBUCK01", "little")
_REGIONS, _KEY = 1, slice(2, 6)
#: Tags of a generation (see ``Generations``): computing one takes 2 µs, looking it up 0.3. They are the only place
#: where an address is beside its bucket.
_KNOWN = 8192


def _size(regions: int) -> int:
    return 8 * (_HEAD + regions * _REGION)


class Buckets:
    """The memory, mapped. Make it with ``create`` (supervisor) or ``attach`` (worker).

    Args:
        fd: of the memory; ``close`` closes it.
        slot: of the worker that takes from them; None: only looks.
        now: monotonic clock of all processes, ns.

    Attributes:
        fd: the same, to hand to workers.
    """

    def __init__(self, fd: int, slot: int | None, now: Callable[[], int] = time.monotonic_ns) -> None:
        self.fd = fd
        self._now = now
        self._own = -1 if slot is None else _HEAD + slot * _REGION
        self._known: Generations[tuple[Limit, str, str], int] = Generations(_KNOWN)
        self._map_all()

    @classmethod
    def create(cls, regions: int) -> Buckets:
        """New memory; its descriptor is close-on-exec until passed on.

        Args:
            regions: worker slots.
        """
        fd = os.memfd_create("trackflowd-buckets", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _size(regions))
        # Sealed: a child gone wrong cannot shrink it, which would kill the others with SIGBUS.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        with mmap.mmap(fd, 8 * _HEAD) as mapped, memoryview(mapped) as raw, raw.cast("Q") as words:
            words[_KEY] = memoryview(os.urandom(32)).cast("Q")
            words[_REGIONS] = regions
            words[0] = _MAGIC
        return cls(fd, None)

    @classmethod
    def attach(cls, fd: int, slot: int) -> Buckets:
        """The memory behind an inherited descriptor.

        Raises:
            TrackflowError: it is not that, or has no region for the slot.
        """
        try:
            found = cls(fd, slot)
        except (OSError, ValueError) as error:
            raise TrackflowError(f"fd {fd} does not hold the buckets of this version of trackflowd: {error}") from error
        if slot >= len(found._bases):
            raise TrackflowError(f"there are buckets for {len(found._bases)} workers, not for slot {slot}")
        return found

    def grow(self, regions: int) -> None:
        """Have room for so many workers (supervisor); there is never less than before."""
        if regions > len(self._bases):
            os.ftruncate(self.fd, _size(regions))
            self._words[_REGIONS] = regions
            self._map_all()

    def _map_all(self) -> None:
        with mmap.mmap(self.fd, 8 * _HEAD) as mapped, memoryview(mapped) as raw, raw.cast("Q") as head:
            if head[0] != _MAGIC:
                raise ValueError("another magic")
            regions = head[_REGIONS]
        self._map = mmap.mmap(self.fd, _size(regions))
        self._words = memoryview(self._map).cast("Q")
        self._key = bytes(self._words[_KEY])
        self._bases = [_HEAD + region * _REGION for region in range(regions)]

    def take(self, wants: Sequence[Want]) -> tuple[Limit, int] | None:
        """Take from all buckets, or from none.

        Returns:
            The first limit that does not let it pass, and the ns until it would; None: it was taken.
        """
        now = self._now()
        if self._words[_REGIONS] != len(self._bases):
            self._map_all()
        taken = []
        for limit, site, address, events in wants:
            tag, first = self._place_of(limit, site, address)
            spent, idle, place = self._look(tag, first)
            whole = max(spent + idle, now)
            cost = min(limit.cost * events, 2 * LONGEST)
            wait = whole + min(cost, limit.burst) - limit.burst - now
            if wait > 0:
                return limit, wait
            taken.append((tag, first, place, whole - spent, whole + cost, cost))
        words = self._words
        for tag, first, place, idle, whole, cost in taken:
            if not place or words[place] != tag:  # the claim before may have taken the place
                place = self._claim(tag, first, now)
            if idle > words[place + _IDLE]:
                words[place + _IDLE] = idle
            words[place + _SPENT] += cost
            words[place + _WHOLE] = whole
        return None

    def forget(self) -> None:
        """Let go of the addresses that did not come since the last call."""
        self._known.turn()

    def _place_of(self, limit: Limit, site: str, address: str) -> tuple[int, int]:
        """A bucket's tag, and where in each region its set begins."""
        key = (limit, site, address)
        tag = self._known.get(key) or self._known.promote(key)
        if tag is None:
            # What the limit allows is part of it: a change begins a bucket anew, where the old sums would mean nothing.
            words = (limit.code, limit.row, str(limit.cost), str(limit.burst), site, counted_as(address))
            digest = hashlib.blake2b("\0".join(words).encode(), key=self._key, digest_size=8).digest()
            tag = int.from_bytes(digest, "little") or 1
            self._known.put(key, tag)
        sets = SITE_SETS + tag % ADDRESS_SETS if address else tag % SITE_SETS
        return tag, sets * _SET

    def _look(self, tag: int, first: int) -> tuple[int, int, int]:
        """What was spent of a bucket, its idle time, and our own place for it; 0: we have none."""
        words, spent, idle, own = self._words, 0, 0, 0
        for base in self._bases:
            start = base + first
            tags = words[start : start + WAYS].tolist()
            if tag in tags:
                place = start + tags.index(tag)
                spent += words[place + _SPENT]
                idle = max(idle, words[place + _IDLE])
                if base == self._own:
                    own = place
        return spent, idle, own

    def _claim(self, tag: int, first: int, now: int) -> int:
        """A place of our own for a bucket."""
        words, start = self._words, self._own + first
        tags = words[start : start + WAYS].tolist()
        whole = words[start + _WHOLE : start + _WHOLE + WAYS].tolist()
        order = sorted(range(WAYS), key=lambda way: (tags[way] != 0, whole[way]))
        # by then others may have taken more of it than we knew
        way = next((way for way in order if not tags[way] or self._whole(tags[way], first) <= now), order[0])
        place = start + way
        words[place] = 0
        words[place + _SPENT] = words[place + _IDLE] = 0
        words[place] = tag
        return place

    def _whole(self, tag: int, first: int) -> int:
        spent, idle, _ = self._look(tag, first)
        return spent + idle

    def close(self) -> None:
        """Unmap."""
        self._words.release()
        self._map.close()
        os.close(self.fd)
