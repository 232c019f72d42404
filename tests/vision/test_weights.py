"""Files of weights as people save them: the one state dict inside is taken, anything else is one line."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from devise.errors import ModelError
from devise.store.scratch import hash_file
from devise.vision.networks import SmallCnn, build_core
from devise.vision.weights import read_state

STATE = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}


def saved(path, content, **options):
    torch.save(content, path, **options)
    return str(path)


def fault_of(path, *arguments) -> str:
    with pytest.raises(ModelError) as caught:
        read_state(str(path), *arguments)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3, "arch": "resnet18", "optimizer": {"state": {}, "param_groups": []}},
        {"model": STATE, "epoch": 3},
        {f"module.{name}": tensor for name, tensor in STATE.items()},
        {f"_orig_mod.module.{name}": tensor for name, tensor in STATE.items()},
        {"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}},
    ],
)
def test_the_one_state_dict_inside_is_taken_without_a_wrapper_s_prefix(content, tmp_path):
    for name, options in (("new.pth", {}), ("old.pth", {"_use_new_zipfile_serialization": False})):
        found = read_state(saved(tmp_path / name, content, **options))
        assert found.keys() == STATE.keys() and all(torch.equal(found[name], STATE[name]) for name in STATE)


def test_a_network_s_own_name_that_begins_like_a_wrapper_s_stays(tmp_path):
    state = {"module.weight": torch.ones(1), "head.weight": torch.ones(1)}
    assert read_state(saved(tmp_path / "a.pth", state)).keys() == state.keys()


def test_a_checkpoint_fills_a_network_as_its_state_does(tmp_path):
    network = SmallCnn(4)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    core = build_core("small_cnn", saved(tmp_path / "a.pth", {"state_dict": state, "epoch": 1}), n_classes=4)
    assert torch.equal(core.classifier.weight, network.classifier.weight)


def test_several_state_dicts_or_none_are_named_by_their_keys(tmp_path):
    both = saved(tmp_path / "a.pth", {"model": STATE, "model_ema": STATE, "epoch": 3})
    assert (
        "state dicts under ['model', 'model_ema'] of the keys ['model', 'model_ema', 'epoch'], wanted one"
        in fault_of(both)
    )
    assert "under [] of the keys ['epoch']" in fault_of(saved(tmp_path / "b.pth", {"epoch": 3}))


def test_what_the_safe_loader_refuses_is_our_own_line_that_names_it(tmp_path):
    fault = fault_of(saved(tmp_path / "a.pth", SmallCnn(4)))
    assert (
        "without calling devise.vision.networks.SmallCnn" in fault and "torch.save(model.state_dict(), PATH)" in fault
    )
    assert "multiarray.scalar" in fault_of(saved(tmp_path / "b.pth", {"best": np.float64(1), "model": STATE}))


def test_what_is_no_file_of_weights_is_one_line(tmp_path):
    whole = Path(saved(tmp_path / "whole.pth", STATE)).read_bytes()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a/b", "c")
    for name, content in {
        "empty.pth": b"",
        "page.pth": b"<html>",
        "text.pth": b"hello",
        "cut.pth": whole[: len(whole) // 2],
        "pickled.pth": pickle.dumps({"a": 1}),
        "other.pth": (tmp_path / "other.zip").read_bytes(),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert "cannot be read" in fault_of(tmp_path / name)
    assert "No such file" in fault_of(tmp_path / "absent.pth")
    assert "directory" in fault_of(tmp_path).lower()


def test_a_sha256_is_the_same_in_capitals(tmp_path):
    path = saved(tmp_path / "a.pth", STATE)
    assert read_state(path, hash_file(path).upper()).keys() == STATE.keys()
    assert "wanted " + "0" * 64 in fault_of(path, "0" * 64)
