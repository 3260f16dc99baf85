"""The routes of jobs: starting, watching and ending them, and their results."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from triscope.images import slug
from triscope.web import answers
from triscope.web.described import number_text
from triscope.web.jobs import Job
from triscope.web.microscope import Microscope
from triscope.web.packed import KIND
from triscope.web.requests import NotFoundError, json_of, scope_of, word_of
from triscope.which.maps.page import live_page

_HEARTBEAT = 15.0  # seconds between two keep-alive messages of a stream of snapshots
_TYPES = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".csv": "text/csv",
          ".json": "application/json", ".html": "text/html"}  # fmt: skip
_DAY = {"Cache-Control": "private, max-age=3600"}


def job_routes() -> list[Route]:
    """The routes of jobs."""
    return [
        Route("/api/events", events),
        Route("/api/jobs", add_job, methods=["POST"]),
        Route("/api/judgements", add_judgement, methods=["POST"]),
        Route("/api/jobs/{job}", job_snapshot),
        Route("/api/jobs/{job}/events", job_events),
        Route("/api/jobs/{job}/{act:str}", job_act, methods=["POST"]),
        Route("/api/jobs/{job}/facts", job_facts),
        Route("/api/jobs/{job}/picture", job_picture),
        Route("/api/jobs/{job}/numbers", job_numbers),
        Route("/api/jobs/{job}/parts/{number:int}", job_part),
        Route("/api/jobs/{job}/pieces/{name:str}", job_piece),
        Route("/api/map", map_frame),
        Route("/api/jobs/{job}/file", job_file),
        Route("/api/jobs/{job}/animation", job_animation),
    ]


async def add_job(request: Request) -> Response:
    """Start the job of a method."""
    data, scope = await json_of(request), scope_of(request)
    job = await run_in_threadpool(scope.job, data)
    return JSONResponse(_snapshot(scope, job), 201)


async def add_judgement(request: Request) -> Response:
    """Judge the maps of a photo: {network, photo, unit, methods}."""
    data, scope = await json_of(request), scope_of(request)
    job = await run_in_threadpool(scope.judgement, data)
    return JSONResponse(_snapshot(scope, job), 201)


async def job_snapshot(request: Request) -> Response:
    """The progress of a job: as in the stream of events, for clients that cannot listen to it."""
    scope, job = scope_of(request), _job(request)
    job.seen = time.monotonic()
    return JSONResponse(_snapshot(scope, job))


async def job_events(request: Request) -> Response:
    """Snapshots of a job, as server-sent events."""
    return StreamingResponse(_events(scope_of(request), [_job(request)]), media_type="text/event-stream")


async def events(request: Request) -> Response:
    """Snapshots of several jobs in one stream: a browser has few connections to a host."""
    scope, names = scope_of(request), word_of(request, "jobs").split(",")
    jobs = [scope.worker.jobs[name] for name in names if name in scope.worker.jobs]
    return StreamingResponse(_events(scope, jobs), media_type="text/event-stream")


async def job_act(request: Request) -> Response:
    """Cancel, drop, pause or resume a job."""
    scope, job = scope_of(request), _job(request)
    acts = {"cancel": scope.worker.cancel, "drop": scope.worker.drop, "pause": scope.worker.pause,
            "resume": scope.worker.resume}  # fmt: skip
    act = acts.get(request.path_params["act"])
    if act is None:
        raise NotFoundError
    act(job)
    return JSONResponse(_snapshot(scope, job))


async def job_facts(request: Request) -> Response:
    """The facts of a job's result."""
    result = _result(request)
    return JSONResponse(await run_in_threadpool(answers.facts, result))


async def job_picture(request: Request) -> Response:
    """The image so far."""
    job = _job(request)
    if job.picture is None:
        raise NotFoundError
    return Response(job.picture, media_type="image/jpeg")


async def job_numbers(request: Request) -> Response:
    """The numbers of a heatmap."""
    return Response(await run_in_threadpool(answers.numbers, _result(request)), media_type=KIND)


async def job_part(request: Request) -> Response:
    """One image of a gallery."""
    data = await run_in_threadpool(answers.part, _result(request), request.path_params["number"])
    return Response(data, media_type="image/jpeg", headers=_DAY)


async def map_frame(request: Request) -> Response:
    """The page of a map, for a frame; the map itself is sent to it piece by piece."""
    del request
    data = live_page()
    headers = {"Content-Security-Policy": answers.policy_of(data)}
    return Response(data, media_type="text/html", headers=headers)


async def job_piece(request: Request) -> Response:
    """A piece of a map, of the latest step of the job."""
    maps, result = scope_of(request).maps, _result(request)
    text = request.query_params.get("number", "")
    number = int(text) if text.isdecimal() and len(text) < 9 else -1
    data = await run_in_threadpool(maps.piece, result, request.path_params["name"], number)
    return Response(data, media_type=KIND)


async def job_file(request: Request) -> Response:
    """The result as a file with its recipe, to be saved."""
    form, style = request.query_params.get("form", ".png"), request.query_params.get("style")
    data = await run_in_threadpool(answers.written, _result(request), form, style)
    name = f"{slug(_job(request).about['method'])}{form}"
    return Response(
        data,
        media_type=_TYPES.get(form, "application/octet-stream"),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def job_animation(request: Request) -> Response:
    """The steps of a job so far, as an animated WebP."""
    job = _job(request)
    data = await run_in_threadpool(job.frames.encode) if job.frames is not None else None
    if data is None:
        raise NotFoundError
    named = {"Content-Disposition": f'attachment; filename="{slug(job.about["method"])}-way.webp"'}
    return Response(data, media_type="image/webp", headers=named)


def _job(request: Request) -> Job:
    job = scope_of(request).worker.jobs.get(request.path_params["job"])
    if job is None:
        raise NotFoundError
    return job


def _result(request: Request) -> Any:
    result = _job(request).result
    if result is None:
        raise NotFoundError
    return result


def _snapshot(scope: Microscope, job: Job) -> dict[str, Any]:
    told = job.snapshot(scope.worker.ahead(job))
    return {**told, "words": words_of(told)}


def words_of(told: dict[str, Any]) -> str:
    """How far a job is, or how it ended."""
    index, total, ahead, seconds = told["index"], told["total"], told["ahead"], told["seconds"]
    where = f"step {index} of {total}" if total > 1 else ""
    score = "" if told["score"] is None else f", score {number_text(told['score'])}"
    match told["state"]:
        case "waiting":
            return f"waiting: {ahead} before it" if ahead else "starting …"
        case "running":
            rate = f", {index / seconds:.1f} steps a second" if index and seconds else ""
            return f"{where}{score}{rate}" if where else "working …"
        case "paused":
            return f"paused at {where}{score}"
        case "cancelled":
            return f"cancelled at {where}; the latest result is kept" if where else "cancelled"
        case "failed":
            return str(told["error"] or "failed")
    return f"done{', ' if where else ''}{where}{score}, {seconds:.1f} s"


async def _events(scope: Microscope, jobs: Sequence[Job]) -> AsyncIterator[str]:
    """Snapshots: the newest of each job, whenever there is a newer one; those in between are skipped."""
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
