"""Measure how steady the labels of a video are: made videos of drawn faces that change their expression.

Each video shows one person who was in no training face, 48x48 pixels, 25 frames a second, another expression
every 3 seconds (it comes up within 0.4 s), with noise, tilt, shift and light that change from frame to frame.
The model is a net of one hidden layer, fitted to other drawn faces: it errs often enough to flicker.

For the label of single frames (raw) and the smoothed ones: changes of the label beyond the true ones, a
minute; part of the frames that are right; seconds from the start of a true change until its label is said
(median of those where it is said before the next change), and how many of them that are.

    python benchmarks/tracking.py
"""

from __future__ import annotations

import statistics
import tempfile
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from duchenne.artifacts import Card, save_artifact
from duchenne.datasets import load
from duchenne.datasets.facemodel import render
from duchenne.datasets.faceparams import FIELDS, FaceParams
from duchenne.datasets.prototypes import variant_masks
from duchenne.datasets.synthetic import EMOTION, cast_faces
from duchenne.inference import Predictor, VideoSettings, predict_video
from duchenne.transforms.preprocess import Preprocess

SIDE, RATE, HOLD, RISE, SHOWN = 24, 25, 3.0, 0.4, 10
PEOPLE, TRAINING = 8, 8000


def model(folder: Path) -> Path:
    """Fit and write the model."""
    faces = load("synthetic", n=TRAINING, seed=100)
    images = np.stack([cv2.resize(faces.image(i), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                       for i in range(TRAINING)])  # fmt: skip
    pixels = (images.reshape(TRAINING, -1) / 255 - 0.5) / 0.5
    net = MLPClassifier((96,), alpha=0.3, max_iter=25, early_stopping=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(pixels, faces.targets["emotion"])
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w0", "b0"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "w1", "b1"], ["emotion"]),
    ]
    constants = [
        numpy_helper.from_array(array.astype(np.float32), f"{name}{layer}")
        for name, arrays in (("w", net.coefs_), ("b", net.intercepts_))
        for layer, array in enumerate(arrays)
    ]
    images_info = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])
    logits = helper.make_tensor_value_info("emotion", TensorProto.FLOAT, ["N", EMOTION.num_classes])
    graph = helper.make_graph(nodes, "g", [images_info], [logits], constants)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    preprocess = Preprocess(size=(SIDE, SIDE), mean=(0.5,), std=(0.5,)).to_json()
    save_artifact(folder, whole.SerializeToString(), Card("drawn", (EMOTION,), preprocess, {}))
    return folder


def film(path: Path, seed: int) -> list[str]:
    """Write a video of one person; returns the expression of each frame."""
    rng = np.random.default_rng(seed)
    count = int(SHOWN * HOLD * RATE)
    person = cast_faces(1, seed=1000 + seed).params
    values = np.repeat(person.values, count, 0)
    column = {name: i for i, name in enumerate(FIELDS)}
    for name, sway in {"roll": 0.05, "yaw": 0.08, "shift_x": 0.02, "shift_y": 0.02, "exposure": 0.05}.items():
        values[:, column[name]] += rng.normal(0, sway, count)
        values[:, column[name]] = np.clip(values[:, column[name]], *FIELDS[name][1:])
    values[:, column["noise"]] = 0.06
    shown: list[str] = []
    while len(shown) < SHOWN:
        emotion = str(rng.choice(EMOTION.labels))
        if not shown or emotion != shown[-1]:
            shown.append(emotion)
    masks = [variant_masks(emotion)[0] for emotion in shown]
    au = np.zeros((count, len(masks[0])))
    for i in range(count):
        k = int(i / RATE / HOLD)
        part = min(1.0, (i / RATE - k * HOLD) / RISE)
        au[i] = 0.9 * (part * masks[k] + (1 - part) * (masks[k - 1] if k else 0))
    images = render(FaceParams(values, au, np.arange(count, dtype=np.uint32)), 48, "grey")
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), RATE, (48, 48))
    for image in images:
        video.write(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    video.release()
    return [shown[int(i / RATE / HOLD)] for i in range(count)]


def judged(
    times: Sequence[float], said: Sequence[str], truth: Sequence[str]
) -> tuple[float, float, list[float]]:
    """Changes too many, part of right frames, delays."""
    changes = sum(a != b for a, b in pairwise(said))
    true = sum(a != b for a, b in pairwise(truth))
    right = float(np.mean([a == b for a, b in zip(said, truth, strict=True)]))
    delays = []
    for k in range(1, SHOWN):
        within = [(t, s == y) for t, s, y in zip(times, said, truth, strict=True) if k <= t / HOLD < k + 1]
        first = next((t for t, ok in within if ok), None)
        if first is not None:
            delays.append(first - k * HOLD)
    return max(0.0, changes - true), right, delays


def main() -> None:
    """Print one line a setting."""
    with tempfile.TemporaryDirectory() as folder:
        predictor = Predictor.load(model(Path(folder) / "model"), 1, faces="whole")
        films = [(Path(folder) / f"{i}.avi", film(Path(folder) / f"{i}.avi", i)) for i in range(PEOPLE)]
        minutes = PEOPLE * SHOWN * HOLD / 60
        print("frames/s  smooth  margin  too many changes/min  right  delay s (median)  reached")
        for fps in (5.0, 12.5, 25.0):
            for smooth, margin in [(0, 0), (0.25, 0.1), (0.5, 0), (0.5, 0.1), (0.5, 0.2), (1.0, 0.1)]:
                settings = VideoSettings(fps=fps, smooth=smooth, margin=margin)
                changes, rights, delays = 0.0, [], []
                for path, truth in films:
                    records = list(predict_video(predictor, path, settings, workers=1))
                    said = [r["faces"][0]["steady"]["emotion"] for r in records]
                    times = [r["time"] or 0.0 for r in records]
                    more, right, late = judged(times, said, [truth[r["frame"] or 0] for r in records])
                    changes, rights, delays = changes + more, [*rights, right], delays + late
                reached = f"{len(delays)}/{PEOPLE * (SHOWN - 1)}"
                name = "raw" if smooth == 0 else f"{smooth:g} s"
                print(f"{fps:8g}  {name:>6}  {margin:6g}  {changes / minutes:20.1f}  {np.mean(rights):.3f}"
                      f"  {statistics.median(delays):16.2f}  {reached:>7}")  # fmt: skip


if __name__ == "__main__":
    main()
