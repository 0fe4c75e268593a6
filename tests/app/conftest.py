"""A real server and a real browser: what the tests of the app share.

`served` starts the app on a notebook, `visit` opens a page that may talk to this machine only and must stay without a
complaint. Without a browser these tests are skipped, except where ``CI=true`` says that there must be one.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

HERE = Path(__file__).parent
SWITCHES = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]
SWITCHES += ["--disable-component-update", "--disable-sync", "--no-first-run"]
# Voilà's core is older than the widgets' manager wants; it works, and nobody here can change it.
HARMLESS = ("Unsatisfied version", "No satisfying version")


def free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(true: Callable[[], object], within: float = 10.0) -> bool:
    """Wait until `true()` is, for at most `within` seconds."""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@dataclass
class Server:
    """A server in a process of its own, and the kernels it started."""

    process: subprocess.Popen
    url: str
    log: Path

    def kernels(self) -> set[int]:
        """Give the process ids of the kernels that run now."""
        found = set()
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if any("ipykernel" in word for word in child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                    found.add(child.pid)
            except psutil.NoSuchProcess:
                continue
        return found

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """End it as Ctrl-C does, and give its exit code."""
        self.process.send_signal(how)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def start(command: list[str], url: str, log: Path, **options: object) -> Server:
    """Start a server and wait until it answers."""
    with log.open("w") as stream:
        # A shell that runs the tests in the background has them ignore interrupts; the server must not inherit that.
        heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **options}
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, **heeding)

    def answers() -> bool:
        assert process.poll() is None, f"the server ended: {log.read_text()}"
        with socket.socket() as probe:
            return probe.connect_ex((urlsplit(url).hostname, urlsplit(url).port)) == 0

    server = Server(process, url, log)
    if not eventually(answers, within=60):
        server.stop(signal.SIGKILL)
        pytest.fail(f"no answer from {url}: {log.read_text()}")
    return server


@pytest.fixture(scope="session", name="free_port")
def give_free_port() -> Callable[[], int]:
    """Give the function that finds a port that nothing listens on."""
    return free_port


@pytest.fixture(scope="session", name="eventually")
def give_eventually() -> Callable[..., bool]:
    """Give the function that waits until something is true."""
    return eventually


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start any server: `launch(command, url, **options of Popen)`; it is ended after the last test."""
    servers: list[Server] = []

    def begin(command: list[str], url: str, **options: object) -> Server:
        folder = tmp_path_factory.mktemp("server")
        servers.append(start(command, url, folder / "log", **{"cwd": folder, **options}))
        return servers[-1]

    yield begin
    for server in servers:
        if server.process.poll() is None:
            server.stop(signal.SIGTERM)


@pytest.fixture(scope="session")
def serve(launch: Callable[..., Server]) -> Callable[..., Server]:
    """Start the app as ``lrp-explorer`` does: `serve(notebook=None, **options of lrp_explorer.app.server.serve)`."""

    def begin(notebook: str | Path | None = None, **options: object) -> Server:
        options = {"port": free_port(), "browser": False, "notebook": notebook and str(notebook), **options}
        command = f"from lrp_explorer.app.server import serve; serve(**{options!r})"
        return launch([sys.executable, "-c", command], f"http://127.0.0.1:{options['port']}/")

    return begin


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, object]:
    """Use the Chromium of the system; playwright's own is not downloaded."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI=true, but there is no chromium: install it, these tests must run")
        pytest.skip("no chromium on this machine")
    return {"executable_path": path, "args": SWITCHES}


@dataclass
class Visit:
    """A page under watch."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note every request that leaves this machine, every error of the page and of its console."""
        page = self.page
        page.context.route("**/*", self._guard)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        page.on("console", self._listen)
        page.on("response", self._answer)

    def _guard(self, route: Any) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname not in (
            "127.0.0.1",
            "localhost",
            "::1",
        ):
            self.complaints.append(f"request beyond this machine: {route.request.url}")
            route.abort()
        else:
            route.continue_()

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(HARMLESS):
            self.complaints.append(f"console {message.type}: {message.text}")

    def _answer(self, response: Any) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} for {response.url}")

    def open(self, url: str) -> None:
        """Go there and wait until the waiting screen of the app has gone."""
        self.page.goto(url, wait_until="commit")
        self.settle()

    def reload(self) -> None:
        """Reload the page, as a person does."""
        # A paint that ends while the page goes away finds nobody to tell.
        self.page.remove_listener("console", self._listen)
        self.page.reload(wait_until="commit")
        self.page.on("console", self._listen)
        self.settle()

    def settle(self) -> None:
        """Wait until the page shows its figures."""
        self.page.wait_for_selector("#loading", state="attached")
        self.page.wait_for_selector("#loading", state="detached", timeout=120_000)

    def leave(self) -> None:
        """Close the page as a person does; `page.close()` alone gives it no time to say so."""
        self.check()
        # From here on the page may find that its kernel has gone.
        self.page.remove_listener("console", self._listen)
        self.page.close(run_before_unload=True)

    def check(self) -> None:
        """Fail if the page has complained about anything."""
        assert not self.complaints, "\n".join(self.complaints)


@pytest.fixture
def visit(page: Any) -> Iterator[Visit]:
    """Give a page that may talk to this machine only; the test fails at the end if it complained about anything."""
    watched = Visit(page)
    watched.watch()
    yield watched
    watched.check()


@pytest.fixture(scope="module")
def shared_visit(browser: Any) -> Iterator[Visit]:
    """Give one such page to all tests of a file."""
    context = browser.new_context()
    watched = Visit(context.new_page())
    watched.watch()
    yield watched
    watched.leave()
    context.close()
