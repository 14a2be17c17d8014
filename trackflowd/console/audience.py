"""The tab Audience: who is there now, and the top pages, sources, countries, devices and campaigns of a period."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from trackflowd.cli_text import clean, count, duration
from trackflowd.console.charts import ranking, spark
from trackflowd.console.dialog import Prompt, refused
from trackflowd.console.lines import Line, Segment, beside, pad, shares, title, wrap
from trackflowd.console.tab import Answer, Desk, Key, Tab
from trackflowd.errors import TrackflowError
from trackflowd.stats.periods import minute_end

#: Periods by name, s back from the end of this minute.
PERIODS: tuple[tuple[str, int], ...] = (
    ("30 min", 1800),
    ("24 h", 86_400),
    ("7 days", 604_800),
    ("30 days", 2_592_000),
)
#: Lists in the order they are shown, with the column that names a row and the figure of its bar.
LISTS: tuple[tuple[str, str, str], ...] = (
    ("pages", "page", "visitors"),
    ("sources", "source", "visits"),
    ("countries", "country", "visitors"),
    ("devices", "device", "visitors"),
    ("campaigns", "campaign", "visits"),
    ("events", "event", "events"),
)
#: Seconds between two rounds of questions, at least.
EVERY = 5.0
#: A round's own time is this many times the pause after it: the store has the rest of the time for itself.
_PAUSE = 9.0
#: Rows asked for of each list.
_LIMIT = 20
#: Columns from which lists stand three beside each other.
_THREE = 114
_SITES = "SELECT site, count(*) AS n FROM events GROUP BY site ORDER BY n DESC, site LIMIT 100"


class Audience(Tab):
    """See above.

    Args:
        desk: what it stands on.
        site: to begin with; "": all.
    """

    name = "Audience"
    keys = (
        Key("s", "s", "site", "choose a site, or all of them"),
        Key("[", "[", "shorter", "a shorter period"),
        Key("]", "]", "longer", "a longer period"),
    )

    def __init__(self, desk: Desk, site: str = "") -> None:
        super().__init__(desk)
        self.site = site
        self._period = 1
        self._values: dict[str, Mapping[str, Any]] = {}
        self._error: TrackflowError | None = None
        self._round = 0
        self._asking = ""
        self._shown = False
        self._began = self._due = 0.0
        self._came = 0.0

    # ---------------------------------------------------------------- questions

    def show(self) -> None:
        self._shown = True
        self._due = 0.0

    def hide(self) -> None:
        self._shown = False

    def tick(self, now: float) -> bool:
        if not self._asking and now >= self._due and self.desk.know.told is None:
            self._began = now
            self._ask("live")
        return False

    def _ask(self, name: str) -> None:
        """Ask for one of them; the others follow, one after another."""
        self._asking = name
        number = self._round
        args: dict[str, Any] = {"name": name, "site": self.site}
        if name != "live":
            end_ms = minute_end(time.time_ns() // 1_000_000)
            args |= {"from": end_ms - PERIODS[self._period][1] * 1000, "limit": _LIMIT}
        self.desk.ask("stats", lambda answer: self._take(name, number, answer), **args)

    def _take(self, name: str, number: int, answer: Answer) -> None:
        self._asking = ""
        if number != self._round or not self._shown:
            self._due = 0.0  # it is of another site or period by now
            return
        now = time.monotonic()
        self._error = answer.error
        if answer.error is not None:
            self._due = now + EVERY
            return
        self._values[name] = answer.value or {}
        names = ["live", *(one for one, _, _ in LISTS)]
        after = names[names.index(name) + 1 :]
        if after:
            self._ask(after[0])
        else:
            self._came = now
            self._due = now + max(EVERY, _PAUSE * (now - self._began))

    def _restart(self) -> None:
        """Site or period is another one: what is known is of the one before."""
        self._round += 1
        self._values.clear()
        self._error = None
        self._came = self._due = 0.0

    @property
    def waits(self) -> bool:
        return not self._came and self._error is None

    # --------------------------------------------------------------------- keys

    def press(self, key: str) -> bool:
        if key in ("[", "]"):
            self._set_period(min(max(self._period + (1 if key == "]" else -1), 0), len(PERIODS) - 1))
        elif key == "s":
            self.desk.ask("query", self._offer_sites, sql=_SITES, format="json")
        else:
            return False
        return True

    def click(self, does: str) -> None:
        self._set_period(int(does.removeprefix("period ")))

    def _set_period(self, number: int) -> None:
        if number != self._period:
            self._period = number
            self._restart()

    def _offer_sites(self, answer: Answer) -> None:
        if answer.error is not None:
            self.desk.open(refused("The sites are not known", answer.error))
            return
        raw = answer.value
        text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
        sites = [clean(json.loads(line)["site"]) for line in text.splitlines() if line.strip()]
        about = "a site's name; empty: all of them"
        self.desk.open(Prompt("Site", about, self.site, ("", *sites), self._set_site))

    def _set_site(self, site: str) -> None:
        if site != self.site:
            self.site = site
            self._restart()

    # ------------------------------------------------------------------ drawing

    def draw(self, columns: int, rows: int, now: float) -> list[Line]:
        drawn: list[Line] = [self._head(columns), *self._live(columns), []]
        if self._error is not None:
            said = [*wrap(self._error.text, columns, "bad"), *wrap(self._error.hint, columns, "dim")]
            return [*drawn, *said]
        across = 3 if columns >= _THREE else 2
        bands = -(-len(LISTS) // across)
        widths = shares(columns, across, 3)
        for band, high in enumerate(shares(max(rows - len(drawn) + 1, 3 * bands), bands, 0)):
            lists = LISTS[band * across : (band + 1) * across]
            blocks = [(self._list(*one, wide, high), wide) for one, wide in zip(lists, widths, strict=False)]
            drawn += beside(blocks, 3)
        return drawn[:rows]

    def _head(self, columns: int) -> Line:
        line: list[Segment] = [
            Segment("site ", "dim", "key s"),
            Segment(self.site or "all", "bold", "key s"),
            Segment("    "),
        ]
        line.append(Segment("period ", "dim"))
        for number, (name, _) in enumerate(PERIODS):
            attr = "tab on" if number == self._period else "tab"
            line.append(Segment(f" {name} ", attr, f"period {number}"))
        if self._came:
            age = time.monotonic() - self._came
            line.append(Segment(f"    as of {f'{duration(age)} ago' if age >= 1 else 'now'}", "dim"))
        elif self._error is None:
            line.append(Segment("    asking the store …", "dim"))
        return line

    def _live(self, columns: int) -> list[Line]:
        live = self._values.get("live") or {}
        totals: Mapping[str, Any] = live.get("totals") or {}
        minutes = live.get("minutes") or ()
        if not live:
            return [[], []]
        here = totals.get("visitors") or 0
        return [
            [
                Segment(count(here), "bold" if not here else "good"),
                Segment(f" visitor{'' if here == 1 else 's'} in the last 5 minutes", ""),
                Segment(f", {count(totals.get('views') or 0)} views, {count(totals.get('events') or 0)} events", "dim"),
            ],
            [
                Segment("views of the last half hour  ", "dim"),
                *spark([float(row.get("views") or 0) for row in minutes]),
                Segment(f"  {count(sum(row.get('views') or 0 for row in minutes))}", "bold"),
            ],
        ]

    def _list(self, name: str, label: str, figure: str, columns: int, rows: int) -> list[Line]:
        """One list, its heading and an empty line below it included."""
        found: Sequence[Mapping[str, Any]] = (self._values.get(name) or {}).get(name) or ()
        head = title(name.capitalize(), columns, figure)
        if not found:
            text = "nothing in this period" if name in self._values else "…"
            return [head, [Segment(text, "dim")]]
        kept = found[: max(rows - 2, 1)]
        pairs = [(str(row.get(label) or "(none)"), float(row.get(figure) or 0)) for row in kept]
        wide = max(len(count(value)) for _, value in pairs)
        return [head, *ranking(pairs, columns, [pad(count(value), wide, right=True) for _, value in pairs]), []]
