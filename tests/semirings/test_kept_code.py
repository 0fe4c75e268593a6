"""Machine code kept on disk: what is damaged is compiled anew, and kept again."""

import importlib.util
import os

import pytest

from lrp_explorer.semirings.kernels.cpu_sweeps import compiled

SOURCE = "def twice(x):\n    return 2 * x + 1\n"


@pytest.fixture
def fresh(tmp_path):
    """Give the function as a new process has it: compiled by nobody yet, with what is on disk."""
    (tmp_path / "loops.py").write_text(SOURCE)

    def load():
        spec = importlib.util.spec_from_file_location("loops", tmp_path / "loops.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return compiled(module.twice)

    return load


def kept(folder, ending):
    return next(path for path in (folder / "__pycache__").iterdir() if path.suffix == ending)


def hits(function):
    assert function(20) == 41
    return sum(function.stats.cache_hits.values())


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGE = {
    "cut short": lambda content: content[: len(content) // 2],
    "garbage": lambda content: os.urandom(len(content)),
    "one bit in the middle": lambda content: flipped(content, len(content) // 2),
    "another pickle": lambda content: b"\x80\x04N.",
}


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
def test_damaged_files_are_made_anew(fresh, tmp_path, ending):
    assert hits(fresh()) == 0
    assert hits(fresh()) == 1
    for name, damage in DAMAGE.items():
        path = kept(tmp_path, ending)
        path.write_bytes(damage(path.read_bytes()))
        assert hits(fresh()) == 0, name
        assert hits(fresh()) == 1, name


def test_a_full_disk_is_no_reason_to_fail(fresh, tmp_path):
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    function = fresh()
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        assert function(20) == 41
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert hits(fresh()) == 0
