"""MobileNet v1's published arrays into a folder: against torch's convolutions, padded by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from duchenne.errors import DataError
from duchenne.models import Backbone
from duchenne.models.mobilenet_weights import body_of, convert, main

torch.set_num_threads(1)

# Stride and filters of each depthwise-pointwise pair. Source: Howard et al. 2017, Table 1.
PAIRS = [
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512),
    *[(1, 512)] * 5, (2, 1024), (1, 1024),
]  # fmt: skip


def made_up(width: float = 0.25, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays in the published layout, scaled so that most activations lie between 0 and 6."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray[Any, Any]] = {}

    def add(i: int, kind: str, shape: tuple[int, ...], inputs: int, filters: int) -> None:
        zero = int(rng.integers(124, 132))
        arrays[f"{i:02d}_{kind}_w"] = rng.integers(0, 256, shape).astype(np.uint8)
        arrays[f"{i:02d}_scale"] = np.array([1.2 / 74 / np.sqrt(inputs)], np.float32)
        arrays[f"{i:02d}_zp"] = np.array([zero], np.int32)
        arrays[f"{i:02d}_bias"] = rng.normal(0.3, 0.3, filters).astype(np.float32)

    before = int(32 * width)
    add(0, "conv_2d", (before, 3, 3, 3), 27, before)
    for n, (_, filters) in enumerate(PAIRS):
        after = int(filters * width)
        add(2 * n + 1, "depthwise_conv_2d", (1, 3, 3, before), 9, before)
        add(2 * n + 2, "conv_2d", (after, 1, 1, before), before, after)
        before = after
    return arrays


def same(x: torch.Tensor, stride: int) -> torch.Tensor:
    """TensorFlow's "SAME" for a 3x3 kernel: ceil(side / stride) places, the odd pixel at right and bottom."""
    pads = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + 3 - side, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def by_hand(arrays: dict[str, np.ndarray[Any, Any]], x: torch.Tensor) -> torch.Tensor:
    """The last maps, in float64."""
    strides = [2] + [s for stride, _ in PAIRS for s in (stride, 1)]
    x = x.double()
    for i, stride in enumerate(strides):
        depthwise = i % 2 == 1
        coded = arrays[f"{i:02d}_{'depthwise_' if depthwise else ''}conv_2d_w"]
        weight = (coded.astype(float) - arrays[f"{i:02d}_zp"][0]) * float(arrays[f"{i:02d}_scale"][0])
        kernel = np.einsum("ohwi->iohw" if depthwise else "ohwi->oihw", weight)
        x = same(x, stride) if kernel.shape[2] == 3 else x
        bias = torch.from_numpy(arrays[f"{i:02d}_bias"]).double()
        groups = len(kernel) if depthwise else 1
        x = F.conv2d(x, torch.from_numpy(kernel), bias, stride, groups=groups).clamp(0, 6)
    return x


