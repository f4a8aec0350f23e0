"""The typed sections of a recipe: frozen values with checked ranges.

They are the lowest room, so that any room may take one as an explicit argument
(``Optimizer(name="adam", lr=1e-3)``); only the whole `Recipe` stays above `build`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# A probability, a share below 1, a non-negative and a positive finite number.
Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Data(Section):
    """Which data set, with which options of its loader.

    Attributes:
        name: A name in `duchenne.datasets.DATASETS`.
        outputs: The outputs to learn, in order; empty: all that the set has.
        without: Labels of the first single-label output that are left out, with their faces; for a net that
            is to grow them later (`Start`).
        options: Passed to the data set's loader as they are (for example which part is test).
    """

    name: str
    outputs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    options: dict[str, Any] = Field(default_factory=dict)


class PreprocessSection(Section):
    """Fields of `duchenne.transforms.Preprocess` (see there).

    Attributes:
        features: One table a feature, ``name`` and its options (see `duchenne.features`); empty: the pixels.
    """

    size: tuple[Count, Count] = (48, 48)
    channels: Literal[1, 3] = 1
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Positive, ...] = (1.0,)
    per_image: bool = False
    features: tuple[dict[str, Any], ...] = ()
    detail: tuple[Count, Count] | None = None


class AugmentSection(Section):
    """Fields of `duchenne.transforms.Augment` (see there); all off by default."""

    flip: Share = 0.0
    shift: Share = 0.0
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    brightness: Share = 0.0
    contrast: Share = 0.0
    jpeg: Share = 0.0
    jpeg_quality: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = (80, 100)
    hue: Annotated[float, Field(ge=0, le=180)] = 0.0
    saturation: Share = 0.0
    value: Share = 0.0
    erase: Share = 0.0
    mixup: NonNegative = 0.0
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0


class Balance(Section):
    """How unequal classes are met, on the training part only.

    Attributes:
        output: The output whose classes are balanced; "" means the first single-label one.
        class_weights: "balanced" weighs each sample by n / (num_classes * its class's count).
        oversample: "largest" repeats samples until each class is as large as the largest one; a number, until
            it has that many; None, not at all.
    """

    output: str = ""
    class_weights: Literal["none", "balanced"] = "none"
    oversample: Literal["largest"] | Count | None = None


class LearnerSection(Section):
    """Which learner, and which architecture inside it.

    Attributes:
        name: A name in `duchenne.learners.LEARNERS`.
        model: A name in `duchenne.models.MODELS` (torch learners).
        args: Arguments of the model's constructor.
    """

    name: str = "torch"
    model: str = ""
    args: dict[str, Any] = Field(default_factory=dict)


class Start(Section):
    """Begin from trained weights; labels are matched by name, those of new labels are initialised.

    Attributes:
        run: A run folder, by path, or by its name in the runs folder; "flagship", where no run is called so,
            is the model in the package; "" begins from initial weights. Its net and preprocess must be the
            recipe's, but for the size of images where a torch net takes any (it pools over places).
        train: "all" weights, or the "head" alone (the last layer of each output; the body stays as it is).
        labels: "all": every output and label of the run must be in the data; "shared": what both have is
            taken over, by name or synonym ("happiness" is "happy"), the rest is left behind (torch learners).
    """

    run: str = ""
    train: Literal["all", "head"] = "all"
    labels: Literal["all", "shared"] = "all"

    @model_validator(mode="after")
    def _head_needs_a_run(self) -> Start:
        if self.train == "head" and not self.run:
            raise ValueError("train = 'head' needs a trained body: name its run")
        return self


class Optimizer(Section):
    """Optimiser and its constants.

    Attributes:
        name: "sgd" (with `momentum`, `nesterov`), "adam" or "adamw".
        lr: Initial learning rate.
        weight_decay: The optimiser's own decay (decoupled for "adamw").
        eps: Adam's epsilon (torch's default is 1e-8, Keras' 1e-7).
        head_lr_factor: The head's learning rate is `lr` times this; `lr` is the body's (torch learners).
    """

    name: Literal["sgd", "adam", "adamw"] = "adam"
    lr: Positive = 1e-3
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False
    weight_decay: NonNegative = 0.0
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    eps: Positive = 1e-8
    head_lr_factor: Positive = 1.0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Optimizer:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0")
        return self


class Schedule(Section):
    """Learning rate over time, as a factor on `Optimizer.lr`; t counts updates, e counts epochs, from 0.

    Attributes:
        name: "constant"; "epoch_decay": factor = rate ** e (wright2019, kontogouris2018);
            "exponential": rate ** (t / every), whole steps only if `staircase` (friv2024: 0.98 every 1,000);
            "inverse_time": 1 / (1 + rate * t); "cosine": half a cosine to `floor`;
            "one_cycle": linear warm-up over `warmup` of all updates, then half a cosine to `floor`.
        warmup: Share of all updates that rise linearly from 0 ("cosine", "one_cycle").
        floor: Last factor of "cosine" and "one_cycle".
    """

    name: Literal["constant", "epoch_decay", "exponential", "inverse_time", "cosine", "one_cycle"] = (
        "constant"
    )
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    every: Count = 1000
    staircase: bool = False
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    floor: Share = 0.0


class Loss(Section):
    """What is minimised: the weighted sum over outputs of their mean loss, plus penalties on weights.

    Attributes:
        weights: Output name -> weight in the sum; an output not named weighs 1.
        positive_weights: Label of a multi-label output -> what its positives weigh in the loss; a label not
            named weighs 1. "balanced": negatives / positives of the training part as it is
            trained on, within 1/20 to 20; 1 for a label without a positive there.
        label_smoothing: Share of the target spread evenly over all classes (single-label outputs).
        l1: Adds l1 * sum |w| over weight matrices and kernels (not biases, not norms).
        l2: Adds l2 / 2 * sum w^2 over the same weights (the reports' L2).
        penalised: The weights of l1 and l2: "all" of them, or those of "dense" layers alone.
    """

    weights: dict[str, NonNegative] = Field(default_factory=dict)
    positive_weights: Literal["balanced"] | dict[str, Positive] = Field(default_factory=dict)
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    penalised: Literal["all", "dense"] = "all"

    @field_validator("positive_weights", mode="before")
    @classmethod
    def _balanced_or_a_table(cls, value: Any) -> Any:
        """One sentence, where pydantic has one for each of the two shapes."""
        if isinstance(value, Mapping):
            for label, weight in value.items():
                number = isinstance(weight, int | float) and not isinstance(weight, bool)
                if not number or not 0 < weight < math.inf:
                    raise ValueError(f"{label} = {weight!r} is not a finite number above 0")
        elif value != "balanced":
            raise ValueError('neither "balanced" nor a table of labels and weights')
        return value


class Stop(Section):
    """When to stop, and which epoch is the best one; both look at validation only.

    Attributes:
        monitor: A key of the history row, "val_loss" or "val_<output>_<metric>"; "" means the accuracy of the
            first single-label output. The epoch where it is best is kept. Several joined by " + " are their
            sum: "val_emotion_macro_f1 + val_au_macro_f1".
        patience: Epochs without improvement of the monitor, or of any figure in `targets`, before stopping;
            None: train all epochs.
        min_delta: What counts as an improvement.
        targets: History key -> value. Training stops after the first epoch in which all these figures are at
            their targets or better. Which epoch is kept is the monitor's to say, not theirs.
        past_patience: While the targets are not reached, go on past the patience, to the last epoch if need
            be (chan2023, section 3); false: whichever comes first.
    """

    monitor: str = ""
    patience: Count | None = None
    min_delta: NonNegative = 0.0
    targets: dict[str, NonNegative] = Field(default_factory=dict)
    past_patience: bool = False

    @model_validator(mode="after")
    def _past_what(self) -> Stop:
        if self.past_patience and (self.patience is None or not self.targets):
            raise ValueError("past_patience needs a patience, and targets to go on for")
        return self


class Train(Section):
    """The training itself.

    Attributes:
        epochs: Passes over the training part.
        batch_size: Samples per update, over all processes together; the last batch may be smaller.
        seed: Of initial weights, order, dropout and augmentation.
        ema: Decay per update of an exponential moving average of the weights and of batch norm's statistics,
            which is then what is validated and kept; 0: off. The n-th update's decay is at most
            (1 + n) / (10 + n), so that the first weights do not linger.
        precise_norms: Before each validation, take batch norms' statistics anew from training images without
            augmentation, of the weights that are validated and kept (their average, with `ema`). Torch only.
            Source: Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3.
        precision: Lightning Fabric's name: "32-true", "bf16-mixed" or "16-mixed".
        feature_copies: Of a frozen body's pooled features so many augmented copies of each image are kept,
            and taken in turn, one an epoch; 0: augmented images go through the body in every epoch. (Without
            augmentation the features are always computed once.)
    """

    epochs: Count = 10
    batch_size: Count = 128
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precise_norms: bool = False
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    feature_copies: Annotated[int, Field(ge=0)] = 0


class Denoise(Section):
    """Leave out of training, while it goes on, the samples whose losses say that their labels are wrong.

    Attributes:
        name: "none"; "bdr": Bimodal Distribution Removal (Slade & Gedeon 1993; wang2020, section 2.3): of the
            losses above their mean, those above mean + k * standard deviation; "drop_largest": the `share`
            of the largest losses.
        start: The epoch after which the first round is made, or "settled": when the variance of the losses
            has changed by no more than `tolerance` (relative) in each of the latest `window` epochs.
        rounds: How many rounds (wang2020: 1), or "until_limit": until that standard deviation is below
            `limit`.
        every: Epochs from one round to the next.
        k: See "bdr".
        limit: A round that finds a standard deviation below it removes nothing and is the last (wang2020).
        halt: Training ends after the first epoch, a round having been made, whose losses have a variance
            below it; 0: never. Slade & Gedeon are said to end so; wang2020 does not. Their paper was not at
            hand: nothing here was checked against it.
        share: See "drop_largest"; of the samples that are left, each round.
        tolerance, window: See `start`.
        max_share: A round after which more than this share of the training part were gone is refused.
        max_class_share: The same of each class; that no class loses its last face holds in any case.
    """

    name: Literal["none", "bdr", "drop_largest"] = "none"
    start: Count | Literal["settled"] = "settled"
    rounds: Count | Literal["until_limit"] = 1
    every: Count = 1
    k: Positive = 1.0
    limit: NonNegative = 0.01
    halt: NonNegative = 0.0
    share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    tolerance: Positive = 0.1
    window: Count = 2
    max_share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    max_class_share: Annotated[float, Field(gt=0, le=1)] = 1.0


class Evaluate(Section):
    """How predictions are made when a run is evaluated.

    Attributes:
        splits: Which splits are evaluated.
        views: "single": the image as it is; "flip": mean probabilities of it and its mirror; "ten-crop": mean
            over four corners, the centre and their mirror images, each crop 7/8 of the side.
        groups: Name -> labels of the first single-label output; gives the figure ``accuracy_among.NAME``, the
            accuracy over the faces whose true class is among them.
        also: Name -> options of the data set's loader that differ from `Data.options` (tables within are
            merged); the test part of the data so loaded is evaluated too, under that name. For FER2013's
            other test part: ``PrivateTest.split.test = "PrivateTest"``.
        by: Attributes of the faces ("subject", or one that the set carries, as "skin_tone") by whose groups
            all figures are given too, with the gaps between groups.
        temperature: What the logits of single-label outputs are divided by, here and in the run's artifact:
            "one", or "fit": what gives the least log loss on the validation part (Guo et al. 2017). "vector":
            each label's logit gets a scale and a shift of its own, fitted alike; the largest may change.
    """

    splits: tuple[Literal["train", "val", "test"], ...] = ("val", "test")
    views: Literal["single", "flip", "ten-crop"] = "single"
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    also: dict[str, dict[str, Any]] = Field(default_factory=dict)
    by: tuple[str, ...] = ()
    temperature: Literal["one", "fit", "vector"] = "one"

    @model_validator(mode="after")
    def _has_plain_names(self) -> Evaluate:
        for name, labels in self.groups.items():
            if not labels:
                raise ValueError(f"groups.{name} is empty: name at least one label")
        for name in self.also:
            # No hyphen: "<dataset>-<split>" are the names of evaluations on other data sets.
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in ("train", "val", "test"):
                raise ValueError(f"also.{name}: a name is letters, digits and _, and not that of a split")
        return self


class ClaimedTrial(Section):
    """What the source claims of one setting of a search.

    Attributes:
        set: Dotted recipe field -> value.
        train, val: Figure name -> claimed value; "min_loss" is the smallest training loss.
    """

    set: dict[str, Any]
    train: dict[str, float] = Field(default_factory=dict)
    val: dict[str, float] = Field(default_factory=dict)


class Expect(Section):
    """What the source claims, for the results page. Figures are shares in [0, 1] or losses, as printed there.

    Attributes:
        train, val, test: Figure name -> claimed value ("accuracy", "loss", "macro_f1", "f1.happy", ...).
        confusion: The claimed confusion matrix of the test part: rows are true classes, columns answers, in
            the order of the output's labels.
        trials: For a search: what is claimed of each setting.
        epochs_to_targets: In which epoch training reaches `Stop.targets`: from the first to the last claimed.
        not_comparable: Why what is measured here cannot be held against the claims, a sentence; "": it can.
        notes: What the source leaves open or gets wrong, and what was chosen here.
        differences: Why measured and claimed figures differ, where they do by over 2 points.
    """

    train: dict[str, float] = Field(default_factory=dict)
    val: dict[str, float] = Field(default_factory=dict)
    test: dict[str, float] = Field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    trials: tuple[ClaimedTrial, ...] = ()
    epochs_to_targets: tuple[Count, Count] | None = None
    not_comparable: str = ""
    notes: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _counts_up(self) -> Expect:
        if self.epochs_to_targets and self.epochs_to_targets[0] > self.epochs_to_targets[1]:
            raise ValueError("epochs_to_targets: the first epoch claimed comes after the last")
        return self
