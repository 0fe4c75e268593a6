"""The server without a browser: ports, addresses, options, a clean end."""

import gzip
import os
import signal
import socket
import urllib.request
from pathlib import Path

import psutil
import pytest

from lrp_explorer.app import server as app
from lrp_explorer.app.addresses import is_local
from lrp_explorer.errors import ServerError

NOTEBOOK = Path(__file__).with_name("panes.ipynb")


def test_a_port_in_use_is_an_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match=rf"port {port} of 127\.0\.0\.1 is in use.*--port"):
            app.serve(port, browser=False)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_cannot_be(port: int) -> None:
    with pytest.raises(ServerError, match=f"port is {port}; expected 1 to 65535"):
        app.serve(port, browser=False)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ServerError, match=r"192\.0\.2\.1 is not an address of this machine"):
        app.serve(8866, "192.0.2.1", browser=False)


def test_an_address_that_is_none() -> None:
    with pytest.raises(ServerError, match=r"'not an address'.*use 127\.0\.0\.1"):
        app.serve(8866, "not an address", browser=False)


@pytest.mark.parametrize(
    ("ip", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.7", False)]
)
def test_which_addresses_stay_on_this_machine(ip: str, local: bool) -> None:
    assert is_local(ip) is local


def test_a_failure_leaves_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    with pytest.raises(ServerError):
        app.serve(8866, "192.0.2.1", browser=False)
    with app._environment(LRP_EXPLORER_DEVICE="cpu"):
        assert os.environ["LRP_EXPLORER_DEVICE"] == "cpu"
    assert dict(os.environ) == before


@pytest.fixture(scope="module")
def server(serve):
    return serve(NOTEBOOK)


def test_the_page_names_no_address_beyond_itself(server) -> None:
    with urllib.request.urlopen(server.url, timeout=60) as answer:
        page = answer.read().decode()
    assert "<title>Panes</title>" in page
    assert "Starting Python" in page
    assert "cdn" not in page
    assert "https://" not in page


def test_plotly_waits_for_the_page(server) -> None:
    from plotly.offline import get_plotlyjs, get_plotlyjs_version

    with urllib.request.urlopen(f"{server.url}lrp/plotly-{get_plotlyjs_version()}.js.gz", timeout=60) as answer:
        assert gzip.decompress(answer.read()).decode() == get_plotlyjs()


def test_files_beside_the_notebook_are_not_served(server) -> None:
    for path in ("voila/files/panes.ipynb", "voila/files/conftest.py", "api/contents", "api/kernels"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(server.url + path, timeout=20)
        assert refused.value.code in (403, 404)


def test_a_stranger_cannot_end_a_kernel(server) -> None:
    [kernel, *_] = server.kernels() or [None]
    request = urllib.request.Request(f"{server.url}voila/api/shutdown/00000000-0000-0000-0000-000000000000", b"")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 403
    assert kernel is None or kernel in server.kernels()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_with_its_kernels(serve, how: signal.Signals) -> None:
    server = serve(NOTEBOOK, device="cuda:1")
    urllib.request.urlopen(server.url, timeout=60).read()
    kernels = server.kernels()
    assert [psutil.Process(kernel).environ()["LRP_EXPLORER_DEVICE"] for kernel in kernels] == ["cuda:1"]
    assert server.stop(how) == 0
    assert not any(psutil.pid_exists(kernel) for kernel in kernels)
    log = server.log.read_text()
    assert log.startswith(f"LRP Explorer: {server.url}")
    assert "Traceback" not in log
    assert len(log.splitlines()) <= 2


def test_beyond_this_machine_it_warns(serve) -> None:
    server = serve(NOTEBOOK, ip="0.0.0.0")
    assert "everybody who can reach this address" in server.log.read_text()
    server.stop()
