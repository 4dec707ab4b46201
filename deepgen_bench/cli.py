"""The command line: one subcommand for each rule of the workflow, and commands for users."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from deepgen_bench.runtime.device import set_threads
from deepgen_bench.runtime.errors import UserError, printable
from deepgen_bench.runtime.memory import keep_freed_memory

app = typer.Typer(
    help="Reproducible benchmark of deep generative models. `snakemake --cores all` runs a whole experiment through "
    "the stages below; `score` and `sample` need no experiment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
STAGE, USER = "Stages of the workflow", "User commands"

ExperimentFile = Annotated[Path, typer.Argument(help="experiment file (YAML or JSON)")]
Dataset = Annotated[str, typer.Option(help="label of a dataset of the experiment")]
Model = Annotated[str, typer.Option(help="label of a model of the experiment")]
BlockNumber = Annotated[int, typer.Option(help="block of seeds: seed // seeds_per_job")]
Results = Annotated[Path, typer.Option(help="results folder")]
Checkpoint = Annotated[Literal["final", "best"], typer.Option(help="best: chosen on validation data")]
Folders = Annotated[
    list[Path],
    typer.Argument(help="experiment folders or metrics.csv files; several (from several machines, say) are merged"),
]
RESULTS = Path("results")
UsageError: Any = typer.BadParameter.__base__  # typer exports this subclass alone


def open_store(experiment: Path, results: Path, dataset: str | None = None, model: str | None = None):  # type: ignore[no-untyped-def]
    """The experiment's store, with labels checked."""
    from deepgen_bench.experiment.load import load_experiment
    from deepgen_bench.experiment.store import Store

    store = Store(load_experiment(experiment), results)
    store.check_format()
    for kind, label, valid in (
        ("dataset", dataset, store.experiment.datasets),
        ("model", model, store.experiment.models),
    ):
        if label is not None and label not in valid:
            raise UserError(f"--{kind}: {label!r} is not in {experiment}; valid: {', '.join(valid)}")
    return store


def run_on_dataset(rule: str, stage: Callable[..., None], experiment: Path, results: Path, dataset: str) -> None:
    """Run a stage on a dataset as a job of its rule."""
    from deepgen_bench.stages.jobs import job

    store = open_store(experiment, results, dataset)
    with job(store, rule, dataset):
        stage(store, dataset)


def run_on_block(
    rule: str, stage: Callable[..., None], experiment: Path, results: Path, dataset: str, model: str, block: int
) -> None:
    """Run a stage on a block of replicates as a job of its rule."""
    from deepgen_bench.stages.jobs import job

    store = open_store(experiment, results, dataset, model)
    if block not in store.blocks():
        raise UserError(f"--block: {block}; valid: {', '.join(map(str, store.blocks()))}")
    with job(store, rule, dataset, model, block):
        stage(store, dataset, model, block)


@app.command(rich_help_panel=STAGE)
def prepare(experiment: ExperimentFile, dataset: Dataset, results: Results = RESULTS) -> None:
    """Write a dataset's fixed train, validation and test split."""
    from deepgen_bench.stages.prepare import prepare_dataset

    run_on_dataset("prepare", prepare_dataset, experiment, results, dataset)


@app.command(rich_help_panel=STAGE)
def extractor(experiment: ExperimentFile, dataset: Dataset, results: Results = RESULTS) -> None:
    """Train the classifier whose features the fidelity metrics use."""
    from deepgen_bench.stages.extractor import train_extractor

    run_on_dataset("extractor", train_extractor, experiment, results, dataset)


@app.command(rich_help_panel=STAGE)
def train(
    experiment: ExperimentFile, dataset: Dataset, model: Model, block: BlockNumber, results: Results = RESULTS
) -> None:
    """Train and sample the replicates of a block that are not in the store yet."""
    from deepgen_bench.stages.train import train_block

    run_on_block("train", train_block, experiment, results, dataset, model, block)


