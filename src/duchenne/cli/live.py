"""Ways to show a live stream of records: JSON Lines, bars in a terminal, a window."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, TextIO

from .text import printable

if TYPE_CHECKING:
    from ..inference import FrameRecord
    from ..inference.videofile import Frame
    from ..labels import Output

_BAR = 24  # characters of a full bar
_KEYS = (ord("q"), 27)  # q and Escape end it


class Lines:
    """One JSON object a frame."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, frame: Frame, record: FrameRecord) -> bool:
        """Show one frame; False where the user wants to end."""
        self._out.write(json.dumps(record, allow_nan=False) + "\n")
        self._out.flush()
        return True

    def close(self) -> None:
        """End it."""


class Bars:
    """The smoothed scores as bars: drawn over on a terminal, else one line a face and frame."""

    def __init__(self, out: TextIO, outputs: tuple[Output, ...]) -> None:
        self._out = out
        self._output = next((o for o in outputs if o.kind == "single"), outputs[0])
        self._live = out.isatty()
        self._height = 0
        self._last: float | None = None
        self._rate = 0.0

    def show(self, frame: Frame, record: FrameRecord) -> bool:
        """Show one frame; False where the user wants to end."""
        if self._last is not None and frame.time > self._last:
            now = 1 / (frame.time - self._last)
            self._rate = now if self._rate == 0 else 0.9 * self._rate + 0.1 * now
        self._last = frame.time
        lines = self._block(record) if self._live else self._plain(record)
        if self._live:
            lines.insert(
                0, f"{printable(record['path'] or '')}  {frame.time:.1f} s  {self._rate:.1f} frames/s"
            )
            size = shutil.get_terminal_size()
            lines = [line[: size.columns - 1] for line in lines[: size.lines - 1]]
            up = f"\x1b[{self._height}A" if self._height else ""
            self._out.write(up + "\x1b[J")
            self._height = len(lines)
        self._out.write("".join(f"{line}\n" for line in lines))
        self._out.flush()
        return True

    def _block(self, record: FrameRecord) -> list[str]:
        width = max(len(printable(label)) for label in self._output.labels)
        lines = [] if record["faces"] else ["no face"]
        for face in record["faces"]:
            scores = {s["label"]: s["score"] for s in face["smoothed"][self._output.name]}
            lines.append(f"face {face['track']}: {printable(face['steady'].get(self._output.name, ''))}")
            for label in self._output.labels:
                bar = "#" * round(_BAR * scores[label])
                lines.append(f"  {printable(label).ljust(width)} {scores[label]:.2f} {bar}")
        return lines

    def _plain(self, record: FrameRecord) -> list[str]:
        at = f"{record['time'] or 0.0:.2f} s"
        lines = [] if record["faces"] else [f"{at} no face"]
        for face in record["faces"]:
            best = face["smoothed"][self._output.name][0]
            label = face["steady"].get(self._output.name, best["label"])
            score = next((s["score"] for s in face["smoothed"][self._output.name] if s["label"] == label),
                         best["score"])  # fmt: skip
            lines.append(
                f"{at} face {face['track']}: {printable(label)} {score:.2f} {'#' * round(_BAR * score)}"
            )
        return lines

    def close(self) -> None:
        """End it."""
        self._out.flush()


class Window:
    """The picture with boxes and steady labels."""

    def __init__(self, outputs: tuple[Output, ...]) -> None:
        self._outputs = outputs

    def show(self, frame: Frame, record: FrameRecord) -> bool:
        """Show one frame; False where the user wants to end."""
        import cv2

        from ..inference.draw import draw_faces
        from ..inference.video_files import shown_face

        drawn = draw_faces(frame.image, [shown_face(face) for face in record["faces"]], self._outputs)
        cv2.imshow("duchenne", drawn[..., ::-1])
        return cv2.waitKey(1) & 0xFF not in _KEYS and cv2.getWindowProperty("duchenne", 4) >= 1  # 4: visible

    def close(self) -> None:
        """End it."""
        import cv2

        cv2.destroyAllWindows()
