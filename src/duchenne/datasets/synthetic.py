"""The built-in data set: drawn faces with emotion, action units, groups and, on request, planted label noise.

Nobody is on these pictures, nothing is downloaded, and the truth is known: the ground for demos and tests.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import RecipeError, did_you_mean
from ..labels import FER2013_EMOTIONS, Output
from .facemodel import Color, render
from .faceparams import FIELDS, Array, FaceParams
from .faceset import SPLITS, FaceSet
from .prototypes import SYNTHETIC_AUS, variant_masks

EMOTION = Output("emotion", "single", FER2013_EMOTIONS)
AU = Output("au", "multi", SYNTHETIC_AUS)

# Bins of the Monk Skin Tone scale (continuous here); where the bins meet is this project's choice.
SKIN_TONES = {"light": (1.0, 4.4), "medium": (4.6, 7.4), "dark": (7.6, 10.0)}
MAX_BYTES = 8 * 2**30
MAX_FACES = 2_000_000


@dataclass(frozen=True)
class Difficulty:
    """How much faces vary beyond identity and expression.

    Attributes:
        strength: Lowest expression strength; a face's strength is uniform from here to 1. Each active action
            unit departs from it by up to 15% and stays within [0.4, 1], so most, not all, reach occurrence.
        stray: Chance of each action unit outside the prototype to move a little (0.05 to 0.35: below
            occurrence).
        roll: Largest head tilt, radians. yaw: largest turn. shift: largest shift, parts of the image's side.
        scale: Largest relative change of size. light: range of the light's directedness.
        exposure: range of exposure. noise: range of the noise's standard deviation (1 = full range).
        blur: Largest widening of edges, pixels of a 48-pixel image.
    """

    strength: float
    stray: float
    roll: float
    yaw: float
    shift: float
    scale: float
    light: tuple[float, float]
    exposure: tuple[float, float]
    noise: tuple[float, float]
    blur: float


DIFFICULTIES = {
    "easy": Difficulty(0.7, 0.0, 0.06, 0.12, 0.02, 0.03, (0.2, 0.5), (0.85, 1.0), (0.0, 0.02), 0.8),
    "medium": Difficulty(0.5, 0.08, 0.18, 0.35, 0.05, 0.08, (0.2, 0.9), (0.7, 1.1), (0.01, 0.055), 2.0),
    "hard": Difficulty(0.4, 0.15, 0.35, 0.55, 0.09, 0.14, (0.3, 1.0), (0.45, 1.25), (0.03, 0.13), 3.0),
}

_IDENTITY = (
    "width", "jaw", "eye_spacing", "eye_size", "eye_tilt", "brow_thickness", "brow_height", "nose_length",
    "nose_width", "mouth_width", "lip_thickness", "hairline",
)  # fmt: skip


@dataclass(frozen=True)
class Cast:
    """Who shows what: the faces of a set before they are drawn.

    Attributes:
        params: N faces.
        emotion: ``(N,)`` int64 codes of `FER2013_EMOTIONS`, uncorrupted.
        skin_tone: ``(N,)`` str: "light", "medium" or "dark".
        subject: ``(N,)`` int64: whose face; N different ones where no subjects were asked for.
    """

    params: FaceParams
    emotion: Array
    skin_tone: Array
    subject: Array


def load_synthetic(
    root: Path | None = None,
    *,
    n: int = 7000,
    size: int = 48,
    color: Color = "grey",
    seed: int = 0,
    subjects: int | None = None,
    label_noise: float = 0.0,
    class_balance: Mapping[str, float] | None = None,
    difficulty: str = "medium",
    split: Mapping[str, float] | None = None,
    skin_tones: Sequence[str] | Mapping[str, float] | None = None,
    seen_skin_tones: Sequence[str] | Mapping[str, float] | None = None,
) -> FaceSet:
    """Draw a set of faces; the same arguments give the same set.

    Args:
        root: Not used; there so that all data sets load alike.
        n: Number of faces.
        size: Side of the square images, pixels.
        color: ``"grey"`` or ``"rgb"``.
        seed: Seed of everything drawn.
        subjects: Number of people, each shown with several expressions and kept within one split. None: every
            face is another person, and splits are stratified by emotion.
        label_noise: Part of the faces, over all splits, whose emotion is replaced by another class
            (uniformly); exactly ``round(n * label_noise)`` of them. The truth is in ``truth["emotion"]``; the
            action units stay true.
        class_balance: Emotion -> weight; emotions not named get none. None: all alike.
        difficulty: A name of `DIFFICULTIES`.
        split: Split -> part, summing to 1. None: train 0.7, val 0.15, test 0.15.
        skin_tones: Names of `SKIN_TONES`, or name -> weight. None: all three alike.
        seen_skin_tones: The same, of the training and validation faces alone; None: as `skin_tones`. All else
            of those faces (but hair and iris, which go with the skin) and the test faces stay as they are, so
            that two sets may differ in nothing but whom a net got to see.

    Returns:
        A FaceSet with outputs ``emotion`` (codes) and ``au`` (intensities; occurrence is intensity >= 0.5),
        the group ``skin_tone``, and ``subject`` where subjects were asked for.

    Raises:
        RecipeError: an argument is out of range; the message names it.
    """
    del root
    parts = _checked_parts(n, size, color, label_noise, split)
    cast = cast_faces(
        n, seed=seed, subjects=subjects, class_balance=class_balance, difficulty=difficulty,
        skin_tones=skin_tones,
    )  # fmt: skip
    if subjects is None:
        splits = _split_by(cast.emotion, parts, _stream(seed, "split"))
    else:
        splits = _split_people(cast.subject, subjects, parts, _stream(seed, "split"))
    if seen_skin_tones is not None:
        _check_tones("seen_skin_tones", seen_skin_tones)
        other = cast_faces(
            n, seed=seed, subjects=subjects, class_balance=class_balance, difficulty=difficulty,
            skin_tones=seen_skin_tones,
        )  # fmt: skip
        cast = _joined(cast, other, splits != "test")
    labels, flips = _flipped(cast.emotion, label_noise, _stream(seed, "label_noise"))
    notes = ["drawn faces: nobody is on these pictures"]
    if flips:
        notes.append(f"label noise was planted: {flips} of {n} emotions are wrong on purpose")
    return FaceSet(
        name="synthetic",
        images=render(cast.params, size, color),
        rows=np.arange(n, dtype=np.int64),
        ids=np.array([f"synthetic-{seed}-{i:06d}" for i in range(n)]),
        outputs=(EMOTION, AU),
        targets={"emotion": labels, "au": cast.params.au.astype(np.float32)},
        split=splits,
        part=np.full(n, "", dtype="<U1"),
        subject=None if subjects is None else np.array([f"person-{s:04d}" for s in cast.subject]),
        group={"skin_tone": cast.skin_tone},
        truth={"emotion": cast.emotion},
        notes=tuple(notes),
    )


def _checked_parts(
    n: int, size: int, color: str, label_noise: float, split: Mapping[str, float] | None
) -> dict[str, float]:
    """Split -> part; raises RecipeError where one of the arguments is out of range."""
    _check_whole("n", n, 1, MAX_FACES)
    parts = _weights("split", {"train": 0.7, "val": 0.15, "test": 0.15} if split is None else split, SPLITS)
    if abs(sum(parts.values()) - 1) > 1e-6:
        raise RecipeError(f"split: the parts sum to {sum(parts.values()):g}, not to 1")
    if not _is_number(label_noise) or not 0 <= label_noise <= 1:
        raise RecipeError(f"label_noise: {label_noise!r} is no part between 0 and 1")
    if isinstance(size, int) and n * size**2 * (3 if color == "rgb" else 1) > MAX_BYTES:
        raise RecipeError(
            f"n: {n} faces of size {size} need more than {MAX_BYTES >> 30} GiB", "draw fewer faces"
        )
    return parts


def _flipped(codes: Array, share: float, noise: np.random.Generator) -> tuple[Array, int]:
    """The codes with that share of them replaced by another class each, and how many these are."""
    labels, flips = codes.copy(), round(len(codes) * share)
    chosen = noise.permutation(len(codes))[:flips]
    labels[chosen] = (labels[chosen] + noise.integers(1, EMOTION.num_classes, flips)) % EMOTION.num_classes
    return labels, flips


def cast_faces(
    n: int,
    *,
    seed: int = 0,
    subjects: int | None = None,
    class_balance: Mapping[str, float] | None = None,
    difficulty: str = "medium",
    skin_tones: Sequence[str] | Mapping[str, float] | None = None,
) -> Cast:
    """Choose who shows what, without drawing it; arguments as in `load_synthetic`."""
    _check_whole("n", n, 1, MAX_FACES)
    _check_whole("seed", seed, 0, 2**63 - 1)
    if subjects is not None:
        _check_whole("subjects", subjects, 1, n)
    if difficulty not in DIFFICULTIES:
        raise RecipeError(
            f"difficulty: there is no '{difficulty}'", did_you_mean(str(difficulty), DIFFICULTIES)
        )
    hard = DIFFICULTIES[difficulty]
    order = _stream(seed, "order")
    weights = _weights(
        "class_balance", FER2013_EMOTIONS if class_balance is None else class_balance, FER2013_EMOTIONS
    )
    emotion = np.repeat(np.arange(EMOTION.num_classes), _quotas(n, [weights[e] for e in FER2013_EMOTIONS]))
    people = n if subjects is None else subjects
    # Dealt out in turn while the faces lie in order of emotion: everyone shows every emotion about as often.
    subject = np.arange(n, dtype=np.int64) % people
    shuffle = order.permutation(n)
    emotion = emotion[shuffle]
    subject = np.arange(n, dtype=np.int64) if subjects is None else subject[shuffle]

    values = np.tile([default for default, _, _ in FIELDS.values()], (n, 1))
    column = {name: i for i, name in enumerate(FIELDS)}
    identity, tone = _identities(people, seed, skin_tones)
    for name, draw in identity.items():
        values[:, column[name]] = draw[subject]
    for name, (low, high) in _circumstances(hard).items():
        values[:, column[name]] = low + (high - low) * _stream(seed, name).random(n)
    noise_seed = _stream(seed, "noise_seed").integers(0, 2**32, n, dtype=np.uint32)
    params = FaceParams(values, _intensities(emotion, hard, seed), noise_seed)
    return Cast(params, emotion.astype(np.int64), tone[subject], subject)


def _joined(cast: Cast, other: Cast, where: Array) -> Cast:
    """The faces of `cast`, but in those rows the same ones of `other`; both differ in skin tones alone."""
    values = np.where(where[:, None], other.params.values, cast.params.values)
    tones = np.where(where, other.skin_tone, cast.skin_tone)
    return replace(cast, params=replace(cast.params, values=values), skin_tone=tones)


def _stream(seed: int, name: str) -> np.random.Generator:
    """Return the random stream of one parameter: adding a parameter leaves all others as they are."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _identities(
    people: int, seed: int, skin_tones: Sequence[str] | Mapping[str, float] | None
) -> tuple[dict[str, Array], Array]:
    """Draw people: parameter -> ``(people,)``, and their skin tone's bin."""
    draws = {}
    for name in _IDENTITY:
        _, low, high = FIELDS[name]
        draws[name] = low + (high - low) * _stream(seed, name).random(people)
    weights = _check_tones("skin_tones", tuple(SKIN_TONES) if skin_tones is None else skin_tones)
    share = np.array([weights[t] for t in SKIN_TONES])
    bins = _stream(seed, "skin_bin").choice(len(SKIN_TONES), people, p=share / share.sum())
    low_high = np.array(list(SKIN_TONES.values()))[bins]
    part = _stream(seed, "skin").random(people)
    skin = low_high[:, 0] + (low_high[:, 1] - low_high[:, 0]) * part
    draws["skin"] = skin
    # Darker skin goes with darker hair and eyes; hair is short more often than long.
    lightest = np.clip(1.25 - skin / 8, 0.05, 1)
    draws["hair_tone"] = lightest * _stream(seed, "hair_tone").random(people)
    draws["iris_tone"] = lightest * _stream(seed, "iris_tone").random(people)
    draws["hair_length"] = 0.35 + 1.5 * _stream(seed, "hair_length").random(people) ** 2
    return draws, np.array(list(SKIN_TONES))[bins]


