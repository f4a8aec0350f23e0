"""The routes: /predict, /model, /health, /openapi.json and the page."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from .. import __version__
from ..errors import DuchenneError
from ..inference import Record, Source
from .access import OPEN_PATHS, Access
from .body import Held, chunks
from .describe import ALWAYS, KEYED, Answer, Health, describe_model, failures, request_form, with_security
from .document import read_document
from .guard import Guard, refusal_response
from .limits import Limits
from .multipart import Multipart
from .page import make_page
from .refusal import Gone, Refused
from .work import Workers

_log = logging.getLogger("duchenne.serve")
_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
_TYPES = "multipart/form-data, application/json"


def make_app(workers: Workers, access: Access, limits: Limits) -> ASGIApp:
    """The application, with its checks around it.

    Args:
        workers: Answer the images.
        access: Who may ask.
        limits: How much.
    """
    # Swagger's and Redoc's pages load scripts from other servers: there are none. The schema itself stays.
    # Nor does anything measure requests and send the figures elsewhere (newer FastAPI can).
    api = FastAPI(
        title="duchenne", version=__version__, docs_url=None, redoc_url=None, telemetry=_NO_TELEMETRY,
        redirect_slashes=False,
        description="Facial expressions on images, which are never stored and never logged.",
    )  # fmt: skip
    page, page_headers = make_page(workers.predictor, access.needs_key)
    model = json.dumps(describe_model(workers.predictor, limits), allow_nan=False).encode()

    @api.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(page, headers=page_headers, media_type="text/html")

    keyed = KEYED if access.needs_key else ()

    @api.get("/health", response_model=Health, responses=failures(*ALWAYS))
    async def health() -> dict[str, str]:
        """Whether the server answers. Needs no API key."""
        return {"status": "ok"}

    told: dict[int | str, Any] = {200: {"description": "Labels, figures, terms, data, limits."}}

    @api.get("/model", responses=told | failures(*ALWAYS, *keyed))
    async def card() -> Response:
        """The model's card and the server's limits."""
        return Response(model, media_type="application/json")

    @api.post(
        "/predict", response_model=Answer, responses=failures(*ALWAYS, *keyed, 413, 415, 422, 429, 500),
        openapi_extra=request_form(limits.images),
    )  # fmt: skip
    async def predict(
        request: Request,
        abstain: Annotated[float, Query(ge=0, le=1, description="Say 'unsure' below this score.")] = 0.0,
    ) -> Response:
        """Predict the faces on one or several images; one record an image, in order.

        A bad image is a record with its error. Images are held in memory until they are answered.
        """
        records = await _answer(request, abstain, workers, limits)
        return Response(_dump(workers.predictor.artifact.card.name, records), media_type="application/json")

    if access.needs_key:
        with_security(api.openapi(), OPEN_PATHS)  # which keeps the document it gives
    api.add_exception_handler(Refused, _refused)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(DuchenneError, _failed)
    api.add_exception_handler(Exception, _failed)
    return Guard(api, access, limits)


async def _answer(request: Request, abstain: float, workers: Workers, limits: Limits) -> list[Record]:
    workers.gate.check()
    held = Held(workers.gate, workers.memory)
    try:
        sources = await _sources(request, workers, limits, held)
        job = workers.start(sources, abstain)
    except BaseException:
        held.drop()
        raise
    job.done.add_done_callback(lambda _: held.drop())
    del sources
    left = asyncio.ensure_future(_left(request))
    finish = asyncio.ensure_future(workers.finish(job))
    try:
        await asyncio.wait((left, finish), return_when=asyncio.FIRST_COMPLETED)
        if not finish.done():
            raise Gone
        return finish.result()
    finally:
        job.stopped.set()  # here too: a task that is cancelled before it began runs nothing of its own
        left.cancel()
        finish.cancel()


async def _left(request: Request) -> None:
    """Ends when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _sources(request: Request, workers: Workers, limits: Limits, held: Held) -> list[Source]:
    headers = request.headers
    if headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise Refused(415, "a compressed body is not taken", "send it without Content-Encoding")
    content_type = headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        with Multipart(content_type, limits) as form:
            async for chunk in chunks(request, limits, held):
                form.write(chunk)
            sources = form.sources()
    elif kind == "application/json":
        body = b"".join([chunk async for chunk in chunks(request, limits, held)])
        loop = asyncio.get_running_loop()
        sources = await loop.run_in_executor(workers.reader, read_document, body, limits)
    else:
        raise Refused(
            415, "the body must be multipart/form-data or application/json", "", {"Accept-Post": _TYPES}
        )
    if not sources:
        raise Refused(422, "the request holds no image", "put one or several into the field 'images'")
    return sources


def _dump(name: str, records: list[Record]) -> bytes:
    return json.dumps({"model": name, "records": records}, allow_nan=False).encode()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    what = {404: "there is no such page", 405: "this address does not take that method"}
    todo = {404: "/predict, /model, /health and /openapi.json are there"}
    if allowed := next((v for k, v in headers.items() if k.lower() == "allow"), ""):
        todo[405] = f"it takes {allowed}"
    return refusal_response(
        Refused(status, what.get(status, "the request cannot be answered"), todo.get(status, ""), headers)
    )


async def _invalid(request: Request, error: Exception) -> Response:
    return refusal_response(Refused(422, "abstain must be a score from 0 to 1"))


async def _failed(request: Request, error: Exception) -> Response:
    """A defect, or a net that fails: said in the log; the client learns that it is not its fault."""
    if isinstance(error, DuchenneError):
        _log.error("%s", error)
    return refusal_response(Refused(500, "the server failed; its log says more"))
