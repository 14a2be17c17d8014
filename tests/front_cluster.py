"""What ``clickhouse_front`` makes of a cluster's statements: chDB has no Keeper and no cluster to run them with.

The engine parses each of them as it is; then a form that one server alone can run is run: no ON CLUSTER, MergeTree for
ReplicatedMergeTree, a view of the local table for a Distributed one. So a front is a shard of one replica that knows
nothing of the others. What a cluster does by itself (queues of statements, replication, reads over shards) is not here.
"""

from __future__ import annotations

import re

_FORMS = (
    (r" ON CLUSTER `[^`]*`", ""),
    (r"\bReplicatedMergeTree\('[^']*', '[^']*'\)", "MergeTree"),
    (r"\breplicated_deduplication_window\b", "non_replicated_deduplication_window"),
    (r"^(CREATE (?:OR REPLACE )?)TABLE( IF NOT EXISTS)? events AS events_local ENGINE = Distributed\(.*\)$",
     r"\1VIEW\2 events AS SELECT * FROM events_local"),
    (r"^SELECT engine FROM system\.tables\b", "SELECT if(engine = 'View', 'Distributed', engine) FROM system.tables"),
    (r"^SYSTEM SYNC REPLICA events_local$", "SELECT 1"),
    (r"\bFROM system\.replicas\b",
     "FROM (SELECT 0 AS is_readonly, 0 AS parts_to_check, currentDatabase() AS database, 'events_local' AS table)"),
)  # fmt: skip


def alone(sql: str) -> str:
    """The statement for a server that is in no cluster; any other as it is."""
    for pattern, form in _FORMS:
        sql = re.sub(pattern, form, sql)
    return sql
