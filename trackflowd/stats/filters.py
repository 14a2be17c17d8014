"""What a filter of a statistic means: ``page is /pricing``, ``country is not DE``, ``property plan contains pro``.

A filter looks at events, each for itself, or at how a visit began: only the first page of a visit knows where it came
from. So a filter on a source keeps a visit's events all or none. Several filters hold together (and).

::

    FIELD is VALUE      FIELD is not VALUE      FIELD contains VALUE      FIELD does not contain VALUE
    FIELD=VALUE         FIELD!=VALUE            FIELD~VALUE               FIELD!~VALUE
    property NAME is VALUE                      property:NAME=VALUE

Texts are compared as they are stored, letter by letter. "" is what has none: ``country is`` means unknown countries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trackflowd.errors import QueryError

Operator = Literal["is", "is not", "contains", "does not contain"]

#: Column of ``events`` each filter on events looks at.
EVENT_FIELDS: Mapping[str, str] = {
    "site": "site",
    "page": "path",
    "hostname": "hostname",
    "event": "name",
    "country": "country",
    "region": "region",
    "city": "city",
    "browser": "browser",
    "os": "os",
    "device": "device",
    "language": "language",
}

#: The same for filters on how a visit began.
VISIT_FIELDS: Mapping[str, str] = {
    "source": "source",
    "medium": "medium",
    "channel": "channel",
    "campaign": "utm_campaign",
    "referrer": "referrer_host",
}

PROPERTY = "property"

#: Most filters of one statistic, and most letters of a value: bounds of what a store is asked, far above use.
MAX_FILTERS = 20
MAX_VALUE = 1024

_SIGNS: Mapping[str, Operator] = {"=": "is", "!=": "is not", "~": "contains", "!~": "does not contain"}
_WORDS = re.compile(r"\s+(is\s+not|is|contains|does\s+not\s+contain)(?:\s+|$)")
_SIGN = re.compile(r"\s*(!=|!~|=|~)\s*")
_PROPERTY = re.compile(rf"{PROPERTY}(?:\s*:\s*|\s+)(?P<name>\S.*)", re.DOTALL)
_FORM = "as in: page is /pricing, country is not DE, event contains sign, property plan is pro"


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter.

    Args:
        column: of ``events``.
        operator: how its text is compared.
        value: with what.
        key: of the map in that column; "" where the column is a text.
        of_visit: looks at the first event of the visit, not at each event.
    """

    column: str
    operator: Operator
    value: str
    key: str = ""
    of_visit: bool = False


def parse(text: str) -> Filter:
    """The filter a text means.

    Raises:
        QueryError: none.
    """
    name, operator, value = _parts(text)
    if "\0" in text or len(value) > MAX_VALUE:
        raise QueryError(f"filter {text[:80]!r}: a value has at most {MAX_VALUE} letters, and no NUL")
    if not value and "contain" in operator:
        raise QueryError(f"filter {text!r}: every text contains the empty one", _FORM)
    if match := _PROPERTY.fullmatch(name):
        return Filter("props", operator, value, match["name"])
    if column := EVENT_FIELDS.get(name):
        return Filter(column, operator, value)
    if column := VISIT_FIELDS.get(name):
        return Filter(column, operator, value, of_visit=True)
    known = ", ".join([*EVENT_FIELDS, *VISIT_FIELDS, f"{PROPERTY} NAME"])
    raise QueryError(f"filter {text!r}: nothing is called {name!r}", f"one can filter by {known}")


def _parts(text: str) -> tuple[str, Operator, str]:
    """Name, operator and value, at the first operator there is: a name has none in it, a value may."""
    words, sign = _WORDS.search(text), _SIGN.search(text)
    if words and (sign is None or words.start() < sign.start()):
        found, operator = words, " ".join(words[1].split())
    elif sign:
        found, operator = sign, _SIGNS[sign[1]]
    else:
        raise QueryError(f"filter {text!r}: no is, is not, contains or does not contain in it", _FORM)
    return text[: found.start()].strip(), _operator(operator), text[found.end() :].strip()


def _operator(text: str) -> Operator:
    return next(one for one in _SIGNS.values() if one == text)
