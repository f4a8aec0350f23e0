"""Optuna, quiet, and its storages by address."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import MissingExtraError, RunError

# How long a process waits for another one's lock on an SQLite file: its writes take milliseconds each.
_SQLITE_SECONDS = 60.0

# How often a storage is opened while another process makes its tables.
_TURNS = 6

_DRIVERS = {"mysql": "pymysql (mysql+pymysql://...)", "postgresql": "psycopg2-binary"}


def optuna() -> Any:
    """The package, its log off standard error. Raises MissingExtraError."""
    try:
        import optuna as package
    except ModuleNotFoundError as error:
        raise MissingExtraError((error.name or "optuna").partition(".")[0], "train") from None
    package.logging.set_verbosity(package.logging.ERROR)
    return package


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's warnings on what may change in later versions: the versions are pinned."""
    lib = optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lib.exceptions.ExperimentalWarning)
        yield


def hidden(url: str) -> str:
    """The address without its password."""
    url = re.sub(r"([?&](?:password|passwd|pwd)=)[^&]*", r"\1...", url)
    head, at, tail = url.rpartition("@")
    scheme, slashes, user = head.partition("://")
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{tail}" if at and slashes else url


@contextmanager
def answering(url: str) -> Iterator[None]:
    """Raises RunError where a storage that was opened fails."""
    import sqlalchemy.exc as sql

    try:
        yield
    except (optuna().exceptions.StorageInternalError, sql.SQLAlchemyError) as error:
        cause = error if isinstance(error, sql.SQLAlchemyError) else error.__cause__ or error
        reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
        raise RunError(
            f"the storage {hidden(url)} failed: {reason}",
            "what was finished is kept there; when it can be written to again, the same command goes on",
        ) from None


def absolute(url: str) -> str:
    """The address of a file with its full path, so that it is found from any folder."""
    for scheme in ("sqlite:///", "journal:///"):
        if url.startswith(scheme) and not url.endswith(":memory:"):
            path, question, options = url.removeprefix(scheme).partition("?")
            return f"{scheme}{Path(path).expanduser().resolve()}{question}{options}"
    return url


def open_storage(url: str) -> Any:
    """Optuna's storage at an address.

    Args:
        url: SQLAlchemy's ("sqlite:///search.db", "postgresql://...", "mysql+pymysql://..."), "journal:///FILE"
            (Optuna's journal, for network file systems), or "redis://...".

    Raises:
        RunError: The address is none, its driver is not installed, or nothing answers there.
    """
    lib = optuna()
    dialect, slashes, rest = url.partition("://")
    if not slashes or not dialect:
        raise RunError(f"--storage {url} is not an address", "for example: --storage sqlite:///search.db")
    if url.endswith(":memory:") or url == "sqlite://":
        raise RunError(
            f"--storage {url} is gone with this process", "for example: --storage sqlite:///search.db"
        )
    journal = lib.storages.journal
    with quiet():
        if dialect == "journal":
            return _opened(url, lambda: lib.storages.JournalStorage(journal.JournalFileBackend(rest[1:])))
        if dialect.startswith("redis"):
            return _opened(url, lambda: lib.storages.JournalStorage(journal.JournalRedisBackend(url)))
        kwargs: dict[str, Any] = {}
        if dialect.startswith("sqlite"):
            _make_parent(rest)
            kwargs = {"connect_args": {"timeout": _SQLITE_SECONDS}}
        return _opened(url, lambda: lib.storages.get_storage(_database(url, kwargs)))


def _database(url: str, kwargs: dict[str, Any]) -> Any:
    """Optuna's database storage; on SQLite every transaction holds the file from its first reading on.

    Optuna takes a waiting trial by reading its state and then writing it. Databases lock the row between the
    two; SQLite's driver locks at the first writing only, so that two processes could take the same trial.

    Source: SQLAlchemy's manual, "Serializable isolation / Savepoints / Transactional DDL" of pysqlite.
    """
    from sqlalchemy import event

    storage = optuna().storages.RDBStorage(url, kwargs)
    if url.startswith("sqlite"):
        storage.engine.dispose()  # connections that were opened without these rules

        @event.listens_for(storage.engine, "connect")
        def _no_rules_of_its_own(connection: Any, record: Any) -> None:
            connection.isolation_level = None

        @event.listens_for(storage.engine, "begin")
        def _lock(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return storage


def _make_parent(rest: str) -> None:
    parent = Path(rest.removeprefix("/").partition("?")[0]).parent
    if not parent.is_dir():
        raise RunError(f"--storage: there is no folder {parent}", "make it first, or name another file")


def _first_or_second(make: Any, error: type[Exception]) -> Any:
    """Open a storage, again where another process makes its tables at the same moment."""
    for turn in range(_TURNS):
        try:
            return make()
        except error as wrong:
            text = str(wrong).lower()
            if turn == _TURNS - 1 or not any(w in text for w in ("exists", "unique", "duplicate", "locked")):
                raise
            time.sleep(0.2 * (turn + 1))
    raise AssertionError("the loop returns or raises")


def _opened(url: str, make: Any) -> Any:
    """Open a storage; what goes wrong becomes one sentence."""
    import sqlalchemy.exc as sql

    shown, dialect = hidden(url), url.partition("://")[0]
    try:
        return _first_or_second(make, sql.DBAPIError)
    except sql.NoSuchModuleError:
        raise RunError(
            f"--storage {shown}: there is no database of the kind '{dialect}'",
            "known: sqlite:///FILE, postgresql://, mysql+pymysql://, journal:///FILE, redis://",
        ) from None
    except ImportError as error:
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        package = _DRIVERS.get(dialect, getattr(cause, "name", None) or dialect.partition("+")[2] or dialect)
        raise RunError(
            f"--storage {shown}: the driver of this database is not installed", f"pip install {package}"
        ) from None
    except (sql.ArgumentError, ValueError) as error:
        if dialect == "journal":
            raise RunError(
                f"--storage {shown}: the file is no journal of Optuna", "name another file"
            ) from None
        raise RunError(
            f"--storage {shown} is not an address: {str(error).splitlines()[0]}",
            "for example: --storage sqlite:///search.db",
        ) from None
    except sql.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise RunError(
            f"--storage {shown} cannot be opened: {reason}",
            "is it a database, and may you write there?"
            if dialect.startswith("sqlite")
            else "does the server run, and may you write there?",
        ) from None
    except OSError as error:
        raise RunError(f"--storage {shown} cannot be reached: {error.strerror or error}") from None
    except Exception as error:
        # Redis' and other drivers' own errors, whose classes cannot be named without them.
        if type(error).__module__.partition(".")[0] in ("redis", "psycopg2", "pymysql", "optuna"):
            raise RunError(f"--storage {shown} cannot be reached: {error}") from None
        raise
