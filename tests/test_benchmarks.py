"""The benchmark of the benchmark: its arithmetic, a contest for real, and all that a GPU is asked on a CPU."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import fidelity, importance, training, transport
from benchmarks.contest import OURS, Contender, Contest, results, rounds
from benchmarks.pipeline import IMPORT
from benchmarks.run import placed

ROOT = Path(__file__).parents[1]


def record(name, tried, number, value, check=None):
    kept = {"contender": name, "tried": tried, "round": number, "value": value, "check": check}
    return kept | {"peak_mb": 1, "where": "here"}


def contest(unit, **fields):
    contenders = tuple(Contender(name, "transport", "ours") for name in (OURS, "peer"))
    return Contest("a case", unit, contenders, **fields)


@pytest.mark.parametrize(("unit", "ratio", "reached"), [("s", 0.5, "no"), ("steps/s", 2.0, "yes")])
def test_a_ratio_above_one_means_that_ours_is_faster(unit, ratio, reached):
    records = [record(OURS, "one", number, 2.0 + number) for number in range(3)]
    records += [record("peer", "one", number, 1.0 + number / 2) for number in range(3)]
    (line,) = results(contest(unit, targets={"peer": 1.5}), records)
    assert (line["ratio"], line["reached"]) == (ratio, reached)


def test_a_peer_counts_as_it_was_fastest():
    records = [record(OURS, "one", 0, 1.0)]
    records += [record("peer", way, 0, value) for way, value in (("slow", 9.0), ("fast", 3.0), ("middling", 5.0))]
    (line,) = results(contest("s"), records)
    assert (line["their best way"], line["ratio"]) == ("fast", 3.0)
    (line,) = results(contest("steps/s"), records)
    assert line["their best way"] == "slow"


def test_values_that_differ_are_marked():
    records = [record(OURS, "one", 0, 1.0, 2.0), record("peer", "one", 0, 1.0, 2.0002)]
    (within,) = results(contest("s", agreement=1e-3), records)
    (beyond,) = results(contest("s", agreement=1e-5), records)
    assert within["values differ by"] == "1.0e-04" and beyond["values differ by"] == "1.0e-04 (!)"


def test_a_contest_measures_processes_of_their_own():
    settings = {"n": 50, "d": 2, "p": 2}
    contenders = (
        Contender(OURS, "transport", "ours", settings),
        Contender("linear_sum_assignment", "transport", "assignment", settings),
    )
    small = Contest("small", "s", contenders, agreement=1e-9)
    (line,) = results(small, list(rounds(small, 1)))
    assert line["values differ by"] and "(!)" not in line["values differ by"]
    assert line["ours"] > 0 and line["theirs"] > 0


def test_every_contest_can_be_called():
    modules = {"fidelity": fidelity, "importance": importance, "training": training, "transport": transport}
    cases = [contest for module in modules.values() for contest in module.contests()]
    assert len({contest.case for contest in cases}) == len(cases)
    for contest in cases:
        names = {contender.name for contender in contest.contenders}
        assert OURS in names and set(contest.targets) <= names - {OURS}
        assert all(hasattr(modules[each.module], each.function) for each in contest.contenders)


def test_floating_point_operations_of_a_step_are_those_of_its_products():
    """784-200-200-50, whose encoder ends with means and variances: 222.8 million for a batch of 100 without these."""
    widths = [(784, 200), (200, 200), (200, 100), (50, 200), (200, 200), (200, 784)]
    by_hand = sum(2 * 100 * a * b * (2 if (a, b) == (784, 200) else 3) for a, b in widths)
    assert training.vae_flop(training.VAE, 784) == by_hand


def test_floating_point_operations_of_a_convolutional_step():
    """Of the generator: forward for the discriminator's step, then forward and back in its own; and so on."""
    settings = {"channels": 32, "hidden": [256], "latent_dim": 64, "batch_size": 10}
    up = {"linear": 64 * 128 * 49, "first": 49 * 128 * 64 * 16, "last": 196 * 64 * 16}
    down = {"first": 196 * 32 * 16, "last": 49 * 64 * 32 * 16, "linear": 49 * 64 * 256, "head": 256}
    by_hand = 4 * sum(up.values()) - up["linear"] + 8 * sum(down.values()) - 2 * down["first"]
    assert training.conv_gan_flop(settings, 28) == 2 * 10 * by_hand


def test_a_table_says_where_its_numbers_come_from():
    rows = [{"case": "a", "where": "here"}, {"case": "b", "where": "there"}]
    assert placed(rows[:1]).splitlines() == ["here.", "", "| case |", "| --- |", "| a |"]
    assert placed(rows).splitlines()[:2] == ["1. here", "2. there"] and placed(rows).splitlines()[-1] == "| b | 2 |"


def test_imports_are_read_from_logs():
    log = (
        "import time: self [us] | cumulative | imported package\nimport time:       120 |        340 |   numpy\nhello\n"
    )
    assert IMPORT.findall(log) == ["120"]


def test_all_that_a_gpu_is_asked_can_be_asked_of_a_cpu(tmp_path):
    output = tmp_path / "gpu.md"
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--device", "cpu", "--output", output]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    text = output.read_text()
    assert "**no**" not in text and text.count("same bits | same bits") == 9


def test_without_its_peers_the_benchmark_ends_before_it_begins():
    command = [sys.executable, "-m", "benchmarks.run", "--only", "pipeline"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    error = "error: pythae is not installed; `make bench` has the peers where they are found\n"
    assert (done.returncode, done.stderr, done.stdout) == (1, error, "")
