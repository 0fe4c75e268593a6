"""Masks as an object and as files: found by name, written whole or not at all, damaged files refused."""

import dataclasses
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from refusals import refused

from lrp_explorer.analyses.aggregate import aggregate
from lrp_explorer.analyses.masks import Masks
from lrp_explorer.errors import DataError, InputError, UnknownNameError


@pytest.fixture(scope="module")
def masks(model, digits) -> Masks:
    return aggregate(
        model, digits, limit=3, layer=["input", "dense1"], reduce=("and", "or", "mean", "count"), progress=False
    )


def same(one: Masks, two: Masks) -> None:
    for kind in ("arrays", "levels"):
        mine, theirs = getattr(one, kind), getattr(two, kind)
        assert list(mine) == list(theirs)
        for name in mine:
            assert mine[name].dtype == theirs[name].dtype
            np.testing.assert_array_equal(mine[name], theirs[name])
    plain = ("classes", "names", "counts", "planned", "layers", "reductions", "criterion", "complete", "notes")
    assert [getattr(one, field) for field in plain] == [getattr(two, field) for field in plain]
    assert dict(one.settings) == dict(two.settings)


def test_it_is_found_by_layer_and_reduction(masks):
    assert masks["input", "mean"].shape == (11, 1, 28, 28)
    assert masks["dense1", "and"].shape == (11, 120)
    assert masks["dense1", "and"].dtype == bool
    alone = masks.at_layer("dense1")
    np.testing.assert_array_equal(alone["count"], masks["dense1", "count"])
    assert masks.row("all") == 10
    assert masks.row(3) == masks.row("3") == 3
    assert repr(masks).startswith("Masks(and, or, mean, count of input, dense1; examples 0: 3, 1: 3")


def test_of_many_classes_the_first_and_the_last_are_told(masks):
    names = tuple(f"class {i}" for i in range(1000))
    many = dataclasses.replace(masks, classes=tuple(range(1000)), names=names, counts=(2,) * 1000)
    assert "class 0: 2, class 1: 2, " in repr(many)
    assert "class 10: 2, … (1000 rows), class 999: 2)" in repr(many)
    assert "class 11:" not in repr(many)


def test_wrong_names_are_answered_with_the_right_ones(masks):
    with refused(InputError, "2 layers", r"masks\['input', 'mean'\]"):
        masks["mean"]
    with refused(UnknownNameError, "dense2", "dense1"):
        masks["dense2", "mean"]
    with refused(UnknownNameError, "median", "mean"):
        masks["input", "median"]
    with refused(UnknownNameError, "eleven", "all"):
        masks.row("eleven")
    with refused(InputError, "theta is nan"):
        masks.at(float("nan"))


def test_a_round_trip_loses_nothing(masks, tmp_path):
    masks.save(tmp_path / "some.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["some.json", "some.safetensors"]
    same(masks, Masks.load(tmp_path / "some.safetensors"))
    told = json.loads((tmp_path / "some.json").read_text())["settings"]
    assert (told["model"], told["dataset"], told["limit"]) == ("digits-cnn", "digits", 3)
    np.testing.assert_array_equal(
        Masks.load(tmp_path / "some.safetensors").at(0.01)["input", "or"], masks.at(0.01)["input", "or"]
    )


def test_names_and_folders_are_checked_first(masks, tmp_path):
    with refused(InputError, "some.npz", ".safetensors"):
        masks.save(tmp_path / "some.npz")
    with refused(InputError, "no folder", "absent"):
        masks.save(tmp_path / "absent" / "some.safetensors")
    with refused(DataError, "cannot be read", "No such file"):
        Masks.load(tmp_path / "some.safetensors")


@pytest.mark.parametrize("damage", ["cut", "byte", "swap", "json", "format", "rows"])
def test_damaged_files_are_refused(masks, tmp_path, damage):
    path, facts = tmp_path / "some.safetensors", tmp_path / "some.json"
    masks.save(path)
    said = json.loads(facts.read_text())
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "byte":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "swap":
        masks.at_layer("input").save(tmp_path / "other.safetensors")
        (tmp_path / "other.safetensors").replace(path)
    elif damage == "json":
        facts.write_text("{")
    elif damage == "format":
        facts.write_text("[]")
    else:
        facts.write_text(json.dumps(said | {"classes": [1, 2]}))
    with refused(DataError, "some"):
        Masks.load(path)


def test_a_full_disk_leaves_what_was_there(masks, tmp_path):
    """A real limit of the operating system: files of this process may not exceed a few kilobytes."""
    path = tmp_path / "some.safetensors"
    masks.at_layer("dense1").save(path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old[1]))
    try:
        with refused(DataError, "could not be written", "too large"):
            masks.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    same(masks.at_layer("dense1"), Masks.load(path))


def test_a_folder_in_the_place_of_a_file(masks, tmp_path):
    (tmp_path / "some.json").mkdir()
    with refused(DataError, r"some\.json", "folder of that name"):
        masks.save(tmp_path / "some.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["some.json"]


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="needs to mount a file system")
def test_a_file_system_that_is_full(masks, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with refused(DataError, "could not be written", "No space left"):
            masks.save(disk / "some.safetensors")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)
