"""A tiny model behind a real server on a free port, and a client that shows what came over the wire."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from duchenne.artifacts import Card, save_artifact
from duchenne.inference import FaceFinder, Predictor
from duchenne.labels import Output
from duchenne.serve import Access, Limits, Server, bind
from duchenne.transforms.preprocess import Preprocess

OUTPUTS = (Output("emotion", "single", ("happy", "sad", "angry")), Output("au", "multi", ("AU6", "AU12")))
SIDE = 6


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model with linear heads on 6x6 grey."""
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("Flatten", ["images"], ["flat"], axis=1)]
    constants, infos = [], []
    for output in OUTPUTS:
        w = rng.normal(size=(SIDE * SIDE, output.num_classes)) * 0.2
        constants.append(numpy_helper.from_array(w.astype(np.float32), f"{output.name}.w"))
        nodes.append(helper.make_node("MatMul", ["flat", f"{output.name}.w"], [output.name]))
        infos.append(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, ["N", output.num_classes]))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])
    graph = helper.make_graph(nodes, "g", [images], infos, constants)
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder = tmp_path_factory.mktemp("model")
    preprocess = Preprocess(size=(SIDE, SIDE), mean=(0.5,), std=(0.5,)).to_json()
    card = Card(
        "tiny", OUTPUTS, preprocess, {"emotion": 1.5}, {"test": {"accuracy": 0.5}}, "for <tests> & nobody"
    )
    save_artifact(folder, onnx.SerializeToString(), card)
    return folder


@dataclass
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A server, and how to talk to it."""

    port: int
    server: Server
    host: str = "127.0.0.1"
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **options: Any
    ) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, {**self.headers, **(headers or {})}, **options)
            got = connection.getresponse()
            return Reply(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    def post(
        self, parts: Sequence[tuple[str, bytes]], path: str = "/predict", field: str = "images"
    ) -> Reply:
        """Files as multipart/form-data."""
        body, kind = form(parts, field)
        return self.ask("POST", path, body, {"Content-Type": kind})

    def post_json(self, document: Any) -> Reply:
        """A document."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask("POST", "/predict", body, {"Content-Type": "application/json"})

    def raw(self, *parts: bytes, pause: float = 0.0, seconds: float = 10.0) -> bytes:
        """Send bytes as they are, with a pause between; what comes back until the server closes."""
        return b"".join(self.raw_parts(parts, pause, seconds))

    def raw_parts(self, parts: Sequence[bytes], pause: float, seconds: float) -> Iterator[bytes]:
        with socket.create_connection((self.host, self.port), timeout=seconds) as sock:
            for part in parts:
                try:
                    sock.sendall(part)
                except OSError:
                    break  # refused: what it says is read below
                if pause:
                    threading.Event().wait(pause)
            while True:
                try:
                    got = sock.recv(65536)
                except ConnectionResetError:
                    return
                if not got:
                    return
                yield got


def form(parts: Sequence[tuple[str, bytes]], field: str = "images") -> tuple[bytes, str]:
    """A body of multipart/form-data, and its Content-Type."""
    boundary = uuid.uuid4().hex
    body = b""
    for name, data in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
        body += head.encode("utf-8", "surrogateescape") + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def encoded(kind: str = "PNG", size: tuple[int, int] = (20, 24), seed: int = 0) -> bytes:
    """An image file of noise."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(file, kind)
    return file.getvalue()


Start = Callable[..., Running]


@pytest.fixture
def image() -> Callable[..., bytes]:
    """Makes image files."""
    return encoded


@pytest.fixture
def multipart() -> Callable[..., tuple[bytes, str]]:
    """Makes a form's body and its Content-Type."""
    return form


@pytest.fixture(scope="module")
def start(model: Path) -> Iterator[Start]:
    """Starts servers; all end with the module's tests."""
    running: list[tuple[Server, threading.Thread]] = []

    def begin(
        faces: str | FaceFinder = "whole",
        limits: Limits | None = None,
        key: str | None = None,
        names: Sequence[str] = (),
        workers: int = 2,
    ) -> Running:
        sock = bind("127.0.0.1", 0)
        port = sock.getsockname()[1]
        predictor = Predictor.load(model, threads=1, faces=faces)
        server = Server(predictor, Access("127.0.0.1", names, key), limits, workers)
        thread = threading.Thread(target=server.run, args=(sock,))
        thread.start()
        running.append((server, thread))
        return Running(port, server)

    yield begin
    for server, _ in running:
        server.stop()
    for _, thread in running:
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def server(start: Start) -> Running:
    """One with the limits as they are by default."""
    return start()