@app.command(rich_help_panel=STAGE)
def measure(
    experiment: ExperimentFile, dataset: Dataset, model: Model, block: BlockNumber, results: Results = RESULTS
) -> None:
    """Measure samples by the families of metrics that the experiment names."""
    from deepgen_bench.stages.measure import measure_samples

    run_on_block("measure", measure_samples, experiment, results, dataset, model, block)


@app.command(rich_help_panel=STAGE)
def likelihood(
    experiment: ExperimentFile, dataset: Dataset, model: Model, block: BlockNumber, results: Results = RESULTS
) -> None:
    """Measure log-likelihoods, exact or bounded, where a model has one."""
    from deepgen_bench.stages.likelihood import measure_likelihood

    run_on_block("likelihood", measure_likelihood, experiment, results, dataset, model, block)


@app.command(rich_help_panel=STAGE)
def aggregate(
    experiment: ExperimentFile,
    partial: Annotated[
        bool, typer.Option("--partial", help="join the finished measurements into the folder partial/, with tables")
    ] = False,
    results: Results = RESULTS,
) -> None:
    """Join the measurements of all runs into metrics.csv, summary.csv and paired.csv."""
    from deepgen_bench.stages.aggregate import aggregate as join
    from deepgen_bench.stages.aggregate import aggregate_partially
    from deepgen_bench.stages.jobs import job

    store = open_store(experiment, results)
    if partial:
        print(aggregate_partially(store))
        return
    with job(store, "aggregate"):
        join(store)


