"""Backbones: tiny nets of each family saved and loaded back, sizes, grey, stems, heads, errors, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForImageClassification,
    BertConfig,
    BertModel,
    BitConfig,
    ConvNextConfig,
    CvtConfig,
    Dinov2Config,
    DINOv3ConvNextConfig,
    EfficientNetConfig,
    HGNetV2Config,
    HGNetV2ForImageClassification,
    LevitConfig,
    MobileNetV1Config,
    MobileNetV2Config,
    PvtConfig,
    ResNetConfig,
    SwinConfig,
    ViTConfig,
    ViTMAEConfig,
    ViTMAEModel,
)

from duchenne.errors import RecipeError
from duchenne.learners.onnx_export import export_onnx
from duchenne.models import Backbone, make_model
from duchenne.models.bodies import FAMILIES, make_body, read_config, source_of
from duchenne.models.heads import DenseHeads, LinearHeads, Wang2020Heads, make_heads

torch.set_num_threads(1)
OUT = {"emotion": 7}
TINY: dict[str, Any] = {
    "resnet": ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 4, 6, 6], depths=[1, 1, 1, 1], layer_type="basic"
    ),
    "resnet-bottleneck": ResNetConfig(embedding_size=4, hidden_sizes=[8, 8, 8, 12], depths=[1, 1, 2, 1]),
    "efficientnet": EfficientNetConfig(
        width_coefficient=0.25, depth_coefficient=0.3, hidden_dim=320, depth_divisor=4, dropout_rate=0.1
    ),
    "mobilenet_v1": MobileNetV1Config(depth_multiplier=0.25, min_depth=4),
    "mobilenet_v2": MobileNetV2Config(depth_multiplier=0.1, min_depth=4, depth_divisible_by=4),
    "vit": ViTConfig(
        image_size=48, patch_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8,
    ),
    "dinov2": Dinov2Config(
        image_size=48, patch_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8,
    ),
    "convnext": ConvNextConfig(hidden_sizes=[4, 4, 6, 6], depths=[1, 1, 1, 1]),
    "hgnet_v2": HGNetV2Config(
        embedding_size=8, hidden_sizes=[8, 8, 8, 12], stem_channels=[3, 4, 8], stage_in_channels=[8, 8, 8, 8],
        stage_mid_channels=[4, 4, 4, 4], stage_out_channels=[8, 8, 8, 12], stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One saved net of each family: the library's own classifier, as published weights are."""
    found = {}
    for seed, (kind, config) in enumerate(TINY.items()):
        torch.manual_seed(seed)
        net = AutoModelForImageClassification.from_config(config)
        for module in net.modules():  # running figures that are not those of a fresh net
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        found[kind] = tmp_path_factory.mktemp(kind)
        net.save_pretrained(found[kind])
    return found


def theirs(folder: Path, x: torch.Tensor) -> torch.Tensor:
    """Mean of the last maps or tokens, by the library alone."""
    net = AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        if isinstance(net, HGNetV2ForImageClassification):  # the library has no body of it by itself
            last = net.encoder(net.embedder(x)).last_hidden_state
        else:
            last = net.base_model(x).last_hidden_state
    return last.mean((2, 3)) if last.ndim == 4 else last.mean(1)


