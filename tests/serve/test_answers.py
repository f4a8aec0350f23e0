"""What is answered: the records of `Predictor`, in order, over both forms; bad images as their records."""

from __future__ import annotations

import base64
import json
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from duchenne.inference import Predictor, Source

Image = Callable[..., bytes]


def expected(model: Path, images: list[tuple[str | None, bytes]], **options: Any) -> Any:
    predictor = Predictor.load(model, threads=1, faces="whole")
    return json.loads(json.dumps(list(predictor.predict([Source(n, d) for n, d in images], **options))))


def test_multipart_gives_the_predictors_records(server: Any, model: Path, image: Image) -> None:
    images = [(f"{n}.png", image(seed=n)) for n in range(5)] + [("j.jpg", image("JPEG"))]
    reply = server.post(images)
    assert reply.status == 200
    assert reply.json == {"model": "tiny", "records": expected(model, images)}


def test_json_gives_the_predictors_records(server: Any, model: Path, image: Image) -> None:
    images = [image(seed=n) for n in range(3)]
    texts = [base64.b64encode(i).decode() for i in images]
    texts[1] = "data:image/png;base64," + texts[1]
    texts[2] = "\n".join(texts[2][i : i + 76] for i in range(0, len(texts[2]), 76))
    reply = server.post_json({"images": texts})
    assert reply.status == 200
    assert reply.json["records"] == expected(model, [(None, i) for i in images])


def test_abstain(server: Any, model: Path, image: Image) -> None:
    reply = server.post([("a.png", image())], "/predict?abstain=1")
    assert reply.json["records"][0]["faces"][0]["labels"] == {"emotion": "unsure"}
    for wrong in ("2", "-1", "nan", "x", ""):
        reply = server.post([("a.png", image())], f"/predict?abstain={wrong}")
        assert reply.status == 422
        assert "abstain" in reply.json["error"]


def test_bad_images_are_records_among_good_ones(server: Any, image: Image) -> None:
    good = image()
    header = b"IHDR" + (50_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    bomb = b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + zlib.crc32(header).to_bytes(4, "big") + bytes(4) + b"IDAT"
    bad = [
        ("text.jpg", b"no image"),
        ("empty.png", b""),
        ("cut.jpg", image("JPEG")[:400]),
        ("bomb.png", bomb),
    ]
    reply = server.post([("a.png", good), *bad, ("b.png", good)])
    assert reply.status == 200
    records = reply.json["records"]
    assert [r["path"] for r in records] == ["a.png", "text.jpg", "empty.png", "cut.jpg", "bomb.png", "b.png"]
    assert [r["error"] is None for r in records] == [True, False, False, False, False, True]
    assert "too large" in records[4]["error"]
    assert records[0]["faces"] == records[5]["faces"]


def test_bad_base64_is_a_record(server: Any, image: Image) -> None:
    good = base64.b64encode(image()).decode()
    reply = server.post_json(
        {"images": [good, "~~~", "http://x/a.png", "data:image/png,abc", "é", "aGk", ""]}
    )
    assert reply.status == 200
    errors = [r["error"] for r in reply.json["records"]]
    assert errors[0] is None
    assert all(errors[1:])
    assert errors[1] == "images[1] is not base64"
    assert errors[5] == "images[5] is not base64: its padding is wrong"


def test_data_urls_as_people_write_them(server: Any, image: Image) -> None:
    good = base64.b64encode(image()).decode()
    texts = [f"DATA:image/png;BASE64,{good}", f"  data:image/png;base64,{good}\n", f"data:;base64,{good}"]
    assert [r["error"] for r in server.post_json({"images": texts}).json["records"]] == [None] * 3


def test_a_document_of_numbers_is_not_called_too_many_images(server: Any) -> None:
    reply = server.post_json({"images": [[[0, 128, 255]] * 200]})
    assert reply.status == 413
    assert "is of another form" in reply.json["error"]
    assert '{"images": ["base64 or data URL", ...]}' in reply.json["todo"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"\xff", 400), (b"[" * 150, 400), (b"[]", 422), (b"3", 422),
        (b'{"images": "a"}', 422), (b'{"images": [3]}', 422), (b'{"images": []}', 422),
        (b'{"images": ["a"], "x\\u0007": 1}', 422), (b'{"picture": ["a"]}', 422),
        (b"[" * 1_000_000, 413), (b'{"images": [' + b"1," * 1_000_000 + b"1]}", 413),
    ],
)  # fmt: skip
def test_documents_of_another_form(server: Any, body: bytes, status: int) -> None:
    reply = server.post_json(body)
    assert reply.status == status
    assert set(reply.json) == {"error", "todo"}
    assert "Traceback" not in reply.json["error"]
    assert "\a" not in reply.json["error"]


