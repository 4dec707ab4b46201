"""Where results lie, and what a job depends on: all that decides numbers, and nothing else."""

from pathlib import Path
from typing import Any

from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.plan import Plan
from deepgen_bench.experiment.store import Store


def experiment(**changes: Any) -> Any:
    data: dict[str, Any] = {
        "name": "trial",
        "datasets": {
            "mnist": {"budget": 1000},
            "gaussian_ring": {"budget": 1000, "settings": {"n_train": 100, "sd": 0.2}},
        },
        "models": {"vae": {"settings": {"latent_dim": 3, "learning_rate": 0.002}}, "gan": {}},
    }
    return load_experiment(data | changes)


def reverse(data: Any) -> Any:
    return {key: reverse(data[key]) for key in reversed(data)} if isinstance(data, dict) else data


def test_what_changes_no_number_leaves_the_folders(tmp_path: Path) -> None:
    base = Store(experiment())
    data = base.experiment.file.model_dump(mode="json")
    mnist = {"budget": 1000, "settings": {"data_dir": str(tmp_path)}}
    for other in (
        experiment(device="cpu"),
        experiment(seeds=[7], seeds_per_job=3, samples=10, name="other"),
        experiment(metrics={"transport": {}}, likelihood=None),
        experiment(datasets={**data["datasets"], "mnist": mnist}),
        experiment(models={**data["models"], "wgan": {}}),
        # a default written out is the same default
        experiment(models={"gan": {"model": "gan", "settings": {"beta1": 0.5}}, "vae": data["models"]["vae"]}),
        load_experiment(reverse(data)),
    ):
        store = Store(other)
        for dataset in ("mnist", "gaussian_ring"):
            assert store.data_dir(dataset) == base.data_dir(dataset)
            assert store.extractor_dir(dataset) == base.extractor_dir(dataset)
            for model in ("vae", "gan"):
                assert store.run_dir(dataset, model, 7) == base.run_dir(dataset, model, 7)


def test_what_changes_numbers_changes_the_folder() -> None:
    base = experiment().file.model_dump(mode="json")["datasets"]

    def run(**changes: Any) -> Path:
        return Store(experiment(**changes)).run_dir("gaussian_ring", "vae", 0)

    def ring(**changes: Any) -> dict[str, Any]:
        return {"datasets": {**base, "gaussian_ring": {**base["gaussian_ring"], **changes}}}

    folders = [
        run(),
        run(base_seed=1),
        run(models={"vae": {"settings": {"latent_dim": 4, "learning_rate": 0.002}}}),
        run(models={"vae": {"settings": {"latent_dim": 3, "learning_rate": 0.001}}}),
        run(models={"vae": {"model": "gan"}}),
        run(**ring(budget=1001)),
        run(**ring(settings={"n_train": 101, "sd": 0.2})),
        run(**ring(models={"vae": {"hidden": [64]}})),
    ]
    assert len(set(folders)) == len(folders)
    assert len({folder.parent.parent for folder in folders}) == 1


def test_an_override_on_a_dataset_moves_the_model_there_alone() -> None:
    plain, special = experiment(), experiment().file.model_dump(mode="json")
    special["datasets"]["mnist"]["models"] = {"vae": {"latent_dim": 5}}
    before, after = Store(plain), Store(load_experiment(special))
    moved = {
        (dataset, model)
        for dataset in plain.datasets
        for model in plain.models
        if before.run_dir(dataset, model, 0) != after.run_dir(dataset, model, 0)
    }
    assert moved == {("mnist", "vae")}


def test_seeds_never_regroup() -> None:
    few, more = (Store(experiment(seeds=seeds)).blocks() for seeds in ([0, 1, 6], [11, 6, 5, 1, 0]))
    assert few == {0: [0, 1], 1: [6]}
    assert more == {0: [0, 1], 1: [5, 6], 2: [11]}


def test_a_plan_tells_its_jobs_what_they_depend_on() -> None:
    """Each job's parameter changes with what it depends on and with nothing else."""

    def jobs(**changes: Any) -> dict[str, str]:
        plan = Plan(experiment(**changes))
        return {
            "prepare": plan.prepare("gaussian_ring"),
            "train": plan.train("gaussian_ring", "gan", 0),
            "measure": plan.sample_metrics("gaussian_ring"),
            "likelihood": plan.likelihood(0),
            "tables": plan.tables(),
        }

    base = jobs()
    for changes, expected in (
        ({"device": "cpu", "name": "other"}, set()),
        ({"base_seed": 1}, {"prepare", "train"}),
        ({"seeds": [0, 1, 2, 3]}, {"train"}),
        ({"seeds": [0, 1, 2, 3, 4, 5]}, set()),  # another block
        ({"samples": 10}, {"train"}),
        ({"models": {"gan": {}, "vae": {}}}, set()),
        ({"models": {"gan": {"settings": {"beta1": 0.0}}}}, {"train"}),
        ({"metrics": {"fidelity": {}}}, {"measure"}),
        ({"metrics": {"fidelity": {"n": 100}, "transport": {}}}, {"measure"}),
        ({"likelihood": {"n": 100}}, {"likelihood"}),
        ({"likelihood": {"ais": {"seeds": 2}}}, {"likelihood"}),
    ):
        other = jobs(**changes)  # type: ignore[arg-type]
        assert {name for name in base if base[name] != other[name]} == expected, changes
    # a block whose replicate is no longer the first, which alone is annealed
    later, earlier = (Plan(experiment(seeds=seeds)).likelihood(1) for seeds in ([5, 6], [0, 5, 6]))
    assert later != earlier