@app.command(rich_help_panel=STAGE)
def study(
    experiment: ExperimentFile,
    kind: Annotated[
        Literal["calibration", "theory"],
        typer.Option(help="calibration: a check of an estimator; theory: a textbook claim"),
    ],
    label: Annotated[
        str | None, typer.Option(help="label of the study; without it, write the table of all studies of the kind")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Measure a study and compare it with its predictions."""
    from deepgen_bench.stages.jobs import job

    store = open_store(experiment, results)
    paths = store.studies(kind)
    if label is None:
        from deepgen_bench.report.tables.studies import write_study_table

        with job(store, kind):
            print(write_study_table(kind, paths, store.home / "tables"))
        return
    if label not in paths:
        raise UserError(f"--label: {label!r} is not in {kind} of {experiment}; valid: {', '.join(paths) or 'none'}")
    from deepgen_bench.stages.study import measure_study

    with job(store, kind, label):
        measure_study(store, kind, label)


@app.command(rich_help_panel=STAGE)
def tables(
    folder: Folders,
    checkpoint: Checkpoint = "final",
    output: Annotated[
        Path | None, typer.Option(help="folder to write to; by default tables/ in the first folder")
    ] = None,
) -> None:
    """Write comparison tables (CSV, Markdown, LaTeX) from the tables of finished experiments."""
    from deepgen_bench.report.data.experiments import file_in
    from deepgen_bench.report.data.paired import load_paired
    from deepgen_bench.report.tables.write import write_tables
    from deepgen_bench.stages.jobs import folder_job
    from deepgen_bench.storage.results import load_results

    home = folder[0].parent if folder[0].suffix == ".csv" else folder[0]
    default = home / ("tables" if checkpoint == "final" else f"tables_{checkpoint}")
    file = file_in(home) if len(folder) == 1 else None
    with folder_job("tables", folder):
        write_tables(load_results(*folder), output or default, checkpoint, load_paired(*folder), file)


@app.command(rich_help_panel=STAGE)
def figures(experiment: ExperimentFile, dataset: Dataset, results: Results = RESULTS) -> None:
    """Write the data of a dataset's figures: samples, densities, latent spaces, curves."""
    from deepgen_bench.stages.figures import write_figures

    run_on_dataset("figures", write_figures, experiment, results, dataset)


@app.command(rich_help_panel=STAGE)
def report(
    folder: Annotated[list[Path], typer.Argument(help="experiment folders; several are compared on one page")],
    output: Annotated[
        Path | None,
        typer.Option(help="the page, .html; by default report.html in the folder, or beside several"),
    ] = None,
) -> None:
    """Write the report: one self-contained HTML page, and its figures as SVG and PDF."""
    from deepgen_bench.report.page.write import write_report
    from deepgen_bench.stages.jobs import folder_job

    with folder_job("report", folder):
        page, *figures = write_report(folder, output)
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB, and {len(figures)} files of figures")


@app.command(rich_help_panel=USER)
def plan_seeds(folder: Folders, checkpoint: Checkpoint = "final") -> None:
    """Print how many seeds would tell each model from the best one."""
    from deepgen_bench.report.data.paired import load_paired
    from deepgen_bench.report.tables.seeds import seeds_tables
    from deepgen_bench.report.tables.write import show as render
    from deepgen_bench.storage.results import load_results

    width = shutil.get_terminal_size((120, 24)).columns
    print(render(load_results(*folder), checkpoint, load_paired(*folder), width, seeds_tables))


@app.command(rich_help_panel=USER)
def show(
    folder: Folders,
    checkpoint: Checkpoint = "final",
) -> None:
    """Print comparison tables."""
    from deepgen_bench.report.data.paired import load_paired
    from deepgen_bench.report.tables.write import show as render
    from deepgen_bench.storage.results import load_results

    width = shutil.get_terminal_size((120, 24)).columns
    print(render(load_results(*folder), checkpoint, load_paired(*folder), width))


@app.command(rich_help_panel=USER)
def check(experiment: ExperimentFile) -> None:
    """Check an experiment file without running anything."""
    from deepgen_bench.experiment.load import load_experiment

    loaded = load_experiment(experiment)
    loaded.check_files()
    sizes = f"{len(loaded.datasets)} datasets × {len(loaded.models)} models × {len(loaded.seeds)} seeds"
    print(f"{experiment}: {sizes}, all valid")


@app.command(rich_help_panel=USER)
def downloads(experiment: ExperimentFile) -> None:
    """List the public files that an experiment needs, for machines without a network: state, place, digest, address."""
    from deepgen_bench.experiment.load import load_experiment

    for file in load_experiment(experiment).downloads():
        print(file.state, file.path, file.digest, file.urls[0], sep="\t")


@app.command("list", rich_help_panel=USER)
def list_names(kind: Annotated[Literal["datasets", "models", "metrics"], typer.Argument()]) -> None:
    """List the plug-ins that an experiment file can name: name, support or family, code, and package."""
    from deepgen_bench.plugins import DATASETS, METRICS, MODELS

    registry = {"datasets": DATASETS, "models": MODELS, "metrics": METRICS}[kind]
    for name in registry:
        plugin = registry[name]
        about = {"datasets": "support", "models": "family_name"}.get(kind)
        kind_of_plugin = [getattr(plugin, about)] if about else []
        print(name, *kind_of_plugin, registry.target(name), registry.origin(name), sep="\t")


@app.command(rich_help_panel=USER)
def schema() -> None:
    """Print the JSON schema of experiment files."""
    import json

    from deepgen_bench.experiment.schema import ExperimentFile

    print(json.dumps(ExperimentFile.model_json_schema(), indent=1))


@app.command(rich_help_panel=USER)
def score(
    real: Annotated[Path, typer.Argument(help="folder of images, .npy or .npz array, or .npz with mu and sigma")],
    generated: Annotated[Path, typer.Argument(help="the samples to score, in one of the same forms")],
    extractor: Annotated[str, typer.Option(help="inception, classifier or data")] = "inception",
    weights: Annotated[
        Path | None, typer.Option(help="file with the extractor's weights, instead of a download")
    ] = None,
    n: Annotated[int | None, typer.Option(help="use a random subset of at most n of each")] = None,
    output: Annotated[Path | None, typer.Option(help="also write a CSV file")] = None,
) -> None:
    """Score your own samples; needs no experiment."""
    from deepgen_bench.stages.score import score_files

    print(score_files(real, generated, extractor, weights, n, output))


@app.command(rich_help_panel=USER)
def verify(
    results: Annotated[Path, typer.Argument(help="folder of a finished experiment, such as results/default")],
    reference: Annotated[
        Path, typer.Argument(help="reference folder, or the name of one in the package: default, quick")
    ],
) -> None:
    """Compare an experiment with a reference; exit status 1 if they differ.

    On the reference's platform all numbers must be equal to the bit. On another one, estimators must reproduce the
    reference's numbers on its samples, and trained models must agree in distribution over seeds.
    """
    from deepgen_bench.stages.verify import verify as compare

    said, differences = compare(results, reference)
    print(*said, *differences, "differs" if differences else "verified", sep="\n")
    if differences:
        raise typer.Exit(1)


@app.command(rich_help_panel=USER)
def reference(
    results: Annotated[Path, typer.Argument(help="folder of a finished experiment, such as results/default")],
    output: Annotated[Path, typer.Argument(help="folder to write")],
    samples: Annotated[
        bool, typer.Option(help="include the final samples, to check estimators on other platforms")
    ] = True,
) -> None:
    """Write a reference for `verify`: the table, digests and samples of a finished experiment."""
    from deepgen_bench.stages.reference import write_reference

    print(write_reference(results, output, samples))


@app.command(rich_help_panel=USER)
def sample(
    run: Annotated[Path, typer.Argument(help="a replicate's folder, results/runs/DATASET/MODEL/HASH/seed_K")],
    n: Annotated[int, typer.Option("-n", help="number of samples", min=1)] = 64,
    output: Annotated[Path, typer.Option(help=".png: a picture; .npy: an array as stored")] = Path("samples.png"),
    checkpoint: Checkpoint = "final",
    seed: Annotated[int, typer.Option(help="seed of the draws", min=0, max=2**63 - 1)] = 0,
    draw: Annotated[bool, typer.Option(help="draw from p(x|z) instead of showing the decoder's mean (VAE)")] = False,
) -> None:
    """Sample a trained replicate into a picture or an array."""
    from deepgen_bench.stages.sample import sample_run

    print(sample_run(run, n, output, checkpoint, seed, draw))


@app.command(rich_help_panel=USER)
def export(
    experiment: ExperimentFile,
    dataset: Dataset,
    output: Annotated[Path, typer.Option(help="the .npy file to write")],
    split: Annotated[
        Literal["train", "validation", "test"], typer.Option(help="test: the examples whose likelihood is measured")
    ] = "test",
    representation: Annotated[
        Literal["dequantised", "binarised"] | None,
        typer.Option(help="of test images; by default grey levels as stored"),
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Write data in the benchmark's order, for training or evaluating a model elsewhere."""
    from deepgen_bench.stages.export import export_examples

    print(export_examples(open_store(experiment, results, dataset), dataset, split, representation, output))


def main() -> None:
    """Entry point. Wrong input of any kind gives one line on stderr and exit status 2."""
    set_threads()
    keep_freed_memory()
    try:
        # standalone mode would print a box for a wrong option instead of one line
        sys.exit(app(standalone_mode=False))
    except UserError as error:
        message = str(error)
    except UsageError as error:
        if not sys.argv[1:]:
            error.show()  # without arguments the help is shown
            sys.exit(2)
        message = usage_message(error)
    except typer.Abort:
        message = "aborted"
    except OSError as error:
        if error.filename is None:
            raise
        message = f"{error.filename2 or error.filename}: {error.strerror}"
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def usage_message(error: Any) -> str:
    """Message for wrong arguments, with the command whose help says what is valid."""
    command = error.ctx.command_path if error.ctx is not None else "deepgen-bench"
    return f"{printable(error.format_message()).rstrip('.')}; see {command} --help"


if __name__ == "__main__":
    main()
