"""What the supervisor publishes for workers, as they read it (``snapshot`` says what is in the file)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgpack

from trackflowd.admins import Admin, Admins
from trackflowd.enrich.visitor import Salt
from trackflowd.errors import DataDirError
from trackflowd.policy import Policy


class Snapshot(NamedTuple):
    """What the supervisor publishes for workers.

    Args:
        salts: living ones.
        policy: sites and keys.
        admins: who may see decisions.
    """

    salts: list[Salt]
    policy: Policy
    admins: Admins


def read_snapshot(path: Path) -> Snapshot:
    """The supervisor's snapshot.

    Raises:
        DataDirError: not there, or not one.
    """
    try:
        snapshot = msgpack.unpackb(path.read_bytes())
        names = ("day", "from_ms", "to_ms", "salt")
        salts = [Salt(**{key: salt[key] for key in names}) for salt in snapshot["salts"]]
        # not in the snapshot of an earlier version, which a start on a full disk has to do with
        admins = [Admin(row["id"], row["hash"], row["expires_ms"]) for row in snapshot.get("admin_tokens", ())]
        return Snapshot(salts, Policy.of(snapshot), Admins(admins))
    except OSError as error:
        raise DataDirError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise DataDirError(f"{path} is not a snapshot of this version: {error}") from error
