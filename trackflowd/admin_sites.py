"""Routes of the admin listener about sites and server keys: the commands of the control socket, as resources."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from trackflowd.admin_desk import Desk
from trackflowd.admin_words import Answer, Call, HttpError, Parameters, json_answer, next_page
from trackflowd.proto.control import BadRequest
from trackflowd.site import SETTINGS

#: Sites of a page, unless asked otherwise, and at most.
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """Body that makes or changes a site; a change is a merge patch (RFC 7396)."""

    settings: dict[str, Any] = {}


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """Body that makes a key."""

    site: str
    name: str = "server"
    expires: float = 0.0


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """Body that rotates a key."""

    overlap: float = 86_400.0


Body = TypeVar("Body")


class SiteRoutes:
    """The handlers.

    Args:
        desk: runs commands.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def sites(self, call: Call) -> Answer:
        """A page of sites."""
        given = Parameters(call.target, ("limit", "after"))
        limit = given.number("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        page = await self._desk.ask("sites", limit=limit, after=given.text("after"))
        value = {name: one for name, one in page.items() if one or name != "next"}
        return json_answer(value, headers=next_page(call.target, "after", page["next"]))

    async def site(self, call: Call) -> Answer:
        """One site."""
        Parameters(call.target, ())
        return json_answer(await self._desk.ask("site", site=call.path["site"]))

    async def put(self, call: Call) -> Answer:
        """Register a site, or give one exactly these settings."""
        Parameters(call.target, ())
        site, settings = call.path["site"], _body(call, Settings).settings
        try:
            await self._desk.ask("site", site=site)
        except BadRequest as error:
            if error.code != "no_site":
                raise
            return json_answer(await self._desk.act(call.who, "site_add", site=site, settings=settings), 201)
        whole = {**dict.fromkeys(SETTINGS), **settings}
        return json_answer(await self._desk.act(call.who, "site_set", site=site, settings=whole))

    async def change(self, call: Call) -> Answer:
        """Give a site other values for some settings."""
        Parameters(call.target, ())
        settings = _body(call, Settings).settings
        return json_answer(await self._desk.act(call.who, "site_set", site=call.path["site"], settings=settings))

    async def remove(self, call: Call) -> Answer:
        """Forget a site."""
        revoke = Parameters(call.target, ("revoke_keys",)).flag("revoke_keys")
        return json_answer(await self._desk.act(call.who, "site_remove", site=call.path["site"], revoke_keys=revoke))

    async def keys(self, call: Call) -> Answer:
        """The keys."""
        given = Parameters(call.target, ("site",))
        return json_answer({"keys": await self._desk.ask("keys", site=given.text("site"))})

    async def key(self, call: Call) -> Answer:
        """One of them."""
        Parameters(call.target, ())
        for key in await self._desk.ask("keys"):
            if str(key["id"]) == call.path["id"]:
                return json_answer(key)
        raise HttpError("no_key", "there is no key of this number", "GET /v1/keys lists them")

    async def add_key(self, call: Call) -> Answer:
        """Make a key."""
        Parameters(call.target, ())
        body = _body(call, NewKey)
        made = await self._desk.act(call.who, "key_add", site=body.site, name=body.name, expires=body.expires)
        return _made(made)

    async def rotate_key(self, call: Call) -> Answer:
        """Make a successor of a key."""
        Parameters(call.target, ())
        body = _body(call, Rotation) if call.body else Rotation()
        return _made(await self._desk.act(call.who, "key_rotate", which=_number(call), overlap=body.overlap))

    async def revoke_key(self, call: Call) -> Answer:
        """Have a key not work any more."""
        Parameters(call.target, ())
        value = await self._desk.act(call.who, "key_revoke", which=_number(call))
        return json_answer({**value["revoked"][0], "published": value["published"]})


def _made(key: dict[str, Any]) -> Answer:
    return json_answer(key, 201, [("Location", f"/v1/keys/{quote(str(key['id']))}")])


def _number(call: Call) -> str:
    """The key of the path; commands would take a name, too, which could mean several."""
    text = call.path["id"]
    if not (text.isascii() and text.isdigit()):
        raise HttpError("no_key", "that is not the number of a key", "GET /v1/keys lists them")
    return text


def _body(call: Call, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(call.body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = str(error) if isinstance(error, msgspec.ValidationError) else "not JSON"
        hint = "docs/admin.md has the bodies, docs/sites.md the settings"
        raise HttpError("bad_body", f"the body: {why}", hint) from error
