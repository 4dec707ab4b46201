"""The profiles: only one is read at a time, so what every run needs stands in each."""

from pathlib import Path

import yaml

PROFILES = Path(__file__).parents[1] / "profiles"


def test_the_cluster_s_profile_has_all_that_the_default_one_has() -> None:
    default, slurm = (yaml.safe_load((PROFILES / name / "config.yaml").read_text()) for name in ("default", "slurm"))
    different = {"default-resources"}
    assert {key: slurm.get(key) for key in default.keys() - different} == {
        key: default[key] for key in default.keys() - different
    }
    assert default["default-resources"].keys() <= slurm["default-resources"].keys()


def test_a_group_asks_for_one_gpu_and_retries_stand_in_the_profile_alone() -> None:
    slurm = yaml.safe_load((PROFILES / "slurm" / "config.yaml").read_text())
    assert slurm["set-resource-scopes"] == {"gpu": "local"} and slurm["resources"] == ["gpu=1"]
    assert slurm["retries"] >= 1
    rules = "".join(path.read_text() for path in (PROFILES.parent / "workflow" / "rules").glob("*.smk"))
    assert "retries:" not in rules
