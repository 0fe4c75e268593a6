"""Whom the server answers: requests for one of its own names, and sockets that speak the page's own protocol."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher
from tornado.web import HTTPError, RequestHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from lrp_explorer.errors import ServerError

PROTOCOL = "v1.kernel.websocket.jupyter.org"
"""What the page's scripts speak on their socket to the kernel."""

EVERYWHERE = ("", "0.0.0.0", "::")
"""Addresses that stand for all addresses of this machine."""


class Hosts:
    """The names under which a server may be asked for; ports do not matter, a tunnel may have another one.

    A page from elsewhere can have its own name lead to this machine, and would then pass for ours: its requests carry
    that name, and are refused.

    Parameters
    ----------
    ip : str
        What the server listens on.
    names : iterable of str
        Further names, as proxies use them; `.example.org` stands for all names that end so, `*` for any.

    Raises
    ------
    ServerError
        If one of `names` is no name.
    """

    def __init__(self, ip: str, names: Iterable[str] = ()) -> None:
        self._everywhere = ip in EVERYWHERE
        self._names = {"localhost", _plain(ip)}
        if self._everywhere:
            own = (socket.gethostname(), socket.getfqdn())
            self._names |= {_plain(name) for name in own} | {f"{_plain(own[0])}.local"}
        for name in names:
            if name != "*" and not _is_address(_plain(name)) and not re.fullmatch(r"\.?[\w-]+(\.[\w-]+)*\.?", name):
                raise ServerError(
                    f"host is {name!r}; expected a name as in the browser's address, without http:// and port: "
                    "explorer.example.org, .example.org for all that end so, or * for any"
                )
            self._names.add(name if name == "*" else _plain(name))

    def include(self, name: str, reached: str = "") -> bool:
        """Tell whether a name is one of this server's.

        Parameters
        ----------
        name : str
            Host of a request, without its port.
        reached : str
            Address of this machine at which the request arrived.
        """
        name = _plain(name)
        if name in self._names or "*" in self._names:
            return True
        if _is_address(name):
            own = self._everywhere and _is_address(_plain(reached)) and _address(name) == _address(_plain(reached))
            return own or _address(name).is_loopback
        return any(known.startswith(".") and name.endswith(known) for known in self._names)


class Foreign(Matcher):
    """Matches requests for a host that is none of this server's."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Give None for a request that may be answered."""
        stream: Any = getattr(request.connection, "stream", None)
        reached = stream.socket.getsockname()[0] if stream is not None and stream.socket is not None else ""
        return None if self._hosts.include(request.host_name, reached) else {}


class Refusal(RequestHandler):
    """Answers every request with 403, and tells the owner of the server how to allow it."""

    def prepare(self) -> None:
        """Refuse, whatever the method."""
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(
            f"This server is not called {self.request.host_name!r}. If it should be, as behind a proxy, start it with "
            "lrp-explorer --host NAME.\n"
        )

    def check_xsrf_cookie(self) -> None:
        """Nothing is done here that a cookie would have to vouch for."""


class PageSocket(VoilaKernelWebsocketHandler):
    """The socket between a page and its kernel, for pages alone."""

    async def get(self, kernel_id: str) -> None:
        """Open it, unless it does not speak `PROTOCOL`: refused before any of its messages is read."""
        offered = ",".join(self.request.headers.get_list("Sec-WebSocket-Protocol"))
        if PROTOCOL not in [word.strip() for word in offered.split(",")]:
            raise HTTPError(403, "the socket does not speak %s", PROTOCOL)
        await super().get(kernel_id)


def _plain(name: str) -> str:
    return name.lower().strip("[]").rstrip(".").partition("%")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _address(name: str) -> Any:
    found = ipaddress.ip_address(name)
    # As a socket for both families tells addresses of the older one.
    return getattr(found, "ipv4_mapped", None) or found
