"""What stands in an ONNX file about itself, so that onnxruntime and NumPy are enough to use it.

Text by name (``session.get_modelmeta().custom_metadata_map``), the structured ones as JSON:

    name, version       the card's; the version is the recipe's fingerprint and the epoch
    outputs             [{name, kind, labels}]: "single": softmax over the labels, "multi": a sigmoid a label
    temperature         {output name: what its logits are divided by}
    scaling             {output name: {scale, shift}}, a number a label: logits * scale + shift, before that
    preprocess          see `duchenne.transforms.preprocess.Preprocess`
    terms               under which terms the weights may be used
    data                name of the training data
    precision           "fp32" or "int8"
    usage               `SNIPPET`
"""

from __future__ import annotations

import json

from .card import Card

# Runs with onnxruntime, numpy and opencv alone; the tests run it.
SNIPPET = """\
import json, sys, cv2, numpy as np, onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
pre, temperature, scaling = (json.loads(about[key]) for key in ("preprocess", "temperature", "scaling"))
image = cv2.imread(sys.argv[2])  # one face, cut out
image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY if pre["channels"] == 1 else cv2.COLOR_BGR2RGB)
how = pre["interpolation"]
for h, w in (pre.get("detail", pre["size"]), pre["size"]):
    area = how == "area" or (how == "auto" and image.shape[0] >= h and image.shape[1] >= w)
    image = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR)
x = image.reshape(h, w, -1).transpose(2, 0, 1)[None].astype(np.float32) / 255
mean, std = (np.reshape(pre[k], (1, -1, 1, 1)).astype(np.float32) for k in ("mean", "std"))
if pre["per_image"]:
    mean, std = x.mean(), max(x.std(), x.size**-0.5)
for output in json.loads(about["outputs"]):
    name = output["name"]
    own = scaling.get(name, {"scale": 1, "shift": 0})
    z = session.run([name], {"images": (x - mean) / std})[0][0] * own["scale"] + own["shift"]
    z = z / temperature[name]
    e = np.exp(z - z.max())
    p = e / e.sum() if output["kind"] == "single" else 1 / (1 + np.exp(-z))
    print(name, json.dumps(dict(zip(output["labels"], p.tolist()))))
"""


def card_version(card: Card) -> str:
    """Which training and epoch the weights are of, in one word."""
    training = card.training
    recipe, epoch = training.get("recipe_fingerprint", ""), training.get("epoch", "")
    return f"{recipe}-{epoch}" if recipe else card.created


def about_card(card: Card, precision: str) -> dict[str, str]:
    """The texts that a model file carries (see above)."""
    outputs = [{"name": o.name, "kind": o.kind, "labels": list(o.labels)} for o in card.outputs]
    texts = {
        "name": card.name,
        "version": card_version(card),
        "outputs": json.dumps(outputs),
        "temperature": json.dumps(dict(card.temperature)),
        "scaling": json.dumps(dict(card.scaling)),
        "preprocess": json.dumps(dict(card.preprocess)),
        "terms": card.terms,
        "data": str(card.data.get("name", "")),
        "precision": precision,
    }
    # Hand-made features are no business of a short script.
    return texts if "features" in card.preprocess else texts | {"usage": SNIPPET}


def with_metadata(onnx_bytes: bytes, card: Card, precision: str = "fp32") -> bytes:
    """The model with `about_card` inside; what stood there before under other names stays."""
    import onnx

    model = onnx.load_model_from_string(onnx_bytes)
    about = {p.key: p.value for p in model.metadata_props} | about_card(card, precision)
    del model.metadata_props[:]
    for key in sorted(about):
        model.metadata_props.add(key=key, value=about[key])
    content: bytes = model.SerializeToString(deterministic=True)
    return content