def _check_tones(name: str, tones: Sequence[str] | Mapping[str, float]) -> dict[str, float]:
    return _weights(name, tones, tuple(SKIN_TONES))


def _circumstances(d: Difficulty) -> dict[str, tuple[float, float]]:
    """Return what varies from picture to picture: parameter -> range of a uniform draw."""
    return {
        "roll": (-d.roll, d.roll), "yaw": (-d.yaw, d.yaw), "shift_x": (-d.shift, d.shift),
        "shift_y": (-d.shift, d.shift), "scale": (0.94 * (1 - d.scale), 0.94 * (1 + d.scale)),
        "light_x": (-1.0, 1.0), "light_y": (-0.9, 0.3), "light": d.light, "exposure": d.exposure,
        "asymmetry": (-0.15, 0.15), "gaze": (-0.6, 0.6), "background": (0.05, 0.95), "blur": (0.0, d.blur),
        "noise": d.noise,
    }  # fmt: skip


def _intensities(emotion: Array, d: Difficulty, seed: int) -> Array:
    """Draw action units ``(N, A)``: a variant of the prototype at one strength a face, with a little play."""
    n = len(emotion)
    pick, play = _stream(seed, "variant").random(n), _stream(seed, "play").random((n, AU.num_classes))
    strength = d.strength + (1 - d.strength) * _stream(seed, "strength").random(n)
    active = np.zeros((n, AU.num_classes), dtype=bool)
    for code, name in enumerate(FER2013_EMOTIONS):
        masks, chosen = variant_masks(name), emotion == code
        active[chosen] = masks[(pick[chosen] * len(masks)).astype(np.int64)]
    moved = np.clip(strength[:, None] * (0.85 + 0.3 * play), 0.4, 1.0)
    stray = _stream(seed, "stray").random((n, AU.num_classes)) < d.stray
    return np.where(active, moved, np.where(stray, 0.05 + 0.3 * play, 0.0))


