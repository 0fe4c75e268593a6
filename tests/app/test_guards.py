"""Whom the server answers: a real one, asked under its own names and under others, and sockets of any protocol."""

import http.client
import os
import re
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

from lrp_explorer.app import server as app
from lrp_explorer.app.guards import PROTOCOL, Hosts
from lrp_explorer.errors import ServerError

NOTEBOOK = Path(__file__).with_name("panes.ipynb")


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory):
    """A folder for temporary files with a name of 120 characters."""
    folder = tmp_path_factory.mktemp("long")
    folder /= "n" * max(1, 119 - len(str(folder)))
    folder.mkdir()
    assert len(str(folder)) >= 120
    return folder


@pytest.fixture(scope="module")
def server(launch, long_folder, free_port):
    port = free_port()
    command = f"from lrp_explorer.app.server import serve; serve({port}, browser=False, notebook={str(NOTEBOOK)!r}, "
    command += "hosts=['explorer.example.org', '.hub.example.org'])"
    environment = {**os.environ, "TMPDIR": str(long_folder)}
    return launch([sys.executable, "-c", command], f"http://127.0.0.1:{port}/", env=environment)


def asked(server, host, path="/", method="GET"):
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text


def test_a_page_comes_where_temporary_files_have_a_long_name(server, long_folder):
    with urllib.request.urlopen(server.url, timeout=120) as answer:
        page = answer.read().decode()
    assert answer.status == 200
    assert "<title>Panes</title>" in page
    assert len(server.kernels()) == 1
    assert not list(long_folder.iterdir())


OWN = ["127.0.0.1", "localhost", "localhost:1", "LOCALHOST", "127.0.0.1:8866", "127.9.9.9", "[::1]:80", "localhost."]
OWN += ["explorer.example.org", "explorer.example.org:443", "a.hub.example.org"]
OTHERS = ["elsewhere.example", "elsewhere.example:8866", "192.0.2.7", "[2001:db8::1]", "localhost.elsewhere.example"]
OTHERS += ["example.org", "127.0.0.1.elsewhere.example", "xhub.example.org", "explorer.example.org.elsewhere.example"]


@pytest.mark.parametrize("host", OWN)
def test_its_own_names_are_answered(server, host):
    assert asked(server, host, f"/{app._plotly_address()}", "GET")[0] == 200


@pytest.mark.parametrize("host", OTHERS)
def test_other_names_are_refused_whatever_is_asked(server, host):
    for method, path in [("GET", "/"), ("GET", "/nothing/here"), ("POST", "/voila/api/shutdown/0"), ("HEAD", "/")]:
        assert asked(server, host, path, method)[0] == 403
    assert "lrp-explorer --host NAME" in asked(server, host)[1]


def shaken(server, kernel, protocols, host="127.0.0.1", origin=None):
    """Ask for a socket, and give the status of the answer and the protocol chosen."""
    url = server.url.removeprefix("http://").strip("/")
    lines = [f"GET /api/kernels/{kernel}/channels?session_id=1 HTTP/1.1", f"Host: {host}:{url.split(':')[1]}"]
    lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    lines += [f"Sec-WebSocket-Protocol: {protocols}"] if protocols else []
    lines += [f"Origin: {origin}"] if origin else []
    address, port = url.split(":")
    with socket.create_connection((address, int(port)), timeout=60) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = connection.recv(65536).decode(errors="replace").partition("\r\n\r\n")[0].split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
    return int(head[0].split()[1]), fields.get("sec-websocket-protocol")


@pytest.fixture(scope="module")
def kernel(server):
    with urllib.request.urlopen(server.url, timeout=120) as answer:
        return re.search(r'"kernelId": "([-0-9a-f]{36})"', answer.read().decode())[1]


def test_a_socket_of_the_page_is_opened(server, kernel):
    assert shaken(server, kernel, PROTOCOL) == (101, PROTOCOL)
    assert shaken(server, kernel, f"another, {PROTOCOL}") == (101, PROTOCOL)
    own = server.url.strip("/")
    assert shaken(server, kernel, PROTOCOL, origin=own) == (101, PROTOCOL)


@pytest.mark.parametrize("protocols", ["", "another", f"{PROTOCOL}x", f"x{PROTOCOL}, v2"])
def test_a_socket_that_speaks_otherwise_is_refused_at_the_handshake(server, kernel, protocols):
    assert shaken(server, kernel, protocols) == (403, None)


def test_a_socket_of_another_page_or_host_is_refused(server, kernel):
    assert shaken(server, kernel, PROTOCOL, origin="http://elsewhere.example") == (403, None)
    assert shaken(server, kernel, PROTOCOL, host="elsewhere.example") == (403, None)


def test_where_all_addresses_are_listened_on_the_machine_is_meant():
    hosts = Hosts("0.0.0.0")
    assert hosts.include(socket.gethostname())
    assert hosts.include("10.1.2.3", "10.1.2.3")
    assert hosts.include("10.1.2.3", "::ffff:10.1.2.3")
    assert not hosts.include("10.1.2.3", "10.1.2.4")
    assert not hosts.include("elsewhere.example", "10.1.2.3")
    assert not Hosts("127.0.0.1").include("10.1.2.3", "10.1.2.3")
    assert Hosts("10.1.2.3").include("10.1.2.3", "10.1.2.3")
    assert Hosts("box.example").include("BOX.example")
    assert Hosts("::1").include("[::1]")
    assert Hosts("127.0.0.1", ["*"]).include("anything.example")


@pytest.mark.parametrize("name", ["http://a.example", "a.example:80", "", "a b", "*.example.org", "a..b"])
def test_a_host_that_is_no_name(name):
    with pytest.raises(ServerError, match="expected a name as in the browser's address"):
        app.serve(8866, browser=False, hosts=[name])


def test_kernels_talk_by_tcp_where_no_folder_has_a_short_name(monkeypatch):
    long = "/" + "n" * 119
    monkeypatch.setattr(app.tempfile, "gettempdir", lambda: long)
    assert app._socket_folder() in app.SHORT_FOLDERS
    assert app._settings(8866, "127.0.0.1", True).KernelManager.transport == "ipc"
    monkeypatch.setattr(app, "SHORT_FOLDERS", (long,))
    assert app._socket_folder() is None
    assert "transport" not in app._settings(8866, "127.0.0.1", True).KernelManager


def test_a_folder_that_just_fits_is_taken(monkeypatch, tmp_path):
    # What Voilà and jupyter-client add to it has 66 bytes.
    monkeypatch.setattr(app.os, "access", lambda path, mode: True)
    for length, taken in ((app.LONGEST_SOCKET - 66, True), (app.LONGEST_SOCKET - 65, False)):
        folder = "/" + "n" * (length - 1)
        monkeypatch.setattr(app.tempfile, "gettempdir", lambda folder=folder: folder)
        assert (app._socket_folder() == folder) is taken