def test_forms_of_another_form(server: Any, image: Image) -> None:
    assert server.post([("a.png", image())], field="photo").status == 422
    assert "'images'" in server.post([("a.png", image())], field="photo").json["todo"]
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (
        b"",
        b"nothing",
        b"--b\r\n",
        b"--b\r\nContent-Disposition: form-data; name=images\r\n\r\nab",
    ):
        assert server.ask("POST", "/predict", body, kind).status == 400
    assert server.ask("POST", "/predict", b"--b--\r\n", kind).status in (400, 422)
    for kind in (
        {"Content-Type": "multipart/form-data"},
        {"Content-Type": f"multipart/form-data; boundary={'b' * 71}"},
    ):
        assert server.ask("POST", "/predict", b"--b--\r\n", kind).status == 400
    many = b"--b\r\n" + b"X: y\r\n" * 100
    assert (
        server.ask("POST", "/predict", many, {"Content-Type": "multipart/form-data; boundary=b"}).status
        == 400
    )
    long = b"--b\r\nX: " + b"y" * 100_000
    assert (
        server.ask("POST", "/predict", long, {"Content-Type": "multipart/form-data; boundary=b"}).status
        == 400
    )


@pytest.mark.parametrize(
    "kind", ["text/plain", "image/png", "application/x-www-form-urlencoded", "", "multipart/mixed"]
)
def test_other_content_types(server: Any, kind: str) -> None:
    reply = server.ask("POST", "/predict", b"abc", {"Content-Type": kind})
    assert reply.status == 415
    assert "multipart/form-data" in reply.headers["accept-post"]
    zipped = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert server.ask("POST", "/predict", b"abc", zipped).status == 415


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../../etc/passwd", "../../etc/passwd"), ("/dev/zero", "/dev/zero"), ("C:\\\\a.png", None),
        ("a\x1b[31m.png", "a\\x1b[31m.png"), ("\u202egnp.exe", "\\u202egnp.exe"), ("ä.png", "ä.png"),
        ("\udcff.png", "\\xff.png"), ("x" * 5000 + ".png", None), ("a\0b", "a\\x00b"), ("", None),
    ],
)  # fmt: skip
def test_file_names_are_said_back_safely_and_never_opened(
    server: Any, image: Image, name: str, said: str | None
) -> None:
    reply = server.post([(name, image())])
    if len(name) > 4000:
        assert reply.status == 400  # the header of a part has 4 KiB
        return
    (record,) = reply.json["records"]
    assert record["error"] is None
    assert len(record["faces"]) == 1
    if said is not None:
        assert record["path"] == said
    assert record["path"] is None or (record["path"].isprintable() and len(record["path"]) <= 120)
    (record,) = server.post([(name, b"text")]).json["records"]
    assert record["error"].isprintable()


def test_model_health_and_schema(server: Any) -> None:
    assert server.ask("GET", "/health").json == {"status": "ok"}
    model = server.ask("GET", "/model").json
    assert model["outputs"][0] == {"name": "emotion", "kind": "single", "labels": ["happy", "sad", "angry"]}
    assert model["terms"] == "for <tests> & nobody"
    assert model["figures"] == {"test": {"accuracy": 0.5}}
    assert model["limits"]["images"] == 64
    schema = server.ask("GET", "/openapi.json").json
    content = schema["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    assert schema["components"]["schemas"]["RecordForm"]["required"] == ["path", "error", "note", "faces"]


def test_head_is_get_without_the_body(server: Any) -> None:
    for path in ("/", "/health", "/model", "/openapi.json", "/predict", "/nothing"):
        got, head = server.ask("GET", path), server.ask("HEAD", path)
        assert (head.status, head.body) == (got.status, b""), path
        assert head.headers["content-length"] == str(len(got.body)), path
    assert list(server.ask("GET", "/openapi.json").json["paths"]["/health"]) == ["get"]


def test_pages_that_load_from_elsewhere_are_not_there(server: Any) -> None:
    for path in ("/docs", "/redoc", "/nothing", "/../etc/passwd", "/predict/"):
        reply = server.ask("GET", path)
        assert reply.status == 404, path
        assert set(reply.json) == {"error", "todo"}
    reply = server.ask("GET", "/predict")
    assert reply.status == 405
    assert reply.headers["allow"] == "POST"


def test_every_answer_has_safe_headers(server: Any) -> None:
    for path in ("/", "/health", "/model", "/nothing", "/predict"):
        headers = server.ask("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_many_clients_get_their_own_answers(server: Any, model: Path, image: Image) -> None:
    images = [(f"{n}.png", image(seed=n)) for n in range(40)]
    right = expected(model, list(images))
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda one: server.post([one]), images))
    assert [r.status for r in replies] == [200] * 40
    assert [r.json["records"][0] for r in replies] == right
    assert threading.active_count() < 40


