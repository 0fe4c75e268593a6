"""A full disk keeps the old file, a killed process leaves nothing for long: by the limits and signals of the system."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from lrp_explorer import writing
from lrp_explorer.app import written
from lrp_explorer.errors import DataError
from lrp_explorer.writing import HERE, OLD, write_together

resource = pytest.importorskip("resource", reason="limits of POSIX")


@contextmanager
def full_after(size):
    """Let the system refuse files beyond this many bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def explanation(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "digit.png"
    Image.fromarray((np.arange(784).reshape(28, 28) % 256).astype(np.uint8)).save(path)
    return written.explain(str(path), "digits-mlp", None, "epsilon-plus", None, "cpu")


@pytest.mark.parametrize("suffix", written.SUFFIXES)
def test_a_full_disk_keeps_the_old_explanation(explanation, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"what was there before")
    with full_after(1000), pytest.raises(DataError, match=r"could not be written \(File too large\)"):
        written.write(explanation, path)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {path.name: b"what was there before"}
    written.write(explanation, path)
    assert path.stat().st_size > 1000
    assert os.listdir(tmp_path) == [path.name]


def test_of_two_files_none_is_new_if_one_does_not_fit(tmp_path):
    paths = tmp_path / "a", tmp_path / "b"
    write_together(dict.fromkeys(paths, b"old"))
    with full_after(1000), pytest.raises(DataError, match="could not be written"):
        write_together({paths[0]: b"new", paths[1]: bytes(2000)})
    assert [path.read_bytes() for path in paths] == [b"old", b"old"]
    assert len(os.listdir(tmp_path)) == 2


KILLED = """
import os, sys, pathlib
from lrp_explorer import writing
os.fsync = lambda number: (print("begun", flush=True), sys.stdin.read())
writing.write_together({pathlib.Path(sys.argv[1]): b"new"})
"""


def test_what_a_killed_process_has_begun_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    path = tmp_path / "kept.bin"
    path.write_bytes(b"old")
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout.readline() == "begun\n"
        assert len(os.listdir(tmp_path)) == 2
        write_together({tmp_path / "other": b""})
        assert len(os.listdir(tmp_path)) == 3, "it is still being written"
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    assert path.read_bytes() == b"old"
    write_together({tmp_path / "other": b"1"})
    assert sorted(os.listdir(tmp_path)) == ["kept.bin", "other"]


@pytest.mark.parametrize(
    ("name", "age", "stays"),
    [
        (".a.0badc0de-1-00000000.part", 0, True),  # of another machine
        (".a.0badc0de-1-00000000.part", OLD + 60, False),
        (".a.HERE-ME-00000000.part", 0, True),
        (".a.HERE-PARENT-00000000.part", 0, True),
        (".a.HERE-PARENT-00000000.part", OLD + 60, False),  # its number was given to another
        (".a.part", OLD + 60, True),  # somebody else's
        ("a.HERE-99999999-00000000.part", OLD + 60, True),
    ],
)
def test_only_leftovers_are_swept(tmp_path, name, age, stays):
    name = name.replace("HERE", HERE).replace("ME", str(os.getpid())).replace("PARENT", str(os.getppid()))
    (tmp_path / name).write_bytes(b"")
    os.utime(tmp_path / name, (time.time() - age,) * 2)
    writing.sweep(tmp_path)
    assert (tmp_path / name).exists() == stays
