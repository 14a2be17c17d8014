"""The admin listener of a real daemon over chDB: figures, events, erasures, tokens; and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests import geo_files
from tests.admin_client import Asker, Reply
from tests.process.harness import Daemon, until
from trackflowd import cli
from trackflowd.admin_desk import RUNNING, WAITING
from trackflowd.stats import STATISTICS

SITE = "shop.example"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PAGES = 7
#: Statistics of which these events have nothing: no place, no campaign, no refusal.
EMPTY = ("campaigns", "referrers", "mediums", "sources", "countries", "regions", "cities", "refused")
USERS = ("alice", "bob", "carol")


class Office:
    """A daemon with events, and tokens for it.

    Attributes:
        read, admin: ask with a token of that scope.
        texts: every token that was made; the first two are theirs.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.texts: list[str] = []
        self.token("reader", "read")
        self.token("operator", "admin")

    @property
    def read(self) -> Asker:
        return self.asker(self.texts[0])

    @property
    def admin(self) -> Asker:
        return self.asker(self.texts[1])

    def token(self, name: str, scope: str = "read", **args: Any) -> str:
        text: str = self.daemon.call("token_add", name=name, scope=scope, **args)["token"]
        self.texts.append(text)
        return text

    def asker(self, token: str = "") -> Asker:
        return Asker(self.daemon.admin, token)

    def send(self, user: str, count: int = 5, **more: Any) -> list[str]:
        """Store events of a user; their ids."""
        ids = [f"{user}-{time.monotonic_ns()}-{n}" for n in range(count)]
        events = [
            {"site": SITE, "name": "pageview", "id": id_, "user": user, "url": f"https://{SITE}/p/{n % PAGES}",
             "props": {"n": n, "plan": "free"}} | more
            for n, id_ in enumerate(ids)
        ]  # fmt: skip
        assert self.daemon.post(events, User_Agent=AGENT)[1]["accepted"] == count
        self.daemon.flush()
        return ids

    def events(self, **query: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.read.get(f"/v1/events?{urlencode(query)}").json["events"]
        return found

    def done(self, reply: Reply) -> Mapping[str, Any]:
        """The task of a request that began one, once it has ended."""
        assert reply.status == 202, reply
        path = reply.headers["location"]
        assert path == f"/v1/tasks/{reply.json['id']}"
        until(lambda: self.read.get(path).json["state"] == "done")
        task: Mapping[str, Any] = self.read.get(path).json
        return task


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    directory = tmp_path_factory.mktemp("office")
    (directory / "data" / "geo").mkdir(parents=True)
    geo_files.write(directory / "data" / "geo" / "test.mmdb", geo_files.COUNTRY)
    with Daemon(directory, "daemon.workers=1", "batch.max_age=0.05") as daemon:
        office = Office(daemon)
        for user in USERS:
            office.send(user, 2 * PAGES)
            office.send(user, 2, name="buy", revenue={"amount": 5, "currency": "EUR"})
        yield office


def printed(office: Office, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command of the operator prints."""
    capsys.readouterr()
    assert cli.operator(["--data-dir", str(office.daemon.data_dir), *words]) == 0
    return capsys.readouterr().out


# ---------------------------------------------------------------------- stats


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_is_what_the_operator_sees(name: str, office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    query, words = f"zone=Europe/Berlin&site={SITE}", ["--zone", "Europe/Berlin", "--site", SITE]
    if STATISTICS[name].period:
        end = int(time.time()) + 3600
        start = end - 86_400
        query += f"&from={start}000&to={end}000"
        dates = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (start, end)]
        words += ["--from", dates[0], "--to", dates[1]]
    ours = office.read.get(f"/v1/stats/{name}?{query}").json
    theirs = json.loads(printed(office, capsys, "stats", name, *words, "--json"))
    if name == "live":  # of the minute each was asked in
        for one in (ours, theirs):
            del one["minutes"], one["period"]
    for one in (ours, theirs):  # dates of the two may name their offset another way
        for period in ("period", "previous_period"):
            one[period] = {key: _ms(text) for key, text in (one.get(period) or {}).items()}
    assert ours == theirs
    assert name in EMPTY or any(row for row in ours.values() if isinstance(row, list))
    if name != "live":
        csv = office.read.get(f"/v1/stats/{name}?{query}&format=csv")
        assert csv.headers["content-type"] == "text/csv; charset=utf-8"
        assert csv.body.decode() == printed(office, capsys, "stats", name, *words, "--csv")


def _ms(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_the_pages_of_a_list_are_the_list(office: Office) -> None:
    whole = office.read.get("/v1/stats/pages?limit=100").json["pages"]
    assert len(whole) == PAGES
    found, path = [], "/v1/stats/pages?limit=3"
    while path:
        reply = office.read.get(path)
        found.append(reply.json["pages"])
        path = reply.headers.get("link", "").partition("<")[2].partition(">")[0]
        assert ("next" in reply.json) == bool(path)
    assert [len(part) for part in found] == [3, 3, 1]
    assert [row for part in found for row in part] == whole
    assert office.read.get("/v1/stats/pages?offset=100").json["pages"] == []


def test_what_no_store_has_is_told(office: Office) -> None:
    reply = office.read.get("/v1/stats/pages?site=misspelled")
    assert (reply.error, reply.json["hint"]) == ((400, "query"), f"sites: {SITE}")
    assert office.read.get("/v1/stats/nope").error == (404, "not_found")
    assert office.read.get("/v1/stats/pages?where=colour+is+red").error == (400, "query")


def test_more_questions_than_the_store_can_take_are_answered_503_and_the_others_in_turn(office: Office) -> None:
    most = RUNNING + WAITING
    flusher = office.daemon.kill("flusher", signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(most + 5) as pool:
            asked = [pool.submit(office.read.get, "/v1/stats/countries") for _ in range(most + 5)]
            until(lambda: sum(one.done() for one in asked) == 5)
            turned_away = [one.result() for one in asked if one.done()]
            assert {reply.error for reply in turned_away} == {(503, "busy")}
            assert {reply.headers["retry-after"] for reply in turned_away} == {"2"}
            assert office.asker().get("/healthz").status == 200, "a probe is answered all the same"
            office.daemon.kill("flusher", signal.SIGCONT)
            assert sorted(one.result().status for one in asked) == [200] * most + [503] * 5
    finally:
        os.kill(flusher, signal.SIGCONT)


# --------------------------------------------------------------------- events


def test_events_are_found_page_by_page(office: Office) -> None:
    ids = office.send("dora", 5)
    found, path = [], "/v1/events?user=dora&limit=2"
    while path:
        reply = office.read.get(path)
        found += reply.json["events"]
        path = reply.headers.get("link", "").partition("<")[2].partition(">")[0]
    assert len({event["event_id"] for event in found}) == 5
    assert [event["time"] for event in found] == sorted((event["time"] for event in found), reverse=True)
    oldest = office.events(user="dora", order="oldest")
    assert {event["event_id"] for event in oldest} == {event["event_id"] for event in found}
    assert [event["time"] for event in oldest] == sorted(event["time"] for event in oldest)
    (one,) = office.events(id=ids[0])
    assert one == office.read.get(f"/v1/events/{ids[0]}?site={SITE}").json
    assert office.read.get(f"/v1/events/{one['event_id']}").json == one
    assert office.events(name="buy", period="1h") and not office.events(name="nothing")
    assert office.read.get("/v1/events?after=x").error == (400, "query")
    assert office.read.get("/v1/events/nobody").error == (404, "no_event")


def test_an_event_is_corrected(office: Office) -> None:
    (id_,) = office.send("emil", 1)
    path = f"/v1/events/{id_}"
    body = json.dumps({"props": {"plan": "pro", "n": None, "ä": "'\\"}}).encode()
    reply = office.admin.ask("PATCH", path, body)
    assert (reply.status, reply.json["event"]["props"]) == (200, {"plan": "pro", "ä": "'\\"})
    assert office.read.get(path).json["props"] == {"plan": "pro", "ä": "'\\"}
    assert office.read.ask("PATCH", path, body).error == (403, "scope")
    assert office.admin.ask("PATCH", "/v1/events/nobody", body).error == (404, "no_event")
    assert office.admin.ask("PATCH", path, b'{"props": {"a": 1}}').error == (400, "bad_body")
    assert office.admin.ask("PATCH", path, b'{"props": {}}').error == (400, "bad_arguments")
    assert office.admin.ask("PATCH", path, json.dumps({"props": {"a": "x" * 5000}}).encode()).error == (400, "query")
    assert office.admin.ask("PATCH", path, b'{"props": {"a": "' + b"x" * 70_000 + b'"}}').error == (413, "too_large")


def test_a_user_is_exported_and_erased(office: Office) -> None:
    user = "frieda@example.com"
    office.send(user, 4)
    path = f"/v1/users/{quote(user, safe='')}"
    reply = office.read.get(f"{path}/export")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson")
    exported = [json.loads(line) for line in reply.body.splitlines()]
    assert sorted(event["props"]["n"] for event in exported) == ["0", "1", "2", "3"]
    assert exported == office.events(user=user, order="oldest")
    assert office.read.ask("DELETE", path).error == (403, "scope")
    assert office.admin.ask("DELETE", f"{path}?dry_run=true").json["events"] == 4
    assert len(office.events(user=user)) == 4
    task = office.done(office.admin.ask("DELETE", path))
    assert (task["kind"], task["result"]["events"]) == ("erase", 4)
    assert office.events(user=user) == [] and office.read.get(f"{path}/export").body == b""
    assert office.read.get("/v1/tasks").json["tasks"][0]["id"] == task["id"]
    (noted,) = office.daemon.call("audit", limit=1)
    assert (noted["command"], noted["user"], noted["args"]) == ("erase", "token 2 (operator)", {"what": {"user": "…"}})


def test_events_are_erased_by_id_by_visitor_and_by_period(office: Office) -> None:
    ids = office.send("gustav", 3)
    office.done(office.admin.ask("DELETE", f"/v1/events/{ids[0]}"))
    assert len(office.events(user="gustav")) == 2
    now_ms = time.time_ns() // 1_000_000
    office.done(office.admin.ask("DELETE", f"/v1/events?user=gustav&from={now_ms + 60_000}"))
    assert len(office.events(user="gustav")) == 2, "none of that period"
    office.done(office.admin.ask("DELETE", f"/v1/events?user=gustav&from={now_ms - 3_600_000}&site={SITE}"))
    assert office.events(user="gustav") == []
    for query in ("", "?dry_run=1"):
        assert office.admin.ask("DELETE", f"/v1/events{query}").error == (400, "bad_arguments"), (
            "everything is never meant"
        )
    assert office.admin.ask("DELETE", "/v1/events?visitor=xyz").error == (400, "query")
    assert office.read.get("/v1/tasks/999999").error == (404, "no_task")


def test_a_place_is_what_the_workers_have(office: Office) -> None:
    for address in ("81.2.69.142", "2a02:c7f::1", "::ffff:81.2.69.142"):
        found = office.read.get(f"/v1/geo/{address}").json
        assert (found["country"], found["database"].endswith("test.mmdb")) == ("GB", True)
        assert 0 <= found["age_days"] < 1
    assert office.read.get("/v1/geo/10.0.0.1").json["country"] == ""
    for text in ("x", "81.2.69", "81.2.69.142%20", "fe80::1%25lo%0a"):
        assert office.read.get(f"/v1/geo/{text}").status == 400


# --------------------------------------------------------------------- tokens


def test_only_tokens_that_work_are_let_in(office: Office) -> None:
    path, revoked = "/v1/tasks", office.token("revoked")
    assert office.asker(revoked).get(path).status == 200
    office.daemon.call("token_revoke", which="revoked")
    assert office.asker(revoked).get(path).error == (401, "token_revoked")
    old = office.token("rotated")
    fresh = office.daemon.call("token_rotate", which="rotated")["token"]
    assert [office.asker(text).get(path).status for text in (old, fresh)] == [200, 200]
    number = next(one["id"] for one in office.daemon.call("tokens") if one["name"] == "rotated")
    last = office.daemon.call("token_rotate", which=str(number), overlap=0)["token"]
    assert office.asker(fresh).get(path).error == (401, "token_expired")
    assert office.asker(last).get(path).status == 200
    wrong = last[:-4] + ("AAAA" if last[-4:] != "AAAA" else "BBBB")
    assert office.asker(wrong).get(path).error == (401, "token_unknown")
    assert office.asker().get(path).error == (401, "token_missing")
    office.texts += [fresh, last]


@pytest.mark.parametrize(
    "path",
    ["//v1/tasks", "/v1//tasks", "/healthz/../v1/tasks", "/healthz/%2e%2e/v1/tasks", "/v1%2ftasks", "/v1%2Ftasks",
     "/v1/tasks/..%2f", "/%76%31%2ftasks", "http://x/v1/tasks", "/v1/\\tasks", "/v1/tasks%00", "/v1;/tasks",
     "/V1/tasks"],
)  # fmt: skip
def test_no_trick_with_a_path_gets_past_the_token(path: str, office: Office) -> None:
    answer = office.asker().raw(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in (b"400", b"401", b"404")
    assert b"kind" not in answer
    assert office.asker().get("/%76%31/tasks").error == (401, "token_missing"), "an encoded letter is that letter"


def test_what_was_asked_and_refused_is_counted(office: Office) -> None:
    before = office.daemon.status()["admin"]
    office.asker().get("/v1/tasks")
    office.asker().raw(b"nonsense\r\n\r\n")
    office.read.get("/v1/tasks")
    after = office.daemon.status()["admin"]

    def count(said: Mapping[str, Any], status: int) -> int:
        return sum(one["count"] for one in said["requests"] if (one["route"], one["status"]) == ("/v1/tasks", status))

    assert count(after, 200) == count(before, 200) + 1
    assert after["refused"]["token_missing"] == before["refused"].get("token_missing", 0) + 1
    assert after["refused"]["bad_request"] == before["refused"].get("bad_request", 0) + 1


def test_tokens_outlive_the_daemon_and_no_secret_is_anywhere(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = office.daemon
    assert office.read.get("/v1/tasks").status == 200
    office.texts.append(printed(office, capsys, "tokens", "rotate", "reader").strip())
    assert daemon.stop() == 0
    daemon.start()
    assert [office.asker(text).get("/v1/tasks").status for text in (office.texts[0], office.texts[-1])] == [200, 200]
    office.asker(office.texts[0][:-1]).get("/v1/tasks?token=" + office.texts[1])
    office.asker().raw(f"GET /v1 HTTP/1.1\r\nAuthorization\x00: Bearer {office.texts[0]}\r\n\r\n".encode())
    found = {one["id"]: one for one in daemon.call("tokens")}
    assert (found[1]["used_ms"] is not None, found[2]["name"]) == (True, "operator")
    said = json.dumps([daemon.status(), daemon.call("config"), list(found.values())]) + daemon.log()
    assert daemon.stop() == 0
    for text in office.texts:
        secret = text.split("_", 2)[2]
        assert secret not in said
        for path in daemon.directory.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path
