"""Where the time of a photograph goes, and what a folder gains over one image at a time.

Run it as ``DUCHENNE_YUNET=FILE DUCHENNE_PHOTOS=DIR python benchmarks/detection.py --model FOLDER``. Without
$DUCHENNE_PHOTOS the photograph is drawn: 600x600, one face. ``--choose`` counts boxes on the photographs by
size searched and score instead. Wanted: a folder of 1,000 images at least 1.6 times as fast as one at a time.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from duchenne.datasets import load
from duchenne.datasets.decode import decode_image
from duchenne.inference import Predictor, make_finder, yunet
from duchenne.inference.align import crop_by_eyes


def photograph(folder: Path, photos: Path | None) -> Path:
    """A JPEG of 600x600 with one face."""
    path = folder / "photo.jpg"
    if photos is not None:
        image = decode_image(photos / "pyfeat_single_face.jpg")
        image = cv2.resize(image, (600, 600), interpolation=cv2.INTER_AREA)
    else:
        image = np.full((600, 600, 3), 120, np.uint8)
        face = load("synthetic", n=1, seed=3, size=96).image(0)
        image[180:420, 180:420] = cv2.resize(face, (240, 240), interpolation=cv2.INTER_CUBIC)[..., None]
    cv2.imwrite(str(path), image[..., ::-1])
    return path


def milliseconds(call: Callable[[], Any], rounds: int) -> float:
    """Median of the rounds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken)


def steps(predictor: Predictor, photo: Path, rounds: int) -> None:
    """Print the median of each step of one photograph."""
    image = decode_image(photo)
    (face, *_) = predictor.finder.find(image)
    finder = predictor.finder
    rows: list[tuple[str, Callable[[], Any]]] = [
        ("decode (Pillow)", lambda: decode_image(photo)),
        ("decode (OpenCV, not used)", lambda: cv2.imread(str(photo))),
        (f"find and crop ({type(finder).__name__})", lambda: finder.find(image)),
        ("classify one face", lambda: predictor.artifact.predict([face.crop])),
        ("all of it, predict([photo])", lambda: list(predictor.predict([photo]))),
    ]
    if face.landmarks is not None:
        marks = face.landmarks
        rows.insert(3, ("of it the crop", lambda: crop_by_eyes(image, marks)))
    for name, call in rows:
        call()
        print(f"  {name:<34} {milliseconds(call, rounds):8.2f} ms")
    same = np.array_equal(cv2.imread(str(photo))[..., ::-1], image)
    print(f"  OpenCV's pixels are Pillow's: {same}")


def folder(predictor: Predictor, photo: Path, top: Path, count: int, rounds: int) -> None:
    """Print images a second of a folder and one at a time, interleaved."""
    content = photo.read_bytes()
    paths = [top / f"{i:04}.jpg" for i in range(count)]
    for path in paths:
        path.write_bytes(content)
    ratios, rates = [], []
    part = count // rounds
    for i in range(rounds):
        some = paths[i * part : (i + 1) * part]
        start = time.perf_counter()
        one = [record for path in some for record in predictor.predict([path])]
        middle = time.perf_counter()
        all_at_once = list(predictor.predict(some))
        end = time.perf_counter()
        if [r["faces"][0]["box"] for r in one] != [r["faces"][0]["box"] for r in all_at_once]:
            raise SystemExit("the two ways disagree")
        ratios.append((middle - start) / (end - middle))
        rates.append((len(some) / (middle - start), len(some) / (end - middle)))
    alone, together = (statistics.median(r[k] for r in rates) for k in (0, 1))
    ratio = statistics.median(ratios)
    verdict = "reached" if ratio >= 1.6 else "MISSED"
    print(f"  one at a time {alone:.1f} images/s, folder {together:.1f} images/s")
    print(f"  ratio {ratio:.2f} (median of {rounds} interleaved pairs; wanted 1.6: {verdict})")


def choose(photos: Path) -> None:
    """Print how many boxes YuNet gives on the photographs, by pixels searched and score."""
    rows = list(csv.DictReader((photos / "faces.csv").read_text().splitlines()))
    images = [decode_image(photos / row["photo"]) for row in rows]
    print("faces", [int(row["faces"]) for row in rows])
    for pixels in (640 * 480, 800 * 600, 960 * 720, 1280 * 960):
        for score in (0.5, 0.6, 0.65, 0.7, 0.8, 0.9):
            vars(yunet).update(PIXELS=pixels, SCORE=score)
            finder = yunet.YuNet()
            print(f"{pixels:9,} pixels, score {score}: {[len(finder.find(image)) for image in images]}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--faces", default="auto")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--choose", action="store_true")
    options = parser.parse_args()
    named = os.environ.get("DUCHENNE_PHOTOS", "")
    photos = Path(named) if named else None
    if options.choose:
        if photos is None:
            parser.error("--choose needs $DUCHENNE_PHOTOS")
        choose(photos)
        return
    if options.model is None:
        parser.error("name a model's folder with --model")
    predictor = Predictor.load(options.model, faces=make_finder(options.faces))
    with tempfile.TemporaryDirectory() as name:
        photo = photograph(Path(name), photos)
        print("one photograph of 600x600 with one face, medians:")
        steps(predictor, photo, 30)
        print(f"{options.images} of them:")
        folder(predictor, photo, Path(name), options.images, options.rounds)


if __name__ == "__main__":
    main()
