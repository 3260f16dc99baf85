"""What the page asks over HTTP, and what it is answered. Every answer is JSON, a picture, or a page in a frame."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from triscope.errors import OptionError, StoreError
from triscope.images import slug
from triscope.network import Network
from triscope.web import answers
from triscope.web.asking import method_named
from triscope.web.camera import Frame
from triscope.web.jobs import Job
from triscope.web.microscope import Microscope
from triscope.web.photos import jpeg, seen, thumbnail
from triscope.web.recipes import restored
from triscope.web.volumes import as_text, filter_atlas, picture_atlas

_HEARTBEAT = 15.0  # seconds between two signs of life of a stream of snapshots
_TYPES = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".csv": "text/csv",
          ".json": "application/json", ".html": "text/html"}  # fmt: skip
_DAY = {"Cache-Control": "private, max-age=3600"}


class NotFoundError(Exception):
    """There is no such job."""


def routes() -> list[Route]:
    """Every route of the page but its files."""
    return [
        Route("/api/about", about),
        Route("/api/collection", collection),
        Route("/api/photos", add_photo, methods=["POST"]),
        Route("/api/photos/{photo}/seen", photo_seen),
        Route("/api/photos/{photo}/thumbnail", photo_thumbnail),
        Route("/api/rows/{row:int}/thumbnail", row_thumbnail),
        Route("/api/predictions", predictions),
        Route("/api/layer", layer),
        Route("/api/layer/atlas", layer_atlas),
        Route("/api/layer/map", layer_map),
        Route("/api/filters", layer_filters),
        Route("/api/filters/atlas", layer_filters_atlas),
        Route("/api/best/atlas", best_atlas),
        Route("/api/best", best),
        Route("/api/scores", scores),
        Route("/api/notes", add_note, methods=["POST"]),
        Route("/api/camera", camera, methods=["POST"]),
        Route("/api/recipe", recipe, methods=["POST"]),
        Route("/api/events", events),
        Route("/api/jobs", add_job, methods=["POST"]),
        Route("/api/jobs/{job}", job_snapshot),
        Route("/api/jobs/{job}/events", job_events),
        Route("/api/jobs/{job}/{act:str}", job_act, methods=["POST"]),
        Route("/api/jobs/{job}/facts", job_facts),
        Route("/api/jobs/{job}/picture", job_picture),
        Route("/api/jobs/{job}/numbers", job_numbers),
        Route("/api/jobs/{job}/parts/{number:int}", job_part),
        Route("/api/jobs/{job}/page", job_page),
        Route("/api/jobs/{job}/file", job_file),
    ]


async def about(request: Request) -> Response:
    """Networks, methods, photos, the collection, notes, colours."""
    scope = _scope(request)
    return JSONResponse(await scope.worker.call(scope.about))


async def collection(request: Request) -> Response:
    """The collection, and how far indexing is."""
    return JSONResponse(await run_in_threadpool(_scope(request).collection))


async def add_photo(request: Request) -> Response:
    """Take a picture from the page; its name stands in a header."""
    data = await request.body()
    name = unquote(request.headers.get("x-name", ""))
    photo = await run_in_threadpool(_scope(request).photos.add_upload, data, name)
    return JSONResponse({"id": photo.id, "name": photo.name})


async def photo_seen(request: Request) -> Response:
    """What the network sees of a photo."""
    scope = _scope(request)

    def picture() -> bytes:
        return jpeg(seen(_network(request), scope.photo(request.path_params["photo"])).images[0], 92)

    return Response(await run_in_threadpool(picture), media_type="image/jpeg", headers=_DAY)


async def photo_thumbnail(request: Request) -> Response:
    """A small copy of a photo."""
    scope = _scope(request)
    data = await run_in_threadpool(lambda: thumbnail(scope.photo(request.path_params["photo"])))
    return Response(data, media_type="image/jpeg", headers=_DAY)


async def row_thumbnail(request: Request) -> Response:
    """A small copy of a picture of the collection."""
    store, row = _scope(request).require_store(), request.path_params["row"]
    data = await run_in_threadpool(lambda: jpeg(store.thumbnails([row])[0]))
    return Response(data, media_type="image/jpeg", headers=_DAY)


async def predictions(request: Request) -> Response:
    """The likeliest classes of a photo."""
    scope = _scope(request)
    photo, number = _asked(request, "photo"), _number(request)
    return JSONResponse(await scope.worker.call(lambda: scope.predictions(photo, number)))


async def layer(request: Request) -> Response:
    """What every unit of a layer answers to a photo."""
    return JSONResponse(await _volume(request, lambda found: found.facts()))


async def layer_atlas(request: Request) -> Response:
    """All maps of a layer for a photo, as one picture of grey tiles."""
    data, kind = await _volume(request, lambda found: found.atlas())
    return Response(data, media_type=kind, headers=_DAY)


async def layer_map(request: Request) -> Response:
    """The exact numbers of one map."""
    channel = int(_asked(request, "channel")) if _asked(request, "channel").isdecimal() else -1

    def one(found: Any) -> dict[str, Any]:
        if not 0 <= channel < len(found.values):
            raise OptionError(f"{found.layer} has the channels 0 to {len(found.values) - 1}.")
        return as_text(found.values[channel])

    return JSONResponse(await _volume(request, one))


async def layer_filters(request: Request) -> Response:
    """How the filters of a convolution are laid out in their atlas."""
    facts, _, _ = await _filters(request)
    return JSONResponse(facts)


async def layer_filters_atlas(request: Request) -> Response:
    """The filters of a convolution."""
    _, data, kind = await _filters(request)
    return Response(data, media_type=kind, headers=_DAY)


async def best(request: Request) -> Response:
    """How the best pictures of a layer's units are laid out in their atlas."""
    facts, _, _ = await _best(request)
    return JSONResponse(facts)


