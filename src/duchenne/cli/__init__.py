"""The command line. One small file a verb: parse, call, print."""

from __future__ import annotations

import os
import sys

# Typer's tracebacks show local variables, which may hold a person's pixels.
os.environ.setdefault("TYPER_STANDARD_TRACEBACK", "1")

INTERRUPTED = 130  # the shell's convention: 128 + SIGINT


def main() -> None:
    """Entry point of ``duchenne``: user errors become one message and an exit code, never a traceback."""
    from ..errors import DuchenneError
    from .app import app

    try:
        app()
    except DuchenneError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader went away (`| head`): nothing is wrong. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
