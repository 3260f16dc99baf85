"""The application: the page's files, its routes, its errors as sentences, behind the guard."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triscope.errors import TriscopeError
from triscope.web.files import TYPES, page_files
from triscope.web.guard import BodyTooLargeError, Guard
from triscope.web.jobs import QueueFullError
from triscope.web.microscope import Microscope
from triscope.web.requests import NotFoundError
from triscope.web.routes import routes


def site(microscope: Microscope, *, token: str | None, hosts: Iterable[str] = (), any_address: bool = False) -> Guard:
    """The page about `microscope`, as an ASGI application. Without a `token`, anyone who reaches it can use it."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        yield
        microscope.close()

    app = Starlette(
        routes=[Route("/", front), Route("/page/{name}", page_file), *routes()],
        exception_handlers={
            TriscopeError: _sentence,
            QueueFullError: _full,
            NotFoundError: _missing,
            BodyTooLargeError: _large,
        },
        lifespan=lifespan,
    )
    app.state.microscope = microscope
    return Guard(app, token=token, hosts=hosts, any_address=any_address)


async def front(request: Request) -> Response:
    """The page itself."""
    del request
    return Response(page_files()["index.html"], media_type="text/html")


async def page_file(request: Request) -> Response:
    """One of the page's files."""
    name = request.path_params["name"]
    if name not in page_files():
        raise NotFoundError
    return Response(page_files()[name], media_type=TYPES[name.rpartition(".")[2]])


async def _sentence(request: Request, error: Exception) -> Response:
    del request
    return JSONResponse({"error": str(error)}, 400)


async def _full(request: Request, error: Exception) -> Response:
    del request, error
    return JSONResponse({"error": "Too many jobs are waiting already: cancel one, or try again in a moment."}, 503)


async def _missing(request: Request, error: Exception) -> Response:
    del request, error
    return JSONResponse({"error": "This address does not exist."}, 404)


async def _large(request: Request, error: Exception) -> Response:
    del request, error
    return JSONResponse({"error": "This is larger than 20 MB: make the image smaller first."}, 413)
