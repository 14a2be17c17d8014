"""Made batches for tests of sinks."""

from __future__ import annotations

from typing import Any

from tests.rows import NOW, SITE, event_id, values_of
from trackflowd.event import FIELDS
from trackflowd.sink.base import Batch

PARTITION = 202511  # the month of rows.NOW


def columns(numbers: range, batch_id: int, site: str = SITE) -> dict[str, list[Any]]:
    """A column per field; the values of a row are a function of its number."""
    rows = [values_of(n, site) | {"event_id": event_id(n), "received": NOW + n, "_batch": batch_id} for n in numbers]
    return {field.name: [row[field.name] for row in rows] for field in FIELDS}


def batch(batch_id: int, numbers: range, attempt: int = 1, site: str = SITE) -> Batch:
    """A batch of made rows."""
    return Batch(batch_id, attempt, PARTITION, len(numbers), columns(numbers, batch_id, site))


def repeated(sent: Batch, times: int) -> Batch:
    """The rows of a batch over and over, as one batch: many rows at little cost."""
    return Batch(
        sent.batch_id,
        sent.attempt,
        sent.partition,
        sent.rows * times,
        {name: list(values) * times for name, values in sent.columns.items()},
    )
