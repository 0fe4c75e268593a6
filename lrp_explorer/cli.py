"""The shell: ``lrp-explorer`` opens the app; ``explain`` and ``masks`` write files, ``list`` tells the names."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from lrp_explorer import __version__, cli_masks
from lrp_explorer.errors import LrpError

LISTS = ("models", "datasets", "composites")


class Parser(argparse.ArgumentParser):
    """Answers a wrong option with one line, as all other errors here."""

    def error(self, message: str) -> NoReturn:
        """Print the message and end with code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code: 0, or 2 after an error, of which one line on stderr tells.
    """
    options = parser().parse_args(argv)
    try:
        options.run(options)
    except (LrpError, OSError) as error:
        print(f"lrp-explorer: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = Parser("lrp-explorer", description="Open the explorer in the browser, or run one of the commands.")
    top.add_argument("--version", action="version", version=f"lrp-explorer {__version__}")
    top.add_argument("--port", type=int, default=8866, help="TCP port of the page (default: %(default)s)")
    top.add_argument("--ip", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    more = "a further name for it in the browser, as behind a proxy: NAME, .DOMAIN or *; may be given again"
    top.add_argument("--host", action="append", default=[], metavar="NAME", help=more)
    top.add_argument("--no-browser", dest="browser", action="store_false", help="only serve, open no browser")
    _add_device(top)
    top.set_defaults(run=_open)
    commands = top.add_subparsers(title="commands", metavar="{explain,masks,list}", parser_class=Parser)

    explain = commands.add_parser("explain", help="write the explanation of one image to a file")
    explain.add_argument("image", help="an image file; it is preprocessed as the model expects")
    explain.add_argument("--model", required=True, help="a name from: lrp-explorer list models")
    explain.add_argument("--weights", help="a local checkpoint instead of the published weights")
    explain.add_argument("--composite", default="epsilon-plus-flat", help="rules by layer (default: %(default)s)")
    explain.add_argument("--target", metavar="CLASS", help="name or index of the class to explain (default: predicted)")
    explain.add_argument("--out", required=True, help="file to write: .png, .html or .npz")
    explain.add_argument(
        "--stretch", action="store_true", help="16 or 32 bits of grey: least value black, greatest white"
    )
    explain.add_argument("--layers", action="store_true", help=".npz only: the relevance of every layer, too")
    _add_device(explain)
    explain.set_defaults(run=_explain)

    _add_device(cli_masks.add(commands))

    names = commands.add_parser("list", help="tell the names of models, data sets and composites")
    names.add_argument("what", nargs="?", choices=LISTS, help="only these, one name a line")
    names.set_defaults(run=_list)
    return top


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", type=_device, default="auto", help="auto, cpu, cuda, cuda:1, … (default: auto)")


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no device; expected auto, cpu, mps, cuda or cuda:N")
    return text


# What takes seconds to import is imported by the command that needs it: `--help` answers at once.


def _open(options: argparse.Namespace) -> None:
    from lrp_explorer.app.addresses import check_free

    # Before what imports Voilà, for seconds.
    check_free(options.port, options.ip)
    from lrp_explorer.app.server import serve

    serve(options.port, options.ip, options.browser, options.device, hosts=options.host)


def _explain(options: argparse.Namespace) -> None:
    from lrp_explorer.app import written

    out = written.checked_path(options.out, options.layers)
    explanation = written.explain(
        options.image,
        options.model,
        options.weights,
        options.composite,
        options.target,
        options.device,
        options.stretch,
    )
    written.write(explanation, out, options.layers)
    print(f"{out}: {explanation.title}")
    for note in explanation.relevance.notes:
        print(f"note: {note}")


def _list(options: argparse.Namespace) -> None:
    from lrp_explorer import composites, zoo

    names = {"models": zoo.models, "datasets": zoo.datasets, "composites": composites.names}
    if options.what:
        print("\n".join(names[options.what]()))
        return
    for what in LISTS:
        print(f"{what}:", *(f"  {name}" for name in names[what]()), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
