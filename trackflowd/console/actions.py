"""Keys that change what the daemon does: each asks first, and shows what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trackflowd import option
from trackflowd.cli_text import count, duration, size
from trackflowd.console.dialog import Notice, Prompt, Question, refused
from trackflowd.console.lines import Line, Segment, table, wrap
from trackflowd.console.tab import Answer, Desk, Key

KEYS = (
    Key("F", "F", "flush", "store what rings and spool hold now"),
    Key("P", "P", "pause", "hold back what goes to the store, or go on"),
    Key("R", "R", "reload", "read the configuration again; shows first what changes"),
    Key("D", "D", "drain", "stop the daemon once everything is stored"),
    Key("Y", "Y", "replay", "send again what the store has lost: starts a task"),
)
#: Seconds a flush may take before its answer is what is left.
_FLUSH_WAIT = 10
#: Spans offered for a replay.
_SINCE = ("10m", "30m", "1h", "6h", "1d")


def start(desk: Desk, key: str) -> bool:
    """Begin what a key stands for; whether it stands for anything."""
    begin = _BEGIN.get(key)
    if begin is not None:
        begin(desk)
    return begin is not None


def _flush(desk: Desk) -> None:
    def then(answer: Answer) -> None:
        if answer.error is not None:
            desk.open(refused("Not stored", answer.error))
            return
        value = answer.value
        if value.get("stored"):
            desk.say(f"flush: all stored, after {duration(value['seconds'])}", "good")
        else:
            left = (
                f"{size(value.get('left') or 0)} in the rings, {count(value.get('spooled') or 0)} batches in the spool"
            )
            desk.say(f"flush: asked for; {left} still wait", "odd")

    text = "What rings and spool hold now is sent to the store without waiting for batch.max_age."
    desk.open(Question("Flush?", text, "Flush", lambda: _do(desk, "flush", then, wait=_FLUSH_WAIT)))


def _pause(desk: Desk) -> None:
    verb = "resume" if desk.know.paused() else "pause"

    def then(answer: Answer) -> None:
        if answer.error is not None:
            desk.open(refused(f"Not {verb}d", answer.error))
        elif (answer.value or {}).get("paused"):
            desk.say("paused: nothing goes to the store until it is resumed (P)", "odd")
        else:
            desk.say("resumed: batches go to the store again", "good")

    left = (desk.know.status.get("buffer") or {}).get("full_in_s")
    lasts = f" They last {duration(left)} at the present rate." if left else ""
    text = {
        "pause": f"Nothing goes to the store until it is resumed. Events are taken; rings and spool keep them.{lasts}",
        "resume": "Batches go to the store again, the oldest first.",
    }[verb]
    title = f"{verb.capitalize()} delivery to the store?"
    desk.open(Question(title, text, verb.capitalize(), lambda: _do(desk, verb, then)))


def _drain(desk: Desk) -> None:
    def then(answer: Answer) -> None:
        if answer.error is not None:
            desk.open(refused("Not drained", answer.error))
        elif (answer.value or {}).get("paused"):
            desk.say("draining: it is paused, so what is not stored yet stays for the next start", "odd")
        else:
            desk.say("draining: the daemon ends once everything is stored", "odd")

    rest = (
        "leaves what is not stored yet to its next start (it is paused)" if desk.know.paused() else "stores everything"
    )
    text = (
        f"The daemon stops: it answers what is in flight, {rest} and ends. From then on clients are refused "
        "until somebody, or its service manager, starts it again."
    )
    desk.open(Question("Drain and stop the daemon?", text, "Drain", lambda: _do(desk, "drain", then), grave=True))


def _replay(desk: Desk) -> None:
    def then(answer: Answer) -> None:
        if answer.error is not None:
            desk.open(refused("No replay", answer.error))
        else:
            desk.say(f"task {answer.value['id']} is begun: the tab Tasks shows it", "good")

    def ask(text: str) -> None:
        try:
            seconds = option.DURATION.read(text)
            assert isinstance(seconds, float)
        except ValueError as error:
            desk.say(f"{text!r}: {error}", "bad")
            return
        about = f"Batches of the last {duration(seconds)} are looked up; what the store has lost is sent again."
        desk.open(Question("Replay?", about, "Replay", lambda: _do(desk, "replay", then, since=seconds)))

    desk.open(Prompt("Replay", "how far back: 90s, 10m, 1h, 1d", _SINCE[0], _SINCE, ask))


def _reload(desk: Desk) -> None:
    def looked(answer: Answer) -> None:
        if answer.error is not None:
            desk.open(refused("Not reloaded, nothing is changed", answer.error))
        elif not answer.value.get("changed"):
            desk.say("reload: the configuration says what is in effect already", "good")
        else:
            text = _changes(answer.value)
            desk.open(Question("Reload?", text, "Reload", lambda: _do(desk, "reload", then, dry_run=False)))

    def then(answer: Answer) -> None:
        if answer.error is not None:
            desk.open(refused("Not reloaded, nothing is changed", answer.error))
        else:
            value = answer.value
            desk.open(Notice("Reloaded" if value.get("applied") else "Not reloaded", lambda columns: _changes(value)))

    _do(desk, "reload", looked, dry_run=True)


def _changes(value: Mapping[str, Any]) -> list[Line]:
    """What a reload changes, a line for each option."""
    restart = set(value.get("restart") or ())
    rows = [
        [
            Segment(str(one["key"]), "name"),
            Segment(str(one["old"]), "dim"),
            Segment("→"),
            Segment(str(one["new"]), "bold"),
            Segment("needs a restart" if one["key"] in restart else "", "odd"),
        ]
        for one in value.get("changed") or ()
    ]
    return [*table(rows), *([[], *wrap("Options that need a restart stay as they are.", 70, "dim")] if restart else [])]


def _do(desk: Desk, command: str, then: Callable[[Answer], None], **args: Any) -> None:
    desk.say(f"{command}: asked for …")
    desk.act(command, then, **args)


_BEGIN: Mapping[str, Callable[[Desk], None]] = {
    "F": _flush,
    "P": _pause,
    "R": _reload,
    "D": _drain,
    "Y": _replay,
}