def test_headers_of_parts(server: Any, image: Image) -> None:
    """Many headers are well-formed; their bytes are bounded, and a part without a name is called so."""
    kind = {"Content-Type": "multipart/form-data; boundary=b"}

    def ask(headers: bytes) -> Any:
        body = b"--b\r\n" + headers + b"\r\n" + image() + b"\r\n--b--\r\n"
        return server.ask("POST", "/predict", body, kind)

    named = b'Content-Disposition: form-data; name="images"\r\n'
    assert ask(named + b"".join(b"X-%d: y\r\n" % n for n in range(30))).status == 200
    for headers in (named + b"X: " + b"y" * 5000 + b"\r\n", named + b"X: y\r\n" * 2000):
        reply = ask(headers)
        assert (reply.status, reply.json["error"]) == (
            400,
            "the headers of a part are larger than 4096 bytes",
        )
    for headers in (
        b"",
        b"Content-Disposition: form-data\r\n",
        b'Content-Disposition: form-data; name=""\r\n',
    ):
        reply = ask(headers)
        assert (reply.status, reply.json["error"]) == (422, "a part of the form has no name")


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_a_body_that_is_not_compressed(server: Any, image: Image, coding: str) -> None:
    body = json.dumps({"images": [base64.b64encode(image()).decode()]}).encode()
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    assert server.ask("POST", "/predict", body, headers).status == 200
    assert server.ask("POST", "/predict", body, headers | {"Content-Encoding": "gzip"}).status == 415


def test_a_method_that_is_not_taken_names_the_one_that_is(server: Any) -> None:
    reply = server.ask("GET", "/predict")
    assert (reply.status, reply.headers["allow"], reply.json["todo"]) == (405, "POST", "it takes POST")


def test_a_target_may_be_a_whole_url(server: Any) -> None:
    """RFC 9112, 3.2.2: a server must take it, and the host in it counts, not the header."""
    for target, host, status in (
        (f"http://localhost:{server.port}/health", "localhost", 200),
        ("HTTP://localhost/%68ealth?a=b", "evil.example", 200),
        ("http://localhost", "localhost", 200),
        ("http://evil.example/health", "localhost", 421),
        ("http:///health", "localhost", 400),
    ):
        got = server.raw(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert got.startswith(f"HTTP/1.1 {status} ".encode()), (target, got)


def test_the_schema_says_what_may_be_answered(start: Callable[..., Any], server: Any) -> None:
    plain = server.ask("GET", "/openapi.json").json
    answers = {
        path: set(method["responses"])
        for path, methods in plain["paths"].items()
        for method in methods.values()
    }
    assert answers["/health"] == {"200", "400", "403", "408", "421", "503"}
    assert answers["/model"] == answers["/health"]
    assert answers["/predict"] == answers["/health"] | {"413", "415", "422", "429", "500"}
    assert "securitySchemes" not in plain["components"]
    images = plain["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert images["properties"]["images"]["maxItems"] == 64

    keyed = start(key="0123456789abcdef").ask("GET", "/openapi.json").json
    assert set(keyed["components"]["securitySchemes"]) == {"bearer", "key"}
    for path, methods in keyed["paths"].items():
        for method in methods.values():
            assert ("security" in method) == ("401" in method["responses"]) == (path != "/health")


def test_answers_have_the_form_that_the_schema_states(server: Any, image: Image) -> None:
    from duchenne.serve.describe import Answer, FaceForm, RecordForm, ScoreForm

    found = server.post([("a.png", image()), ("b.png", b"no")]).json
    Answer.model_validate(found, strict=True)
    for record in found["records"]:
        assert set(record) == set(RecordForm.model_fields)
        for face in record["faces"]:
            assert set(face) == set(FaceForm.model_fields)
            for scores in face["outputs"].values():
                assert all(set(score) == set(ScoreForm.model_fields) for score in scores)
