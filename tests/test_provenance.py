"""What a result says about how it came about."""

import warnings

import pytest
import torch

from deepgen_bench.runtime.device import open_device
from deepgen_bench.runtime.provenance import determinism_flags, nondeterministic_operations


def test_operations_without_a_deterministic_form_are_named():
    open_device("cpu")
    assert determinism_flags()["deterministic_algorithms"] and determinism_flags()["threads"] == 1
    with pytest.warns(UserWarning, match="^another$"), nondeterministic_operations() as found:
        torch.ones(3).matmul(torch.ones(3))
        assert found == []
        for _ in range(2):
            torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
        warnings.warn("another", stacklevel=1)
    assert found == ["put_"]


def test_training_has_none_on_a_cpu(train_small):
    open_device("cpu")
    with nondeterministic_operations() as found:
        train_small("vae", "digits", [0], 3)
        train_small("wgan_gp", "digits", [0], 3, network="conv")
    assert found == []
