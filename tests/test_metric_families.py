"""The interface of metric families, which all registered ones follow."""

import pytest

from deepgen_bench.metrics.family import MetricFamily, MetricSettings
from deepgen_bench.plugins import METRICS
from deepgen_bench.runtime.errors import UserError


@pytest.mark.parametrize("name", list(METRICS))
def test_every_family_has_the_interface(name: str) -> None:
    family = METRICS[name]
    assert issubclass(family, MetricFamily) and issubclass(family.Settings, MetricSettings)
    settings = family.Settings()
    assert family(settings).settings is settings
    for support, has_labels in (("continuous", False), ("image", True), ("binary", False)):
        settings.check(support, has_labels)
        assert isinstance(settings.extractors_for(support, has_labels), tuple)


def test_a_family_needs_no_extractor_unless_it_says_so() -> None:
    assert MetricSettings().extractors_for("image", True) == ()
    needed = {name for name in METRICS if METRICS[name].Settings().extractors_for("image", True)}
    assert needed == {"fidelity", "two_sample"}
    with pytest.raises(UserError, match="extractors: inception does not work on vectors; valid here: data"):
        METRICS["fidelity"].Settings(extractors=("inception",)).check("continuous", False)
