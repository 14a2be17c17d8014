"""trackflowd.loop: the loop is uvloop's."""

from __future__ import annotations

import asyncio

from trackflowd import loop


def test_main_runs_on_uvloop_and_its_result_comes_back() -> None:
    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert loop.run(main()).startswith("uvloop")
