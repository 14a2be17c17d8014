"""No key, token or password reaches a log, status, ring, store, metric, order's note or error, however it was used."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.process.harness import Daemon, fetch
from tests.process.judge import flush
from tests.process.test_no_address import places, shared_memory
from tests.process.test_sites import Office
from trackflowd import cli


class Said:
    """Everything that was said by anybody, but what prints a secret the once."""

    def __init__(self, daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
        self.daemon = daemon
        self._capsys = capsys
        self.all: list[str] = []

    def new(self, *words: str) -> str:
        """What a command prints that makes a secret."""
        self._capsys.readouterr()
        assert cli.operator(["--data-dir", str(self.daemon.data_dir), *words]) == 0
        return self._capsys.readouterr().out.strip()

    def ask(self, *words: str) -> None:
        """What a command says, however it ends."""
        self._capsys.readouterr()
        cli.operator(["--data-dir", str(self.daemon.data_dir), *words])
        out, err = self._capsys.readouterr()
        self.all += [out, err]

    def fetch(self, url: str, body: bytes | None = None, **headers: str) -> int:
        """Status of an answer, which is kept."""
        status, answer = fetch(url, body, headers)
        self.all.append(json.dumps(answer))
        return status


def use(said: Said, secrets: dict[str, str]) -> None:
    """Each secret in its place, and in every other place a client can put it."""
    http, admin = said.daemon.http, said.daemon.admin
    event = json.dumps({"site": "a.example", "name": "n", "ip": "203.0.113.9"}).encode()
    assert said.fetch(f"{http}/v1/events", event, Authorization=f"Bearer {secrets['key']}") == 200
    assert said.fetch(f"{admin}/v1/sites", Authorization=f"Bearer {secrets['token']}") == 200
    assert said.fetch(f"{admin}/v1/keys", Authorization=f"Bearer {secrets['token']}") == 200
    for secret in secrets.values():
        for bearer in (secret, secret[:-1], secret + "x", secret.swapcase()):
            status = said.fetch(f"{http}/v1/events", event, Authorization=f"Bearer {bearer}")
            assert (status == 401) == (bearer != secrets["key"])
            status = said.fetch(f"{admin}/v1/tasks", Authorization=f"Bearer {bearer}")
            assert (status == 401) == (bearer != secrets["token"])
        said.fetch(f"{http}/v1/events", event, Authorization=secret)
        said.fetch(f"{http}/v1/events?key={secret}", event)
        said.fetch(f"{http}/v1/pixel.gif?site=a.example&name=n&key={secret}")
        for place in ({"key": secret}, {"scroll": secret}, {"props": {"key": [secret]}}, [secret], secret):
            body = {"site": "a.example", "name": "n", **place} if isinstance(place, dict) else place
            assert said.fetch(f"{http}/v1/events", json.dumps(body).encode()) == 400
            status = said.fetch(f"{admin}/v1/keys", json.dumps(body).encode(), Authorization=f"Bearer {secret}")
            assert status in (400, 401, 403)
        said.fetch(f"{http}/{secret}")
        said.fetch(f"{admin}/v1/stats/overview?token={secret}")
        said.fetch(f"{admin}/{secret}")
        for words in (("keys", "revoke", secret), ("tokens", "revoke", secret), ("sites", "show", secret)):
            said.ask(*words)
    said.ask("sites", "export", "--keys")
    for listing in ("keys list", "tokens list", "sites list", "audit", "status"):
        said.ask(*listing.split())
        said.ask(*listing.split(), "--json")
    said.all.append(json.dumps(said.daemon.status()))
    with urllib.request.urlopen(f"{admin}/metrics") as answer:
        said.all.append(answer.read().decode())


def test_secrets_are_nowhere_but_where_they_were_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Daemon(tmp_path, "sites.mode=registered", "log.level=debug") as daemon:
        said = Said(daemon, capsys)
        said.ask("sites", "add", "a.example")
        secrets = {"key": said.new("keys", "add", "a.example"), "token": said.new("tokens", "add", "t")}
        Office(daemon, capsys).told()
        use(said, secrets)
        ended = {"rotated key": secrets["key"], "revoked token": secrets["token"]}
        secrets = {
            "key": said.new("keys", "rotate", "a.example/server", "--overlap", "0"),
            "token": said.new("tokens", "add", "u", "--scope", "admin"),
        }
        said.ask("tokens", "revoke", "t")
        Office(daemon, capsys).told()
        use(said, secrets)
        flush(daemon)
        said.all.append(json.dumps(daemon.rows("SELECT * FROM events")))
        kept = {**places(daemon), "shared memory": shared_memory(daemon), "what was said": "".join(said.all).encode()}
        daemon.kill("worker 0")
        daemon.stop()
        kept |= {f"after the end: {name}": raw for name, raw in places(daemon).items()}
    assert b"a.example" in kept["what was said"]
    for what, secret in {**secrets, **ended}.items():
        text = secret.split("_", 2)[2]
        assert len(text) == 43, what
        for name, raw in kept.items():
            assert text.encode() not in raw, f"{what} in {name}"
            assert text.swapcase().encode() not in raw, f"{what}, its case changed, in {name}"