@pytest.mark.parametrize("kind", sorted(TINY))
def test_saved_net_is_loaded_back(kind: str, folders: dict[str, Path]) -> None:
    args = {"name": str(folders[kind]), "pretrained": True}
    net = make_model("backbone", 3, (48, 48), OUT, args)
    assert isinstance(net, Backbone)
    x = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        pooled = net.eval().features(x)
        torch.testing.assert_close(pooled, theirs(folders[kind], x), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(net(x)["emotion"], net(pooled)["emotion"])
    random = make_model("backbone", 3, (48, 48), OUT, args | {"pretrained": False})
    assert [p.shape for p in random.parameters()] == [p.shape for p in net.parameters()]
    assert any(
        not torch.equal(a, b) for a, b in zip(random.body.parameters(), net.body.parameters(), strict=True)
    )


@pytest.mark.parametrize("kind", sorted(TINY))
def test_whatever_is_trained_has_a_gradient(kind: str, folders: dict[str, Path]) -> None:
    """Several processes fail at a parameter without one."""
    net = make_model("backbone", 3, (48, 48), OUT, {"name": str(folders[kind]), "pretrained": True}).train()
    net(torch.rand(2, 3, 48, 48))["emotion"].sum().backward()
    trained = {n: p.grad is not None for n, p in net.named_parameters() if p.requires_grad}
    assert all(trained.values())
    assert len(trained) > 4


def test_a_masked_autoencoder_sees_the_whole_image(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {
        "image_size": 48, "patch_size": 16, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8,
    }  # fmt: skip
    ViTMAEModel(ViTMAEConfig(**sizes)).save_pretrained(tmp_path)
    net = make_model("backbone", 3, (48, 48), OUT, {"name": str(tmp_path), "pretrained": True}).eval()
    assert isinstance(net, Backbone)
    x = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(net.features(x), net.features(x))


@pytest.mark.parametrize("kind", sorted(TINY))
def test_kept_arguments_make_the_net_again_without_the_folder(
    kind: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    args = {"name": str(folders[kind]), "pretrained": True, "head": "wang2020", "grey": "repeat"}
    net = make_model("backbone", 1, (48, 48), OUT, args)
    kept = json.loads(json.dumps(net.lasting_args))
    assert str(folders[kind]) not in json.dumps(kept["config"])
    kept["name"] = str(tmp_path / "gone")
    again = make_model("backbone", 1, (48, 48), OUT, kept)
    again.load_state_dict(net.state_dict())
    x = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(x), net.eval()(x))


def test_a_net_by_name_is_found_in_the_folder_of_weights(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mobilenet-v1").symlink_to(folders["mobilenet_v1"])
    monkeypatch.setenv("DUCHENNE_WEIGHTS", str(tmp_path))
    args = {"pretrained": True, "grey": "repeat"}
    by_name = make_model("backbone", 1, (48, 48), OUT, {"name": "mobilenet-v1", **args})
    by_path = make_model("backbone", 1, (48, 48), OUT, {"name": str(folders["mobilenet_v1"]), **args})
    for a, b in zip(by_name.body.parameters(), by_path.body.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert str(tmp_path) not in json.dumps(by_name.lasting_args)
    assert source_of("mobilenet-v2") == "google/mobilenet_v2_1.0_224"  # not there: the hub's


@pytest.mark.parametrize("kind", sorted(TINY))
def test_exported_net_answers_alike(kind: str, folders: dict[str, Path]) -> None:
    net = make_model("backbone", 1, (48, 48), OUT, {"name": str(folders[kind]), "pretrained": True}).eval()
    session = onnxruntime.InferenceSession(export_onnx(net, ("emotion",), 1, (48, 48)))
    x = torch.rand(3, 1, 48, 48)
    with torch.no_grad():
        wanted = net(x)["emotion"].numpy()
    np.testing.assert_allclose(session.run(None, {"images": x.numpy()})[0], wanted, atol=1e-4)


@pytest.mark.parametrize("kind", sorted(set(TINY)))
def test_grey_by_repeating_and_by_summing_agree(kind: str, folders: dict[str, Path]) -> None:
    nets = [
        make_model(
            "backbone", 1, (48, 48), OUT, {"name": str(folders[kind]), "pretrained": True, "grey": grey}
        )
        for grey in ("repeat", "sum")
    ]
    nets[1].head.load_state_dict(nets[0].head.state_dict())
    x = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(nets[0].eval()(x), nets[1].eval()(x), atol=1e-4, rtol=1e-4)
    counts = [sum(p.numel() for p in net.parameters()) for net in nets]
    first = next(m for m in nets[1].modules() if isinstance(m, nn.Conv2d))
    assert counts[0] - counts[1] == 2 * first.weight.numel()


# Trained numbers of the bodies, without their classifiers, as published: torchvision's ResNets less
# 1000 * F + 1000; Keras' EfficientNetB0, MobileNet and MobileNetV2 without top.
PUBLISHED = {
    "resnet-18": 11_689_512 - 513_000,
    "resnet-34": 21_797_672 - 513_000,
    "resnet-50": 25_557_032 - 2_049_000,
    "resnet-101": 44_549_160 - 2_049_000,
    "resnet-152": 60_192_808 - 2_049_000,
    "efficientnet-b0": 4_007_548,
    "mobilenet-v1": 3_206_976,
    "mobilenet-v2": 2_223_872,
}


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"resnet-101", "resnet-152"}))
def test_images_arrive_at_the_end_of_a_random_body(name: str) -> None:
    torch.manual_seed(0)
    net = Backbone(3, (64, 64), {"emotion": 7}, name=name).train()
    with torch.no_grad():
        features = net.features(torch.randn(4, 3, 64, 64))
    # What differs between images, against what they share: the library's own EfficientNet has 1e-26.
    assert features.std(0).mean() > 0.05 * features.abs().mean()


def test_a_body_as_keras_draws_it() -> None:
    torch.manual_seed(0)
    net = Backbone(3, (64, 64), {"emotion": 7}, name="mobilenet-v1", init="keras")
    kernels = [m.weight for m in net.body.modules() if isinstance(m, nn.Conv2d)]
    depthwise = next(k for k in kernels if k.shape[1] == 1 and k.shape[0] == 512)
    pointwise = next(k for k in kernels if k.shape[:2] == (512, 512))
    # Keras: the limit is sqrt(6 / (fan in + fan out)), with 9 C and 9 for C kernels of 3x3 of their own.
    for kernel, fans in ((depthwise, 9 * 512 + 9), (pointwise, 512 + 512)):
        limit = (6 / fans) ** 0.5
        assert 0.98 * limit < kernel.abs().max() <= limit
        assert kernel.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_bodies_by_name_are_as_large_as_published(name: str) -> None:
    with torch.device("meta"):
        body = make_body(name, read_config(name, pretrained=False), pretrained=False)
    assert sum(p.numel() for p in body.parameters()) == PUBLISHED[name]
    norms = [m.momentum for m in body.modules() if isinstance(m, nn.BatchNorm2d)]
    assert max(norms) <= 0.1  # the share renewed


@pytest.mark.parametrize(("stride", "side"), [(4, 2), (2, 3), (1, 6)])
def test_stem_of_a_resnet_for_small_images(stride: int, side: int, folders: dict[str, Path]) -> None:
    args = {"name": str(folders["resnet"]), "stem_stride": stride}
    net = make_model("backbone", 1, (48, 48), OUT, args).eval()
    with torch.no_grad():
        assert net.body(torch.rand(1, 3, 48, 48)).last_hidden_state.shape[2:] == (side, side)


def test_frozen_body_has_no_gradients_and_does_not_move(folders: dict[str, Path]) -> None:
    args = {"name": str(folders["efficientnet"]), "pretrained": True, "frozen": True}
    net = make_model("backbone", 3, (64, 64), OUT, args).train()
    before = {k: v.clone() for k, v in net.body.state_dict().items()}
    x = torch.rand(4, 3, 64, 64)
    assert torch.equal(net.features(x), net.features(x))  # no dropout within
    net(x)["emotion"].sum().backward()
    assert {n for n, p in net.named_parameters() if p.grad is not None} == {
        "head.heads.emotion.weight", "head.heads.emotion.bias"
    }  # fmt: skip
    assert all(torch.equal(before[k], v) for k, v in net.body.state_dict().items())
    assert net.head.training
    assert not net.body.training


def test_wang2020_head_layer_by_layer() -> None:
    head = make_heads("wang2020", 2048, OUT)
    assert isinstance(head, Wang2020Heads)
    assert [type(m).__name__ for m in head.hidden] == ["Dropout", "Linear", "SELU", "Dropout"]
    assert (head.hidden[0].p, head.hidden[3].p) == (0.6, 0.8)
    assert isinstance(head.last, LinearHeads)
    assert sum(p.numel() for p in head.parameters()) == 2048 * 512 + 512 + 512 * 7 + 7
    x = torch.rand(3, 2048)
    scale, alpha = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, equation 14
    with torch.no_grad():
        h = x @ head.hidden[1].weight.T + head.hidden[1].bias
        h = torch.where(h > 0, scale * h, scale * alpha * (h.exp() - 1))
        last = head.last.heads["emotion"]
        torch.testing.assert_close(head.eval()(x)["emotion"], h @ last.weight.T + last.bias)


def test_the_heads_of_chan2023() -> None:
    """Two dense layers with ReLU; trainable and all parameters as the report counts them."""
    outputs = {"emotion": 3, "au": 15}
    torch.manual_seed(0)
    head = make_heads("dense", 1024, outputs)
    assert isinstance(head, DenseHeads)
    net = make_model(
        "backbone", 1, (96, 96), outputs, {"name": "mobilenet-v1", "head": "dense", "frozen": True}
    )
    counts = [sum(p.numel() for p in net.parameters() if p.requires_grad or every) for every in (False, True)]
    assert [round(count / 1e6, 1) for count in counts] == [2.1, 5.3]  # chan2023, section 5
    x = torch.randn(3, 1024)
    first, second = head.hidden[0], head.hidden[2]
    with torch.no_grad():
        h = (x @ first.weight.T).clamp(min=0)  # biases begin at 0, as Keras' do
        h = (h @ second.weight.T).clamp(min=0)
        for name, logits in head(x).items():
            torch.testing.assert_close(logits, h @ head.last.heads[name].weight.T)
    limit = (6 / 2048) ** 0.5  # Glorot & Bengio 2010, equation 16
    assert 0.99 * limit < float(first.weight.detach().abs().max()) <= limit


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "size", "message"),
    [
        (
            {"name": "resnet-50"},
            (31, 64),
            r"\[31, 64\] is smaller than the stride of backbone 'resnet-50', 32",
        ),
        ({"name": "resnet-18", "stem_stride": 2}, (8, 8), "'resnet-18', 16"),
        ({"name": "resnet-18", "stem_stride": 3}, (48, 48), "stem_stride = 3"),
        ({"name": "mobilenet-v1", "stem_stride": 2}, (48, 48), "'mobilenet-v1' is no ResNet"),
        ({"name": "resnet50"}, (48, 48), "did you mean 'resnet-50'"),
        ({"name": "./not-there"}, (48, 48), "neither a backbone by name, nor a folder"),
        ({"name": 3}, (48, 48), "name = 3"),
        ({"pretrained": "yes"}, (48, 48), "pretrained = 'yes'"),
        ({"grey": "mean"}, (48, 48), "grey = 'mean'"),
        ({"init": "he"}, (48, 48), "init = 'he'"),
        ({"init": "keras", "pretrained": True}, (48, 48), "pretrained weights are not drawn"),
        ({"head": "wang"}, (48, 48), "there is no head 'wang'\n  did you mean 'wang2020'"),
    ],
)
def test_bad_arguments(args: dict[str, Any], size: tuple[int, int], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_model("backbone", 1, size, OUT, args)


def test_a_hub_out_of_reach_says_how_to_use_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for args in ({"name": "nobody/there-is-no-such-net"}, {"name": "resnet-50", "pretrained": True}):
        with pytest.raises(RecipeError) as caught:
            make_model("backbone", 1, (48, 48), OUT, args)
        assert "cannot be read" in caught.value.what
        assert "hf download OWNER/NAME --local-dir FOLDER" in caught.value.todo


def test_an_unreachable_hub_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)  # of the client's, between its attempts
    with pytest.raises(RecipeError, match="nobody/there-is-no-such-net' cannot be read") as caught:
        make_model("backbone", 1, (48, 48), OUT, {"name": "nobody/there-is-no-such-net"})
    assert "hf download OWNER/NAME --local-dir FOLDER" in caught.value.todo
    assert slept == []
    assert "Retrying" not in caplog.text


