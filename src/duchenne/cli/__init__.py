"""The command line. One small file a verb: parse, call, print."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

# Typer's tracebacks show local variables, which may hold a person's pixels.
os.environ.setdefault("TYPER_STANDARD_TRACEBACK", "1")

# The shell's convention: 128 + the signal's number.
INTERRUPTED = 130
TERMINATED = 143

# Packages of an extra -> that extra. A verb that imports one which is missing says what brings it.
EXTRAS = {
    "fastapi": "serve",
    "jinja2": "train",
    "kornia": "train",
    "lightning_fabric": "train",
    "matplotlib": "train",
    "onnx": "train",
    "onnxscript": "train",
    "optuna": "train",
    "python_multipart": "serve",
    "safetensors": "train",
    "scipy": "train",
    "sklearn": "train",
    "starlette": "serve",
    "tensorboard": "train",
    "threadpoolctl": "train",
    "torch": "train",
    "transformers": "train",
    "uvicorn": "serve",
}

# What the machine refuses, beside what each room says of its own files.
_REFUSALS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR,
    errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip


class _Terminated(KeyboardInterrupt):
    """SIGTERM: ends like Ctrl-C, so that what runs can leave its files in order."""


def main() -> None:
    """Entry point of ``duchenne``: user errors become one message and an exit code, never a traceback."""
    with importing():
        from ..errors import DuchenneError, MissingExtraError

    _fill_closed_streams()
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        _run(sys.argv[1:])
    except DuchenneError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        _fail(str(MissingExtraError(package, EXTRAS[package])))
    except BrokenPipeError:
        # The reader went away (`| head`): nothing is wrong. Python would complain again at its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno == errno.ENOENT and not _stands():
            _fail("the folder that this was started in is gone\n  change to one that is there")
        if error.errno not in _REFUSALS:
            raise
        _fail(f"{error.filename or 'a file'}: {error.strerror}")
    except KeyboardInterrupt as interrupt:
        sys.exit(TERMINATED if isinstance(interrupt, _Terminated) else INTERRUPTED)
    except Exception as error:
        # A library that is interrupted while it is imported says so by an error of its own.
        if not isinstance(stop := _cause(error), KeyboardInterrupt):
            raise
        sys.exit(TERMINATED if isinstance(stop, _Terminated) else INTERRUPTED)
    except SystemExit as end:
        # Typer turns KeyboardInterrupt into this code.
        if end.code == INTERRUPTED and isinstance(_cause(end), _Terminated):
            sys.exit(TERMINATED)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(words: Sequence[str]) -> None:
    """Do what the words say. `predict` with nothing but paths needs no parser: a tenth of its start."""
    paths = all(word == "-" or word[:1] != "-" for word in words[1:])
    # On Windows the parser expands patterns and variables, as its shells do not.
    if len(words) > 1 and words[0] == "predict" and paths and os.name != "nt":
        with importing():
            from .predicting import predict_paths

        predict_paths(words[1:])
        sys.exit(0)
    with importing():
        from .app import make_app

    make_app(words)()


@contextmanager
def importing() -> Iterator[None]:
    """No garbage collection: imports make many objects and no garbage, and are most of a short command."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # or the next collection would look through all that was imported
        gc.enable()


def _fill_closed_streams() -> None:
    """Put the null device where a standard stream is closed (`>&-`): verbs ask them what they are, and the
    next file that is opened would get the stream's number, with all that libraries write there."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _stands() -> bool:
    """Whether the folder is there that this was started in."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _terminate(number: int, frame: Any) -> NoReturn:
    raise _Terminated


def _cause(error: BaseException) -> BaseException | None:
    """The first exception that led to this one."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error


def _fail(message: str, code: int = 1) -> NoReturn:
    from .text import printable

    # What a message quotes of files and folders steers no terminal.
    print("\n".join(map(printable, f"error: {message}".split("\n"))), file=sys.stderr)
    sys.exit(code)
