"""sink.pg_outcome: every exception of the driver becomes one of ours."""

from __future__ import annotations

import asyncpg
import pytest
from asyncpg import exceptions as pg

from trackflowd.errors import QueryError, SinkError, StoreAway, StoreDoubt, StoreReject
from trackflowd.sink import pg_outcome
from trackflowd.sink.base import MAX_ERROR_TEXT, QueryLimits

LIMITS = QueryLimits(max_seconds=3)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(111, "refused"), StoreAway),
        (ConnectionResetError(104, "reset"), StoreAway),
        (TimeoutError(), StoreAway),
        (pg.ConnectionDoesNotExistError("closed in the middle"), StoreAway),
        (pg.AdminShutdownError("terminating connection"), StoreAway),
        (pg.CrashShutdownError("another server process"), StoreAway),
        (pg.CannotConnectNowError("starting up"), StoreAway),
        (pg.DiskFullError("no space"), StoreAway),
        (pg.QueryCanceledError("statement timeout"), StoreAway),
        (pg.LockNotAvailableError("lock timeout"), StoreAway),
        (pg.DeadlockDetectedError("deadlock"), StoreAway),
        (pg.ReadOnlySQLTransactionError("standby"), StoreAway),
        (pg.InsufficientPrivilegeError("denied"), StoreAway),
        (asyncpg.InterfaceError("driver"), StoreAway),
        (pg.UndefinedTableError("no table"), StoreReject),
        (pg.UndefinedColumnError("no column"), StoreReject),
        (pg.NumericValueOutOfRangeError("out of range"), StoreReject),
        (pg.CharacterNotInRepertoireError("0x00"), StoreReject),
        (pg.CheckViolationError("somebody's check"), StoreReject),
        (pg.RaiseError("somebody's trigger"), StoreReject),
        (pg.ProgramLimitExceededError("index row size"), StoreReject),
        (OverflowError("value out of int64 range"), StoreReject),
        (TypeError("no text"), StoreReject),
    ],
)
def test_until_its_commit_nothing_of_a_batch_can_have_been_kept(error: Exception, kind: type[SinkError]) -> None:
    assert type(pg_outcome.of_insert(error, committing=False)) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError(104, "reset"), StoreDoubt),
        (TimeoutError(), StoreDoubt),
        (pg.ConnectionDoesNotExistError("closed in the middle"), StoreDoubt),
        (pg.AdminShutdownError("terminating connection"), StoreDoubt),
        (pg.QueryCanceledError("statement timeout"), StoreDoubt),
        (pg.DiskFullError("no space"), StoreDoubt),
        (pg.StatementCompletionUnknownError("unknown"), StoreDoubt),
        (OverflowError("driver"), StoreDoubt),
        (pg.SerializationError("aborted"), StoreAway),
        (pg.DeadlockDetectedError("aborted"), StoreAway),
        (pg.CheckViolationError("deferred"), StoreReject),
    ],
)
def test_from_its_commit_on_only_an_abort_says_that_nothing_was_kept(error: Exception, kind: type[SinkError]) -> None:
    assert type(pg_outcome.of_insert(error, committing=True)) is kind


def test_a_question_without_an_answer_is_a_store_that_is_away() -> None:
    assert isinstance(pg_outcome.of_question(TimeoutError()), StoreAway)
    missing = pg_outcome.of_question(pg.InvalidCatalogNameError('database "x" does not exist'))
    assert "create the database" in missing.hint


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (pg.QueryCanceledError("statement timeout"), "takes longer than 3 s"),
        (TimeoutError(), "takes longer than 3 s"),
        (pg.ReadOnlySQLTransactionError("x"), "only reading is allowed"),
        (pg.UndefinedColumnError('column "nope" does not exist'), "nope"),
    ],
)
def test_who_asks_is_told_what_was_wrong(error: Exception, said: str) -> None:
    found = pg_outcome.of_query(error, LIMITS)
    assert isinstance(found, QueryError)
    assert said in found.text


def test_a_text_is_one_short_line_without_the_row_in_its_detail() -> None:
    error = pg.PostgresError.new(
        {"M": "new row\nviolates " + "x" * 1000, "C": "23514", "D": "Failing row contains (secret)"}
    )
    text = pg_outcome.text_of(error)
    assert text.startswith("new row violates")
    assert len(text) <= MAX_ERROR_TEXT
    assert "secret" not in text
    assert pg_outcome.text_of(OSError()) == "OSError"
