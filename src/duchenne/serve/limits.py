"""How much one client, and all of them together, may ask for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import isfinite

from ..datasets.decode import MAX_PIXELS
from ..errors import RecipeError

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """All limits of a server; the card at ``/model`` states them.

    Attributes:
        request_bytes: Of one request's body; more is answered 413, unread where its length is said.
        image_bytes: Of one image's file; a larger one is a record with its error, and its bytes are dropped.
        pixels: Width times height of one image, read off its header; a larger one is a record with its error.
        images: Images a request; more are answered 413 as soon as they are counted.
        requests: Requests whose images wait or are predicted; more are answered 429 with Retry-After. So are
            those that would find so many images before them that they could not be done in time.
        held_bytes: Bodies in memory, of all requests together; beyond it 429 with Retry-After.
        connections: Open at once; more are answered 503 and closed.
        head_seconds: To send a request's headers; then 408.
        body_seconds: To send a request's body, and to take the answer; then 408.
        predict_seconds: From the whole body to the answer; then 503 with Retry-After.

    Raises:
        RecipeError: A limit below 1, pixels above what is ever decoded, or held_bytes below request_bytes.
    """

    request_bytes: int = 32 * MIB
    image_bytes: int = 16 * MIB
    pixels: int = 25_000_000
    images: int = 64
    requests: int = 256
    held_bytes: int = 256 * MIB
    connections: int = 512
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    predict_seconds: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name.endswith("_seconds") else 1
            if not (isfinite(value) and value > 0 and value >= least):
                raise RecipeError(f"the limit {field.name} must be positive, not {value}")
        if self.held_bytes < self.request_bytes:
            raise RecipeError(
                f"the limit held_bytes ({self.held_bytes}) is below request_bytes ({self.request_bytes})",
                "the largest request allowed must find room",
            )
        if self.pixels > MAX_PIXELS:
            raise RecipeError(
                f"the limit pixels must be at most {MAX_PIXELS}, not {self.pixels}",
                "no larger image is ever decoded",
            )

    def to_json(self) -> dict[str, float]:
        """Name -> number."""
        return asdict(self)
