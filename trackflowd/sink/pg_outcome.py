"""What an exception of the PostgreSQL driver says about a batch: the border that foreign exceptions do not cross.

A batch is one transaction, so until its COMMIT was sent nothing can have been kept, whatever went wrong. From then on
only an error that the server gives for an abort of the transaction says that; anything else leaves a doubt.

Codes are SQLSTATEs. Of a server's error only its message is kept: its detail may quote a whole row.
"""

from __future__ import annotations

from trackflowd.errors import QueryError, SinkError, StoreAway, StoreDoubt, StoreReject
from trackflowd.sink.base import QueryLimits, shorten

#: Classes of what the server will say of these rows, or of this table, every time.
REJECT = frozenset(
    {
        "0A",  # feature_not_supported
        "21",  # cardinality_violation
        "22",  # data_exception
        "23",  # integrity_constraint_violation
        "38",  # external_routine_exception: somebody's trigger
        "39",  # external_routine_invocation_exception
        "42",  # syntax_error_or_access_rule_violation: no such table, column, type
        "44",  # with_check_option_violation
        "54",  # program_limit_exceeded
        "P0",  # raise_exception: somebody's trigger
    }
)
#: …but for what the operator mends on the server.
_NOT_REJECT = frozenset({"42501"})  # insufficient_privilege

#: Classes of errors at COMMIT after which the transaction is known to be aborted.
_ABORTED = frozenset({"22", "23", "40", "P0"})
_UNKNOWN = "40003"  # statement_completion_unknown

_CANCELED = "57014"  # query_canceled
_READ_ONLY = "25006"  # read_only_sql_transaction


def code_of(error: BaseException) -> str:
    """SQLSTATE, if it was the server that refused; "" otherwise."""
    code = getattr(error, "sqlstate", None)
    return code if isinstance(code, str) else ""


def of_insert(error: Exception, committing: bool) -> SinkError:
    """What an insert that raised leaves.

    Args:
        error: of driver or server.
        committing: the COMMIT had been sent.
    """
    code = code_of(error)
    if committing and (code[:2] not in _ABORTED or code == _UNKNOWN):
        return StoreDoubt(text_of(error))
    if code[:2] in REJECT and code not in _NOT_REJECT:
        return StoreReject(text_of(error))
    if not code and isinstance(error, ValueError | TypeError | OverflowError):
        return StoreReject(text_of(error))  # the driver cannot write a value
    return StoreAway(text_of(error))


def of_question(error: Exception) -> StoreAway:
    """What any other call that raised leaves: no answer."""
    hint = "create the database, or name another in store.url" if code_of(error) == "3D000" else ""
    return StoreAway(text_of(error), hint)


def of_query(error: Exception, limits: QueryLimits) -> QueryError:
    """What to tell who asked."""
    code = code_of(error)
    if isinstance(error, TimeoutError) or code == _CANCELED:
        return QueryError(f"the query takes longer than {limits.max_seconds:g} s")
    if code == _READ_ONLY:
        return QueryError("only reading is allowed")
    return QueryError(text_of(error))


def text_of(error: BaseException) -> str:
    """The error's text, on one line and short, without detail and hint."""
    if isinstance(error, TimeoutError) and not code_of(error):
        return "no answer in time"
    message = getattr(error, "message", None)
    return shorten((message if isinstance(message, str) else "") or str(error) or type(error).__name__)