@pytest.mark.parametrize(("size", "width"), [((64, 64), 0.25), ((75, 98), 0.25), ((33, 40), 0.5)])
def test_the_body_is_the_published_net(size: tuple[int, int], width: float) -> None:
    """Even and odd sides: TensorFlow pads them differently where the stride is 2."""
    arrays = made_up(width)
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        found = body_of(arrays)(x).last_hidden_state
    wanted = by_hand(arrays, x)
    assert found.shape == wanted.shape == (2, int(1024 * width), -(-size[0] // 32), -(-size[1] // 32))
    assert float(((wanted > 0) & (wanted < 6)).double().mean()) > 0.1  # the test could see a difference
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-3)


def test_symmetric_padding_would_be_seen() -> None:
    """The hand computation tells TensorFlow's padding from torch's on an even side."""
    arrays = made_up()
    body = body_of(arrays)
    body.conv_stem.config.tf_padding = False
    for layer in [body.conv_stem, *body.layer]:
        layer.convolution.padding = (layer.convolution.kernel_size[0] // 2,) * 2
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        assert float((body(x).last_hidden_state.double() - by_hand(arrays, x)).abs().max()) > 0.1


def test_folder_is_a_frozen_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays, file, folder = made_up(), tmp_path / "net.npz", tmp_path / "deep" / "net"
    np.savez(file, **arrays)
    assert main([str(file), str(folder)]) == 0
    assert "no classifier" in capsys.readouterr().out
    assert {p.name for p in folder.iterdir()} >= {"config.json", "model.safetensors"}
    net = Backbone(
        1, (64, 64), {"emotion": 3, "au": 15}, name=str(folder), pretrained=True, frozen=True, head="dense"
    )
    grey = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad():
        pooled = net.train().features(grey)
        logits = net(pooled)
    wanted = by_hand(arrays, grey.expand(-1, 3, -1, -1)).mean((2, 3))
    torch.testing.assert_close(pooled.double(), wanted, rtol=1e-3, atol=1e-3)
    assert {k: tuple(v.shape) for k, v in logits.items()} == {"emotion": (2, 3), "au": (2, 15)}
    assert main([str(file), str(folder)]) == 2  # nothing is overwritten
    assert "is there already" in capsys.readouterr().err


def test_runs_as_a_module() -> None:
    told = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "duchenne.models.mobilenet_weights", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "NPZ FOLDER" in told.stdout


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("26_bias", None, "no array '26_bias'"),
        ("00_conv_2d_w", np.zeros((7, 3, 3, 3), np.uint8), "00_conv_2d_w has shape"),
        ("00_conv_2d_w", np.array(3, np.uint8), "00_conv_2d_w has shape"),
        ("03_depthwise_conv_2d_w", np.zeros((16, 3, 3, 1), np.uint8), "03_depthwise_conv_2d_w has shape"),
        ("02_conv_2d_w", np.zeros((16, 1, 1, 8), np.float32), "02_conv_2d_w is float32"),
        ("05_scale", np.array([np.nan], np.float32), "05_scale"),
        ("05_scale", np.array([0.0], np.float32), "05_scale"),
        ("07_zp", np.array([1, 2], np.int32), "07_zp has shape"),
        ("07_bias", np.array(["a"] * 32), "07_bias is <U1"),
    ],
)
def test_other_arrays_are_refused(name: str, value: Any, message: str) -> None:
    arrays = made_up()
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    with pytest.raises(DataError, match=message):
        body_of(arrays)


def test_no_file_broken_file_and_pickles(tmp_path: Path) -> None:
    broken, pickled = tmp_path / "broken.npz", tmp_path / "pickled.npz"
    broken.write_bytes(b"PK\x03\x04 and then nothing")
    np.savez(pickled, **{"00_conv_2d_w": np.array([{}], dtype=object)}, allow_pickle=True)  # type: ignore[arg-type]
    for file in (tmp_path / "none.npz", broken, pickled):
        with pytest.raises(DataError, match="cannot be read"):
            convert(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
def test_published_weights(tmp_path: Path) -> None:
    """The real arrays: finite and not dead, and the hand computation's answers. No classifier is there."""
    named = os.environ.get("DUCHENNE_MOBILENET", "")
    if not Path(named).is_file():
        pytest.skip("real weights: set DUCHENNE_MOBILENET to the .npz file")
    convert(Path(named), tmp_path)
    net = Backbone(3, (96, 96), {"emotion": 3}, name=str(tmp_path), pretrained=True, frozen=True)
    x = torch.rand(4, 3, 96, 96, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with np.load(named, allow_pickle=False) as archive:
        arrays = dict(archive)
    assert len(arrays) == 27 * 4  # weights, scale, zp and bias of each; no 1,024 x 1,001 classifier
    with torch.no_grad():
        found = net.features(x)
    assert bool(torch.isfinite(found).all())
    assert float((found > 0).float().mean()) > 0.05
    assert float(found.std()) > 0.01
    torch.testing.assert_close(found.double(), by_hand(arrays, x).mean((2, 3)), rtol=1e-3, atol=1e-3)
