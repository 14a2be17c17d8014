"""The table of alerts: what is looked at, from where on it is an alert, what is said and what to do.

docs/operations.md explains each to who is woken by it; a test holds its table to this one.
"""

from __future__ import annotations

from trackflowd.alerts import LOOP_SECONDS, Figures, Finding, Past, Rule, Severity
from trackflowd.budget import FULL, span

#: Seconds after which requests that were answered 503 are not told of any more.
TURNED_AWAY_FOR = 60.0
#: Seconds the store may be away, and seconds rings and spool must still last, before it is critical.
AWAY_CRITICAL, FULL_IN_CRITICAL = 300.0, 1800.0
#: Fill of a ring, and of the spool, from which it is a warning. A ring is critical from ``budget.FULL`` on.
RING_WARNING, SPOOL_WARNING, SPOOL_CRITICAL = 0.7, 0.5, 0.9
#: Free part of the disk and free bytes that are low (both have to be), and days until it is full.
DISK_WARNING, DISK_CRITICAL = (0.10, 20 * 2**30), (0.03, 2 * 2**30)
DISK_DAYS_WARNING, DISK_DAYS_CRITICAL = 7.0, 1.0
#: Days after which a geo database is old: the free ones appear monthly.
GEO_OLD_DAYS = 45.0
#: Days before its end from which on a certificate is to be renewed: those that renew themselves do so 30 days before.
CERTIFICATE_DAYS, CERTIFICATE_DAYS_CRITICAL = 14.0, 3.0
#: Seconds an event may wait, on top of ten ``batch.max_age``, while the store is well.
LAG = 60.0


def _forecast(figures: Figures) -> str:
    return "" if figures.full_in_s is None else f"; rings and spool full in {span(figures.full_in_s)}"


def _soon_full(figures: Figures) -> bool:
    return figures.full_in_s is not None and figures.full_in_s < FULL_IN_CRITICAL


def _store_away(past: Past) -> Finding | None:
    figures = past.figures
    if figures.store not in ("away", "in doubt"):
        return None
    lasts = past.lasts(figures.store_since_ms) if figures.store_since_ms else 0.0
    text = f"the store is {figures.store}" + (f" for {span(lasts)}" if lasts else "")
    text += (f": {figures.store_text}" if figures.store_text else "") + _forecast(figures)
    bad = lasts >= AWAY_CRITICAL or _soon_full(figures)
    return Finding("critical" if bad else "warning", text, "bring the store back; events are kept until then")


def _store_refuses(past: Past) -> Finding | None:
    figures = past.figures
    if figures.store != "refusing":
        return None
    text = f"the store refuses what it is sent: {figures.store_text}" + _forecast(figures)
    return Finding("critical", text, "mend the table or the rights; all lands by itself then")


def _paused(past: Past) -> Finding | None:
    figures = past.figures
    if not figures.paused:
        return None
    text = "nothing is sent to the store: paused on request" + _forecast(figures)
    return Finding("critical" if _soon_full(figures) else "warning", text, "trackflow resume")


def _turned_away(past: Past) -> Finding | None:
    more = past.grown("ring_full", TURNED_AWAY_FOR)
    if not more:
        return None
    text = f"{more} requests were answered 503: their ring was full"
    return Finding("critical", text, "bring the store back, or make room for the spool")


def _ring_filling(past: Past) -> Finding | None:
    taking = [ring for ring in past.figures.rings if not ring.failed and not ring.damage]
    fullest = max(taking, key=lambda ring: ring.fill, default=None)
    if fullest is None or fullest.fill < RING_WARNING:
        return None
    text = f"the ring of worker {fullest.slot} is {fullest.fill:.0%} full" + _forecast(past.figures)
    hint = "see why the store or the spool does not take its events: trackflow status"
    return Finding("critical" if fullest.fill >= FULL else "warning", text, hint)


def _spool_filling(past: Past) -> Finding | None:
    figures = past.figures
    room = figures.spool_used + figures.spool_free
    fill = figures.spool_used / room if room else 0.0
    if figures.spool_text:
        hint = "free some of the disk, or raise spool.max_bytes"
        return Finding("critical", f"the spool takes nothing: {figures.spool_text}" + _forecast(figures), hint)
    if not figures.spool_used or fill < SPOOL_WARNING:
        return None
    text = f"the spool is {fill:.0%} full" + _forecast(figures)
    hint = "bring the store back; more room: spool.max_bytes, or a larger disk"
    return Finding("critical" if fill >= SPOOL_CRITICAL else "warning", text, hint)


def _disk_low(past: Past) -> Finding | None:
    figures, days = past.figures, past.figures.disk_days
    if not figures.disk_total:
        return None
    part, free = figures.disk_free / figures.disk_total, figures.disk_free
    if (part < DISK_CRITICAL[0] and free < DISK_CRITICAL[1]) or (days is not None and days < DISK_DAYS_CRITICAL):
        severity: Severity = "critical"
    elif (part < DISK_WARNING[0] and free < DISK_WARNING[1]) or (days is not None and days < DISK_DAYS_WARNING):
        severity = "warning"
    else:
        return None
    text = f"{free / 2**30:.1f} GiB ({part:.0%}) of the disk are free"
    if days is not None:
        text += f"; full in {span(days * 86_400)} as the store grows"
    return Finding(severity, text, "free some, or set store.retention_days")


def _quarantine(past: Past) -> Finding | None:
    files, rows = past.figures.quarantine_files, past.figures.quarantine_rows
    if not files:
        return None
    return Finding("warning", f"{rows} rows in {files} files could not be stored", "trackflow quarantine list")


