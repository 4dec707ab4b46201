"""Headings of columns, and numbers as tables show them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidy_rows import CLASSIFIER, INCEPTION

from deepgen_bench.report.data.groups import Comparable
from deepgen_bench.report.data.headings import headings, short_names
from deepgen_bench.report.data.metrics import FAMILIES, LIKELIHOODS, NAMES, family
from deepgen_bench.report.tables.wording import estimator_text, mean_and_error
from deepgen_bench.storage.keys import Estimator


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
    assert str(*headings([Comparable(metric, variant, unit, 10, 10, "test")])) == heading
    assert "train split]" in str(*headings([Comparable(metric, variant, unit, 10, 10, "train")]))


def test_equal_headings_are_told_apart_by_what_differs():
    columns = [Comparable("w2", f"p=2;tol={tol}", "", n, 50, "test") for tol, n in ((1, 50), (2, 50), (1, 40))]
    assert list(map(str, headings(columns))) == [
        *("W2 (tol=1, n=50)", "W2 (tol=2, n=50)"),
        "W2 (tol=1, n_real=40, n_generated=50)",
    ]


def test_a_part_of_the_variant_that_one_column_has_alone_stands_in_its_heading():
    variants = [("centred_w2", ""), ("centred_w2", "pca=8"), ("w1", "method=grid"), ("w1", "method=grid;p=1")]
    columns = [Comparable(metric, variant, "", 50, 50, "test") for metric, variant in variants]
    assert list(map(str, headings(columns))) == ["centred W2", "centred W2 (pca=8)", "W1", "W1 (p=1)"]


def test_short_names_leave_out_units_and_representations_unless_columns_differ_in_them_alone():
    variants = ("K=5;representation=binarised", "K=9;representation=binarised", "K=9;representation=dequantised")
    columns = headings([Comparable("iw_elbo", variant, "nats", 10, 10, "test") for variant in variants])
    assert short_names(columns[:2]) == ["IW-ELBO K=5", "IW-ELBO K=9"]
    assert short_names(columns[1:]) == ["IW-ELBO K=9 [nats, binarised]", "IW-ELBO K=9 [nats, dequantised]"]
    assert columns[0].without_k == "IW-ELBO [nats, binarised]"


@pytest.mark.parametrize(
    ("estimator", "text"),
    [
        (Estimator("closed_form", {}), "closed form"),
        (
            Estimator("laplace", {"draws": "1000", "starts": "8"}),
            "importance sampling at 8 Laplace modes with 1000 draws",
        ),
        (Estimator("denoising_bound", {"steps": "250"}), "the bound of 250 denoising steps"),
        (
            Estimator("laplace_ais", {"draws": "9", "starts": "1", "steps": "37", "chains": "4"}),
            "37 steps and 4 chains",
        ),
        # of plug-ins
        (Estimator("my_estimator", {"draws": "5"}), "my_estimator(draws=5)"),
        (Estimator("quadrature (see our paper)", {}), "quadrature (see our paper)"),
        (Estimator("laplace", {}), "laplace"),
    ],
)
def test_estimators_are_described_in_words(estimator, text):
    described = estimator_text(str(estimator))
    assert described == text or described.endswith(text) and text.startswith("37")


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
