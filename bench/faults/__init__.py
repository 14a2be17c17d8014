"""Faults on order: a real daemon under load, killed, stopped and starved by a seeded plan, judged from outside.

::

    cli ─▶ run ─▶ daemon (under test)      kinds: what can go wrong   schedule: when, by the seed
            ├──▶ traffic (own process) ──HTTP──▶ daemon ──▶ proxy ──▶ store (of a ClickHouse server)
            │      └─ acks: a synced line for every 2xx
            ├──▶ watch: status, memory, recoveries
            └──▶ oracle: acks and store compared ─▶ report, exit code

Nothing in here is imported by the daemon, and of the daemon only its control socket's client is used.
"""
