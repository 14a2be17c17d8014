"""admin_sites: sites and keys over HTTP, by a real supervisor; what is refused; what the audit log has of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.admin_client import Asker, Reply
from tests.supervised import Running, play
from trackflowd.site import SETTINGS

Story = Callable[[Asker], None]


def visit(tmp_path: Path, story: Story, *sets: str) -> None:
    """Run a story with a token that may change things, in a thread of its own."""

    async def whole(running: Running) -> None:
        await running.ready()
        made = await running.commands.handlers()["token_add"]("ops", "admin", 0)
        await asyncio.to_thread(story, Asker(running.supervisor.admin.address, made["token"]))

    play(tmp_path, whole, *sets)


def send(asker: Asker, method: str, path: str, body: Any = None) -> Reply:
    return asker.ask(method, path, None if body is None else json.dumps(body).encode())


def test_a_site_is_put_patched_listed_and_deleted(tmp_path: Path) -> None:
    def story(ops: Asker) -> None:
        made = send(ops, "PUT", "/v1/sites/a.example", {"settings": {"gpc": "refuse", "query_params": ["q"]}})
        assert (made.status, made.json["settings"]["query_params"]) == (201, ["q"])
        value = send(ops, "PATCH", "/v1/sites/a.example", {"settings": {"rate": 5, "gpc": None}}).json
        assert value["changed"] == {"gpc": {"old": "refuse", "new": "ignore"}, "rate": {"old": 0.0, "new": 5.0}}
        value = send(ops, "PUT", "/v1/sites/a.example", {"settings": {"dnt": "refuse"}}).json
        assert {name for name, one in value["settings"].items() if one not in (SETTINGS[name].default, [])} == {"dnt"}
        assert send(ops, "PUT", "/v1/sites/a.example").status == 200
        assert set(ops.get("/v1/sites/a.example").json["settings"]) == set(SETTINGS)
        assert send(ops, "PATCH", "/v1/sites/*", {"settings": {"bot_policy": "refuse"}}).status == 200
        assert ops.get("/v1/sites/%2A").json["settings"]["bot_policy"] == "refuse"
        page = ops.get("/v1/sites?limit=1")
        assert ([one["site"] for one in page.json["sites"]], page.json["next"]) == (["*"], "*")
        assert page.headers["link"] == '</v1/sites?limit=1&after=%2A>; rel="next"'
        page = ops.get("/v1/sites?after=%2A")
        assert [one["site"] for one in page.json["sites"]] == ["a.example"]
        assert "next" not in page.json
        assert send(ops, "DELETE", "/v1/sites/a.example").json["removed"] == "a.example"
        assert ops.get("/v1/sites/a.example").error == (404, "no_site")

    visit(tmp_path, story)


def test_a_key_is_made_rotated_and_revoked(tmp_path: Path) -> None:
    def story(ops: Asker) -> None:
        made = send(ops, "POST", "/v1/keys", {"site": "a.example", "expires": 60})
        key = made.json
        assert (made.status, made.headers["location"]) == (201, f"/v1/keys/{key['id']}")
        assert (key["name"], key["expires_ms"] - key["created_ms"]) == ("server", 60_000)
        shown = ops.get(made.headers["location"])
        assert shown.json == {name: one for name, one in key.items() if name not in ("key", "published")}
        fresh = send(ops, "POST", f"/v1/keys/{key['id']}/rotate", {"overlap": 5}).json
        assert fresh["old"]["id"] == key["id"] != fresh["id"]
        assert send(ops, "POST", f"/v1/keys/{key['id']}/rotate").json["old"]["id"] == key["id"]
        assert [one["id"] for one in ops.get("/v1/keys?site=a.example").json["keys"]].count(fresh["id"]) == 1
        assert ops.get("/v1/keys?site=b.example").json == {"keys": []}
        gone = send(ops, "DELETE", f"/v1/keys/{fresh['id']}").json
        assert (gone["id"], gone["state"]) == (fresh["id"], "revoked")
        assert send(ops, "DELETE", f"/v1/keys/{fresh['id']}").error == (404, "no_key")

    visit(tmp_path, story)
    noted = (tmp_path / "data" / "audit.log").read_text()
    assert noted.count('"key_rotate"') == 2
    assert "tfk_" not in noted


REFUSED: list[tuple[str, str, Any, tuple[int, str]]] = [
    ("GET", "/v1/sites/none", None, (404, "no_site")),
    ("PATCH", "/v1/sites/none", {"settings": {}}, (404, "no_site")),
    ("DELETE", "/v1/sites/none", None, (404, "no_site")),
    ("PUT", "/v1/sites/a%20b", {}, (400, "bad_arguments")),
    ("PUT", "/v1/sites/a", {"settings": {"gpc": "x"}}, (400, "bad_arguments")),
    ("PUT", "/v1/sites/a", {"settings": []}, (400, "bad_body")),
    ("PUT", "/v1/sites/a", {"gpc": "refuse"}, (400, "bad_body")),
    ("PUT", "/v1/sites/a", [], (400, "bad_body")),
    ("PUT", "/v1/sites/a?x=1", {}, (400, "bad_arguments")),
    ("GET", "/v1/sites?limit=0", None, (400, "bad_arguments")),
    ("POST", "/v1/sites", {}, (405, "method")),
    ("POST", "/v1/keys", {}, (400, "bad_body")),
    ("POST", "/v1/keys", {"site": "none"}, (404, "no_site")),
    ("POST", "/v1/keys", {"site": "s", "name": "1"}, (400, "bad_arguments")),
    ("POST", "/v1/keys", {"site": "s", "expires": "soon"}, (400, "bad_body")),
    ("POST", "/v1/keys", {"site": "s"}, (409, "key_exists")),
    ("GET", "/v1/keys/server", None, (404, "no_key")),
    ("DELETE", "/v1/keys/server", None, (404, "no_key")),
    ("POST", "/v1/keys/7/rotate", None, (404, "no_key")),
    ("DELETE", "/v1/sites/s", None, (409, "site_has_keys")),
]


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    def story(ops: Asker) -> None:
        send(ops, "PUT", "/v1/sites/s")
        send(ops, "POST", "/v1/keys", {"site": "s"})
        found = [(method, path, body, send(ops, method, path, body).error) for method, path, body, _ in REFUSED]
        assert found == REFUSED
        assert [site["site"] for site in ops.get("/v1/sites").json["sites"]] == ["*", "s"]
        assert len(ops.get("/v1/keys").json["keys"]) == 1

    visit(tmp_path, story, "sites.mode=registered")
