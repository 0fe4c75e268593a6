"""The op table knows every operation in every overload that PyTorch writes, in all releases that were asked."""

import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lrp_explorer.graph import definitions, selections, spectra, writes
from lrp_explorer.graph.ops import BOOKKEEPING, CHOICES, OPS, SHAPE_ONLY, op_name

# Written by tests/compat/overloads.py, run once with every release.
TABLE = json.loads((Path(__file__).parents[1] / "compat" / "overloads.json").read_text())
KNOWN = {*OPS, *SHAPE_ONLY, *BOOKKEEPING, *CHOICES, *selections._PLACES, *spectra._OF_DEGREE_ONE, *writes._SOURCE}


@pytest.mark.parametrize("version", TABLE)
def test_every_overload_met_is_known(version):
    assert len(TABLE[version]) > 40
    names = {overload: op_name(SimpleNamespace(__name__=overload.split(".")[1])) for overload in TABLE[version]}
    assert not [full for full, name in names.items() if name not in KNOWN and not name.startswith("fft_")]


def overloads(name):
    """Overloads of an operation of tensors that give new ones."""
    packet = getattr(torch.ops.aten, name)
    found = [getattr(packet, overload) for overload in packet.overloads()]
    tensors = [one for one in found if "Tensor" in str(one._schema.arguments[0].type)]
    return [one for one in tensors if not any(argument.is_out for argument in one._schema.arguments)]


@pytest.mark.parametrize("name", [*definitions._OWN, *definitions._BY_TENSORS])
def test_a_definition_takes_what_each_overload_takes(name):
    served = 0
    for overload in overloads(name):
        found = definitions.definition(SimpleNamespace(target=overload, kwargs={}))
        if found is None:
            in_another_precision = any(argument.name == "out_dtype" for argument in overload._schema.arguments)
            assert name in definitions._BY_TENSORS or in_another_precision, overload
            continue
        served += 1
        arguments = overload._schema.arguments
        given = [argument.name for argument in arguments if not argument.kwarg_only]
        named = {argument.name: None for argument in arguments if argument.kwarg_only}
        inspect.signature(found).bind(*given, **named)
    assert served


@pytest.mark.parametrize("name", ["fill", "copy", "masked_fill", "index_fill", "scatter", "where", "index_put", "zero"])
def test_an_operation_has_one_kind_whatever_the_overload(name):
    assert {op_name(overload) for overload in overloads(name)} <= KNOWN
    assert {op_name(getattr(getattr(torch.ops.aten, f"{name}_"), o)) for o in overloads_in_place(name)} <= KNOWN


def overloads_in_place(name):
    packet = getattr(torch.ops.aten, f"{name}_", None)
    return packet.overloads() if packet is not None else []
