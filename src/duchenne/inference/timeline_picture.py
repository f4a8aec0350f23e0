"""The picture of a timeline: one lane a face. Pillow draws it: the base install has no plotting package."""

from __future__ import annotations

import io
import math
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from .records import UNSURE
from .timeline import Timeline

# Okabe & Ito's palette, told apart with all common colour-vision deficiencies (M. Okabe, K. Ito, "Color
# Universal Design", 2008), without its black. Labels are also written in words, so that colours may repeat.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
_NEUTRAL, _UNSURE = "#9A9A9A", "#E4E4E4"
_INK, _LINE, _PAPER = "#1a1a1a", "#c8c8c8", "#ffffff"
_WIDTH, _LEFT, _RIGHT, _TOP = 1400, 110, 30, 80
_LANE, _BAR = 84, 60  # pixels a lane, and of it those that mean a score of 1
_MOST_LANES = 24  # beyond, the faces that were seen longest are drawn
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def draw_timeline(timeline: Timeline, title: str) -> bytes:
    """Draw when each face showed what: colour and words say the steady label, height its smoothed score.

    Args:
        timeline: Of one video.
        title: Stands above; usually the file's name.

    Returns:
        A PNG.
    """
    tracks = sorted(timeline.lanes, key=lambda t: (-len(timeline.lanes[t]), t))[:_MOST_LANES]
    tracks.sort()
    labels = timeline.labels()
    colours = label_colours(timeline.output.labels)
    legend_rows = math.ceil(max(len(labels), 1) / 7)
    axis = _TOP + max(len(tracks), 1) * _LANE
    image = Image.new("RGB", (_WIDTH, axis + 70 + 30 * legend_rows), _PAPER)
    draw = ImageDraw.Draw(image)
    _heading(draw, timeline, title, len(tracks))
    span = max(timeline.end + timeline.step, 1e-3)
    _time_axis(draw, span, axis)
    if not tracks:
        draw.text((_LEFT + 20, _TOP + 30), "no face was found", _INK, _font(18))
    for row, track in enumerate(tracks):
        _lane(draw, timeline, track, _TOP + row * _LANE, span, colours)
    for number, label in enumerate(labels):
        x = _LEFT + (number % 7) * (_WIDTH - _LEFT - _RIGHT) // 7
        y = axis + 60 + 30 * (number // 7)
        draw.rectangle((x, y, x + 18, y + 18), colours[label], _INK)
        draw.text((x + 26, y + 9), _fitting(label, 140, 15), _INK, _font(15), "lm")
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def label_colours(labels: tuple[str, ...]) -> dict[str, str]:
    """A colour a label, by its place among the model's labels: the same in every picture of a model."""
    colours = {UNSURE: _UNSURE}
    place = 0
    for label in labels:
        if label == "neutral":
            colours[label] = _NEUTRAL
            continue
        colours[label] = PALETTE[place % len(PALETTE)]
        place += 1
    return colours


def _heading(draw: ImageDraw.ImageDraw, timeline: Timeline, title: str, drawn: int) -> None:
    draw.text((_LEFT, 14), _fitting(title, _WIDTH - _LEFT - _RIGHT, 22), _INK, _font(22))
    left_out = len(timeline.lanes) - drawn
    more = f"; {left_out} more faces, seen more briefly, are not drawn" if left_out else ""
    text = (
        f"{timeline.output.name} of each face: colour and words the steady label, height its smoothed score"
    )
    draw.text((_LEFT, 46), text + more, _INK, _font(15))


def _time_axis(draw: ImageDraw.ImageDraw, span: float, y: int) -> None:
    step = next((s for s in _TICKS if span / s <= 12), span / 10)
    for k in range(int(span / step) + 1):
        x = _x(k * step, span)
        draw.line((x, _TOP, x, y + 5), _LINE)
        draw.text((x, y + 9), _clock(k * step, step, span), _INK, _font(14), "ma")
    draw.line((_LEFT, y, _WIDTH - _RIGHT, y), _INK, 2)
    unit = "minutes:seconds" if span >= 60 else "seconds"
    draw.text(((_LEFT + _WIDTH - _RIGHT) / 2, y + 30), unit, _INK, _font(14), "ma")


def _lane(
    draw: ImageDraw.ImageDraw, timeline: Timeline, track: int, top: int, span: float, colours: dict[str, str]
) -> None:
    base = top + _LANE - 6
    draw.text((_LEFT - 50, base - _BAR / 2), f"face {track}", _INK, _font(16), "rm")
    for score in (0.0, 0.5, 1.0):
        y = base - score * _BAR
        draw.line((_LEFT - 6, y, _WIDTH - _RIGHT, y), _LINE)
        draw.text((_LEFT - 10, y), f"{score:g}", _INK, _font(12), "rm")
    lane = timeline.lanes[track]
    runs: list[tuple[str, int, int]] = []
    for point in sorted(lane):
        label, score = lane[point]
        left, right = _x(point * timeline.step, span), _x((point + 1) * timeline.step, span)
        draw.rectangle((left, base - score * _BAR, max(left + 1, right), base), colours[label])
        if runs and runs[-1][0] == label and runs[-1][2] == point:
            runs[-1] = (label, runs[-1][1], point + 1)
        else:
            runs.append((label, point, point + 1))
    for label, first, behind in runs:
        left, right = _x(first * timeline.step, span), _x(behind * timeline.step, span)
        draw.line((left, base, left, base - _BAR), _INK)
        word = _fitting(label, right - left - 6, 15)
        if word:
            width = _font(15).getlength(word)
            # Words stand on white, so that they are legible on every colour.
            draw.rectangle((left + 3, base - 20, left + 9 + width, base - 2), _PAPER)
            draw.text((left + 6, base - 11), word, _INK, _font(15), "lm")


def _x(time: float, span: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(time / span, 1.0)


def _clock(time: float, step: float, span: float) -> str:
    if span < 60:
        return f"{time:g}" if step >= 1 else f"{time:.1f}"
    minutes, seconds = divmod(round(time), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _fitting(text: str, width: float, size: int) -> str:
    """The text, shortened to a width in pixels; empty where not even three letters would fit."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    if _font(size).getlength(shown) <= width:
        return shown
    while len(shown) > 2 and _font(size).getlength(shown + "…") > width:
        shown = shown[:-1]
    return shown + "…" if len(shown) > 2 else ""


def _font(size: int) -> Any:
    try:
        return ImageFont.load_default(size)
    except (TypeError, OSError):  # a Pillow before 10.1, or without FreeType: one size only
        return ImageFont.load_default()
