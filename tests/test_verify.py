"""An experiment against a reference: equal to the bit on one platform, equal but for chance and rounding on others."""

import fcntl
import shutil

import numpy as np
import pandas as pd
import pytest
from engine import run_rules
from killing import experiment
from project import changed
from tidy_rows import row

from deepgen_bench.datasets.prepared import Prepared
from deepgen_bench.experiment.store import Store
from deepgen_bench.metrics.likelihood import by_family
from deepgen_bench.models.replicate import Replicate, write_info
from deepgen_bench.stages import measure
from deepgen_bench.stages.likelihood import measure_likelihood
from deepgen_bench.stages.measure import measure_samples, sample_pairs
from deepgen_bench.stages.reference import write_reference
from deepgen_bench.stages.train import train_block
from deepgen_bench.stages.verify import LEVEL, distribution_differences, verify
from deepgen_bench.storage.files import read_sealed, sha256_of, write_arrays, write_sealed
from deepgen_bench.storage.results import read_rows


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished experiment's store, and a reference made of it."""
    root = tmp_path_factory.mktemp("verify")
    models = {
        "oracle": {},
        "gaussian": {},
        "vae": {"settings": {"hidden": [8], "batch_size": 16, "decoder": "bernoulli"}},
    }
    made = experiment(
        "digits",
        "vae",
        {},
        10,
        seeds=[0, 1, 2],
        datasets={"digits": {"budget": 160}},
        models=models,
        metrics={"fidelity": {}, "transport": {"n": 40}, "two_sample": {}},
        likelihood={"k": [1, 10], "n": 20},
        samples=100,
    )
    store = Store(made, root / "results")
    run_rules(store, store.aggregated)
    (store.home / "experiment.json").write_text(made.file.model_dump_json())
    write_reference(store.home, root / "reference", samples=True)
    return store, root / "reference"


@pytest.fixture
def copies(finished, tmp_path):
    """The same, to be changed: the experiment's folder, its store and the reference."""
    store, reference = finished
    shutil.copytree(store.root, tmp_path / "results")
    shutil.copytree(reference, tmp_path / "reference")
    return tmp_path / "results" / "small", Store(store.experiment, tmp_path / "results"), tmp_path / "reference"


def test_a_reference_written_again_leaves_nothing_of_the_earlier_one(copies):
    home, _, reference = copies
    assert list(reference.glob("samples/**/*.npz"))
    (reference / "notes.txt").write_text("mine")
    write_reference(home, reference, samples=False)
    left = {str(path.relative_to(reference)) for path in reference.rglob("*") if path.is_file()}
    assert left == {"reference.json", "metrics.csv.gz", "notes.txt"}
    assert verify(home, reference)[1] == []


def as_on_another_platform(reference):
    info = read_sealed(reference / "reference.json")
    info["platform"]["processor"] = "another"
    write_sealed(reference / "reference.json", info)


def change(home, chosen, value):
    """Change values of metrics.csv where `chosen` says so."""
    rows = pd.read_csv(home / "metrics.csv", dtype=str, keep_default_na=False)
    where = chosen(rows) & (rows["value"] != "")
    rows.loc[where, "value"] = rows.loc[where, "value"].map(lambda text: repr(value(float(text))))
    rows.to_csv(home / "metrics.csv", index=False)
    return int(where.sum())


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_experiment_is_its_own_reference(copies, elsewhere):
    home, _, reference = copies
    if elsewhere:
        as_on_another_platform(reference)
    said, differences = verify(home, reference)
    assert differences == []
    assert said[0].startswith("0 runs" if elsewhere else "9 runs")
    assert len(said) == (3 if elsewhere else 1)


def test_more_samples_of_another_experiment_change_nothing(copies, monkeypatch):
    home, store, reference = copies
    more = Store(changed(store.experiment, {"name": "more", "samples": 150}), store.root)
    train_block(more, "digits", "vae", 0)
    assert Replicate(store.run_dir("digits", "vae", 1)).info["n_samples"] == 150
    assert verify(home, reference)[1] == []
    # nor are likelihoods, which depend on the parameters alone, measured again
    monkeypatch.setattr(by_family, "measure", None)
    measure_likelihood(store, "digits", "vae", 0)
    write_reference(home, reference, samples=True)
    found = np.load(reference / "samples" / f"{store.run_id('digits', 'vae', 1)}.npz")
    assert {array.shape[0] for array in found.values()} == {100}


