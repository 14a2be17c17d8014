"""commands_tokens: tokens by command; the log names them, and holds none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.supervised import Running, play
from trackflowd.errors import ControlError


def call(running: Running, name: str) -> Callable[..., Awaitable[Any]]:
    return running.commands.handlers()[name]


def test_a_token_is_made_rotated_and_revoked_and_its_text_is_only_in_the_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts: list[str] = []

    async def before(running: Running) -> None:
        made = await call(running, "token_add")("grafana", "read", 0)
        assert (made["id"], made["state"], made["expires_ms"]) == (1, "active", None)
        fresh = await call(running, "token_rotate")("grafana", 3600)
        assert (fresh["id"], fresh["old"]["id"]) == (2, 1)
        assert 0 < fresh["old"]["expires_ms"] - fresh["created_ms"] <= 3_600_000
        texts.extend([made["token"], fresh["token"]])
        gone = await call(running, "token_revoke")("2")
        assert [one["id"] for one in gone["revoked"]] == [2]
        found = await call(running, "tokens")()
        assert [(one["id"], one["state"]) for one in found] == [(2, "revoked"), (1, "active")]
        said = str((found, gone, await running.commands.status()))
        assert not any(text in said for text in texts)
        with pytest.raises(ControlError, match="no token"):
            await call(running, "token_revoke")("2")

    async def after(running: Running) -> None:
        assert [one["id"] for one in await call(running, "tokens")()] == [2, 1]
        assert running.supervisor.tokens.check(texts[0], 0).number == 1

    caplog.set_level("DEBUG")
    play(tmp_path, before)
    play(tmp_path, after)
    assert "token 2 (grafana) follows token 1" in caplog.text
    assert "token 2 (grafana) is revoked" in caplog.text
    assert len(texts) == 2
    assert not any(text.split("_", 2)[2] in caplog.text for text in texts)
