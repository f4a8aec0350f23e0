"""What a model card says of its training data: where from, under which terms, what they cannot show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Datasheet:
    """Of one data set.

    Attributes:
        title: Its name for readers.
        source: Who published it, and how it was made.
        license: Hugging Face's identifier for weights trained on it, or "other".
        license_name: Where that is "other": a word for the front matter.
        terms: A sentence or more.
        people: Consent, privacy, who is on the pictures.
        groups: Why figures by some groups of people are not there; what of them can be had.
        limits: What labels and pictures cannot show.
    """

    title: str
    source: str
    license: str
    license_name: str
    terms: str
    people: str
    groups: str
    limits: str


_FER2013 = Datasheet(
    title="FER2013 (emotions by FER2013's publishers; where the model answers them, votes of FER+)",
    source=(
        "Goodfellow et al. 2013, Challenges in Representation Learning: 35,887 grey images of 48x48 pixels, "
        "found by image search for words of emotion and cut to the faces. FER+: Barsoum et al. 2016, ten "
        "crowd-sourced votes an image."
    ),
    license="other",
    license_name="research-use-fer2013",
    terms=(
        "The images were given out for a Kaggle competition, for research; their photographers' rights were "
        "not cleared. The FER+ votes are under the MIT licence. The weights stand under the images' terms: "
        "research use. The code's licence, Apache-2.0, does not cover them."
    ),
    people=(
        "Nobody on the pictures was asked. They come from the web; who they are is not recorded, and some "
        "can be recognised by those who know them."
    ),
    groups="FER2013 carries no group attributes (no age, gender, skin tone or person)",
    limits=(
        "Labels are noisy: people agree with FER2013's on about 65 % of the images (Goodfellow et al. "
        "2013). Many pictures are acted, from films, news or stock photographs. Classes are very unequal; "
        "disgust is rare."
    ),
)
_CKPLUS = Datasheet(
    title="CK+, the extended Cohn-Kanade set",
    source=(
        "Lucey et al. 2010: 593 sequences of 123 people in a laboratory, from a neutral face to an "
        "expression made on request."
    ),
    license="other",
    license_name="agreement-only-ckplus",
    terms="Given out under an agreement, for research alone. Weights trained on it are not to be published.",
    people=(
        "Consent: the people recorded agreed to research use under the agreement, to no other use; a user "
        "of this model has that agreement to keep as well. Privacy: the pictures show people who can be "
        "recognised; only some agreed to be shown in print. (chan2023, section 6, asks for both: consent of "
        "participants and of data users, and care for disclosure of identity.)"
    ),
    groups=(
        "CK+ as it is given out names people (`duchenne evaluate --by subject`) but not their gender, age or "
        "skin tone"
    ),
    limits=(
        "Bias: of the 210 adults recorded, aged 18 to 50, 69 % were female and 81 % Euro-American (Lucey et "
        "al. 2010); pictures are grey, from one laboratory, its light and its camera. chan2023, section 6, "
        "names gender, skin colour (the more so in grey) and the place of collection as what may not carry "
        "over. Expressions are posed, and at their strongest; few people show some of the action units."
    ),
)
_SFEW = Datasheet(
    title="SFEW 2.0",
    source="Dhall et al. 2011, 2015: frames of films, labelled by their subtitles' words and by people.",
    license="other",
    license_name="agreement-only-sfew",
    terms="Given out under an agreement, for research alone. Weights trained on it are not to be published.",
    people="Actors in films; they were not asked for this use, and are known by name to many.",
    groups="this set's files carry no group attributes",
    limits="Acted, of films of one culture, in under 2,000 frames; agreement on the labels is low.",
)
_CIFAR10 = Datasheet(
    title="CIFAR-10",
    source="Krizhevsky 2009: 60,000 images of ten classes of things and animals; no faces.",
    license="other",
    license_name="unstated-cifar10",
    terms="Its publisher states no terms: research use.",
    people="No people.",
    groups="there are no people on the images",
    limits="Nothing of faces or emotions: a model of this set is an exercise.",
)
_SYNTHETIC = Datasheet(
    title="synthetic faces, drawn by this program",
    source="Drawn by duchenne from a model of action units; no photograph went into them.",
    license="apache-2.0",
    license_name="",
    terms="Weights trained on them are under Apache-2.0.",
    people="No people.",
    groups="drawn faces have a skin tone (`duchenne evaluate --by skin_tone`), but no gender and no age",
    limits="Drawings. A model of them tells nothing of a photograph of a person.",
)
_OTHER = Datasheet(
    title="images of the user's own",
    source="A folder or manifest of whoever trained the model.",
    license="other",
    license_name="unknown",
    terms="The terms of the images decide; they are not known to this program.",
    people=(
        "Whether those on the pictures agreed to this use is for whoever trained the model to say. Faces "
        "are personal data: who can be recognised has rights in how they are used."
    ),
    groups="the images do not carry these attributes, or they were not asked for (`duchenne evaluate --by`)",
    limits="What is known of these images beyond their number is for whoever trained the model to add.",
)

DATASHEETS = {
    "cifar10": _CIFAR10,
    "ckplus": _CKPLUS,
    "fer2013": _FER2013,
    "sfew": _SFEW,
    "synthetic": _SYNTHETIC,
}


def datasheet(name: str) -> Datasheet:
    """The sheet of a data set; that of unknown images for the user's own."""
    return DATASHEETS.get(name, _OTHER)
