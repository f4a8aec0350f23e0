"""Bodies of image nets from the transformers library: by short name, from a folder, from the hub."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import MissingExtraError, RecipeError, did_you_mean
from .keras_init import BATCH_NORM_MOMENTUM

Config = Any  # transformers.PretrainedConfig; that package is imported where it is needed


@dataclass(frozen=True)
class Family:
    """A net by its published name.

    Attributes:
        kind: The library's name of the architecture.
        hub: Where its published weights lie on the hub.
        config: What differs from the library's default configuration.
    """

    kind: str
    hub: str
    config: dict[str, Any] = field(default_factory=dict)


_BASIC = {"layer_type": "basic", "hidden_sizes": [64, 128, 256, 512]}

# Sources: He et al. 2016, Table 1; Tan & Le 2019, Table 1; Howard et al. 2017, Table 1; Sandler et al. 2018,
# Table 2.
FAMILIES: dict[str, Family] = {
    "resnet-18": Family("resnet", "microsoft/resnet-18", {"depths": [2, 2, 2, 2], **_BASIC}),
    "resnet-34": Family("resnet", "microsoft/resnet-34", {"depths": [3, 4, 6, 3], **_BASIC}),
    "resnet-50": Family("resnet", "microsoft/resnet-50", {"depths": [3, 4, 6, 3]}),
    "resnet-101": Family("resnet", "microsoft/resnet-101", {"depths": [3, 4, 23, 3]}),
    "resnet-152": Family("resnet", "microsoft/resnet-152", {"depths": [3, 8, 36, 3]}),
    "efficientnet-b0": Family(
        "efficientnet",
        "google/efficientnet-b0",
        {"width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 1280, "dropout_rate": 0.2,
         "image_size": 224},
    ),
    "mobilenet-v1": Family("mobilenet_v1", "google/mobilenet_v1_1.0_224"),
    "mobilenet-v2": Family("mobilenet_v2", "google/mobilenet_v2_1.0_224"),
}  # fmt: skip

_LOCAL = (
    "a folder works without the hub: `hf download OWNER/NAME --local-dir FOLDER` fetches one on a machine "
    "that reaches it; then set learner.args.name to the folder, or DUCHENNE_WEIGHTS to the folder of such "
    "folders, each called as the net is"
)

_FOLDER = (
    "a folder holds config.json and model.safetensors, whole and of one net, as save_pretrained writes them"
)


def _transformers() -> Any:
    # Read when the hub's package is first imported: nothing is reported, nothing is converted elsewhere.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    try:
        import transformers
    except ImportError:
        raise MissingExtraError("transformers", "train") from None
    return transformers


def read_config(name: str, pretrained: bool, kept: Mapping[str, Any] | None = None) -> Config:
    """The configuration of a body.

    Args:
        name: A key of `FAMILIES`, a folder with config.json, or the hub's "owner/name".
        pretrained: Whether its weights are wanted: then a family's configuration is that of its weights.
        kept: What `config_to_json` gave: nothing else is read then.

    Raises:
        RecipeError: An unknown name, a broken folder, a hub that cannot be reached.
        MissingExtraError: transformers is not installed.
    """
    transformers = _transformers()
    with _errors(name, "its configuration cannot be used"):
        if kept is not None:
            return transformers.CONFIG_MAPPING[kept["model_type"]].from_dict(dict(kept))
        if name in FAMILIES and not pretrained:
            family = FAMILIES[name]
            return transformers.CONFIG_MAPPING[family.kind](**family.config)
    where = source_of(name)
    with _errors(name, f"the configuration of '{where}' cannot be read", _todo(where)):
        return transformers.AutoConfig.from_pretrained(
            where, local_files_only=_is_here_alone(where), trust_remote_code=False
        )


def make_body(name: str, config: Config, pretrained: bool) -> nn.Module:
    """A body with the published weights, or with random ones drawn from torch's generator.

    Raises:
        RecipeError: The weights cannot be had, are not safetensors, or do not fill the body.
    """
    transformers = _transformers()
    if hasattr(config, "mask_ratio"):
        # Masked autoencoders hide patches by chance, and not in training alone: a body sees them all.
        config.mask_ratio = 0.0
    if not pretrained:
        with _errors(name, "its configuration describes no image net"):
            body: nn.Module = transformers.AutoModel.from_config(config)
        _set_scales(body)
    else:
        where = source_of(name)
        with _errors(name, f"the weights of '{where}' cannot be loaded", _todo(where)), quiet():
            body, found = transformers.AutoModel.from_pretrained(
                where,
                config=config,
                use_safetensors=True,
                local_files_only=_is_here_alone(where),
                trust_remote_code=False,
                output_loading_info=True,
            )
        # The library would leave these at random in silence.
        lacking = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
        if lacking := [key for key in lacking if not key.startswith("pooler.")]:
            raise RecipeError(
                f"learner.args.name = '{name}': the weights lack {len(lacking)} arrays, first {lacking[0]}",
                "the folder's config.json and model.safetensors must be of one net",
            )
    _set_momentum(body)
    return body


def source_of(name: str) -> str:
    """Where the library looks for weights: a folder, or the hub's "owner/name". Raises RecipeError.

    A net by short name is looked for, before the hub, under that name in the folder that the environment
    variable DUCHENNE_WEIGHTS names: recipes then stay as they are where the hub is out of reach.
    """
    if name in FAMILIES:
        at_hand = os.environ.get("DUCHENNE_WEIGHTS", "")
        folder = Path(at_hand).expanduser() / name
        if at_hand and (folder / "config.json").is_file():
            return str(folder)
        return FAMILIES[name].hub
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise RecipeError(
                f"learner.args.name = '{name}': the folder has no config.json",
                _FOLDER,
            )
        return str(folder)
    if name.count("/") == 1 and not name.startswith(("/", ".", "~")):
        return name
    raise RecipeError(
        f"learner.args.name = '{name}': neither a backbone by name, nor a folder, nor the hub's owner/name",
        did_you_mean(name, FAMILIES),
    )


def _is_here_alone(where: str) -> bool:
    """Whether to read from this machine alone: a folder, or the cache where the hub does not answer.

    The hub's client would ask an unreachable hub six times, half a minute in all; one request tells.
    """
    if Path(where).is_dir():
        return True
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except (
        Exception
    ):  # the client's kinds differ between its versions; an answer of any status is none of them
        return True
    return False


def config_to_json(config: Config) -> dict[str, Any]:
    """What `read_config` takes as `kept`: plain JSON values, without the path it was read from."""
    plain: dict[str, Any] = json.loads(config.to_json_string(use_diff=True))
    return {k: v for k, v in plain.items() if k not in ("_name_or_path", "transformers_version")}


def _set_momentum(body: nn.Module) -> None:
    """Batch norms' momentum as torch means it, the share renewed.

    The library hands TensorFlow's share kept (0.99 and more) to torch's norms, whose running figures would be
    those of the last batch.
    """
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None and module.momentum > 0.5:
            module.momentum = BATCH_NORM_MOMENTUM


def _set_scales(body: nn.Module) -> None:
    """Batch norms of a random body begin with the scale 1 (Ioffe & Szegedy 2015, section 3).

    The library draws those of EfficientNet about 0, as if they were weights: maps then shrink 50 times at
    each norm, nothing of the image arrives, and the net does not learn. A constant scale is meant, and stays.
    """
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.is_meta and module.weight.std() > 0:
            nn.init.ones_(module.weight)


def _todo(where: str) -> str:
    """What to do where the library cannot read what `source_of` gave."""
    return _FOLDER if Path(where).is_dir() else _LOCAL


@contextmanager
def _errors(name: str, what: str, todo: str = _LOCAL) -> Iterator[None]:
    """Whatever the library or the hub's client raises, as one RecipeError."""
    try:
        yield
    except (RecipeError, MissingExtraError):
        raise
    except Exception as error:  # OSError, ValueError, KeyError and the hub client's own kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RecipeError(f"learner.args.name = '{name}': {what}: {reason}", todo) from None


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no table of loaded weights; what is missing is checked by us."""
    logging = _transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