def test_folders_that_do_not_do(folders: dict[str, Path], tmp_path: Path) -> None:
    def refused(folder: Path, **more: Any) -> str:
        with pytest.raises(RecipeError) as caught:
            make_model("backbone", 1, (48, 48), OUT, {"name": str(folder), "pretrained": True, **more})
        assert "hub" not in caught.value.todo  # whoever has a folder needs no hub
        return str(caught.value)

    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no config.json" in refused(empty)
    config = (folders["resnet"] / "config.json").read_text()
    (empty / "config.json").write_text(config)
    assert "weights" in refused(empty)
    (empty / "pytorch_model.bin").write_bytes(b"\x80\x02.")  # a pickle is not even opened
    assert "safetensors" in refused(empty)
    (empty / "model.safetensors").write_bytes(b"cut")
    assert "weights" in refused(empty)
    (empty / "config.json").write_text("{")
    assert "configuration" in refused(empty)
    other = tmp_path / "other"  # weights of another net than the configuration's
    other.mkdir()
    (other / "config.json").write_text(config)
    (other / "model.safetensors").write_bytes((folders["mobilenet_v1"] / "model.safetensors").read_bytes())
    assert "lack" in refused(other)
    text = tmp_path / "text"
    BertModel(
        BertConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=9
        )
    ).save_pretrained(text)
    assert "takes no RGB image" in refused(text)


