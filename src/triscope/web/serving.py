"""Serving a page: by default on this machine alone, in a thread of its own."""

import secrets
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING

from triscope.errors import OptionError
from triscope.web.microscope import Microscope

if TYPE_CHECKING:
    import uvicorn

LOCAL = "127.0.0.1"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WAIT = 20.0


@dataclass(eq=False)
class Running:
    """A page that is served until it is closed. `url` includes its token, where there is one."""

    microscope: Microscope
    host: str = LOCAL
    port: int = 0
    token: str | None = None
    hosts: tuple[str, ...] = ()
    _server: "uvicorn.Server | None" = None
    _thread: threading.Thread | None = None
    _socket: socket.socket | None = field(default=None, repr=False)
    # Waited for instead of the thread: after Ctrl-C in a join, Python 3.11 considers the thread ended.
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def url(self) -> str:
        """The address to open."""
        shown = LOCAL if _unspecified(self.host) else f"[{self.host}]" if ":" in self.host else self.host
        key = f"?token={self.token}" if self.token else ""
        return f"http://{shown}:{self.port}/{key}"

    def start(self) -> "Running":
        """Start serving. Raises OptionError where the port is taken."""
        import uvicorn

        from triscope.web.site import site

        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((self.host, self.port))
        except OSError as error:
            self._socket.close()
            raise OptionError(
                f"Port {self.port} of {self.host} cannot be used: {error.strerror}. --port 0 takes a free one."
            ) from error
        self.port = self._socket.getsockname()[1]
        named = () if _unspecified(self.host) else (self.host,)
        own = () if self.host in _LOOPBACK else (socket.gethostname(), *named)
        app = site(self.microscope, token=self.token, hosts=(*own, *self.hosts), any_address=_unspecified(self.host))
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="triscope-page", daemon=True)
        self._thread.start()
        until = time.monotonic() + _WAIT
        while not self._server.started and not self._ended.is_set() and time.monotonic() < until:
            time.sleep(0.01)
        return self

    def wait(self) -> None:
        """Serve until it is closed, or Ctrl-C is pressed."""
        while self._thread is not None and not self._ended.wait(timeout=0.5):
            pass

    def close(self) -> None:
        """Stop serving and every job."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._ended.wait(timeout=10)
        self.microscope.close()
        if self._socket is not None:
            self._socket.close()

    def _serve(self) -> None:
        assert self._server is not None
        assert self._socket is not None
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()

    def _repr_html_(self) -> str:
        return f'<a href="{escape(self.url)}" target="_blank" rel="noopener">Open the microscope</a>'


def serve(
    microscope: Microscope,
    *,
    host: str = LOCAL,
    port: int = 0,
    token: bool = True,
    hosts: Iterable[str] = (),
) -> Running:
    """Start serving a page about `microscope`. Raises OptionError where that is unsafe or impossible."""
    try:
        return _begun(microscope, host, port, token=token, hosts=tuple(hosts))
    except BaseException:
        microscope.close()  # else the program would end in the middle of a step of its worker
        raise


def _begun(microscope: Microscope, host: str, port: int, *, token: bool, hosts: tuple[str, ...]) -> Running:
    for needed in ("starlette", "uvicorn"):
        if find_spec(needed) is None:
            raise OptionError(f"The page needs {needed}, which is not installed: pip install 'triscope[app]'.")
    if host not in _LOOPBACK and not token:
        raise OptionError(f"Others can reach {host}: there the page is not served without its token.")
    return Running(microscope, host, port, secrets.token_urlsafe(24) if token else None, hosts).start()


def _unspecified(host: str) -> bool:
    """Whether a host stands for all addresses of this machine, as 0.0.0.0 and :: do."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:  # a name
        return False
