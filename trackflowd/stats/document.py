"""A statistic's answer as it leaves the house: one JSON document, or CSV. The command line and the admin listener give
the same.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from trackflowd.stats.catalogue import OF_PARTS, STATISTICS, VALUES
from trackflowd.stats.spans import Period


def document(value: Mapping[str, Any], span: Period | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The answer with what it is of: site, zone, period (dates with their offset) and filters.

    Args:
        value: as ``stats.answer`` has it.
        span: what it is of; None where there is no period.
        asked: the arguments it was asked for with.
    """
    return {**_heading(span, asked), **_dated(value, span)}


def _heading(span: Period | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    if span is None:
        return {}
    return {
        "site": asked.get("site") or None,
        "zone": asked.get("zone"),
        "period": span.as_dict(),
        "where": list(asked.get("where") or ()),
    }


def _dated(value: Mapping[str, Any], span: Period | None) -> dict[str, Any]:
    """The answer without the period, which the heading has; the one before as dates too."""
    dated = {name: part for name, part in value.items() if name != "period"}
    if before := dated.get("previous_period"):
        dated["previous_period"] = Period.of(before, span.end.tzinfo if span and span.end.tzinfo else UTC).as_dict()
    return dated


def as_csv(name: str, value: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """A table as it is; where an answer has several, a line per figure, which is the same for all of them.

    Args:
        name: of the statistic.
        value, asked: see ``document``.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if name not in OF_PARTS:
        columns = VALUES if asked.get("property") else STATISTICS[name].columns
        writer.writerow(column.name for column in columns)
        writer.writerows([row[column.name] for column in columns] for row in value[name])
        return text.getvalue()
    writer.writerow(("section", "name", "measure", "value"))
    for section in ("totals", "previous"):
        writer.writerows((section, "", measure, number) for measure, number in (value.get(section) or {}).items())
    for section, rows in value.items():
        for row in rows if isinstance(rows, list) else ():
            label, *figures = row.items()
            writer.writerows((section, label[1], measure, number) for measure, number in figures)
    return text.getvalue()
