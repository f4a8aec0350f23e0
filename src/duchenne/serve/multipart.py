"""Images out of multipart/form-data, while it comes, in memory only.

Starlette's own reading of forms spools files of more than 1 MB to a temporary file; this one never does.
"""

from __future__ import annotations

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from ..inference import Source
from .body import too_many
from .limits import MIB, Limits
from .refusal import Refused, shown

FIELDS = ("images", "image", "file")
_HEADER_BYTES = 4096  # of one part


class Multipart:
    """Takes the body's chunks; `sources` gives the images. Use it as ``with Multipart(...) as form``.

    Args:
        content_type: The request's header.
        limits: See `Limits`.

    Raises:
        Refused: 400: no boundary.
    """

    def __init__(self, content_type: str, limits: Limits) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 70:  # RFC 2046, 5.1.1
            raise Refused(400, "multipart/form-data needs a boundary of 1 to 70 characters in Content-Type")
        self._limits = limits
        self._sources: list[Source] = []
        self._name = ""
        self._chunks: list[bytes] = []
        self._size = self._head = 0
        self._field = self._value = b""
        self._disposition = b""
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_part_end": self._close,
                "on_end": self._end,
            },
        )
        # Newer parsers have bounds of their own and would call a form malformed that breaks one of them;
        # `_count` bounds the headers' bytes, and so their number, and says so.
        self._parser.max_header_count, self._parser.max_header_size = _HEADER_BYTES, MIB

    def write(self, chunk: bytes) -> None:
        """Take a chunk.

        Raises:
            Refused: 400: no such form; 413: too many images; 422: a field of another name.
        """
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise Refused(400, "the body is not well-formed multipart/form-data") from None

    def sources(self) -> list[Source]:
        """The images in their order. Raises `Refused`: 400: the body ends in its middle."""
        if not self._ended:
            raise Refused(400, "the body ends before its last boundary")
        return self._sources

    def __enter__(self) -> Multipart:
        return self

    def __exit__(self, *raised: object) -> None:
        # The parser's callbacks are methods of this object, which holds the parser. This circle waits for the
        # garbage collector; the images are not to wait for it.
        self._sources, self._chunks = [], []
        del self._parser

    def _begin(self) -> None:
        if len(self._sources) >= self._limits.images:
            raise too_many(self._limits)
        self._disposition = b""
        self._chunks, self._size, self._head = [], 0, 0

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, size: int) -> None:
        """Headers are not images: their size is bounded apart."""
        self._head += size + 4  # colon, blank, end of line
        if self._head > _HEADER_BYTES:
            raise Refused(400, f"the headers of a part are larger than {_HEADER_BYTES} bytes")

    def _on_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = _text(options.get(b"name", b""))
        if not field:
            raise Refused(422, "a part of the form has no name", f"images stand in '{FIELDS[0]}'")
        if field not in FIELDS:
            raise Refused(422, f"there is no field '{shown(field)}'", f"images stand in '{FIELDS[0]}'")
        self._name = shown(_text(options.get(b"filename", b"")))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > self._limits.image_bytes:
            self._chunks = []
        else:
            self._chunks.append(data[start:end])

    def _close(self) -> None:
        self._sources.append(source(self._name or None, b"".join(self._chunks), self._size, self._limits))
        self._chunks = []

    def _end(self) -> None:
        self._ended = True


def source(name: str | None, data: bytes, size: int, limits: Limits) -> Source:
    """One image; where it is larger than allowed, its error and not its bytes."""
    if size > limits.image_bytes:
        return Source(name, error=f"{name or 'the image'} is larger than {limits.image_bytes / MIB:g} MiB")
    return Source(name, data)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
