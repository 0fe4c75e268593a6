"""Where the server may listen; nothing that takes long to import."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from lrp_explorer.errors import ServerError


def check_free(port: int, ip: str) -> None:
    """Raise `ServerError` where the port is none, taken or not permitted, or the address is not one of this machine."""
    if not 1 <= port <= 65535:
        raise ServerError(f"port is {port}; expected 1 to 65535")
    try:
        addresses = socket.getaddrinfo(ip, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ServerError(f"ip is {ip!r}, which is no address or host name; use 127.0.0.1 for this machine") from error
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
                probe.listen(1)
            except OSError as error:
                raise ServerError(_refusal(error, port, ip)) from error


def is_local(ip: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return ip == "localhost"


def _refusal(error: OSError, port: int, ip: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {ip} is in use, perhaps by another lrp-explorer; end that one, or choose another --port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} is not permitted; ports below 1024 are reserved: choose a higher --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"ip {ip} is not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all its addresses"
    return f"cannot listen on {ip}:{port}: {error.strerror}"