def _ring_damage(past: Past) -> Finding | None:
    damaged = [ring for ring in past.figures.rings if ring.damage]
    if damaged:
        return Finding(
            "critical", f"ring {damaged[0].file} cannot be read: {damaged[0].damage}", "trackflow ring check"
        )
    if places := past.grown("records_damaged"):
        text = f"{places} damaged places were found in rings and set aside"
        return Finding("critical", text, "trackflow quarantine list; look at the disk (dmesg)")
    return None


def _ring_failed(past: Past) -> Finding | None:
    if not (failed := past.grown("rings_failed")):
        return None
    text = f"the disk refused to sync a ring ({failed} given up); a fresh one takes its place"
    return Finding("critical", text, "look at the disk (dmesg); one that fails once fails again")


def _events_lost(past: Past) -> Finding | None:
    if not (lost := past.grown("bytes_lost")):
        return None
    text = f"{lost} bytes of answered events are not on the disk that had said so"
    return Finding("critical", text, "the log names ring and position; replace the disk or its cache")


def _journal_damaged(past: Past) -> Finding | None:
    if not (damaged := past.grown("journal_damaged")):
        return None
    text = f"{damaged} bytes of the journal were changed on the disk"
    return Finding("critical", text, "trackflow replay --since finds what the store lacks; look at the disk (dmesg)")


def _geo_old(past: Past) -> Finding | None:
    built = past.figures.geo_built
    days = (past.figures.at_ms / 1000 - built) / 86_400 if built else 0.0
    if days < GEO_OLD_DAYS:
        return None
    return Finding("warning", f"the geo database is {days:.0f} days old", "trackflow geo update")


def _certificate(past: Past) -> Finding | None:
    figures = past.figures
    days = CERTIFICATE_DAYS if figures.tls_ends is None else (figures.tls_ends - figures.at_ms / 1000) / 86_400
    severity: Severity = "critical" if days < CERTIFICATE_DAYS_CRITICAL else "warning"
    if figures.tls_error:
        text = f"a changed certificate is not in use, the one before is: {figures.tls_error}"
        return Finding(severity, text, "mend the files; they are read again when they change")
    if days >= CERTIFICATE_DAYS:
        return None
    text = "a certificate has ended" if days < 0 else f"a certificate ends in {span(days * 86_400)}"
    return Finding(severity, text, "renew it; its files are read again when they change: trackflow status")


def _clock_jump(past: Past) -> Finding | None:
    if not past.jumped:
        return None
    way = "forward" if past.jump > 0 else "back"
    text = f"the clock went {way} by {span(abs(past.jump))}: it was set, or the machine slept"
    return Finding("warning", text, "see that a time daemon runs; events carry the wall clock's time")


def _restart_loop(past: Past) -> Finding | None:
    if not (loops := past.loops()):
        return None
    text = ", ".join(f"{name} was restarted {times} times within {span(LOOP_SECONDS)}" for name, times in loops)
    return Finding("critical", text, "the log says what each said before it ended")


def _no_worker(past: Past) -> Finding | None:
    workers = [child for child in past.figures.children if child.role == "worker"]
    if not workers or any(child.phase == "ready" for child in workers):
        return None
    return Finding("critical", "no worker is ready: nothing is taken", "see the log, and `trackflow status`")


def _flusher_down(past: Past) -> Finding | None:
    figures = past.figures
    down = [child for child in figures.children if child.role == "flusher" and child.phase != "ready"]
    if not down or figures.store in (
        "away",
        "in doubt",
        "refusing",
    ):  # one that finds the store away stays in its start
        return None
    severity: Severity = "warning" if down[0].phase == "starting" else "critical"
    text = f"the flusher is {down[0].phase}: nothing is stored" + _forecast(figures)
    return Finding(severity, text, "the log says why; a change of the schema may take long")


def _lagging(past: Past) -> Finding | None:
    figures = past.figures
    oldest = (figures.counts or {}).get("oldest_pending_ms", 0)
    waits = past.lasts(oldest) if oldest else 0.0
    if figures.store != "ok" or figures.paused or waits < LAG + 10 * figures.max_age:
        return None
    text = f"the oldest event not yet stored has waited for {span(waits)} although the store is well"
    return Finding("warning", text, "the store takes less than comes in: trackflow status")


RULES: tuple[Rule, ...] = (
    Rule("turned_away", 0.0, _turned_away),
    Rule("no_worker", 5.0, _no_worker),
    Rule("store_away", 5.0, _store_away),
    Rule("store_refuses", 5.0, _store_refuses),
    Rule("ring_filling", 0.0, _ring_filling),
    Rule("spool_filling", 0.0, _spool_filling),
    Rule("disk_low", 0.0, _disk_low),
    Rule("events_lost", 0.0, _events_lost),
    Rule("ring_damage", 0.0, _ring_damage),
    Rule("ring_failed", 0.0, _ring_failed),
    Rule("journal_damaged", 0.0, _journal_damaged),
    Rule("restart_loop", 0.0, _restart_loop),
    Rule("flusher_down", 30.0, _flusher_down),
    Rule("lagging", 30.0, _lagging),
    Rule("quarantine", 0.0, _quarantine),
    Rule("paused", 0.0, _paused),
    Rule("clock_jump", 0.0, _clock_jump),
    Rule("geo_old", 0.0, _geo_old),
    Rule("certificate", 0.0, _certificate),
)
