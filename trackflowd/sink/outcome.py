"""What an exception of the driver says about a batch: the border that foreign exceptions do not cross.

The codes are the engine's own (``system.errors``); its texts are cut short, since they may quote values of rows.
"""

from __future__ import annotations

from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from trackflowd.errors import AnswerTooLong, QueryError, SinkError, StoreAway, StoreDoubt, StoreFailed, StoreReject
from trackflowd.sink.base import QueryLimits, shorten

#: The engine looked at the insert and will say the same of these rows every time; nothing of them was kept.
REJECT = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        16,  # NO_SUCH_COLUMN_IN_TABLE
        20,  # NUMBER_OF_COLUMNS_DOESNT_MATCH
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        36,  # BAD_ARGUMENTS
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        43,  # ILLEGAL_TYPE_OF_ARGUMENT
        44,  # ILLEGAL_COLUMN
        47,  # UNKNOWN_IDENTIFIER
        50,  # UNKNOWN_TYPE
        53,  # TYPE_MISMATCH
        60,  # UNKNOWN_TABLE
        62,  # SYNTAX_ERROR
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        73,  # UNKNOWN_FORMAT
        81,  # UNKNOWN_DATABASE
        115,  # UNKNOWN_SETTING
        117,  # INCORRECT_DATA
        131,  # TOO_LARGE_STRING_SIZE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        376,  # CANNOT_PARSE_UUID
        395,  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
        407,  # DECIMAL_OVERFLOW
        467,  # CANNOT_PARSE_BOOL
        469,  # VIOLATED_CONSTRAINT
        675,  # CANNOT_PARSE_IPV4
        676,  # CANNOT_PARSE_IPV6
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)

#: Refused before anything was written, for a reason that passes or that the operator mends on the server.
AWAY = frozenset(
    {
        164,  # READONLY
        192,  # UNKNOWN_USER
        193,  # WRONG_PASSWORD
        194,  # REQUIRED_PASSWORD
        195,  # IP_ADDRESS_NOT_ALLOWED
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        242,  # TABLE_IS_READ_ONLY
        252,  # TOO_MANY_PARTS: asked before the one part of the batch is written
        285,  # TOO_FEW_LIVE_REPLICAS: asked before that too
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE: then, or instead of committing the part
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
    }
)

#: Doubts that say nothing against the rows, however often: no room on the store's disk (243), a replica that lost
#: its session with Keeper (254, 319).
_PASSING = frozenset({243, 254, 319})

#: TOO_MANY_ROWS_OR_BYTES: of the answer.
_TOO_LONG = 396

#: What an asker did that an engine's code stands for.
_LIMITS = {
    158: "reads more rows than allowed",
    159: "takes longer than {0.max_seconds:g} s",
    160: "takes longer than {0.max_seconds:g} s",
    164: "only reading is allowed",
    241: "needs more than {0.max_memory} bytes of memory",
    307: "reads more bytes than allowed",
    _TOO_LONG: "answers with more than {0.max_rows} rows or {0.max_answer} bytes",
}

#: Of a query over a cluster: no replica of some shard could be asked, or none that is up to date.
_SHARD_AWAY = frozenset({279, 369})

#: Failures of a connection that was never there: nothing was sent. (Not SSLError: it also ends running transfers.)
_NOT_CONNECTED = (NewConnectionError, ConnectTimeoutError)


def code_of(error: BaseException) -> int | None:
    """The engine's error code, if it was the engine that refused."""
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else None


def of_insert(error: Exception) -> SinkError:
    """What an insert that raised leaves: see ``Sink.insert``."""
    code, text = code_of(error), text_of(error)
    if code in REJECT:
        return StoreReject(text)
    if code in AWAY or (code is None and not _sent(error)):
        return StoreAway(text)
    return StoreDoubt(text) if code is None or code in _PASSING else StoreFailed(text)


def of_question(error: Exception) -> StoreAway:
    """What any other call that raised leaves: no answer."""
    return StoreAway(text_of(error))


def of_query(error: Exception, limits: QueryLimits) -> QueryError:
    """What to tell who asked."""
    if code_of(error) in _SHARD_AWAY:
        text = f"a shard of the store does not answer, and without it rows would be missing: {text_of(error)}"
        return QueryError(shorten(text), "see `trackflow status`; try again when all shards are back")
    limit = _LIMITS.get(code_of(error) or 0)
    if limit is not None:
        kind = AnswerTooLong if code_of(error) == _TOO_LONG else QueryError
        return kind(f"the query {limit.format(limits)}" if code_of(error) != 164 else limit)
    return QueryError(text_of(error))


def text_of(error: BaseException) -> str:
    """The error's text, on one line and short; of a failed connection, that of its cause."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    innermost = causes[-1]
    if isinstance(innermost, MaxRetryError) and innermost.reason is not None:
        innermost = innermost.reason
    return shorten(str(innermost if code_of(error) is None else error) or type(innermost).__name__)


def _sent(error: BaseException) -> bool:
    """Whether any of the request may have left this machine."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, _NOT_CONNECTED):
            return False
        if isinstance(seen, MaxRetryError) and isinstance(seen.reason, _NOT_CONNECTED):
            return False
        seen = seen.__cause__
    return True
