"""The house itself: floors, lazy front door, sizes of files."""

import subprocess
import sys
from pathlib import Path

import lrp_explorer as lrp

PACKAGE = Path(lrp.__file__).parent


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_imports_go_downwards_only():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    result = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_importing_the_package_loads_next_to_nothing():
    loaded = run("import sys; before = set(sys.modules); import lrp_explorer; print(*set(sys.modules) - before)")
    assert {name for name in loaded if name.split(".")[0] == "lrp_explorer"} == {"lrp_explorer"}
    assert len(loaded) < 60


def test_over_torch_the_engine_loads_no_other_library():
    code = (
        "import sys, torch.export; before = set(sys.modules);"
        "import lrp_explorer.engine; print(*set(sys.modules) - before)"
    )
    roots = {name.split(".")[0] for name in run(code)}
    assert not roots & {"plotly", "ipywidgets", "anywidget", "torchvision", "sklearn", "pandas", "IPython", "captum"}


def test_the_front_door_opens_every_room():
    for name in lrp.__all__:
        assert getattr(lrp, name) is not None
    assert set(lrp.__all__) <= set(dir(lrp))


def test_no_file_is_a_hall():
    lengths = {path.relative_to(PACKAGE): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: n for path, n in lengths.items() if n > 400} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 150
