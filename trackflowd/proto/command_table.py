"""The one table of commands of the control socket: names, arguments, who may, what is answered, how to type it.

``command_words`` says what a row is, ``command_access`` has the rows about sites, keys and tokens.
``proto.control`` reads requests by the table, ``commands`` has a handler for each row, ``trackflow`` a subcommand, and
``docs/control.md`` shows it (written by ``control_text``); a test holds all of them to each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from trackflowd.proto.command_access import SITES, TOKENS
from trackflowd.proto.command_words import Arg, Command

__all__ = ["COMMANDS", "Arg", "Command"]

_TASK_ID = Arg("id", "number", "number of the task; `tasks` lists them")
_WHAT = "which: site, name, user, visitor, id, from, to (ms since 1970 UTC)"
_NAMES = Arg("names", "list", "names of files, as the list command of the tool shows them")
_A_TASK = "a task, just begun or waiting for its turn"

_LOOKING = (
    Command("version", "versions of the daemon and of this protocol", answer="`version`, `protocol`", tool="version"),
    Command("status", "everything `trackflow status` shows", answer="see below", tool="status"),
    Command(
        "watch",
        "the status, again and again",
        (Arg("interval", "number", "seconds between two, 0.2 to 60", 1.0),),
        "stream of the value of `status`; who reads slowly misses some",
        "watch",
        streams=True,
    ),
    Command(
        "history",
        "what happened in each of the last seconds",
        (Arg("seconds", "number", "how many, 1 to 3600", 600),),
        "`at_ms` (begin of each second), `series`: `events_s`, `requests_s`, `stored_s`, `refused_s`, `p50_ms`, "
        "`p99_ms`, as many values each; null where it is not known",
        "history",
    ),
    Command(
        "processes",
        "the processes, with memory, CPU and restarts",
        answer="the `processes` of `status`",
        tool="processes",
    ),
    Command("rings", "the ring files and how full they are", answer="the `rings` of `status`", tool="rings"),
    Command(
        "config",
        "the options in effect; passwords masked",
        answer="values by `section.name`; passwords masked",
        tool="config",
    ),
    Command(
        "log",
        "what the processes have logged, and log from now on",
        (
            Arg("lines", "number", "the last so many first, 0 to 2000", 200),
            Arg("follow", "flag", "go on with those to come; else the stream ends", True),
        ),
        'stream of `at_ms`, `level`, `process`, `text`; `{"dropped": n}`: so many were left out',
        "log",
        streams=True,
    ),
    Command(
        "geo",
        "what the workers' geo database says of an address",
        (Arg("ip", "text", "IPv4 or IPv6"),),
        "`ip`, `country`, `region`, `city`, `asn` (0: not known), `database`, `built` (seconds since 1970), "
        "`age_days`; the last three null: no database. Error `bad_arguments`: no address",
        "geo ask",
    ),
    Command(
        "audit",
        "acting commands: who, when, what, with what outcome",
        (Arg("limit", "number", "the last so many, 1 to 1000", 100),),
        'newest first: `at_ms`, `uid`, `user`, `pid`, `command`, `args`, `ok`, `code` (of the error; "": none); '
        "passwords and ids of people masked",
        "audit",
    ),
)

_ASKING = (
    Command(
        "tail",
        "rows as they are accepted, without the visitor's address",
        (
            Arg("site", "text", "only this site", ""),
            Arg("name", "text", "only events of this name", ""),
        ),
        'stream of rows (at most 200 a second of each worker), never the visitor\'s address; `{"dropped": n}`: '
        "so many were left out",
        "tail",
        streams=True,
    ),
    Command(
        "query",
        "answer of one read-only SQL statement, bounded in time, rows, memory and size",
        (
            Arg("sql", "text", "the statement"),
            Arg("format", "text", "table, json (an object a line) or csv", "table"),
            Arg("params", "map", "values for {name:Type} in the statement", None),
        ),
        "bytes; read-only, bounded by `query.*`",
        "query",
    ),
    Command(
        "stats",
        "a named statistic (docs/statistics.md)",
        (
            Arg("name", "text", "which", "overview"),
            Arg("site", "text", "which site; empty: all", ""),
            Arg("from", "number", "begin of the period, ms since 1970 UTC; 0: as the statistic has it", 0),
            Arg("to", "number", "end of the period, ms since 1970 UTC; 0: that of this minute", 0),
            Arg("zone", "text", "IANA zone in which days begin", "UTC"),
            Arg("where", "list", "filters, as in: page is /pricing", ()),
            Arg("bots", "flag", "count bots too", False),
            Arg("limit", "number", "rows of each list; 0: 10", 0),
            Arg("offset", "number", "rows left out before them: `next` of the page before", 0),
            Arg("interval", "text", "minute, hour, day, week or month; empty: what suits the period", ""),
            Arg("property", "text", "of properties: the one whose values are asked for", ""),
            Arg("steps", "list", "of funnels: filters, a step each; none: a page, a second page, an event", ()),
            Arg("window", "number", "of funnels: seconds from the first step to the last; 0: a day", 0),
        ),
        "`period`, and the statistic's rows and numbers: see [statistics.md](statistics.md); `next`: a list goes on",
        "stats",
    ),
    Command(
        "events",
        "events of a selection, a page of them, by the time they happened",
        (
            Arg("what", "map", _WHAT + "; none: every event", None),
            Arg("limit", "number", "at most so many, 1 to 1000", 100),
            Arg("after", "text", "`next` of the page before; empty: the first", ""),
            Arg("newest", "flag", "begin with the newest", True),
        ),
        '`rows` (a map per event, `visitor` as 16 digits of hex), `next` (""; no more). A page may be shorter than '
        "asked for",
        "events list",
    ),
    Command(
        "debug_request",
        "what would be decided for a request, and why; nothing is stored or counted",
        (
            Arg("request", "text", "the whole HTTP request, its bytes as latin-1 characters", noted="hidden"),
            Arg("peer", "text", "address of who connects", "127.0.0.1", "hidden"),
        ),
        "`client` (`peer`, `trusted`, `address`, `header` and `hop` that named it), `place`, `agent`, `request` "
        "(`method`, `path`, `dialect`), `answer` (`status`, `refused`, `reason`, `meaning`, `remedy`), `events`: each "
        "a row with `salt_day`, or `refused`. It would tell whose a visitor's number is, so who may ask is who may act",
        "debug request",
        acting=True,
    ),
    Command(
        "erase_count",
        "what an erasure would delete",
        (Arg("what", "map", _WHAT),),
        "what an erasure would meet: `events`, `waiting`, `files`, `unread`",
        "events erase",
    ),
    Command(
        "erasures",
        "the tombstones of erasures, newest first",
        answer="newest first: `number`, `what`, `until_ms`, `task`, `state`, `retention` (true: a site's)",
        tool="events erasures",
    ),
    Command(
        "tasks",
        "the long jobs, newest first",
        answer="the tasks, newest first, without `history` and `checkpoint`",
        tool="tasks list",
    ),
    Command("task", "one long job, with its history", (_TASK_ID,), "a task; error `no_task`", "tasks show"),
)

_STEERING = (
    Command(
        "flush",
        "store what the rings hold now, without waiting for batch.max_age",
        (Arg("wait", "number", "seconds to wait until it is stored; 0: do not wait", 10),),
        "`stored`, `left` (bytes in the rings), `spooled` (batches in the spool), `seconds`; error `not_stored` when "
        "time is up, which says how much is where",
        "flush",
        acting=True,
    ),
    Command(
        "pause",
        "send nothing to the store until `resume`; events are taken and wait in rings, then spool",
        answer="`paused` (true), `sending` (rows of a batch that was on its way when it was asked)",
        tool="pause",
        acting=True,
    ),
    Command("resume", "end a pause", answer="`paused` (false), `sending`", tool="resume", acting=True),
    Command(
        "reload",
        "read the configuration again and take on what has changed, all of it or, where it is wrong, nothing",
        (Arg("dry_run", "flag", "only say what would change", False),),
        "`changed` (`key`, `old`, `new` each), `restart` (keys of these that take a restart), `applied`. Error "
        "`config`: it is wrong, and nothing has changed",
        "reload",
        acting=True,
    ),
    Command(
        "loglevel",
        "what the processes log from now on; a reload or restart goes back to log.level",
        (Arg("level", "text", "debug, info, warning or error"),),
        "`level`",
        "loglevel",
        acting=True,
    ),
    Command(
        "drain",
        "stop as SIGTERM does: answer what is in flight, store everything, end",
        answer="`paused`: true where what is not stored yet stays for the next start; the daemon stops as on SIGTERM",
        tool="drain",
        acting=True,
    ),
    Command(
        "stop",
        "stop in about a second; what is not stored stays in the rings",
        answer="nothing; the daemon stops in about a second, what is not stored stays in rings and spool",
        tool="stop",
        acting=True,
    ),
)

_CHANGING = (
    Command(
        "event_correct",
        "change properties of one event",
        (
            Arg("id", "text", "its id", noted="hidden"),
            Arg("site", "text", "whose; empty: the only one that has it", ""),
            Arg("put", "map", "properties to be set", None, "keys"),
            Arg("drop", "list", "names of properties to be taken away", ()),
        ),
        "`event`, `stored` (false: the store is still at it)",
        "events correct",
        acting=True,
    ),
    Command(
        "erase",
        "delete events for good and keep copies of them out: starts a task, answers it",
        (Arg("what", "map", _WHAT, noted="what"),),
        _A_TASK + "; its tombstone stands",
        "events erase",
        acting=True,
    ),
    Command(
        "erasure_forget",
        "remove a tombstone: what it kept out may come back with a replay",
        (Arg("number", "number", "its number; `erasures` lists them"),),
        "`forgotten`. Errors `no_erasure`, `task_state` (it is under way)",
        "events forget",
        acting=True,
    ),
    Command(
        "replay",
        "send again what the store has lost, as far back as the rings reach: starts a task, answers it",
        (
            Arg("since", "number", "seconds back from now"),
            Arg("dry_run", "flag", "only look, change nothing", False),
        ),
        _A_TASK + "; see below",
        "replay",
        acting=True,
    ),
    Command(
        "migrate",
        "move all events to another kind of store while others come in: starts a task, answers it",
        (
            Arg("source", "text", "url of the store to move from; empty: the daemon's own", "", "url"),
            Arg("target", "text", "url of the store to move to", "", "url"),
            Arg("cutover", "flag", "switch the daemon to the target in the end", False),
            Arg("plan", "flag", "only say what it would take", False),
        ),
        "a task, see [migration.md](migration.md); passwords in its `args` masked. Errors `bad_arguments`, `config` "
        "(a url that makes no sense)",
        "migrate",
        acting=True,
    ),
    Command(
        "backup_begin",
        "have what a backup is to have frozen, and its state written down; `trackflow backup` copies it",
        (
            Arg("wait", "number", "seconds to wait until what was answered is stored", 60),
            Arg(
                "events", "flag", "with the events of an embedded store; else only sites, keys, erasures, options", True
            ),
        ),
        "`directory` and `parts` (where it lies; empty: no events), `about` (of the manifest), `apart` (true: the "
        "store has backups of its own). Errors `not_stored`, `paused`, `unavailable` (an older batch is still open)",
        "backup",
        acting=True,
    ),
    Command(
        "backup_end",
        "let go of what was frozen for a backup",
        (Arg("name", "text", "of the backup"),),
        "`released`",
        "backup",
        acting=True,
    ),
    Command(
        "restore",
        "take over what a backup has and this daemon has not: starts a task, answers it",
        (
            Arg("name", "text", "of the backup, whose files lie in restore/NAME of the data directory"),
            Arg("events", "flag", "its events, too", True),
        ),
        _A_TASK + ". Errors `other_store` (its events are an embedded store's, this one's is not), `data_dir` (no "
        "such backup, or not whole), `bad_document`",
        "restore",
        acting=True,
    ),
    Command(
        "task_cancel",
        "have a long job end after its present step",
        (_TASK_ID,),
        "the task; `cancelling` until its present step is over. Errors `no_task`, `task_state` (it has ended), "
        "`unknown_kind`",
        "tasks cancel",
        acting=True,
    ),
    Command(
        "task_resume",
        "have an ended long job go on where it was",
        (_TASK_ID,),
        "the task, which goes on from its checkpoint. Errors `no_task`, `task_state` (done, not ended, or of a kind "
        "that cannot), `unknown_kind`",
        "tasks resume",
        acting=True,
    ),
    Command(
        "spool_drop",
        "give up batches that wait in the spool: their rows are lost for good",
        (_NAMES,),
        "`dropped`, `rows`: lost for good. Errors `data_dir` (no such batch in the spool, or it is being sent right "
        "now: try again)",
        "spool drop",
        acting=True,
    ),
    Command(
        "spool_release",
        "free batches in doubt of their host: doubled if that has them",
        (_NAMES,),
        "`released`, `rows`: batches in doubt freed from the host of a cluster they are bound to; stored twice if it "
        "has them (docs/scaling.md). Errors `data_dir` (no such batch, bound to no host, or it is being sent right "
        "now: try again)",
        "spool release",
        acting=True,
    ),
    Command(
        "quarantine_retry",
        "send rows the store refused again",
        (Arg("names", "list", "files; none: all that can be", ()),),
        "`retried` (files), `rows`, `skipped` (`name`, `reason`); the rows are a batch of their own and land or come "
        "back",
        "quarantine retry",
        acting=True,
    ),
    Command(
        "quarantine_drop",
        "delete quarantine files: what is in them is lost for good",
        (_NAMES,),
        "`dropped` (files), `rows`: lost for good. Error `data_dir` (no such file; nothing is deleted)",
        "quarantine drop",
        acting=True,
    ),
)

COMMANDS: Mapping[str, Command] = {
    command.name: command for command in (*_LOOKING, *_ASKING, *_STEERING, *_CHANGING, *SITES, *TOKENS)
}