def test_samples_that_another_experiment_draws_while_they_are_measured_change_nothing(copies, monkeypatch):
    home, store, _ = copies
    expected = read_rows(store.measurements("digits", "vae", 0, "sample"))
    directories = [store.run_dir("digits", "vae", seed) for seed in store.experiment.seeds]
    for directory in directories:
        shutil.rmtree(directory / "measurements")
    more = Store(changed(store.experiment, {"name": "more", "samples": 150}), store.root)
    more.write_manifest(more.data_manifest("digits"), read_sealed(store.data_manifest("digits")))
    load, drawn = Replicate.load, []

    def load_under_lock(self, n):
        with open(self.directory.with_name(f".{self.directory.name}.lock")) as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        load(self, n)

    def pairs_after_more_samples(block, replicate, test):
        if not drawn:
            drawn.append(replicate.info["n_samples"])
            train_block(more, "digits", "vae", 0)
        return sample_pairs(block, replicate, test)

    monkeypatch.setattr(Replicate, "load", load_under_lock)
    monkeypatch.setattr(measure, "sample_pairs", pairs_after_more_samples)
    measure_samples(store, "digits", "vae", 0)
    assert drawn == [100] and [Replicate(directory).info["n_samples"] for directory in directories] == [150] * 3
    after = read_rows(store.measurements("digits", "vae", 0, "sample"))
    pd.testing.assert_frame_equal(after.drop(columns="seconds"), expected.drop(columns="seconds"), check_exact=True)


def test_other_bits_on_the_same_platform_are_listed_by_run(copies):
    home, store, reference = copies
    run = Replicate(store.run_dir("digits", "vae", 1))
    write_info(run.directory, run.info | {"checkpoints": run.info["checkpoints"] | {"final": "0" * 64}})
    # the last bit of one value
    count = change(
        home,
        lambda r: (r.model == "gaussian") & (r.seed == "2") & (r.metric == "w1"),
        lambda x: float(np.nextafter(x, 9)),
    )
    assert count == 1
    _, differences = verify(home, reference)
    vae, gaussian = store.run_id("digits", "vae", 1), store.run_id("digits", "gaussian", 2)
    assert len(differences) == 2
    assert differences[0].startswith(f"{vae}: other parameters or status (ok, in the reference ok)")
    assert differences[1].startswith(f"{gaussian}: 1 measurements differ, first final w1: ")


def test_elsewhere_only_what_is_not_rounding_or_chance_differs(copies):
    home, store, reference = copies
    as_on_another_platform(reference)
    run = Replicate(store.run_dir("digits", "vae", 1))
    write_info(run.directory, run.info | {"checkpoints": run.info["checkpoints"] | {"final": "0" * 64}})
    change(home, lambda r: r.metric == "w1", lambda x: x * (1 + 1e-9))
    assert verify(home, reference)[1] == []
    change(home, lambda r: (r.model == "vae") & (r.metric == "iw_elbo"), lambda x: x - 1000)
    _, differences = verify(home, reference)
    assert len(differences) > 1 and all(d.startswith("digits/vae: ") and "(p = " in d for d in differences)
    assert any("iw_elbo" in d for d in differences)


def test_what_is_the_same_for_every_seed_may_differ_by_rounding_alone(frame):
    same = [frame([row(seed=s, value=value) for s in range(3)]) for value in (2.0, 2.0 + 1e-9, 2.0 + 1e-4)]
    assert distribution_differences(same[0], same[1]) == (1, [])
    count, (found,) = distribution_differences(same[0], same[2])
    assert count == 1 and found == "digits/gan: final w2 p=2: 2.0 for every seed, in the reference 2.0001"


def test_a_single_seed_is_not_compared_with_another_platform_s(frame):
    once, other = (frame([row(metric="ais", value=value)]) for value in (2.0, 3.0))
    assert distribution_differences(once, other) == (0, [])