def _quotas(n: int, weights: Sequence[float]) -> Array:
    """Share n out by weight: whole numbers that sum to n (largest remainder)."""
    exact = n * np.asarray(weights, dtype=np.float64) / float(np.sum(weights))
    counts = np.floor(exact).astype(np.int64)
    for i in np.argsort(counts - exact, kind="stable")[: n - counts.sum()]:
        counts[i] += 1
    return counts


def _split_by(emotion: Array, parts: Mapping[str, float], rng: np.random.Generator) -> Array:
    """Split each emotion's faces by the same parts."""
    splits = np.empty(len(emotion), dtype="<U5")
    for code in np.unique(emotion):
        rows = rng.permutation(np.flatnonzero(emotion == code))
        splits[rows] = np.repeat(list(parts), _quotas(len(rows), list(parts.values())))
    return splits


def _split_people(subject: Array, people: int, parts: Mapping[str, float], rng: np.random.Generator) -> Array:
    """Split people, and their faces with them; every split asked for gets at least one."""
    asked = [s for s in parts if parts[s] > 0]
    if people < len(asked):
        raise RecipeError(f"subjects: {people} people cannot fill {len(asked)} splits without sharing")
    counts = 1 + _quotas(people - len(asked), [parts[s] for s in asked])
    where = np.empty(people, dtype="<U5")
    where[rng.permutation(people)] = np.repeat(asked, counts)
    return where[subject]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise RecipeError(f"{name}: {value!r} is no whole number from {low} to {high}")


def _weights(name: str, given: Sequence[str] | Mapping[str, float], known: Sequence[str]) -> dict[str, float]:
    """Return known name -> weight, 0 where none was given."""
    if isinstance(given, str):
        given = (given,)
    pairs = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given, 1.0)
    for key, weight in pairs.items():
        if key not in known:
            raise RecipeError(f"{name}: there is no '{key}'", did_you_mean(str(key), known))
        if not _is_number(weight) or not (math.isfinite(weight) and weight >= 0):
            raise RecipeError(f"{name}: the weight of '{key}' is {weight!r}, not a number >= 0")
    if sum(pairs.values()) <= 0:
        raise RecipeError(f"{name}: nothing has a weight above 0", f"known: {', '.join(known)}")
    return {key: float(pairs.get(key, 0.0)) for key in known}
