"""What a figure may depend on beside the recipe: versions, processor, threads."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from ..errors import MissingExtraError

PACKAGES = (
    "duchenne",
    "numpy",
    "torch",
    "lightning-fabric",
    "kornia",
    "onnxruntime",
    "opencv-python-headless",
    "scikit-learn",
    "scipy",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide figures; those not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def environment(accelerator: str, devices: int) -> dict[str, Any]:
    """Versions, system, processor, threads, device. No host names, no paths, no user names."""
    from threadpoolctl import threadpool_info

    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "versions": versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        # A learner that runs without torch does not load it for its record.
        "torch_threads": sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None,
        "blas_threads": max(blas, default=None),
        "accelerator": _device(accelerator),
        "devices": devices,
    }


def _device(accelerator: str) -> str:
    if "torch" not in sys.modules or accelerator not in ("auto", "cuda", "gpu"):
        return "cpu"
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def need(*packages: str) -> None:
    """Raises MissingExtraError where one of these packages of the extra "train" is not installed."""
    for package in packages:
        try:
            found = find_spec(package) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            raise MissingExtraError(package, "train")
