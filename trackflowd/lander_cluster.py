"""Batches on their way to a cluster: which host each goes to, and which one it is bound to.

::

    cut for a shard ──journal──▶ bound to a host ──▶ sent ──▶ held
      ▲      ▲                      │        │
      │      └── surely not sent ───┘        └──▶ in doubt: waits for that host, in the spool,
      │                                           whatever the others do
      └────────── released by the operator ───────┘

- A batch is bound before it is sent: the journal's entry comes first. So of a batch whose entry names a shard no host
  was ever sent anything, and it may go to any; of one whose entry names a host only that host can tell.
- A batch that was surely not sent (no connection, or refused before the insert began) may be bound anew: to a host of
  its shard, else to one of another, since reads go over all.
- A batch in doubt stays. While its host is away it is copied to the spool, so that its ring moves on, and is said in
  status, counters and log. Where the hosts of a shard are replicas of one table, another of them may tell instead:
  it first takes over what Keeper's log has (``HostSink.count``), and sends again under the same token, which Keeper
  takes once for all replicas.
- The trouble of a host is its own: each has its backoff, and is pinged before it is called again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trackflowd.batch import Columns
from trackflowd.cuts import Cut
from trackflowd.errors import DataDirError, SinkError, SpoolFull, StoreAway, StoreDoubt
from trackflowd.journal import Journal
from trackflowd.lander import OTHER_STORE, Lander
from trackflowd.openbatch import Open, Trouble
from trackflowd.selection import Tombstone
from trackflowd.sender import Sender
from trackflowd.settle import Case, Settler, Verdict
from trackflowd.shared import Slot
from trackflowd.sink.base import Clustered, Host, Sink
from trackflowd.sources import Sources

log = logging.getLogger(__name__)


class HostSettler(Settler):
    """Settles batches against one host; it is opened when it is first wanted.

    Args:
        host: of the cluster.
        breathe: see ``Settler``.

    Attributes:
        wary: the last call failed: see that it answers before it is called again.
    """

    def __init__(self, host: Host, breathe: Callable[[], None]) -> None:
        super().__init__(host, breathe)
        self._host = host
        self.wary = False

    def ready(self) -> Sink:
        """See ``Settler``."""
        self._host.reach(self.wary)
        return self._host

    def settle(self, case: Case) -> Verdict:
        """See ``Settler``."""
        self.ready()
        return super().settle(case)

    def whole_or_none(self, cut: Cut, without: Sequence[Tombstone] = ()) -> int:
        """See ``Settler``."""
        self.ready()
        return super().whole_or_none(cut, without)


@dataclass(slots=True, eq=False)
class Side:
    """A host, as the loop knows it.

    Attributes:
        reached: some call to it went well.
    """

    host: Host
    settler: HostSettler
    trouble: Trouble = field(default_factory=Trouble)
    reached: bool = False

    @property
    def state(self) -> str:
        """In a word, for status."""
        return self.trouble.state or ("ok" if self.reached else "starting")

    def free(self, now: float) -> bool:
        """Whether it may be called now."""
        return self.trouble.due <= now


class ClusterLander(Lander):
    """Owns the open batches of a cluster. Args: see ``Lander``."""

    def __init__(
        self,
        sink: Sink,
        journal: Journal,
        sources: Sources,
        columns: Columns,
        sender: Sender,
        slot: Slot,
        report: Callable[[str, str], None],
        ensure: Callable[[Callable[[], Any]], Any],
    ) -> None:
        super().__init__(sink, journal, sources, columns, sender, slot, report, ensure)
        assert isinstance(sink, Clustered)
        self._sides = {name: Side(host, HostSettler(host, sender.breathe)) for name, host in sink.hosts.items()}
        self._shards = {name: number for number, name in enumerate(sink.shards)}
        self._replicated = sink.replicated
        self._taken_over: set[Open] = set()

    # ------------------------------------------------------------ what is open

    def take_up(self, cut: Cut) -> None:
        """Take a batch that was journaled before; one that is bound to no host yet was never sent."""
        self._open.append(Open(cut, doubt=cut.store not in self._shards))
        self.gauge()

    def release(self, batch_id: int) -> None:
        """Free a batch from the host it is bound to: it is sent as if it never had been.

        If that host has it after all, its rows are there twice once the host is back. Under a fresh token, and with
        nobody asked.

        Raises:
            DataDirError: it is bound to no host, or is being sent right now.
        """
        one = next((one for one in self._open if one.cut.batch_id == batch_id), None)
        if one is None or one is self._sending or one.asking:
            raise DataDirError(f"batch {batch_id:032x} is being sent right now", "try again")
        if not _doubted(one):
            raise DataDirError(f"batch {batch_id:032x} is bound to no host", "it goes to any that takes it")
        host, shard = one.cut.store, self._shard_named(one.cut.store)
        self._bind(one, shard, one.cut.attempt + 1)
        one.doubt, one.case, one.due, one.words = False, None, 0.0, ""
        self._taken_over.discard(one)
        log.warning("batch %032x of %d rows was released from %s on request: stored twice if that has it",
                    batch_id, one.cut.rows, host)  # fmt: skip
        self.gauge()

    @property
    def hosts(self) -> list[dict[str, Any]]:
        """What status shows of each: ``host``, ``shard``, ``state``, ``text``, ``batches`` and ``rows`` bound to it."""
        shown = []
        for name, side in self._sides.items():
            bound = [one for one in list(self._open) if one.cut.store == name and self._waits(one)]
            shown.append(
                {
                    "host": name, "shard": side.host.shard + 1, "state": side.state,
                    "text": side.trouble.text, "batches": len(bound), "rows": sum(one.cut.rows for one in bound),
                }
            )  # fmt: skip
        return shown

    def gauge(self) -> None:
        """See ``Lander``."""
        super().gauge()
        bound = [one.cut.rows for one in self._open if self._waits(one)]
        self._slot.publish({"batches_bound": len(bound), "rows_bound": sum(bound)})

    # ------------------------------------------------------------------ sending

    def step(self) -> None:
        """See ``Lander``."""
        if self._open and self._waits(self._open[0]):
            # Rows that have to be looked up wait for all that was cut before them: not in the rings.
            for one in self._open[1:]:
                if one.cut.ask and not one.cut.segment:
                    self._park(one, "its rows may be in a batch in doubt")
        super().step()
        if self.opened and self._sender.idle:
            self._look(time.monotonic())

    def _look(self, now: float) -> None:
        """Nothing is to be sent: see whether a host that was away, or never called, is there."""
        side = next((side for side in self._sides.values() if side.state != "ok" and side.free(now)), None)
        if side is not None:
            side.settler.wary = True
            self._sender.submit(side.settler.ready, lambda _, error: self._looked(side, error))

    def _looked(self, side: Side, error: Exception | None) -> None:
        if error is None:
            self._well(side)
        elif isinstance(error, SinkError):
            self._ill(side, error)
        else:
            raise error
        self._say()

    def hurry(self) -> None:
        """See ``Lander``."""
        super().hurry()
        for side in self._sides.values():
            side.trouble.due = 0.0

    def ours(self, store: str) -> bool:
        """Whether it is a host or a shard of this cluster."""
        return store in self._sides or store in self._shards

    def settler_of(self, cut: Cut) -> Settler:
        """Speaks to the host the batch is bound to."""
        return self._side_of(cut).settler

    def _side_of(self, cut: Cut) -> Side:
        """The host it is bound to; of one that is bound to none (its rows are looked for), the first of its shard."""
        return self._sides.get(cut.store) or self._preferred(cut)[0]

    def _sendable(self, one: Open, now: float) -> bool:
        if not super()._sendable(one, now):
            return False
        return not _doubted(one) or one.cut.store not in self._sides or self._teller(one, now) is not None

    def _prepare(self, one: Open) -> Case | None:
        if self.ours(one.cut.store):
            now = time.monotonic()
            side = self._choose(one, now)
            if side is None:
                return None
            side.settler.wary = bool(side.trouble.state)
            if one.cut.store != side.host.identity:
                if _doubted(one):
                    self._taken_over.add(one)
                self._bind(one, side.host.identity, one.cut.attempt)
        return super()._prepare(one)

    def _choose(self, one: Open, now: float) -> Side | None:
        """The host it may be sent to now."""
        if _doubted(one):
            return self._teller(one, now)
        return next((side for side in self._preferred(one.cut) if side.free(now)), None)

    def _teller(self, one: Open, now: float) -> Side | None:
        """A host that can be asked now about a batch in doubt: its own, else a replica that is well."""
        own = self._sides[one.cut.store]
        if own.free(now) or not self._replicated:
            return own if own.free(now) else None
        others = (side for side in self._sides.values() if side.host.shard == own.host.shard and side is not own)
        return next((side for side in others if not side.trouble.state), None)

    def _preferred(self, cut: Cut) -> list[Side]:
        """All hosts: those of its shard first, then those of the shards that follow it."""
        own = self._sides.get(cut.store)
        shard = own.host.shard if own else self._shards.get(cut.store, 0)
        return sorted(self._sides.values(), key=lambda side: (side.host.shard - shard) % len(self._shards))

    def _shard_named(self, store: str) -> str:
        own = self._sides.get(store)
        return list(self._shards)[own.host.shard if own else 0]

    def _bind(self, one: Open, store: str, attempt: int) -> None:
        """From now on it is this host's (or, released, its shard's); in the journal first."""
        self._ensure(lambda: self._journal.attempt(one.cut.batch_id, attempt, store))
        one.cut = replace(one.cut, store=store, attempt=attempt)

    # ------------------------------------------------------------------ answers

    def _answered(self, one: Open, case: Case, verdict: Verdict | None, error: Exception | None) -> None:
        if verdict is Verdict.FRESH and self._replicated:
            # Keeper takes a token with its part or not at all; a fresh one could meet a late twin on a host cut off.
            case.batch = replace(case.batch, attempt=one.cut.attempt)
            verdict, error = None, StoreDoubt("a replica took the batch and does not show it")
        if error is None:
            self._well(self._side_of(one.cut))
            self._taken_over.discard(one)
        super()._answered(one, case, verdict, error)

    def _well(self, side: Side) -> None:
        side.reached = True
        if side.trouble.state:
            log.info("host %s: ok", side.host.identity)
            side.trouble = Trouble()

    def _ill(self, side: Side, error: SinkError) -> None:
        before = side.trouble.state
        side.trouble.note(error)
        if side.trouble.state != before:
            log.warning("host %s: %s: %s", side.host.identity, side.trouble.state, error)

    def _in_trouble(self, error: Exception | None, one: Open | None = None) -> None:
        if one is None or not isinstance(error, SinkError):
            super()._in_trouble(error, one)
            return
        side = self._side_of(one.cut)
        if one in self._taken_over and isinstance(error, StoreAway):
            one.due = time.monotonic() + OTHER_STORE  # it waits for a part on its way: no trouble of this host's
        else:
            self._ill(side, error)
        if _doubted(one) and isinstance(error, StoreAway):
            self._park(one, f"{one.cut.store} alone can tell whether it has it: {error}")
        self._say()

    def _park(self, one: Open, reason: str) -> None:
        """Have it in the spool, whatever the spool's bound, so that its ring moves on."""
        if one.cut.segment or one is self._sending:
            return
        rows = self._rows_of(one)
        if rows is None:
            return
        try:
            self._to_spool(one, rows, reason, beyond=True)
        except SpoolFull as full:
            log.error("%s; batch %032x waits in the rings", full, one.cut.batch_id)
            return
        log.error("batch %032x of %d rows waits in the spool: %s", one.cut.batch_id, one.cut.rows, reason)

    def _waits(self, one: Open) -> bool:
        """In doubt, with a host that is not well."""
        side = self._sides.get(one.cut.store)
        return side is not None and _doubted(one) and bool(side.trouble.state)

    def _say(self) -> None:
        """Tell how the store is: as its hosts are when none is well, else well."""
        bad = [side.trouble for side in self._sides.values() if side.trouble.state]
        if len(bad) < len(self._sides) or self._trouble.state:
            super()._say()
        else:
            self._report(bad[0].state, "; ".join(trouble.text for trouble in bad))


def _doubted(one: Open) -> bool:
    """Whether some host may have it."""
    return one.case.doubt if one.case is not None else one.doubt


def lander_for(sink: Sink, *rest: Any) -> Lander:
    """What owns the open batches of this sink. Args: see ``Lander``."""
    return ClusterLander(sink, *rest) if isinstance(sink, Clustered) else Lander(sink, *rest)


def stores_of(sink: Sink) -> Sequence[str]:
    """Identities that batches are cut for: of the store, or of each shard."""
    return sink.shards if isinstance(sink, Clustered) else (sink.identity,)


def hosts_of(lander: Lander) -> list[dict[str, Any]]:
    """What status shows of the hosts of a cluster; [] of another store."""
    return lander.hosts if isinstance(lander, ClusterLander) else []


def release(lander: Lander, batch_id: int) -> None:
    """See ``ClusterLander.release``.

    Raises:
        DataDirError: that, or the store is no cluster.
    """
    if not isinstance(lander, ClusterLander):
        raise DataDirError("the store has one host: its batches wait for that", "see store.cluster")
    lander.release(batch_id)
