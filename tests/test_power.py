"""The seeds that would tell two models apart, and tables of them and of single replicates."""

import math

import numpy as np
import pytest
from scipy import stats
from tidy_rows import row, seeds

from deepgen_bench.experiment.load import load_experiment
from deepgen_bench.experiment.schema import Quality
from deepgen_bench.report.data.confidence_set import LEVEL, equality_p_value
from deepgen_bench.report.data.groups import Spread
from deepgen_bench.report.data.power import POWER, seeds_to_tell
from deepgen_bench.report.data.sheet import sheets
from deepgen_bench.report.tables.replicates import replicate_table
from deepgen_bench.report.tables.seeds import seeds_tables
from deepgen_bench.runtime.errors import UserError


def spread_of(frame, values):
    (sheet,) = sheets(frame(seeds(values)), "final").values()
    (spread,) = sheet.spreads
    assert isinstance(spread, Spread)
    return spread


@pytest.mark.parametrize("difference", [0.7, 1, 1.5, 2, 3])
def test_that_many_seeds_find_the_difference(frame, difference):
    rng = np.random.default_rng(0)
    scale = np.array([-1.0, 0, 1])  # standard deviation 1
    n = seeds_to_tell(spread_of(frame, scale), spread_of(frame, scale + difference))
    shift = np.array([[0], [difference]])
    found = np.mean([equality_p_value(rng.standard_normal((2, n)) + shift) <= LEVEL for _ in range(300)])
    # up to two standard errors; few seeds have more, because p has few values
    assert POWER - 0.09 <= found <= (0.95 if n > 5 else 1)


def test_the_test_set_limits_what_seeds_can_tell(frame):
    a, b = spread_of(frame, [0.0, 1.0, 2.0]), spread_of(frame, [1.0, 2.0, 3.0])
    enough = 1 / (stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)) ** 2
    n = [seeds_to_tell(a, b, share * enough) for share in (0, 0.5, 0.99, 1)]
    assert n == sorted(n) and n[1] == pytest.approx(2 * n[0], abs=2) and math.isinf(n[3])
    assert math.isnan(seeds_to_tell(a, a)) and math.isnan(seeds_to_tell(a, spread_of(frame, [3.0])))


def test_a_table_says_how_many_seeds_would_tell(frame):
    rng = np.random.default_rng(1)
    rows = seeds(rng.standard_normal(5), model="good") + seeds(rng.standard_normal(5) + 0.5, model="near")
    rows += seeds(rng.standard_normal(5) + 50, model="bad") + seeds([0.1], model="once")
    rows += seeds([0.0] * 5, model="oracle")
    (table,) = seeds_tables(frame(rows))
    cells = {line[0].text: line[1].text for line in table.rows}
    assert cells["bad"] == "worse" and cells["once"] == "–" and "oracle" not in cells
    assert {cells["good"], cells["near"]} - {"best"} and "best" in cells.values()
    alone = seeds([1.0, 1.1, 1.2, 1.3], model="a") + seeds([9.0, 9.1, 9.2, 9.3], model="b")
    assert seeds_tables(frame(alone)) == []


def table_of(frame, rows, quality):
    (sheet,) = sheets(frame(rows), "final").values()
    table = replicate_table("digits", sheet, quality)
    return {line[0].text: [cell.text for cell in line[1:]] for line in table.rows}, table


def test_a_failed_replicate_is_counted_with_the_exact_interval(frame):
    rows = seeds([1.0, 1.1, 9.0, None, 1.2], model="gan", metric="sliced_w2")
    rows += seeds([1.0, 1.1, 1.2, 1.3, 2.0], model="vae", metric="sliced_w2")
    cells, table = table_of(frame, rows, {"sliced_w2": Quality(at_most=2.0)})
    # Clopper-Pearson for 2 and 0 of 5 (Newcombe 1998): 5.3 to 85.3 %, and up to 52.2 %
    assert cells["gan"] == ["5", "2", "5–85 %", "3.075", "1.15", "1", "9"]
    assert cells["vae"] == ["5", "0", "0–52 %", "1.32", "1.2", "1", "2"]
    assert "sliced W2 at most 2" in table.notes[0]
    unstated, table = table_of(frame, rows, {})
    assert unstated["gan"][1] == "1" and "states no quality" in table.notes[0]


def test_the_best_replicate_follows_the_stated_limit_where_a_metric_is_not_ranked(frame):
    rows = [row(metric="high_quality", direction="none", seed=k, value=v) for k, v in enumerate((0.2, 0.9, 0.8))]
    cells, _ = table_of(frame, rows, {"high_quality": Quality(at_least=0.5)})
    assert cells["gan"][1] == "1" and cells["gan"][-2:] == ["0.9", "0.2"]


@pytest.mark.parametrize("limits", [{}, {"at_least": 1, "at_most": 2}, {"atleast": 1}])
def test_a_quality_has_one_limit(limits):
    digits = {"budget": 1, "quality": {"c2st": limits}}
    experiment = {"name": "demo", "datasets": {"digits": digits}, "models": {"gan": {}}}
    with pytest.raises(UserError, match=r"datasets\.digits\.quality\.c2st.*valid: (either )?at_least"):
        load_experiment(experiment)
