"""Every kind of long job there is. A new kind is a module with its body and one row here."""

from __future__ import annotations

from collections.abc import Mapping

from trackflowd.job import Kind
from trackflowd.task_erase import ERASE
from trackflowd.task_migrate import MIGRATE
from trackflowd.task_replay import REPLAY
from trackflowd.task_restore import RESTORE
from trackflowd.task_retention import RETENTION

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (REPLAY, ERASE, RETENTION, MIGRATE, RESTORE)}
