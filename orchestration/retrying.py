"""Try a step again, later and later, where what stopped it goes away by itself; a mistake fails at once.

Publications are tried again by their sensor, which counts the tries of a version.
"""

import errno
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import dagster as dg
import duckdb
import psycopg2
import sqlalchemy as sa

MAX_RETRIES = 4
FIRST_WAIT_SECONDS = 5.0
BUSY = {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET}
LOCKED_FILE = "Could not set lock on file"
"""DuckDB's words where a program that does not queue on Weft's lock has the warehouse open; dbt passes them on."""


def is_transient(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, goes away by itself: a service that is gone, a file that another program holds."""
    while error is not None:
        if isinstance(error, sa.exc.OperationalError | psycopg2.OperationalError):
            return True
        if isinstance(error, OSError) and error.errno in BUSY:
            return True
        if isinstance(error, duckdb.IOException | dg.Failure) and LOCKED_FILE in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def retried_when_transient(step: Callable[..., Any]) -> Callable[..., Any]:
    """For the function of an asset whose first argument is its context: see the module."""
    if inspect.isgeneratorfunction(step):

        @wraps(step)
        def generating(context: dg.AssetExecutionContext, *arguments: Any, **named: Any) -> Iterator[Any]:
            with _retrying(context):
                yield from step(context, *arguments, **named)

        return generating

    @wraps(step)
    def returning(context: dg.AssetExecutionContext, *arguments: Any, **named: Any) -> Any:
        with _retrying(context):
            return step(context, *arguments, **named)

    return returning


@contextmanager
def _retrying(context: dg.AssetExecutionContext) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_transient(error):
            raise
        wait = FIRST_WAIT_SECONDS * 2**context.retry_number
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=wait) from error
