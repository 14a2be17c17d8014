"""Answers put together from days, and parts of days, that were added up before or are added up now.

See ``pieces`` for why that is exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from trackflowd.errors import AnswerTooLong, QueryError
from trackflowd.stats.compose import Scope
from trackflowd.stats.pieces import AT_ONCE, LONGEST, SUMMED, Piece, Sum, Sums, cut, order_of, top

#: Seconds of a request for adding up what is not known yet: an answer has to come within ``query.max_seconds`` (30).
#: After that everything is read at once; what was added up is kept (but for busy days), and the next request goes on
#: from there.
PATIENCE = 10.0

#: A day that had an event so short a time (ms) ago is about to have another one: what is known of it is not kept.
BUSY_MS = 10_000

#: What a question about a piece may raise: a limit, a store that is away, a text that is no Unicode, of a row that the
#: answer may not even show. The whole question says so if it cannot be answered either; the next request tries again.
_NO_ANSWER = (QueryError, UnicodeDecodeError)

#: Asks a file of a scope, with values of more parameters.
Ask = Callable[..., Sequence[Mapping[str, Any]]]


class Summed:
    """Answers to one request's questions.

    Args:
        ask: asks the store.
        sums: what is known from before; what is found out now is added.
        scopes: periods of the request, all of one site and without filters.
    """

    def __init__(self, ask: Ask, sums: Sums, scopes: Sequence[Scope]) -> None:
        self._ask = ask
        self._sums = sums
        self._whole = replace(
            scopes[0], start_ms=min(scope.start_ms for scope in scopes), end_ms=max(scope.end_ms for scope in scopes)
        )
        self._cleared = sums.cleared
        self._until = time.monotonic() + PATIENCE
        self._fresh: list[tuple[str, Scope, Piece, Sum | None]] = []
        self._days = self._look()

    def rows(self, file: str, scope: Scope, limit: int, offset: int) -> list[dict[str, Any]] | None:
        """Rows of a statistic; None if they cannot be had in this way.

        Args:
            file: its name.
            scope: one of the request's.
            limit, offset: rows wanted, rows left out before them.
        """
        pieces = cut(self._days, scope) if file in SUMMED else []
        if not pieces:
            return None
        parts = self._known(file, pieces)
        known = len(parts)
        missing = [piece for piece in pieces if piece not in parts]
        while missing:
            if None in parts.values() or not self._sums.have_room(parts.values(), len(pieces)):
                return None
            if self._fresh and time.monotonic() > self._until:
                return None
            longest = max((len(part.labels) for part in parts.values() if part), default=0)
            try:
                found = self._add_up(file, missing, longest)
            except _NO_ANSWER:
                return None
            self._fresh += [(file, scope, piece, part) for piece, part in found.items()]
            parts |= found
            missing = missing[len(found) :]
        wanted = [parts[piece] for piece in pieces]
        if None in wanted:
            return None
        self._sums.used(known)
        return top(file, [part for part in wanted if part], limit, offset)

    def keep(self) -> None:
        """Keep what was found out, but for days that changed meanwhile: their sums may be of before or after."""
        quiet_ms = time.time_ns() // 1_000_000 - BUSY_MS
        fresh = [found for found in self._fresh if found[2].last_ms < quiet_ms]
        if fresh:
            days = self._look()
            now = {scope: frozenset(cut(days, scope)) for _, scope, _, _ in fresh}
            for file, scope, piece, part in fresh:
                if piece in now[scope]:
                    self._sums.put(file, piece, part, self._cleared)

    def _look(self) -> Sequence[Mapping[str, Any]]:
        """Days and their stamps; none while there are parts without: to work theirs out would read all of them.

        None either where the store does not say: some servers show their parts to few.
        """
        try:
            [row] = self._ask("unstamped", self._whole)
            self._sums.unstamped = int(row["parts"])
            return self._ask("stamps", self._whole) if not self._sums.unstamped else ()
        except QueryError:
            return ()

    def _known(self, file: str, pieces: Sequence[Piece]) -> dict[Piece, Sum | None]:
        known = {piece: self._sums.get(file, piece) for piece in pieces}
        return {piece: found[0] for piece, found in known.items() if found is not None}

    def _add_up(self, file: str, pieces: Sequence[Piece], longest: int) -> dict[Piece, Sum | None]:
        """Sums of the first of these pieces, and of as many after it as one answer may hold.

        Args:
            longest: most rows a piece was seen to have; 0 if none was seen.
        """
        untold = 1 if pieces[0].whole else 2  # a period of two parts of days is no longer than one of a day
        days = _run(pieces, LONGEST // longest if longest else untold)
        if len(days) > 1:
            scope = replace(days[0].scope, end_ms=days[-1].scope.end_ms, by_day=True,
                            until_ms=max(piece.scope.until_ms for piece in days))  # fmt: skip
            with suppress(*_NO_ANSWER):  # more than a query may read
                if (rows := self._rows(file, scope)) is not None:
                    return {piece: _sum(file, [row for row in rows if int(row["day"]) == piece.day]) for piece in days}
        rows = self._rows(file, pieces[0].scope)
        return {pieces[0]: None if rows is None else _sum(file, rows)}

    def _rows(self, file: str, scope: Scope) -> Sequence[Mapping[str, Any]] | None:
        """All rows of a statistic, None if they are too many, or too long for an answer."""
        try:
            rows = self._ask(file, scope, limit=LONGEST + 1, offset=0)
        except AnswerTooLong:
            return None
        return rows if len(rows) <= LONGEST else None


def _run(pieces: Sequence[Piece], most: int) -> Sequence[Piece]:
    """The first pieces of days that follow one another: so many, and no more events than fit."""
    run = list(pieces[:1])
    for piece in pieces[1:most]:
        # Its number alone does not tell: that of the part before all whole days may be one more than the last one's.
        follows = (piece.day - run[-1].day) % 1024 == 1 and piece.scope.start_ms >= run[-1].scope.end_ms
        if not follows or sum(day.events for day in run) + piece.events > AT_ONCE:
            break
        run.append(piece)
    return run


def _sum(file: str, rows: Sequence[Mapping[str, Any]]) -> Sum:
    return Sum.of(rows, order_of(file)[1])
