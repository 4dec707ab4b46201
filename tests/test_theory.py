"""Textbook claims: their closed forms, their tables, and one of them through the command line."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import levene, norm, sem
from torch import nn

from deepgen_bench.cli import main
from deepgen_bench.experiment import identity
from deepgen_bench.experiment.identity import parse
from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.plan import Plan
from deepgen_bench.experiment.store import Store
from deepgen_bench.plugins import CLAIMS
from deepgen_bench.report.tables.chapters import chapters
from deepgen_bench.report.tables.studies import claim_verdict, row_table, theory_summary, write_study_table
from deepgen_bench.runtime.errors import UserError
from deepgen_bench.stages.measure import measure_samples
from deepgen_bench.stages.prepare import prepare_dataset
from deepgen_bench.stages.study import measure_study
from deepgen_bench.stages.train import train_block
from deepgen_bench.studies.result import Result
from deepgen_bench.studies.study import Context, Evidence, Row
from deepgen_bench.studies.textbook.bound import CASES, SD, elbo_terms, relative_variance
from deepgen_bench.studies.textbook.discriminator import PAIRS, density, density_ratio, optimal_value
from deepgen_bench.studies.textbook.observation_noise import EIGENVALUES, LATENT, predicted
from deepgen_bench.studies.textbook.supports import histogram_jsd
from deepgen_bench.studies.textbook.train import critic_estimate, gradient_norms, penalised_critic_loss
from deepgen_bench.training.replicate_rng import ReplicateRNG

SMALL = {"name": "small", "datasets": {"gaussian_ring": {"budget": 100}}, "models": {"gaussian": {}}}


def claim(name, **settings):
    return CLAIMS[name](name, CLAIMS[name].Settings(**settings), Context(base_seed=0))


def test_the_objective_at_the_optimal_discriminator_has_the_known_value():
    exact = [optimal_value(p, q) for p, q in PAIRS.values()]
    # 2 · 0.111421482 - 2 log 2
    assert exact[0] == pytest.approx(-1.163451397, abs=1e-9)
    for (p, q), value in zip(PAIRS.values(), exact, strict=True):
        x = np.linspace(-12, 12, 20_001)
        d = density_ratio(x, p, q)
        assert np.trapezoid(density(x, *p), x) == pytest.approx(1, abs=1e-9)
        # V(D) by its definition is the same at D* and smaller at any other discriminator
        for other, equal in ((d, True), (0.9 * d + 0.05, False), (np.full_like(d, 0.5), False)):
            with np.errstate(divide="ignore"):
                logs = np.log(np.clip(other, 1e-300, 1)), np.log(np.clip(1 - other, 1e-300, 1))
            v = np.trapezoid(density(x, *p) * logs[0] + density(x, *q) * logs[1], x)
            assert v == pytest.approx(value, abs=1e-6) if equal else v < value - 1e-4


def test_the_elbo_is_log_p_minus_the_divergence():
    for case in CASES:
        exact, divergence, elbo = elbo_terms(*case)
        assert divergence > 0 and elbo == pytest.approx(exact - divergence, abs=1e-8)
    # the variance of the weights, estimated from draws
    x, mean, sd = CASES[1]
    z = np.random.default_rng(0).normal(mean, sd, 1_000_000)
    weights = norm.pdf(z) * norm.pdf(x, np.sin(z), SD) / norm.pdf(z, mean, sd) / np.exp(elbo_terms(x, mean, sd)[0])
    assert weights.mean() == pytest.approx(1, abs=0.005)
    assert weights.var() == pytest.approx(relative_variance(x, mean, sd), rel=0.01)


def test_kl_and_error_at_a_fixed_tau_are_those_of_probabilistic_pca():
    """Estimated from draws of the model of Tipping and Bishop, whose weights and posterior are known."""
    square, rng = 0.5, np.random.default_rng(0)
    kl, error = 0.0, float(sum(EIGENVALUES[LATENT:]))
    for value in EIGENVALUES[:LATENT]:
        weight = np.sqrt(value - square)
        x = np.sqrt(value) * rng.standard_normal(1_000_000)
        mean, variance = weight * x / value, square / value
        kl += float((mean**2 + variance - 1 - np.log(variance)).mean() / 2)
        error += float(((x - weight * (mean + np.sqrt(variance) * rng.standard_normal(len(x)))) ** 2).mean())
    assert predicted(square) == pytest.approx({"kl": kl, "active": 2, "error": error}, rel=0.005)
    collapsed = {"kl": 0, "active": 0, "error": sum(EIGENVALUES)}
    assert predicted(EIGENVALUES[0]) == pytest.approx(collapsed)


def test_jsd_of_histograms():
    assert histogram_jsd(np.array([5, 0]), np.array([0, 7])) == pytest.approx(np.log(2))
    assert histogram_jsd(np.array([2, 6]), np.array([1, 3])) == pytest.approx(0, abs=1e-15)
    half = 0.5 * np.log(1 / 0.75) + 0.25 * np.log(0.5 / 0.75) + 0.25 * np.log(0.5 / 0.25)
    assert histogram_jsd(np.array([4, 0]), np.array([2, 2])) == pytest.approx(half)


class LinearCritic(nn.Module):
    """s · x₀, with a slope s for each replicate."""

    def __init__(self, slopes):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slopes)[:, None, None])

    def forward(self, x):
        return self.slope * x[..., :1]


def test_a_penalised_critic_has_the_predicted_slope():
    """The penalised objective of linear critics is largest at 1 + m / (2 λ), where the estimate is m + m² / (2 λ)."""
    m, weight = 2.0, 10.0
    grid = np.linspace(0.8, 1.4, 61).tolist()
    critic, rng = LinearCritic(grid), ReplicateRNG([0] * len(grid), "cpu")
    real, fake = torch.zeros(len(grid), 8, 2), torch.tensor([-m, 0.0]).expand(len(grid), 8, 2)
    values = penalised_critic_loss(weight)(critic, real, fake, rng).detach().numpy()
    best = grid[int(values.argmin())]
    assert best == pytest.approx(1 + m / (2 * weight), abs=0.011)
    assert critic_estimate(critic, real, fake)[values.argmin()] == pytest.approx(m + m**2 / (2 * weight), abs=0.021)
    np.testing.assert_allclose(gradient_norms(critic, fake), np.array(grid)[:, None].repeat(8, 1), rtol=1e-6)


def test_a_claim_fails_after_too_short_a_training():
    rows = claim("optimal_discriminator", steps=3, n=2000).measure().rows
    assert {row.verdict for row in rows if row.quantity == "mean |D − D*|"} == {"fails"}


def test_distances_of_disjoint_supports():
    for record in claim("disjoint_supports", n=2000).distances():
        theta = record["theta"]
        assert record["jsd"] == pytest.approx(min(theta, 1) * np.log(2), abs=0.03)
        assert record["w1"] == pytest.approx(theta, abs=0.03)


def test_a_claim_from_the_command_line_to_the_page(tmp_path, capsys, monkeypatch):
    file = tmp_path / "small.json"
    data = SMALL | {"theory": {"elbo": {"claim": "bound", "settings": {"repeats": 200, "n": 20_000}}}}
    file.write_text(json.dumps(data))
    results = tmp_path / "results"

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["deepgen-bench", *map(str, arguments), "--results", str(results)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr()

    assert run("study", file, "--kind", "theory", "--label", "elbo")[0] in (None, 0)
    code, output = run("study", file, "--kind", "theory")
    assert code in (None, 0) and "1 claims" in output.out
    home = results / "small"
    lines = (home / "tables" / "theory.csv").read_text().splitlines()
    (chapter,) = chapters(home, ["elbo"])
    assert len(lines) == 1 + len(chapter.rows.rows) > 8
    assert "<math" in chapter.formula and chapter.figures[0].chart is not None and chapter.figures[0].spec
    code, output = run("study", file, "--kind", "theory", "--label", "other")
    assert code == 2 and output.err == f"error: --label: 'other' is not in theory of {file}; valid: elbo\n"


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("mixture", "models/vae/model.py"),
        ("mixture", "datasets/synthetic.py"),
        ("transformation", "models/adversarial/gan.py"),
        ("observation_noise", "datasets/digits.py"),
        ("critic", "textbook/train.py"),
    ],
)
def test_a_claim_runs_again_when_a_model_that_it_trains_changes(name, module, tmp_path, monkeypatch):
    plan = Plan(load_experiment(SMALL | {"theory": {name: {}}}), tmp_path)
    before = plan.study("theory", name)

    def changed(of, path):
        source = parse(of, path)
        return source._replace(code=source.code + " " * path.as_posix().endswith(module))

    monkeypatch.setattr(identity, "parse", changed)
    identity.code_identity.cache_clear()
    assert plan.study("theory", name) != before
    identity.code_identity.cache_clear()


def result(*rows):
    return Result("name", list(rows))


def row(verdict):
    prediction = None if verdict == "context" else 1.0
    std_error = float("nan") if verdict == "undecided" else 0.0
    return Row("q", "s", prediction, 2.0 if verdict == "fails" else 1.0, std_error, relation="at most")


def test_a_failing_row_makes_a_failing_claim():
    rows = [row(verdict) for verdict in ("holds", "fails", "undecided", "context")]
    assert [each.verdict for each in rows] == ["holds", "fails", "undecided", "context"]
    assert claim_verdict(result(*rows)) == "fails" and claim_verdict(result(*rows[2:])) == "undecided"
    table = row_table("t", [row("fails")])
    assert table.rows[0][2].text == "≤ 1" and table.rows[0][0].emphasis == "bold"


def test_a_row_without_a_prediction_has_no_verdict(tmp_path, monkeypatch, capsys):
    context = Row("q", "s", None, 2.0, 0.1)
    table = row_table("t", [context])
    assert [cell.text for cell in table.rows[0]] == ["q", "s", "–", "2", "0.1", "–", "–", "–", "–"]
    store = Store(load_experiment(SMALL | {"theory": {"bound": {}}}), tmp_path)
    monkeypatch.setattr(CLAIMS["bound"], "measure", lambda self: Evidence([context]))
    measure_study(store, "theory", "bound")
    assert "q, s: 2, context" in capsys.readouterr().out
    assert write_study_table("theory", store.studies("theory"), tmp_path) == "1 of 1 claims is undecided"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theory": {"bounds": {}}}, "theory.bounds.claim: unknown claim 'bounds'"),
        ({"theory": {"bound": {"settings": {"repeats": 1}}}}, "theory.bound.settings.repeats"),
        ({"theory": {"stability": {}}}, "theory.stability.settings: the dataset digits is not in this experiment"),
    ],
)
def test_wrong_claims_are_named(change, message):
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        load_experiment(SMALL | change)


def test_stability_is_measured_from_the_replicates(tmp_path):
    """Three trained seeds of each model: the spread over seeds, its test, and covered modes."""
    models = {"vae": {"settings": {"hidden": [16]}}, "gan": {"settings": {"hidden": [16]}}}
    settings = {"dataset": "gaussian_ring", "metric": "frechet_distance", "extractor": "data", "unsteady": ["gan"]}
    data = {
        "name": "spread",
        "device": "cpu",
        "seeds": [0, 1, 2],
        "samples": 100,
        "datasets": {"gaussian_ring": {"budget": 1000, "settings": {"n_train": 200, "n_test": 200}}},
        "models": models,
        "metrics": {"fidelity": {}, "modes": {}},
        "likelihood": None,
        "theory": {"stability": {"settings": settings}},
    }
    store = Store(load_experiment(data), tmp_path)
    prepare_dataset(store, "gaussian_ring")
    for model in models:
        train_block(store, "gaussian_ring", model, 0)
        measure_samples(store, "gaussian_ring", model, 0)
    measure_study(store, "theory", "stability")
    claim = json.loads(store.study("theory", "stability").read_text())
    spreads = {
        row["setting"]: row["measurement"] for row in claim["rows"] if row["quantity"] == "sd of log FD over seeds"
    }
    for model in models:
        fd = [row["FD"] for row in claim["tables"]["distances"] if row["model"] == model]
        assert len(fd) == 3 and spreads[model] == pytest.approx(np.std(np.log(fd), ddof=1))
    logs = [np.log([row["FD"] for row in claim["tables"]["distances"] if row["model"] == m]) for m in ("gan", "vae")]
    gan, vae = (np.abs(log - np.median(log)) for log in logs)
    (spread,) = (row for row in claim["rows"] if row["verdict"] != "context")
    assert spread["measurement"] == pytest.approx(gan.mean() - vae.mean())
    assert spread["std_error"] == pytest.approx(np.hypot(sem(gan), sem(vae)))
    (p,) = (row["measurement"] for row in claim["rows"] if row["quantity"] == "p-value of equal spreads")
    assert p == pytest.approx(levene(*logs, center="median").pvalue)
    assert len(claim["tables"]["modes"]) == 6


def test_a_summary_counts_the_claims():
    results = {str(i): result(row(verdict)) for i, verdict in enumerate(["holds", "fails", "holds"])}
    assert theory_summary(results) == "2 of 3 claims hold, 1 of 3 claims fails"
