"""sink.outcome: every exception of the driver becomes one of ours."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from trackflowd.errors import QueryError, SinkError, StoreAway, StoreDoubt, StoreFailed, StoreReject
from trackflowd.sink import outcome
from trackflowd.sink.base import MAX_ERROR_TEXT, QueryLimits

POOL = HTTPConnectionPool("127.0.0.1", 1)
CONNECTION = HTTPConnection("127.0.0.1", 1)


def because(cause: Exception) -> OperationalError:
    """As the driver raises a failed connection."""
    try:
        raise OperationalError("Error executing HTTP request") from cause
    except OperationalError as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (because(NewConnectionError(CONNECTION, "refused")), StoreAway),
        (because(MaxRetryError(POOL, "/", NewConnectionError(CONNECTION, "refused"))), StoreAway),
        (because(MaxRetryError(POOL, "/", ConnectTimeoutError("slow"))), StoreAway),
        (because(ReadTimeoutError(POOL, "/", "timed out")), StoreDoubt),
        (because(ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))), StoreDoubt),
        (because(SSLError("decryption failed")), StoreDoubt),
        (DatabaseError("HTTP driver received HTTP status 500"), StoreDoubt),
        (DatabaseError("memory", code=241), StoreFailed),
        (DatabaseError("not enough space", code=243), StoreDoubt),
        (DatabaseError("timeout", code=159), StoreFailed),
        (DatabaseError("same id", code=216), StoreFailed),
        (DatabaseError("body ended", code=33), StoreFailed),
        (DatabaseError("never heard of", code=9999), StoreFailed),
        (DatabaseError("too many queries", code=202), StoreAway),
        (DatabaseError("too many parts", code=252), StoreAway),
        (DatabaseError("table is read only", code=242), StoreAway),
        (DatabaseError("wrong password", code=516), StoreAway),
        (DatabaseError("no such table", code=60), StoreReject),
        (DatabaseError("type", code=53), StoreReject),
        (DatabaseError("no such column", code=16), StoreReject),
        (ProgrammingError("client side"), StoreDoubt),
        (RuntimeError("something else"), StoreDoubt),
    ],
)
def test_what_an_insert_raised_says_what_is_known(error: Exception, kind: type[SinkError]) -> None:
    assert type(outcome.of_insert(error)) is kind


def test_what_a_question_raised_is_no_answer() -> None:
    assert isinstance(outcome.of_question(DatabaseError("x", code=60)), StoreAway)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (159, "longer than 2.5 s"),
        (396, "more than 7 rows"),
        (241, "more than 11 bytes of memory"),
        (164, "only reading"),
    ],
)
def test_a_limit_is_told_in_words(code: int, said: str) -> None:
    error = outcome.of_query(DatabaseError("Code", code=code), QueryLimits(2.5, 7, 11))
    assert isinstance(error, QueryError)
    assert said in error.text


def test_texts_are_short_and_those_of_connections_name_the_cause() -> None:
    assert len(outcome.text_of(DatabaseError("x" * 9999, code=1))) == MAX_ERROR_TEXT
    refused = MaxRetryError(POOL, "/secret", NewConnectionError(CONNECTION, "refused"))
    assert outcome.text_of(because(refused)).endswith("refused")
    assert outcome.text_of(ValueError()) == "ValueError"
