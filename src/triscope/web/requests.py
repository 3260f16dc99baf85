"""The parameters of a request, read and checked."""

import json
from typing import Any

from starlette.requests import Request

from triscope.errors import OptionError
from triscope.network import Network
from triscope.web.microscope import Microscope


class NotFoundError(Exception):
    """What was requested does not exist."""


def scope_of(request: Request) -> Microscope:
    """The microscope that the page shows."""
    scope: Microscope = request.app.state.microscope
    return scope


def number_of(request: Request) -> int:
    """The number of the network that is requested, or -1."""
    text = request.query_params.get("network", "0")
    return int(text) if text.isdecimal() and len(text) < 4 else -1


def network_of(request: Request) -> Network:
    """The network that is requested. Raises OptionError where there is none of that number."""
    return scope_of(request).network(number_of(request))


def word_of(request: Request, name: str) -> str:
    """A parameter of the address. Raises OptionError where it is missing or too long."""
    value = request.query_params.get(name, "")
    if not value or len(value) > 2000:
        raise OptionError(f"{name} is missing.")
    return value


async def json_of(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises OptionError for any other body."""
    try:
        data = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise OptionError("This is no JSON.") from error
    if not isinstance(data, dict):
        raise OptionError("This is not a JSON object.")
    return data
