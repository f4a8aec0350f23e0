"""How many photographs a second the server answers, beside what one process predicts from a folder.

    DUCHENNE_PHOTOS=photos python benchmarks/serving.py --model RUN_OR_DIR

Clients (asyncio, one process of their own) send photographs over loopback, one a request, each the next
one after its answer, and come back after Retry-After where they are answered 429. Every answer is
compared with the record of `Predictor`. Folder and server are measured by turns; the ratio is of medians.
Photographs: those below $DUCHENNE_PHOTOS, else drawn faces on a ground of noise. Where clients and server
share the cores, as on one machine they do, the clients' CPU time is the server's loss; it is stated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from duchenne.datasets.synthetic import load_synthetic
from duchenne.inference import expand, find_model

SIDE = 600
# Seconds after which memory is read: freed pages go back a second after answers (`serve/memory.py`).
SETTLED = 3.0


def main() -> None:
    """Measure, print, and fail where an answer is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--photos", type=int, default=20, help="a client")
    parser.add_argument("--distinct", type=int, default=40, help="different photographs")
    parser.add_argument("--faces", default="auto")
    parser.add_argument("--rounds", type=int, default=2, help="server and folder, by turns")
    args = parser.parse_args()
    model = find_model(args.model, Path("runs"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = photographs(Path(scratch) / "photos", args.distinct)
        run(args, model, folder)


def run(args: argparse.Namespace, model: Path, folder: list[Path]) -> None:
    """By turns: a folder's worth in one process, all clients against the server."""
    total = args.clients * args.photos
    expected = dict(zip(folder, records(model, args.faces, folder)[0], strict=True))
    server, port = serve(model, args.faces)
    rates: dict[str, list[float]] = {"folder": [], "server": []}
    try:
        talk(port, folder, expected, clients=8, photos=5)  # warm
        time.sleep(SETTLED)
        before = memory(server.pid)
        for _ in range(args.rounds):
            some = [folder[i % len(folder)] for i in range(min(total, 400))]
            seconds = records(model, args.faces, some)[1]
            rates["folder"].append(len(some) / seconds)
            done = talk(port, folder, expected, args.clients, args.photos)
            rates["server"].append(done["answered"] / done["seconds"])
            print(json.dumps(done), flush=True)
        at_once = (memory(server.pid) - before) / 1024
        time.sleep(SETTLED)
        grown = (memory(server.pid) - before) / 1024
    finally:
        server.terminate()
        server.wait()
    one, many = statistics.median(rates["folder"]), statistics.median(rates["server"])
    for name, rate in (("folder, one process", one), (f"server, {args.clients} clients", many)):
        each = [round(r, 1) for r in rates[name.partition(",")[0]]]
        print(f"{name:24s} {rate:8.1f} photos/s   {each}")
    print(f"ratio                    {many / one:8.2f}   (to reach: 0.8)")
    print(
        f"memory of the server     {grown:+8.1f} MiB (to reach: at most 50), of {before / 1024:.0f}; "
        f"with the last answer {at_once:+.1f}"
    )
    print(f"cores {len(os.sched_getaffinity(0))}, load {os.getloadavg()[0]:.1f} (others' work included)")


def photographs(out: Path, count: int) -> list[Path]:
    """Files of about 600x600 with a face or several each."""
    named = os.environ.get("DUCHENNE_PHOTOS", "")
    if named:
        found = [s.data for s in expand([named]) if isinstance(s.data, Path)]
        return [found[i % len(found)] for i in range(min(count, len(found)))]
    out.mkdir()
    rng = np.random.default_rng(0)
    faces = load_synthetic(n=count, size=48, seed=0).pixels()
    paths = []
    for i, face in enumerate(faces):
        ground = cv2.GaussianBlur(rng.integers(90, 160, (SIDE, SIDE), dtype=np.uint8), (0, 0), 4)
        side = int(rng.integers(160, 320))
        x, y = (int(v) for v in rng.integers(0, SIDE - side, 2))
        large = cv2.resize(np.asarray(face), (side, side), interpolation=cv2.INTER_CUBIC)
        ground[y : y + side, x : x + side] = large
        paths.append(out / f"{i:03d}.jpg")
        cv2.imwrite(str(paths[-1]), ground, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths


def records(model: Path, faces: str, paths: list[Path]) -> tuple[list[Any], float]:
    """Of one process that predicts a folder as `duchenne predict` does; and its seconds, less the start."""
    code = (
        "import json, sys, time; from pathlib import Path; from duchenne.inference import Predictor\n"
        "model, faces, *paths = json.load(sys.stdin)\n"
        "p = Predictor.load(model, faces=faces); list(p.predict(paths[:2]))\n"
        "start = time.perf_counter(); done = list(p.predict(paths)); end = time.perf_counter()\n"
        "json.dump([done, end - start], sys.stdout)"
    )
    given = json.dumps([str(model), faces, *map(str, paths)])
    done = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True
    )
    answer, seconds = json.loads(done.stdout)
    return answer, seconds


def serve(model: Path, faces: str) -> tuple[subprocess.Popen[str], int]:
    """The verb as users start it, but for the log."""
    code = "from duchenne.cli import main; main()"
    options = ["serve", "--model", str(model), "--faces", faces, "--port", "0", "--quiet"]
    process = subprocess.Popen([sys.executable, "-c", code, *options], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"serving http://.*:(\d+)/", line):
            return process, int(found[1])
    raise SystemExit("the server did not start")


def talk(
    port: int, folder: list[Path], expected: dict[Path, Any], clients: int, photos: int
) -> dict[str, Any]:
    """All clients at once, in a process of their own; raises where an answer is wrong."""
    given = {
        "port": port, "clients": clients, "photos": photos,
        "files": [[str(p), expected[p]["error"], expected[p]["faces"]] for p in folder],
    }  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, __file__, "--as-clients"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer: dict[str, Any] = json.loads(done.stdout)
    return {**answer, "clients_cpu_seconds": round(cpu, 1)}


async def clients_main(given: dict[str, Any]) -> dict[str, Any]:
    """The clients' process."""
    requests = []
    for path, error, faces in given["files"]:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="images"; filename="p"\r\n\r\n'
            + Path(path).read_bytes()
            + b"\r\n--b--\r\n"
        )
        head = (
            "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        requests.append((head.encode() + body, error, faces))
    answered: list[float] = []
    waits: list[float] = []
    busy = 0

    async def client(number: int) -> None:
        nonlocal busy
        reader, writer = await asyncio.open_connection("127.0.0.1", given["port"])
        for n in range(given["photos"]):
            request, error, faces = requests[(number * given["photos"] + n) % len(requests)]
            first = time.perf_counter()
            while True:
                start = time.perf_counter()
                writer.write(request)
                await writer.drain()
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                status = int(head.split()[1])
                length = re.search(r"content-length: (\d+)", head)
                assert length is not None, head
                body = await reader.readexactly(int(length[1]))
                if status == 429:
                    busy += 1
                    after = re.search(r"retry-after: (\d+)", head)
                    assert after is not None, "429 without Retry-After"
                    await asyncio.sleep(int(after[1]))
                    continue
                assert status == 200, (status, body[:300])
                (record,) = json.loads(body)["records"]
                assert (record["error"] is None) == (error is None), record
                assert same(record["faces"], faces), (record["faces"], faces)
                answered.append(time.perf_counter() - start)
                waits.append(time.perf_counter() - first)
                break
        writer.close()
        await writer.wait_closed()

    start = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(given["clients"])))
    seconds = time.perf_counter() - start
    answered.sort()
    waits.sort()
    return {
        "answered": len(answered), "busy_429": busy, "seconds": round(seconds, 2),
        "request_p50": round(at(answered, 0.5), 3), "request_p99": round(at(answered, 0.99), 3),
        "photo_p50": round(at(waits, 0.5), 3), "photo_p99": round(at(waits, 0.99), 3),
    }  # fmt: skip


def same(found: list[Any], right: list[Any]) -> bool:
    """Boxes alike, scores to what batches of other sizes leave (1e-4)."""
    if [f["box"] for f in found] != [f["box"] for f in right]:
        return False
    for one, other in zip(found, right, strict=True):
        for name, scores in other["outputs"].items():
            got = {s["label"]: s["score"] for s in one["outputs"][name]}
            if any(abs(got[s["label"]] - s["score"]) > 1e-4 for s in scores):
                return False
    return True


def at(ordered: list[float], part: float) -> float:
    """The value below which that part lies."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def memory(pid: int) -> int:
    """Resident, in KiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--as-clients"]:
        print(json.dumps(asyncio.run(clients_main(json.load(sys.stdin)))))
    else:
        main()
