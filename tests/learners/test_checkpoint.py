"""Checkpoint files: round trip, damage, and disks that refuse."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from duchenne.errors import RunError
from duchenne.learners.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_weights,
    pack_optimizer,
    save_checkpoint,
    unpack_optimizer,
)


def example(size: int = 30, value: float = 1.0) -> Checkpoint:
    return Checkpoint(
        {"w": torch.full((size, 2), value), "n": torch.tensor(3)},
        {"0.step": torch.tensor(4.0)},
        {"module.w": torch.zeros(2)},
        {"epoch": 2, "history": [{"loss": 0.1}], "tag": "ä"},
    )


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "x.safetensors"
    save_checkpoint(path, example())
    twin = load_checkpoint(path)
    for group in ("model", "optimizer", "ema"):
        mine, other = getattr(example(), group), getattr(twin, group)
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[k], other[k]) for k in mine)
    assert twin.facts == example().facts
    assert [p.name for p in path.parent.iterdir()] == ["x.safetensors"]


def test_weights_in_channels_last_come_back_the_same(tmp_path: Path) -> None:
    w = torch.randn(4, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    save_checkpoint(tmp_path / "x.safetensors", Checkpoint({"w": w, "again": w}))
    assert torch.equal(load_checkpoint(tmp_path / "x.safetensors").model["w"], w)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "x.safetensors"
    save_checkpoint(path, example())
    return path.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_file_cut_anywhere_is_called_damaged(tmp_path: Path, whole: bytes, share: float) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RunError, match="is damaged or cut short"):
        load_checkpoint(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_byte_gives_a_checkpoint_or_a_clear_error(
    tmp_path: Path, whole: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path / "changed.safetensors"
    path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    try:
        state = load_checkpoint(path)
    except RunError as error:
        assert str(path) in error.what  # noqa: PT017 (either outcome is right)
    else:
        assert isinstance(state.facts, dict)


@pytest.mark.parametrize(
    ("metadata", "tensor", "message"),
    [
        (None, "model/w", "has schema None"),
        ({"schema": "2", "facts": "{}"}, "model/w", "has schema 2; this version reads 1"),
        ({"schema": "1"}, "model/w", "damaged"),
        ({"schema": "1", "facts": "{"}, "model/w", "damaged"),
        ({"schema": "1", "facts": "[]"}, "model/w", "not a JSON object"),
        ({"schema": "1", "facts": "{}"}, "other/w", "holds 'other/w'"),
    ],
)
def test_headers_of_others(
    tmp_path: Path, metadata: dict[str, str] | None, tensor: str, message: str
) -> None:
    path = tmp_path / "x.safetensors"
    save_file({tensor: torch.zeros(1)}, path, metadata)
    with pytest.raises(RunError, match=message):
        load_checkpoint(path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path)


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path: Path) -> None:
    """The kernel refuses files above 20 kB for a moment; the new checkpoint would take 80 kB."""
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, example(value=1.0))
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(RunError, match="cannot be written") as caught:
            save_checkpoint(path, example(10_000, value=2.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "free some space" in caught.value.todo
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("here first")
    with pytest.raises(RunError, match="cannot be written"):
        save_checkpoint(tmp_path / "runs" / "x.safetensors", example())
    with pytest.raises(RunError, match="cannot be written"):
        save_checkpoint(tmp_path / "runs" / "deeper" / "x.safetensors", example())
    assert (tmp_path / "runs").read_text() == "here first"


def test_what_a_kill_left_behind_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, example())
    for leftover in list(tmp_path.iterdir()):
        leftover.with_name(f".{leftover.name}.tmp").write_bytes(b"half")
    save_checkpoint(path, example(value=2.0))
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    assert load_checkpoint(path).model["w"][0, 0] == 2


def test_weights_of_another_net_are_named() -> None:
    net = torch.nn.Linear(2, 3)
    good = {k: torch.ones_like(v) for k, v in net.state_dict().items()}
    with pytest.raises(RunError, match="lacks 'bias'"):
        load_weights(net, {"weight": good["weight"]}, "here")
    with pytest.raises(RunError, match="holds unknown 'gain'"):
        load_weights(net, good | {"gain": torch.ones(1)}, "here")
    with pytest.raises(RunError, match=r"checkpoint here: 'weight' is \(3, 9\), the net has \(3, 2\)"):
        load_weights(net, good | {"weight": torch.ones(3, 9)}, "here")
    assert not (net.weight == 1).any()
    load_weights(net, good, "here")
    assert (net.weight == 1).all()


def stepped() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
    net = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return net, optimizer


def test_optimiser_state_goes_round() -> None:
    net, optimizer = stepped()
    packed = pack_optimizer(optimizer)
    assert set(packed) == {f"{i}.{k}" for i in (0, 1) for k in ("step", "exp_avg", "exp_avg_sq")}
    fresh = torch.optim.Adam(net.parameters())
    unpack_optimizer(fresh, packed, "here")
    twin = pack_optimizer(fresh)
    assert all(torch.equal(packed[k], twin[k]) for k in packed)


@pytest.mark.parametrize("key", ["0.exp_avg", "7.step", "x.step"])
def test_optimiser_state_of_another_net(key: str) -> None:
    _, optimizer = stepped()
    with pytest.raises(RunError, match=f"'{key}' does not fit the net"):
        unpack_optimizer(optimizer, pack_optimizer(optimizer) | {key: torch.zeros(9)}, "here")
