"""A verb's output: standard output, or a file that appears when it is whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..errors import RunError
from .text import tell


@contextmanager
def opened(out: Path | None) -> Iterator[TextIO]:
    """Standard output; or a file, which gets its name when it is whole."""
    if out is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # a file name may be no text
        try:
            yield sys.stdout
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader (`head`) has seen enough; the interpreter's last flush must not fail.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except OSError as error:
            raise RunError(
                f"standard output cannot be written: {error.strerror}", "free some space"
            ) from None
        return
    if out.exists() and not out.is_file():  # a pipe or a device: nothing to replace
        with _writable(out), out.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        return
    part = out.with_name(out.name + ".part")
    stopped = False
    try:
        with _writable(out):
            with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                try:
                    yield file
                except OSError:  # of this file
                    raise
                except BaseException:
                    stopped = True
                    raise
            os.replace(part, out)
    except BaseException as error:
        if stopped and (part.stat().st_size or isinstance(error, KeyboardInterrupt)):
            how = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
            tell(f"{how}; the records so far are in {part}")
        else:
            part.unlink(missing_ok=True)
        raise


@contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{out} cannot be written: {error.strerror}", "free some space or name another file with --out"
        ) from None
