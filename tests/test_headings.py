"""What columns and numbers look like in a table made for people."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidy_rows import CLASSIFIER, INCEPTION

from deepgen_bench.report.data.selection import LIKELIHOODS
from deepgen_bench.report.data.summary import Comparable
from deepgen_bench.report.tables.headings import FAMILIES, NAMES, family, headings, mean_and_error


@pytest.mark.parametrize(
    ("metric", "variant", "unit", "heading"),
    [
        ("frechet_distance", INCEPTION, "", "FID"),
        ("frechet_distance", "digest=feedbeef0000;extractor=inception", "", "FD (inception, weights feedbeef0000)"),
        ("frechet_distance", "extractor=inception", "", "FD (inception, weights not stated)"),
        ("frechet_distance", CLASSIFIER, "", "FD (classifier)"),
        ("frechet_distance", "extractor=data", "", "FD (data)"),
        ("frechet_distance", "", "", "FD (features not stated)"),
        ("inception_score", INCEPTION, "", "IS"),
        ("inception_score", CLASSIFIER, "", "IS (classifier)"),
        ("kernel_distance", CLASSIFIER, "", "KID (classifier)"),
        ("precision", CLASSIFIER, "", "precision (classifier)"),
        ("sliced_w2", "projections=500", "", "sliced W2"),
        ("iw_elbo", "K=5000;representation=dequantised", "nats", "IW-ELBO K=5000 [nats, dequantised]"),
        ("bits_per_dim", "representation=dequantised", "bits/dim", "bits/dim [dequantised]"),
        ("my_own_metric", "", "1", "my own metric"),
        ("frechet_distance_infinity", CLASSIFIER, "", "FD∞ (classifier)"),
        ("log_density_ratio", "representation=continuous", "nats", "log p/p* [nats, continuous]"),
    ],
)
def test_headings_name_what_was_measured(metric, variant, unit, heading):
    assert headings([Comparable(metric, variant, unit, 10, 10, "test")]) == [heading]
    assert "train split]" in headings([Comparable(metric, variant, unit, 10, 10, "train")])[0]


def test_equal_headings_are_told_apart_by_what_differs():
    columns = [Comparable("w2", f"p=2;tol={tol}", "", n, 50, "test") for tol, n in ((1, 50), (2, 50), (1, 40))]
    assert headings(columns) == [
        *("W2 (tol=1, n=50)", "W2 (tol=2, n=50)"),
        "W2 (tol=1, n_real=40, n_generated=50)",
    ]


def test_a_part_of_the_variant_that_one_column_has_alone_stands_in_its_heading():
    variants = [("centred_w2", ""), ("centred_w2", "pca=8"), ("w1", "method=grid"), ("w1", "method=grid;p=1")]
    columns = [Comparable(metric, variant, "", 50, 50, "test") for metric, variant in variants]
    assert headings(columns) == ["centred W2", "centred W2 (pca=8)", "W1", "W1 (p=1)"]


def test_every_metric_has_one_place():
    names = [metric for names in FAMILIES.values() for metric in names]
    assert len(names) == len(set(names)) == len(NAMES) and tuple(FAMILIES["likelihood"]) == LIKELIHOODS
    assert family("mmd") == "two-sample" and family("my_own_metric") == "other"


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (1.23456, 0.0456, "1.235 ± 0.046"),
        (1.23456, 0.0996, "1.23 ± 0.10"),
        (12.3, 9.96, "12 ± 10"),
        (-1234.5, 123.4, "-1230 ± 120"),
        (-0.0001, 0.2, "0.00 ± 0.20"),
        (2.5e-5, 1.1e-5, "0.000025 ± 0.000011"),
        (1.5, 1.234e-12, "1.5 ± 1.2e-12"),
        (8.0, 0.0, "8 ± 0"),
        (0.98765, math.nan, "0.9877"),
        (-12345.6, math.nan, "-12346"),
        (-math.inf, math.nan, "-inf"),
    ],
)
def test_a_mean_has_the_decimals_of_its_error(value, sd, text):
    assert mean_and_error(value, sd) == text


@given(sd=st.floats(1e-6, 1e6), value=st.floats(-1e6, 1e6))
def test_rounding_loses_less_than_a_tenth_of_the_deviation(value, sd):
    shown_mean, shown_sd = map(float, mean_and_error(value, sd).split(" ± "))
    assert abs(shown_sd - sd) <= 0.0501 * sd
    assert abs(shown_mean - value) <= 0.0502 * sd + 1e-9