async def best_atlas(request: Request) -> Response:
    """For each unit of a layer the picture of the collection that it answers to most."""
    _, data, kind = await _best(request)
    return Response(data, media_type=kind)


async def scores(request: Request) -> Response:
    """How the collection scores for a unit, and what a photo scores."""
    scope, unit = _scope(request), _asked(request, "unit")
    photo, number = request.query_params.get("photo"), _number(request)

    def told() -> dict[str, Any]:
        here = scope.score(unit, photo, number) if photo else None
        try:
            return {"here": here, "histogram": scope.scores(unit) if scope.store is not None else None}
        except (
            StoreError
        ) as error:  # the collection does not keep that layer: what the photo scores is known all the same
            return {"here": here, "histogram": None, "why": str(error)}

    return JSONResponse(await scope.worker.call(told))


async def add_note(request: Request) -> Response:
    """Keep a note or a star on a unit."""
    data = await _json(request)
    unit, text, star = data.get("unit"), data.get("text", ""), data.get("star", False)
    if not isinstance(unit, str) or not isinstance(text, str) or not isinstance(star, bool):
        raise OptionError("A note is {unit: text, text: text, star: true or false}.")
    scope = _scope(request)
    await run_in_threadpool(lambda: scope.note(unit, text, star=star))
    return JSONResponse(scope.notes)


async def camera(request: Request) -> Response:
    """One frame of a camera: what the network says of it."""
    data, scope = await request.body(), _scope(request)
    frame = Frame(_network(request), data, request.query_params.get("layer", ""), request.query_params.get("method"))
    if frame.method is not None:
        method_named(frame.method)
    return JSONResponse(await scope.worker.call(frame.answer))


async def recipe(request: Request) -> Response:
    """The method and options that a dropped picture was made with."""
    data, scope = await request.body(), _scope(request)
    return JSONResponse(await run_in_threadpool(lambda: restored(data, scope.photos)))


async def add_job(request: Request) -> Response:
    """Ask a method."""
    data, scope = await _json(request), _scope(request)
    job = await run_in_threadpool(scope.job, data)
    return JSONResponse(_snapshot(scope, job), 201)


async def job_snapshot(request: Request) -> Response:
    """How far a job is: the same as the stream of events says, for whoever cannot listen to it."""
    scope, job = _scope(request), _job(request)
    job.seen = time.monotonic()
    return JSONResponse(_snapshot(scope, job))


async def job_events(request: Request) -> Response:
    """Snapshots of a job as they come, as server-sent events."""
    return StreamingResponse(_events(_scope(request), [_job(request)]), media_type="text/event-stream")


async def events(request: Request) -> Response:
    """Snapshots of several jobs in one stream: a browser has few connections to a host."""
    scope, names = _scope(request), _asked(request, "jobs").split(",")
    jobs = [scope.worker.jobs[name] for name in names if name in scope.worker.jobs]
    return StreamingResponse(_events(scope, jobs), media_type="text/event-stream")


