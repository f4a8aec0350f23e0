"""Mutated images, one by one through the predictor: one record each, no traceback, no box outside its image.

Run it as ``python benchmarks/fuzz.py --inputs 5000``. Seeds are pictures of drawn faces in every format
that is read, and the photographs in $DUCHENNE_PHOTOS, made smaller. A model of random weights takes a trained
one's place: what is tested stands before it.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from duchenne.datasets import load
from duchenne.inference import Predictor

SIZE = (200, 160)


def seeds(photos: Path | None = None) -> list[bytes]:
    """Valid files of many kinds."""
    canvas = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
    face = cv2.resize(load("synthetic", n=1, seed=3, size=96).image(0), (144, 144))
    canvas[8:152, 28:172] = face[..., None]
    rgb = Image.fromarray(canvas)
    grey = rgb.convert("L")
    wide = Image.fromarray(canvas[..., 0].astype(np.uint16) * 257)
    turned = rgb.rotate(180)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (rgb, "JPEG", {}), (rgb, "JPEG", {"progressive": True, "exif": exif}), (grey, "JPEG", {}),
        (rgb.convert("CMYK"), "JPEG", {}), (rgb, "PNG", {}), (rgb.convert("RGBA"), "PNG", {}),
        (rgb.convert("P"), "PNG", {}), (grey.convert("LA"), "PNG", {}), (wide, "PNG", {}),
        (grey.convert("1"), "PNG", {}), (rgb, "GIF", {"save_all": True, "append_images": [turned]}),
        (rgb, "TIFF", {}), (rgb, "TIFF", {"compression": "tiff_lzw"}), (wide, "TIFF", {}),
        (rgb.convert("CMYK"), "TIFF", {}), (rgb, "WEBP", {}), (rgb, "WEBP", {"lossless": True}),
        (rgb, "BMP", {}), (rgb.convert("P"), "BMP", {}), (rgb, "PPM", {}), (grey, "PPM", {}),
    ]  # fmt: skip
    done = []
    for image, format, options in kinds:
        file = io.BytesIO()
        image.save(file, format, **options)
        done.append(file.getvalue())
    for path in sorted(photos.glob("*.jpg")) if photos is not None else ():
        with Image.open(path) as photo:
            photo.thumbnail((320, 320))
            file = io.BytesIO()
            photo.save(file, "JPEG")
            done.append(file.getvalue())
    return done


def mutated(rng: np.random.Generator, files: list[bytes]) -> bytes:
    """One of the files with one to four things done to it."""
    data = bytearray(files[rng.integers(len(files))])
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(max(len(data), 1)))
        head = int(rng.integers(min(max(len(data), 1), 200)))  # where the headers stand
        length = int(rng.integers(1, 64))
        match int(rng.integers(8)):
            case 0:
                data = data[:at]
            case 1:
                data[at : at + 1] = rng.bytes(1)
            case 2:
                data[head : head + 1] = rng.bytes(1)
            case 3:
                data[head : head + 4] = (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff")[rng.integers(3)]
            case 4:
                data[at : at + length] = b""
            case 5:
                data[at:at] = rng.bytes(length)
            case 6:
                data[at : at + length] = bytes(length)
            case _:
                other = files[rng.integers(len(files))]
                data[at:] = other[int(rng.integers(len(other))) :]
    return bytes(data)


def inputs(count: int, photos: Path | None = None, seed: int = 0) -> Iterator[bytes]:
    """The mutated files."""
    rng = np.random.default_rng(seed)
    files = seeds(photos)
    for _ in range(count):
        yield mutated(rng, files)


def run(predictor: Predictor, count: int, photos: Path | None = None, seed: int = 0) -> Counter[str]:
    """Predict them all; what came of them, by the error's words (numbers and quotes taken out)."""
    said: Counter[str] = Counter()
    for record in predictor.predict(inputs(count, photos, seed), batch_size=16):
        if record["error"] is not None:
            if record["faces"] or not record["error"].strip():
                raise AssertionError(f"an error with faces, or without words: {record}")
            said[" ".join(record["error"].split()[:6])] += 1
        else:
            said[f"{len(record['faces'])} faces"] += 1
        for face in record["faces"]:
            x, y, width, height = face["box"]
            if min(x, y) < 0 or min(width, height) < 1 or not face["outputs"]:
                raise AssertionError(f"a box outside its image, or no outputs: {face}")
    if said.total() != count:
        raise AssertionError(f"{said.total()} records of {count} images")
    return said


def any_model(folder: Path) -> Path:
    """A linear model of random weights on 48x48 grey pixels."""
    from onnx import TensorProto, helper, numpy_helper

    from duchenne.artifacts import Card, save_artifact
    from duchenne.labels import Output
    from duchenne.transforms.preprocess import Preprocess

    weights = np.random.default_rng(0).normal(size=(48 * 48, 3)).astype(np.float32) / 48
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["emotion"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1, 48, 48])
    logits = helper.make_tensor_value_info("emotion", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "g", [images], [logits], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    output = Output("emotion", "single", ("happy", "neutral", "sad"))
    save_artifact(folder, model.SerializeToString(), Card("any", (output,), Preprocess().to_json()))
    return folder


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faces", default="auto")
    options = parser.parse_args()
    named = os.environ.get("DUCHENNE_PHOTOS", "")
    with tempfile.TemporaryDirectory() as folder:
        predictor = Predictor.load(any_model(Path(folder)), faces=options.faces)
        start = time.perf_counter()
        said = run(predictor, options.inputs, Path(named) if named else None, options.seed)
    print(f"{options.inputs} inputs, {said.total()} records, {time.perf_counter() - start:.0f} s")
    for what, count in said.most_common(25):
        print(f"  {count:5}  {what}")


if __name__ == "__main__":
    main()