REFUSED: dict[str, tuple[Any, tuple[int, int], int]] = {  # configuration, input, the side to set
    "dinov3_convnext": (DINOv3ConvNextConfig(hidden_sizes=[8] * 4, depths=[1] * 4), (31, 64), 64),
    "swin": (SwinConfig(embed_dim=8, depths=[1] * 4, num_heads=[1] * 4), (48, 48), 224),
    "levit": (LevitConfig(hidden_sizes=[16] * 3, depths=[1] * 3), (96, 96), 224),
    "pvt": (PvtConfig(hidden_sizes=[8] * 4, depths=[1] * 4, num_attention_heads=[1] * 4), (50, 50), 224),
    "cvt": (CvtConfig(), (8, 8), 16),
    "bit": (BitConfig(depths=[1] * 4), (4, 4), 32),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_input_below_a_bodys_stride_is_told_in_our_words(kind: str, tmp_path: Path) -> None:
    config, size, side = REFUSED[kind]
    config.save_pretrained(tmp_path)
    with pytest.raises(RecipeError) as caught:
        Backbone(3, size, OUT, name=str(tmp_path))
    said = str(caught.value)
    own = f"of {size[0]}x{size[1]} (too small for it, or no multiple of its stride): "
    assert own in said or "is smaller than the stride of backbone" in said
    assert f"set preprocess.size = [{side}, {side}]" in said or f"set preprocess.size to {side}" in said
    body = make_body("try", config, False).eval()
    with torch.no_grad():
        assert body(torch.zeros(1, 3, side, side)).last_hidden_state.isfinite().all()


def test_a_net_for_one_size_names_it(folders: dict[str, Path]) -> None:
    with pytest.raises(RecipeError, match="takes no RGB image of 64x64"):
        make_model("backbone", 1, (64, 64), OUT, {"name": str(folders["vit"])})
