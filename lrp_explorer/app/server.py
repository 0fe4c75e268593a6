"""Serve the explorer as a page: Voilà in this process, one kernel for each open page, nothing from the network."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_server.utils import url_path_join
from tornado.routing import Rule
from tornado.web import RequestHandler
from traitlets.config import Config
from voila.app import Voila
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from lrp_explorer.app.addresses import check_free, is_local
from lrp_explorer.app.guards import Foreign, Hosts, PageSocket, Refusal
from lrp_explorer.errors import ServerError
from lrp_explorer.panels.channel import source
from lrp_explorer.panels.pane import plotly_asset

HERE = Path(__file__).parent
NOTEBOOK = HERE / "explorer.ipynb"
# Only what draws widgets: any other extension of the user's JupyterLab would cost time and may ask the network.
EXTENSIONS = ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget"]
LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
"""Bytes that the path of a local socket may have."""
SHORT_FOLDERS = ("/tmp", "/var/tmp")
"""Where the sockets of kernels go if the folder for temporary files has too long a name."""


class PlotlyHandler(RequestHandler):
    """Gives Plotly.js to a page while its kernel still starts; later it would come with the first figure."""

    def get(self) -> None:
        """Send it compressed; the page unpacks it as the panes do."""
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        self.finish(plotly_asset().code)


class ExplorerServer(Voila):
    """Voilà that says where it is in one line and opens the browser on request."""

    browse = False
    hosts = Hosts("127.0.0.1")

    def init_handlers(self) -> Any:
        """Add the address of Plotly.js, and the guards."""
        handlers: Any = super().init_handlers()
        sockets = {VoilaKernelWebsocketHandler: PageSocket}
        guarded = [(rule[0], sockets.get(rule[1], rule[1]), *rule[2:]) for rule in handlers]
        assert any(rule[1] is PageSocket for rule in guarded)
        # Before all others: whatever the address, and also where there is nothing.
        self.app.default_router.rules.insert(0, Rule(Foreign(self.hosts), Refusal))
        return [(url_path_join(self.server_url or "/", _plotly_address()), PlotlyHandler), *guarded]

    def launch_browser(self) -> None:
        """Announce the page; called as soon as the port listens."""
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        if self.ip in ("0.0.0.0", "::"):
            host = socket.gethostname()
        url = f"http://{host}:{self.port}/"
        print(f"LRP Explorer: {url}   (Ctrl-C ends it)", flush=True)
        if self.browse:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def serve(
    port: int = 8866,
    ip: str = "127.0.0.1",
    browser: bool = True,
    device: str = "auto",
    notebook: str | os.PathLike[str] | None = None,
    hosts: Iterable[str] = (),
) -> None:
    """Serve the explorer until Ctrl-C or SIGTERM.

    Parameters
    ----------
    port : int
        TCP port, 1 to 65535. If it is taken, that is an error: no other port is tried.
    ip : str
        Address or host name to listen on. Beyond this machine everybody who reaches it can use the app.
    browser : bool
        Open the page in the default browser.
    device : str
        Where the kernels compute: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, … (their ``LRP_EXPLORER_DEVICE``).
    notebook : path, optional
        Another notebook to serve instead of the explorer.
    hosts : iterable of str
        Further names that pages may be asked for under, as behind a proxy; see `lrp_explorer.app.guards.Hosts`.
        Requests for any other host are refused with 403.

    Raises
    ------
    ServerError
        If the port is taken or not permitted, the address is not one of this machine, or a host is no name.
    """
    names = Hosts(ip, hosts)
    check_free(port, ip)
    local = is_local(ip)
    if not local:
        print(
            f"lrp-explorer: listening on {ip}: everybody who can reach this address can use the explorer, and with it "
            "this machine's processor and the models on it. Use a firewall, or an SSH tunnel to 127.0.0.1.",
            file=sys.stderr,
        )
    # Tornado takes jupyter-server's milliseconds for seconds, and says so; a shorter time would cut connections.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    with _environment(LRP_EXPLORER_DEVICE=device, JUPYTER_PATH=_jupyter_path()):
        app = ExplorerServer(config=_settings(port, ip, local))
        app.browse, app.hosts = browser, names
        try:
            app.initialize([str(notebook or NOTEBOOK)])
            app.start()
        except SystemExit as stop:
            if stop.code:
                raise ServerError(f"Voilà could not serve {ip}:{port}; choose another --port or --ip") from stop


def _plotly_address() -> str:
    return f"lrp/plotly-{plotly_asset().version}.js.gz"


def _settings(port: int, ip: str, local: bool) -> Config:
    config = Config()
    config.Voila.port = port
    config.Voila.ip = ip
    config.Voila.port_retries = 0
    config.Voila.open_browser = True  # calls `launch_browser`
    config.Voila.log_level = "ERROR"
    config.Voila.config_file_paths = []  # a voila.json that lies about has no say here
    config.VoilaConfiguration.template = "lrp"
    config.VoilaConfiguration.theme = "light"
    asset = {"version": plotly_asset().version, "address": _plotly_address(), "loader": source("plotly.js")}
    config.VoilaConfiguration.resources = {"plotly": asset}
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.allow_theme_override = "NO"
    config.VoilaConfiguration.extension_allowlist = EXTENSIONS
    config.VoilaConfiguration.file_allowlist = []
    config.VoilaConfiguration.show_tracebacks = local
    config.VoilaExecutor.timeout = 600
    folder = _socket_folder()
    if folder is not None:
        # Nobody else on this machine can talk to the kernels.
        config.KernelManager.transport = "ipc"
        config.Voila.connection_dir_root = folder
    # A page that is left says so and its kernel ends at once; one whose browser died says nothing. From afar, a
    # connection may be lost and come back.
    config.MappingKernelManager.cull_idle_timeout = 60 if local else 900
    config.MappingKernelManager.cull_interval = 15
    config.MappingKernelManager.cull_connected = False
    return config


def _socket_folder() -> str | None:
    """Give a folder in which kernels can have local sockets; None where they must talk by TCP."""
    if os.name != "posix":
        return None
    # As Voilà and jupyter-client name them.
    name = f"/voila_{'x' * 8}/kernel-{'x' * 36}-ipc-10"
    for folder in (tempfile.gettempdir(), *SHORT_FOLDERS):
        if len(os.fsencode(folder + name)) <= LONGEST_SOCKET and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return None


def _jupyter_path() -> str:
    """Put our templates before all others; they are read from the package, wherever it is installed."""
    return os.pathsep.join(filter(None, [str(HERE / "jupyter"), os.environ.get("JUPYTER_PATH")]))


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