def test_elsewhere_an_estimator_that_gives_other_numbers_is_found(copies):
    home, store, reference = copies
    info = read_sealed(reference / "reference.json")
    run_id = store.run_id("digits", "gaussian", 0)
    path = reference / "samples" / f"{run_id}.npz"
    array = dict(np.load(path))["samples_final"]
    array[:10] = 0  # what the numbers in its table are not of
    write_arrays(path, {"samples_final": array})
    info["files"][f"samples/{run_id}.npz"] = sha256_of(path)
    write_sealed(reference / "reference.json", info)
    assert verify(home, reference)[1] == []  # here the samples are not looked at
    as_on_another_platform(reference)
    _, differences = verify(home, reference)
    assert differences and all(d.startswith(f"{run_id}: ") for d in differences)
    assert any("frechet_distance" in d and "allowed ±" in d for d in differences)


def test_runs_and_data_that_are_not_the_reference_s_are_named(copies):
    home, store, reference = copies
    info = read_sealed(reference / "reference.json")
    lost, other = store.run_id("digits", "oracle", 0), store.run_id("digits", "vae", 0)
    info["runs"]["digits/vae/other/seed_0"] = info["runs"].pop(lost)
    info["runs"][other]["data_digest"] = "0" * 64
    write_sealed(reference / "reference.json", info)
    shutil.rmtree(store.run_dir("digits", "vae", 2))
    _, differences = verify(home, reference)
    assert differences[:2] == [f"{lost}: not in the reference", "digits/vae/other/seed_0: in the reference only"]
    digest = Prepared(store.data_dir("digits")).digest[:12]
    assert f"{other}: trained on other data (digest {digest}, not 000000000000)" in differences
    assert any(
        d.startswith(store.run_id("digits", "vae", 2)) and d.endswith("run.json: no such file") for d in differences
    )


def test_what_cannot_be_verified_is_one_line(copies, command):
    home, store, reference = copies

    def said(*arguments):
        code, out, err = command("verify", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("error: ")
        return err

    assert "no experiment.json; valid: the folder of an experiment that ran" in said(reference, reference)
    assert "valid: a reference folder, or one of the package's: " in said(home, home)
    assert "valid: a reference folder" in said(home, "absent")
    info = read_sealed(reference / "reference.json")
    write_sealed(reference / "reference.json", info | {"protocol_version": 1})
    assert "protocol_version 1, that of this version is" in said(home, reference)
    write_sealed(reference / "reference.json", info | {"runs": {}})
    assert "no run of" in said(home, reference)
    write_sealed(reference / "reference.json", info)
    with open(reference / "metrics.csv.gz", "ab") as file:
        file.write(b"x")
    assert "metrics.csv.gz: damaged" in said(home, reference)
    (reference / "reference.json").write_text("{}")
    assert "reference.json: damaged" in said(home, reference)


def test_the_command_says_what_was_compared_and_whether_it_fits(copies, command, tmp_path):
    home, store, reference = copies
    code, out, err = command("verify", home, reference)
    assert (code, err) == (0, "") and out.endswith("\nverified\n")
    change(home, lambda r: r.metric == "w1", lambda x: x + 1)
    code, out, err = command("verify", home, reference)
    assert (code, err) == (1, "") and out.endswith("\ndiffers\n") and out.count("measurements differ") == 9
    code, out, _ = command("reference", home, tmp_path / "new", "--no-samples")
    assert code == 0 and sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "metrics.csv.gz",
        "reference.json",
    ]
    code, out, _ = command("verify", home, tmp_path / "new")
    assert code == 0


def test_equal_distributions_are_rarely_called_different(frame):
    """In 300 pairs of tables of 40 columns and 5 seeds; and one shifted by 10 sd is found."""
    rng = np.random.default_rng(0)

    def table(shift=0.0):
        values = rng.standard_normal((40, 5))
        values[0] += shift
        return frame([row(metric=f"m{i}", seed=s, value=values[i, s]) for i in range(40) for s in range(5)])

    first = table()

    def redrawn(shift=0.0):
        values = rng.standard_normal(len(first))
        values[:5] += shift
        return first.assign(value=values)

    alarms = sum(bool(distribution_differences(redrawn(), redrawn())[1]) for _ in range(300))
    # binomial(300, 0.01) exceeds 9 with probability 3e-4; Welch's test errs less often than it says with few seeds
    assert alarms <= 9 and LEVEL == 0.01
    found = [distribution_differences(redrawn(), redrawn(shift=10.0))[1] for _ in range(20)]
    assert sum(len(d) == 1 and " m0" in d[0] for d in found) >= 18
