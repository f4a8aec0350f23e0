"""How FER2013's training faces are framed: where the detectors see eyes, mouth and box in the 48x48 image.

Run it as ``DUCHENNE_YUNET=FILE python benchmarks/framing.py --data DATA``. The constants of
`duchenne.inference.align` are its medians. Each image is enlarged 4 times, for YuNet misses faces of few
pixels, and bordered by a quarter of its side, for boxes reach beyond it; figures are shares of the side.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from duchenne.datasets import load
from duchenne.inference.cascade import Cascade
from duchenne.inference.yunet import YuNet

SIDE = 48 * 4
BORDER = SIDE // 4


def seen(face: Any) -> Any:
    """The image as the detectors are given it."""
    large = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(large, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)


def spread(name: str, values: Any) -> None:
    """Print a column's median, its 10th and 90th percentile and the deviation of its logarithm."""
    low, middle, high = np.percentile(values, [10, 50, 90])
    print(f"  {name:<34} {middle:.3f}  ({low:.3f} to {high:.3f}; log deviation {np.log(values).std():.3f})")


def landmarks(points: Any, boxes: Any) -> None:
    """Print what YuNet sees: points ``(N, 5, 2)``, boxes ``(N, 4)``."""
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    across = np.hypot(*(points[:, 1] - points[:, 0]).T)
    down = np.hypot(*(mouth - eyes).T)
    for name, place in (("between the eyes", eyes), ("middle of the mouth", mouth)):
        x, y = np.median(place, 0)
        print(
            f"  {name:<34} x {x:.3f}  y {y:.3f}  (deviation {place[:, 0].std():.3f}, {place[:, 1].std():.3f})"
        )
    spread("eye to eye", across)
    spread("eyes to mouth", down)
    spread("root of the sum of their squares", np.hypot(across, down))
    print(f"  eye line below half the eye-mouth line: {(across < 0.5 * down).mean():.1%}")
    spread("box: width", boxes[:, 2])
    spread("box: height", boxes[:, 3])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("DUCHENNE_DATA"))
    parser.add_argument("--faces", type=int, default=1000)
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data folder with --data or $DUCHENNE_DATA")
    cv2.setNumThreads(1)
    faces = load("fer2013", options.data)
    training = np.flatnonzero(np.asarray(faces.part) == "Training")
    chosen = np.random.default_rng(0).choice(training, min(options.faces, len(training)), replace=False)
    for finder in (YuNet(), Cascade()):
        points, boxes = [], []
        for i in chosen:
            found = finder.find(seen(faces.image(int(i))))
            if found:
                x, y, width, height = found[0].box
                boxes.append(np.array([x - BORDER, y - BORDER, width, height]) / SIDE)
                if found[0].landmarks is not None:
                    points.append((found[0].landmarks - BORDER) / SIDE)
        box = np.array(boxes)
        print(f"{type(finder).__name__}: found on {len(box)} of {len(chosen)}")
        centre = np.median(box[:, :2] + box[:, 2:] / 2, 0)
        if points:
            landmarks(np.array(points), box)
        spread("box: root of its area", np.sqrt(box[:, 2] * box[:, 3]))
        print(f"  {'box: middle':<34} x {centre[0]:.3f}  y {centre[1]:.3f}")


if __name__ == "__main__":
    main()
