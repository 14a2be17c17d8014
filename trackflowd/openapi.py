"""OpenAPI 3.1: the words that the documents of both listeners are made of.

``openapi_events`` and ``openapi_admin`` write the documents from the tables the code itself runs on (fields, codes,
settings, statistics, routes), ``openapi_rows`` the schemas of what is answered. ``docs/openapi.json`` and
``docs/openapi-admin.json`` are what they come to; `make format` writes them, a test holds them equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import trackflowd

#: A piece of a document.
Json = dict[str, Any]

VERSION = "3.1.0"
JSON = "application/json"


def ref(kind: str, name: str) -> Json:
    """A piece that stands in ``components``."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Json:
    """A schema of ``components``."""
    return ref("schemas", name)


def text(about: str = "", **more: Any) -> Json:
    """A text."""
    return {"type": "string", **({"description": about} if about else {}), **more}


def whole(low: int = 0, high: int | None = None, **more: Any) -> Json:
    """A whole number within bounds."""
    return {"type": "integer", "minimum": low, **({} if high is None else {"maximum": high}), **more}


def listed(items: Json, **more: Any) -> Json:
    """A list."""
    return {"type": "array", "items": items, **more}


def nullable(one: Json) -> Json:
    """The same, or null."""
    return {"anyOf": [one, {"type": "null"}]}


def record(properties: Mapping[str, Json], optional: Iterable[str] = (), about: str = "") -> Json:
    """An object that has these keys and no other.

    Args:
        properties: schema of each.
        optional: those that may be absent.
        about: what it is.
    """
    required = [name for name in properties if name not in set(optional)]
    return {
        "type": "object",
        **({"description": about} if about else {}),
        "properties": dict(properties),
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def answer(
    about: str, content: Json | None = None, kind: str = JSON, headers: Mapping[str, Json] | None = None
) -> Json:
    """A response.

    Args:
        about: when it is given.
        content: schema of its body; None: it has none.
        kind: media type of the body.
        headers: schema of each.
    """
    made: Json = {"description": about}
    if headers:
        made["headers"] = {name: {"schema": one} for name, one in headers.items()}
    if content is not None:
        made["content"] = {kind: {"schema": content}}
    return made


def parameter(name: str, where: str, one: Json, *, required: bool = False) -> Json:
    """A parameter.

    Args:
        name: of it.
        where: "path", "query" or "header".
        one: its schema; a description in it is the parameter's.
        required: it has to be there.
    """
    bare = {key: value for key, value in one.items() if key != "description"}
    made: Json = {"name": name, "in": where}
    if about := one.get("description"):
        made["description"] = about
    if required:
        made["required"] = True
    return {**made, "schema": bare}


def by_status(codes: Mapping[str, int], names: Iterable[str]) -> dict[int, list[str]]:
    """Codes under the status each is answered with.

    Args:
        codes: status of each code.
        names: those that are meant.
    """
    found: dict[int, list[str]] = {}
    for name in names:
        found.setdefault(codes[name], []).append(name)
    return dict(sorted(found.items()))


def document(
    title: str, about: str, server: tuple[str, str], paths: Json, components: Json, tags: Sequence[str] = ()
) -> Json:
    """A whole document.

    Args:
        title, about: of the interface.
        server: its usual address, and what that is.
        paths, components: of it.
        tags: groups of operations, in the order they are shown.
    """
    return {
        "openapi": VERSION,
        "info": {
            "title": title,
            "version": trackflowd.__version__,
            "description": about,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server[0], "description": server[1]}],
        **({"tags": [{"name": tag} for tag in tags]} if tags else {}),
        "paths": paths,
        "components": components,
    }
