"""The HTTP routes of the page. Every answer is JSON, an image, or a page in a frame."""

import gzip
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triscope.errors import OptionError, StoreError
from triscope.web.asking import method_named
from triscope.web.camera import Frame
from triscope.web.job_routes import job_routes
from triscope.web.packed import KIND
from triscope.web.photos import jpeg, seen, thumbnail
from triscope.web.recipes import restored
from triscope.web.requests import json_of, network_of, number_of, scope_of, word_of
from triscope.web.volumes import filter_atlas, picture_atlas

_DAY = {"Cache-Control": "private, max-age=3600"}
_LARGE = 4_000_000  # bytes of maps from which on they are compressed


def routes() -> list[Route]:
    """Every route of the page except its files."""
    return [
        Route("/api/about", about),
        Route("/api/collection", collection),
        Route("/api/photos", add_photo, methods=["POST"]),
        Route("/api/photos/{photo}/seen", photo_seen),
        Route("/api/photos/{photo}/thumbnail", photo_thumbnail),
        Route("/api/rows/{row:int}/thumbnail", row_thumbnail),
        Route("/api/predictions", predictions),
        Route("/api/layer", layer),
        Route("/api/layer/map", layer_map),
        Route("/api/layer/filter", layer_filters),
        Route("/api/layer/best", layer_best),
        Route("/api/scores", scores),
        Route("/api/notes", add_note, methods=["POST"]),
        Route("/api/camera", camera, methods=["POST"]),
        Route("/api/recipe", recipe, methods=["POST"]),
        *job_routes(),
    ]


async def about(request: Request) -> Response:
    """Networks, methods, photos, the collection, notes, colours."""
    scope = scope_of(request)
    return JSONResponse(await scope.worker.call(scope.about))


async def collection(request: Request) -> Response:
    """The collection, and the progress of indexing."""
    return JSONResponse(await run_in_threadpool(scope_of(request).collection(number_of(request)).facts))


async def add_photo(request: Request) -> Response:
    """Add an image from the page; its name is in a header."""
    data = await request.body()
    name = unquote(request.headers.get("x-name", ""))
    photo = await run_in_threadpool(scope_of(request).photos.add_upload, data, name)
    return JSONResponse({"id": photo.id, "name": photo.name})


async def photo_seen(request: Request) -> Response:
    """A photo as the network sees it."""
    scope = scope_of(request)

    def picture() -> bytes:
        return jpeg(seen(network_of(request), scope.photo(request.path_params["photo"])).images[0], 92)

    return Response(await run_in_threadpool(picture), media_type="image/jpeg", headers=_DAY)


async def photo_thumbnail(request: Request) -> Response:
    """A small copy of a photo."""
    scope = scope_of(request)
    data = await run_in_threadpool(lambda: thumbnail(scope.photo(request.path_params["photo"])))
    return Response(data, media_type="image/jpeg", headers=_DAY)


async def row_thumbnail(request: Request) -> Response:
    """A small copy of an image of the collection."""
    store, row = scope_of(request).require_store(number_of(request)), request.path_params["row"]
    data = await run_in_threadpool(lambda: jpeg(store.thumbnails([row])[0]))
    return Response(data, media_type="image/jpeg", headers=_DAY)


async def predictions(request: Request) -> Response:
    """The likeliest classes of a photo."""
    scope = scope_of(request)
    photo, number = word_of(request, "photo"), number_of(request)
    return JSONResponse(await scope.worker.call(lambda: scope.predictions(photo, number)))


async def layer(request: Request) -> Response:
    """The statistics and maps of every unit of a layer on a photo; many are compressed, where the browser allows it."""
    data = await _volume(request, lambda found: found.packed())
    if len(data) < _LARGE or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(data, media_type=KIND)
    data = await run_in_threadpool(lambda: gzip.compress(data, 1))
    return Response(data, media_type=KIND, headers={"Content-Encoding": "gzip"})


async def layer_map(request: Request) -> Response:
    """The exact numbers of one map."""
    channel = int(word_of(request, "channel")) if word_of(request, "channel").isdecimal() else -1
    return Response(await _volume(request, lambda found: found.map(channel)), media_type=KIND)


async def layer_filters(request: Request) -> Response:
    """The filters of a convolution, as tiles of one image."""
    network, layer = network_of(request), word_of(request, "layer")
    data = await scope_of(request).worker.call(lambda: filter_atlas(network, layer))
    return Response(data, media_type=KIND)


async def layer_best(request: Request) -> Response:
    """For each unit of a layer the image of the collection that activates it most, as tiles of one image."""
    scope, layer, number = scope_of(request), word_of(request, "layer"), number_of(request)
    data = await scope.worker.call(lambda: picture_atlas(scope.best_pictures(layer, number)))
    return Response(data, media_type=KIND)


async def scores(request: Request) -> Response:
    """The scores of the collection for a unit, and that of a photo."""
    scope, unit = scope_of(request), word_of(request, "unit")
    photo, number = request.query_params.get("photo"), number_of(request)

    def told() -> dict[str, Any]:
        here = scope.score(unit, photo, number) if photo else None
        try:
            known = scope.collection(number).store is not None
            return {"here": here, "histogram": scope.scores(unit, number) if known else None}
        except StoreError as error:  # the collection does not keep that layer, but the photo has a score
            return {"here": here, "histogram": None, "why": str(error)}

    return JSONResponse(await scope.worker.call(told))


async def add_note(request: Request) -> Response:
    """Save a note or a star on a unit."""
    data = await json_of(request)
    unit, text, star = data.get("unit"), data.get("text", ""), data.get("star", False)
    if not isinstance(unit, str) or not isinstance(text, str) or not isinstance(star, bool):
        raise OptionError("A note is {unit: text, text: text, star: true or false}.")
    scope = scope_of(request)
    await run_in_threadpool(lambda: scope.note(unit, text, star=star))
    return JSONResponse(scope.notes)


async def camera(request: Request) -> Response:
    """The network's answer to one frame of a camera."""
    data, scope = await request.body(), scope_of(request)
    asked = request.query_params
    frame = Frame(
        network_of(request),
        data,
        asked.get("layer", ""),
        asked.get("method"),
        "keep" if asked.get("fit") == "keep" else "crop",
    )
    if frame.method is not None:
        method_named(frame.method)
    return Response(await scope.worker.call(frame.answer), media_type=KIND)


async def recipe(request: Request) -> Response:
    """The method and options that a dropped image was made with."""
    data, scope = await request.body(), scope_of(request)
    return JSONResponse(await run_in_threadpool(lambda: restored(data, scope.photos)))


async def _volume(request: Request, read: Any) -> Any:
    scope = scope_of(request)
    layer, photo, number = word_of(request, "layer"), word_of(request, "photo"), number_of(request)
    return await scope.worker.call(lambda: read(scope.volume(layer, photo, number)))
