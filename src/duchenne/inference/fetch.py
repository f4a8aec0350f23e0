"""YuNet's file from its official address, or from a local copy, into the cache; checked, in one step."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from ..artifacts.card import replace_file
from ..errors import RunError
from .yunet import FILE, MAX_BYTES, VARIABLE, check_yunet, yunet_path

# The OpenCV zoo keeps its models in Git LFS; this is where GitHub serves those files.
URL = f"https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/{FILE}"
TIME_OUT = 30.0  # seconds, for each step of the connection
_OTHERWISE = "take a copy from another machine: `duchenne detector fetch --from FILE`"


def fetch_yunet(source: Path | None = None, timeout: float = TIME_OUT) -> tuple[Path, bool]:
    """Bring YuNet's file to where it is looked for.

    Args:
        source: A local copy; default: one download from `URL`, https only.
        timeout: Seconds for each step of the connection.

    Returns:
        Where the file lies ($DUCHENNE_YUNET, else the cache), and whether it was written: a good file that is
        there already is left alone.

    Raises:
        RunError: It cannot be had or written, or is another file (its sha256 differs); nothing is written.
    """
    path = yunet_path()
    if path.is_file():
        try:
            with path.open("rb") as file:
                check_yunet(file.read(MAX_BYTES + 1), str(path))
            return path, False
        except (RunError, OSError):
            if (
                path.name != FILE
            ):  # damaged or cut short, what is fetched replaces it; but not a file of others
                raise RunError(
                    f"{path}, which ${VARIABLE} names, is another file and is not written over",
                    f"name a file that is not there, or one called {FILE}",
                ) from None
    where = URL if source is None else str(source)
    content = _download(timeout) if source is None else _read(source)
    if len(content) > MAX_BYTES:
        raise RunError(f"{where} is larger than {FILE} ({MAX_BYTES >> 10} kB at most)", _OTHERWISE)
    check_yunet(content, where)
    replace_file(path, content)
    return path, True


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https alone."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urllib.parse.urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"it leads away from https, to {newurl[:80]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(timeout: float) -> bytes:
    opener = urllib.request.build_opener(_HttpsOnly)
    try:
        with opener.open(URL, timeout=timeout) as answer:
            content: bytes = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # URLError, HTTPError, time-outs and resets are OSErrors
        reason = getattr(error, "reason", None) or error
        raise RunError(f"{URL} cannot be downloaded: {reason}", _OTHERWISE) from None
    return content


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None