async def job_act(request: Request) -> Response:
    """Cancel, pause or resume a job."""
    scope, job = _scope(request), _job(request)
    acts = {"cancel": scope.worker.cancel, "pause": scope.worker.pause, "resume": scope.worker.resume}
    act = acts.get(request.path_params["act"])
    if act is None:
        raise NotFoundError
    act(job)
    return JSONResponse(_snapshot(scope, job))


async def job_facts(request: Request) -> Response:
    """What there is to say of a job's result."""
    result = _result(request)
    return JSONResponse(await run_in_threadpool(answers.facts, result))


async def job_picture(request: Request) -> Response:
    """The picture so far."""
    job = _job(request)
    if job.picture is None:
        raise NotFoundError
    return Response(job.picture, media_type="image/jpeg")


async def job_numbers(request: Request) -> Response:
    """The numbers of a heatmap."""
    return JSONResponse(await run_in_threadpool(answers.numbers, _result(request)))


async def job_part(request: Request) -> Response:
    """One picture of a gallery."""
    data = await run_in_threadpool(answers.part, _result(request), request.path_params["number"])
    return Response(data, media_type="image/jpeg", headers=_DAY)


async def job_page(request: Request) -> Response:
    """A result that is a page of its own, for a frame."""
    data = await run_in_threadpool(answers.written, _result(request), ".html", None)
    headers = {"Content-Security-Policy": answers.policy_of(data)}
    return Response(data, media_type="text/html", headers=headers)


async def job_file(request: Request) -> Response:
    """The result as a file with its recipe, to be kept."""
    form, style = request.query_params.get("form", ".png"), request.query_params.get("style")
    data = await run_in_threadpool(answers.written, _result(request), form, style)
    name = f"{slug(_job(request).about['method'])}{form}"
    return Response(
        data,
        media_type=_TYPES.get(form, "application/octet-stream"),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _scope(request: Request) -> Microscope:
    scope: Microscope = request.app.state.microscope
    return scope


def _number(request: Request) -> int:
    text = request.query_params.get("network", "0")
    return int(text) if text.isdecimal() and len(text) < 4 else -1


def _network(request: Request) -> Network:
    return _scope(request).network(_number(request))


def _asked(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value or len(value) > 2000:
        raise OptionError(f"{name} is missing.")
    return value


async def _json(request: Request) -> dict[str, Any]:
    try:
        data = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise OptionError("This is no JSON.") from error
    if not isinstance(data, dict):
        raise OptionError("This is no JSON object.")
    return data


async def _volume(request: Request, read: Any) -> Any:
    scope = _scope(request)
    layer, photo, number = _asked(request, "layer"), _asked(request, "photo"), _number(request)
    return await scope.worker.call(lambda: read(scope.volume(layer, photo, number)))


async def _filters(request: Request) -> tuple[dict[str, Any], bytes, str]:
    network, layer = _network(request), _asked(request, "layer")
    return await _scope(request).worker.call(lambda: filter_atlas(network, layer))


async def _best(request: Request) -> tuple[dict[str, Any], bytes, str]:
    scope, layer = _scope(request), _asked(request, "layer")
    return await scope.worker.call(lambda: picture_atlas(scope.best_pictures(layer)))


def _job(request: Request) -> Job:
    job = _scope(request).worker.jobs.get(request.path_params["job"])
    if job is None:
        raise NotFoundError
    return job


def _result(request: Request) -> Any:
    result = _job(request).result
    if result is None:
        raise NotFoundError
    return result


def _snapshot(scope: Microscope, job: Job) -> dict[str, Any]:
    return job.snapshot(scope.worker.ahead(job))


async def _events(scope: Microscope, jobs: Sequence[Job]) -> AsyncIterator[str]:
    """Snapshots: the newest of each job, whenever there is a newer one; those that came in between are left out."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    told: dict[str, dict[str, Any]] = {}

    def wake() -> None:
        with suppress(RuntimeError):  # the page is being closed
            loop.call_soon_threadsafe(news.set)

    for job in jobs:
        job.listeners.add(wake)
    try:
        while True:
            news.clear()
            for job in jobs:
                snapshot = _snapshot(scope, job)
                if told.get(job.id) != snapshot:
                    told[job.id] = snapshot
                    yield f"data: {json.dumps(snapshot)}\n\n"
            if all(one["state"] in ("done", "cancelled", "failed") for one in told.values()):
                return
            try:
                await asyncio.wait_for(news.wait(), _HEARTBEAT)
            except TimeoutError:
                yield ": still here\n\n"
    finally:
        for job in jobs:
            job.listeners.discard(wake)
            job.seen = time.monotonic()
