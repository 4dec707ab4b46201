"""Figure data and pictures against what they must show."""

import numpy as np
import pytest
import torch

from deepgen_bench.report.figures.pictures import heat_map, sheet
from deepgen_bench.stages.figure_densities import DRAWS, density, lattice, points
from deepgen_bench.stages.figure_latent import interpolate, plane
from deepgen_bench.storage.figure_data import read_figure_data, write_figure_data


class Sampler:
    """Draws of an exponential and a uniform variable."""

    def sample(self, n, seed):
        rng = np.random.default_rng(seed)
        return {"mean": np.zeros((n, 2)), "draw": np.stack([rng.exponential(size=n), rng.uniform(0, 2, n)], 1)}


class Skewed(Sampler):
    """The same with its exact density."""

    representation = "continuous"

    def log_prob(self, x):
        inside = (x[:, 0] >= 0) & (x[:, 1] >= 0) & (x[:, 1] <= 2)
        return np.where(inside, -x[:, 0] - np.log(2), -np.inf)


def test_a_histogram_is_the_density_it_stands_for():
    x = Skewed().sample(2000, 0)["draw"]
    axes = lattice(x)
    exact, kind = density(Skewed(), axes, 0)
    counted, other = density(Sampler(), axes, 0)
    assert (kind, other) == ("density", "histogram of 500,000 draws")
    area = np.prod([axis[1] - axis[0] for axis in axes])
    assert counted.sum() * area == pytest.approx(1, abs=0.01)
    # away from the edges, where a cell's mean is not the density at its centre; six errors of a count
    cells = points(axes).reshape(*counted.shape, 2)
    inner = (cells[..., 0] > 0.1) & (cells[..., 1] > 0.1) & (cells[..., 1] < 1.9)
    expected = exact[inner] * area * DRAWS
    assert (np.abs(counted[inner] * area * DRAWS - expected) < 6 * np.sqrt(expected) + 0.01 * expected).all()


def test_the_way_between_two_draws_keeps_to_the_prior_s_lengths():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 50, 1, 16, generator=generator)
    t = torch.linspace(0, 1, 7)[None, :, None]
    z = interpolate(a, b, t)
    torch.testing.assert_close(z[:, :1], a)
    torch.testing.assert_close(z[:, -1:], b)
    lengths = a.norm(dim=-1) * (1 - t[..., 0]) + b.norm(dim=-1) * t[..., 0]
    torch.testing.assert_close(z.norm(dim=-1), lengths)
    # even steps of angle
    unit = z / z.norm(dim=-1, keepdim=True)
    steps = (unit[:, 1:] * unit[:, :-1]).sum(-1)
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps), atol=1e-4, rtol=0)
    torch.testing.assert_close(interpolate(a[..., :1], b[..., :1], t), (1 - t) * a[..., :1] + t * b[..., :1])


def test_principal_components_say_how_much_they_show():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(500, 5)) * [3, 2, 0, 0, 0]
    flat, share = plane(z @ np.linalg.qr(rng.normal(size=(5, 5)))[0])
    assert share == pytest.approx(1)
    assert flat.var(0) == pytest.approx(np.linalg.eigvalsh(np.cov(z, rowvar=False, ddof=0))[:-3:-1])
    assert plane(z[:, :1])[0].shape == (500, 2)


def decoded(png):
    from io import BytesIO

    from PIL import Image

    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def test_a_heat_map_has_x_to_the_right_and_y_upwards():
    values = np.zeros((3, 2))
    values[2, 1] = 1.0
    brightness = decoded(heat_map(values, 1.0)).sum(-1)
    assert brightness.shape == (2, 3) and np.unravel_index(brightness.argmax(), (2, 3)) == (0, 2)


def test_a_sheet_has_its_images_row_by_row_in_their_grey_levels():
    images = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.ones((1, 1, 1, 4, 4), np.uint8)
    picture = decoded(sheet(images, 6))[..., 0]
    height, width = picture.shape[0] / 10, picture.shape[1] / 15
    for i in range(6):
        centre = picture[int((5 * (i // 3) + 2) * height), int((5 * (i % 3) + 2) * width)]
        assert centre == i * 51


def test_figure_data_is_noticed_to_be_damaged(tmp_path):
    path = tmp_path / "ring.json"
    write_figure_data(path, {"dataset": "ring"}, {"a/x": np.arange(3)})
    info, arrays = read_figure_data(path)
    assert info["dataset"] == "ring" and arrays["a/x"].tolist() == [0, 1, 2]
    path.with_suffix(".npz").write_bytes(path.with_suffix(".npz").read_bytes()[:-1])
    with pytest.raises(Exception, match=r"ring\.npz: damaged"):
        read_figure_data(path)
