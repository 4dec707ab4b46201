"""The VAE's densities and bounds against closed forms, scipy and integrals over a grid."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import bernoulli, multivariate_normal, norm
from torch.distributions import Normal, kl_divergence

from deepgen_bench.datasets.representation import binarise, dequantise
from deepgen_bench.datasets.spec import DataSpec
from deepgen_bench.metrics.likelihood.held_out import HeldOut
from deepgen_bench.metrics.likelihood.importance import encoder_bounds, weigh
from deepgen_bench.metrics.likelihood.weights import iw_elbo_curve
from deepgen_bench.models.base import Streams, TrainingData
from deepgen_bench.models.vae.model import RAREST, VAE, kl_to_standard_normal, log_sigmoid_sum, standard_normal_log_prob
from deepgen_bench.plugins import MODELS
from deepgen_bench.training.replicate_rng import ReplicateRNG


def vae(dim, support="continuous", shape=None, levels=None, **settings):
    return VAE(MODELS["vae"].settings(**settings), DataSpec(shape or (dim,), support, levels), "cpu")


def fresh(model, seed=0):
    """The model with random weights and, for vectors, a shift and scale that matter."""
    model.module = model.build([torch.Generator().manual_seed(seed)]).eval()
    if model.spec.levels is None:
        model.module.shift[:] = torch.linspace(-2, 3, model.spec.dim)
        model.module.scale.fill_(1.7)
    return model


def test_kl_is_that_of_torch():
    mean, log_variance = torch.randn(2, 5, 3) * 2, torch.randn(2, 5, 3)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)
    assert kl_to_standard_normal(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0
    expected = Normal(0.0, 1.0).log_prob(mean).sum(-1)
    torch.testing.assert_close(standard_normal_log_prob(mean), expected)


@pytest.mark.parametrize("tau", [0.3, "learned"])
def test_gaussian_log_likelihood_is_scipy_s_in_data_units(tau):
    model = fresh(vae(3, hidden=(8,), tau=tau))
    x, z = torch.randn(1, 20, 3) * 2, torch.randn(1, 20, 2)
    with torch.no_grad():
        mean, found = model.decode(z)[0].numpy(), model.log_likelihood(x, z)[0].numpy()
        sd = model.log_tau().exp().item()
        learned = model.module.log_tau.exp().item()
    # a learned tau is in scaled units, a given one in data units
    assert sd == pytest.approx(0.3 if tau == 0.3 else 1.7 * learned, rel=1e-6)
    np.testing.assert_allclose(found, norm.logpdf(x[0].numpy(), mean, sd).sum(1), rtol=1e-5)
    # one x against many z, as the likelihood stage asks
    with torch.no_grad():
        broadcast = model.log_likelihood(x[:, :1].expand(1, 20, 3), z)[0].numpy()
    np.testing.assert_allclose(broadcast, norm.logpdf(x[0, :1].numpy(), mean, sd).sum(1), rtol=1e-5)


@pytest.mark.parametrize("dim", [1, 2, 63, 64, 784, 3072])
@pytest.mark.parametrize("scale", [0.01, 3.0, 100.0])
def test_sums_of_log_sigmoids_are_torch_s(dim, scale):
    t = torch.randn(20, dim, generator=torch.Generator().manual_seed(dim)) * scale
    expected = torch.nn.functional.logsigmoid(t.double()).sum(-1)
    torch.testing.assert_close(log_sigmoid_sum(t.clone()).double(), expected, rtol=2e-6, atol=1e-6)


def test_sums_of_log_sigmoids_at_infinity():
    t = torch.tensor([[50.0, torch.inf], [0.0, -torch.inf], [0.0, torch.nan]])
    *known, unknown = log_sigmoid_sum(t).tolist()
    assert known == [0, -math.inf] and math.isnan(unknown)


def test_bernoulli_log_likelihood_is_scipy_s():
    model = fresh(vae(12, "image", (1, 3, 4), 2, hidden=(8,), decoder="bernoulli"))
    x, z = (torch.rand(1, 20, 12) < 0.4).float(), torch.randn(1, 20, 2) * 3
    with torch.no_grad():
        logits, found = model.decode(z)[0].double().numpy(), model.log_likelihood(x, z)[0].numpy()
    np.testing.assert_allclose(found, bernoulli.logpmf(x[0], 1 / (1 + np.exp(-logits))).sum(1), rtol=1e-5)
    model.module.decoder[-1].bias.data.fill_(300)
    assert torch.isfinite(model.log_likelihood(x, z)).all()


def test_the_density_integrates_to_one_in_data_units():
    model = fresh(vae(1, hidden=(8,), latent_dim=1))
    z = torch.linspace(-7, 7, 401)
    x = torch.linspace(-30, 30, 3001)
    with torch.no_grad():
        log_px = model.log_likelihood(
            x.repeat_interleave(len(z)).reshape(1, -1, 1), z.repeat(len(x)).reshape(1, -1, 1)
        ).reshape(len(x), len(z))
    density = np.trapezoid(np.exp(log_px.double().numpy()) * norm.pdf(z.numpy()), z.numpy(), axis=1)
    assert np.trapezoid(density, x.numpy()) == pytest.approx(1, abs=1e-4)


def test_draws_have_the_model_s_own_noise_and_means_have_none():
    model = fresh(vae(2, hidden=(), tau=0.4))
    model.module.decoder[0].weight.data.zero_()
    drawn = model.sample(4000, 0)
    assert list(drawn) == ["draw"]
    np.testing.assert_allclose(drawn["draw"].std(0), 0.4, rtol=0.05)
    centre = (model.module.shift + model.module.scale * model.module.decoder[0].bias).detach().numpy().ravel()
    np.testing.assert_allclose(drawn["draw"].mean(0), centre, atol=0.03)
    images = fresh(vae(4, "image", (1, 2, 2), 2, hidden=(), decoder="bernoulli"))
    images.module.decoder[0].weight.data.zero_()
    images.module.decoder[0].bias.data[:] = torch.tensor([-2.0, -0.5, 0.5, 2])
    drawn = images.sample(4000, 0)
    np.testing.assert_allclose(drawn["draw"].reshape(4000, 4).mean(0), 1 / (1 + np.exp([2, 0.5, -0.5, -2])), atol=0.03)
    assert (drawn["mean"].reshape(4000, 4) == [0, 0, 1, 1]).all()


# the objectives


@pytest.mark.parametrize("decoder", ["gaussian", "bernoulli"])
def test_the_objectives_bound_the_same_thing(decoder):
    """The ELBO in closed form is the mean of log w, and L_k rises with k on the same draws (Burda et al. 2016)."""
    kind = {"support": "image", "shape": (1, 2, 3), "levels": 2} if decoder == "bernoulli" else {}
    elbo = fresh(vae(6, **kind, hidden=(8,), decoder=decoder))
    iwae = vae(6, **kind, hidden=(8,), decoder=decoder, objective="iwae", samples=64)
    iwae.module = elbo.module
    x = (torch.rand(1, 5, 6) < 0.5).float()
    noise = ReplicateRNG([1], "cpu").normal(64 * 200 * 5, 2)
    with torch.no_grad():
        many = x.repeat(1, 200, 1)
        means = {}
        for k in (1, 4, 16, 64):
            parts = noise.split(k * many.shape[1], 1)
            means[k] = torch.stack([iwae.bound(many, part)[0][0] for part in parts[:: max(1, 4 // k)]]).double()
        averages = [means[k].mean().item() for k in means]
        assert averages == sorted(averages)
        # per example and on the very same weights the order is exact
        one = noise[:, : 64 * 5]
        by_k = [torch.stack([iwae.bound(x, part)[0] for part in one.split(5 * k, 1)]).mean(0) for k in (1, 4, 16, 64)]
        assert all((low <= high + 1e-5).all() for low, high in zip(by_k, by_k[1:], strict=False))
        objective, reconstruction, kl = elbo.bound(many, noise[:, : many.shape[1]])
        torch.testing.assert_close(objective, reconstruction - kl)
        # k draws for the ELBO: the mean of their reconstructions
        mean, *_ = elbo.bound(x, one)
        single = torch.stack([elbo.bound(x, part)[0] for part in one.split(5, 1)]).mean(0)
        torch.testing.assert_close(mean, single)
    error = math.hypot(objective.std().item() / math.sqrt(1000), means[1].std().item() / math.sqrt(means[1].numel()))
    assert objective.mean().item() == pytest.approx(averages[0], abs=5 * error)


# a linear-Gaussian VAE, whose posterior and marginal are known: probabilistic principal components

D, Z, TAU = 6, 2, 0.5


def principal_components(widen=1.0):
    """A VAE with exact posterior (standard deviations times `widen`), and its marginal N(b, W W' + tau² I).

    The columns of W are orthogonal, so that the posterior's covariance tau² (W'W + tau² I)^-1 is diagonal.
    """
    rng = np.random.default_rng(0)
    w = np.linalg.qr(rng.standard_normal((D, Z)))[0] * [1.5, 0.8]
    b, shift, scale = rng.standard_normal(D) * 2, rng.standard_normal(D), 1.7
    precision = (w**2).sum(0) + TAU**2
    model = vae(D, hidden=(), tau=TAU, latent_dim=Z)
    to_mean = w / precision
    state = {
        "shift": shift[None, None],
        "scale": np.full((1, 1, 1), scale),
        "log_tau": np.full((1, 1, 1), math.log(TAU)),
        "encoder.0.weight": np.concatenate([scale * to_mean, np.zeros((D, Z))], 1)[None],
        "encoder.0.bias": np.concatenate(
            [(shift - b) @ to_mean, np.log(TAU**2 / precision) + 2 * math.log(widen)]
        ).reshape(1, 1, -1),
        "decoder.0.weight": w.T[None] / scale,
        "decoder.0.bias": ((b - shift) / scale).reshape(1, 1, -1),
    }
    model.load({name: array.astype(np.float32) for name, array in state.items()})
    marginal = multivariate_normal(b, w @ w.T + TAU**2 * np.eye(D))
    return model, marginal


def test_with_the_exact_posterior_every_weight_is_the_density():
    model, marginal = principal_components()
    x = marginal.rvs(8, random_state=1)
    with torch.no_grad():
        _, _, weights, _ = weigh(model, torch.as_tensor(x, dtype=torch.float32), 50, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(weights, np.tile(marginal.logpdf(x)[:, None], 50), atol=1e-4)


def test_with_the_exact_posterior_every_bound_is_exact():
    model, marginal = principal_components()
    x = marginal.rvs(40, random_state=1)
    found = encoder_bounds(model, HeldOut(x, model.spec, 0, "data"), (1, 10, 1000))
    for k in (1, 10, 1000):
        np.testing.assert_allclose(found.vectors[f"iw_elbo_k{k}"], marginal.logpdf(x), atol=1e-4)
    # the ELBO's reconstruction is an average over draws of z
    np.testing.assert_allclose(found.vectors["elbo"], marginal.logpdf(x), atol=0.2)
    assert found.vectors["elbo"].mean() == pytest.approx(marginal.logpdf(x).mean(), abs=0.03)


def test_with_a_wide_posterior_the_elbo_is_below_by_the_divergence_and_5000_weights_are_enough():
    model, marginal = principal_components(widen=1.2)
    x = marginal.rvs(40, random_state=1)
    truth = marginal.logpdf(x)
    found = encoder_bounds(model, HeldOut(x, model.spec, 0, "data"), (1, 100, 5000))
    gap = Z * (1.2**2 - 1 - math.log(1.2**2)) / 2
    assert (truth - found.vectors["elbo"]).mean() == pytest.approx(gap, abs=0.03)
    assert (truth - found.vectors["iw_elbo_k1"]).mean() == pytest.approx(gap, abs=0.03)
    assert np.abs(found.vectors["iw_elbo_k5000"] - truth).mean() < 0.05
    assert -0.02 < (truth - found.vectors["iw_elbo_k5000"]).mean() < 0.02
    assert 0 < (truth - found.vectors["iw_elbo_k100"]).mean() < gap


def test_a_bernoulli_vae_s_bound_reaches_the_integral_over_its_latent_space():
    """One latent dimension: p(x) by the trapezoid rule, for all 2^6 images, which sum to one."""
    model = fresh(vae(6, "image", (1, 2, 3), 2, hidden=(8,), decoder="bernoulli", latent_dim=1))
    model.module.decoder[-1].weight.data *= 8
    x = ((np.arange(64)[:, None] >> np.arange(6)) & 1).astype(np.float32)
    z = torch.linspace(-8, 8, 801)
    with torch.no_grad():
        log_px = torch.stack(
            [model.log_likelihood(torch.as_tensor(one).expand(1, 801, 6), z[None, :, None])[0] for one in x]
        )
        generator = torch.Generator().manual_seed(0)
        weights = [weigh(model, torch.as_tensor(part), 5000, generator)[2] for part in np.split(x, 8)]
    exact = np.log(np.trapezoid(np.exp(log_px.double().numpy()) * norm.pdf(z.numpy()), z.numpy(), axis=1))
    assert np.exp(exact).sum() == pytest.approx(1, abs=1e-5)
    curve = {k: values for k, (values, _) in iw_elbo_curve(np.concatenate(weights), (1, 50, 5000)).items()}
    np.testing.assert_allclose(curve[5000], exact, atol=0.15)  # the encoder is not trained: few weights count
    assert curve[5000].mean() == pytest.approx(exact.mean(), abs=0.01)
    assert (curve[1] < exact).all()


def test_training_approaches_the_entropy_and_does_not_pass_it():
    rng = np.random.default_rng(0)
    direction = np.array([1.5, -1.0])
    x = rng.standard_normal((4000, 1)) * direction + 0.3 * rng.standard_normal((4000, 2)) + [5, -3]
    marginal = multivariate_normal([5, -3], np.outer(direction, direction) + 0.09 * np.eye(2))
    model = vae(2, hidden=(32,), latent_dim=1, learning_rate=0.02, batch_size=128)
    (fit,) = model.fit(TrainingData(x[:3000], x[3000:]), [0], Streams(0, "d", "m"), 400 * 128, lambda *call: None)
    truth = marginal.logpdf(x[3000:]).mean()
    assert truth - 0.3 < fit.curves[-1]["validation_elbo"] < truth + 0.03


@pytest.mark.parametrize("decoder", ["gaussian", "bernoulli"])
def test_images_are_seen_around_their_mean_where_the_decoder_begins(decoder):
    """In the representation that the model is trained on, and bits that never vary have no infinite logits."""
    levels, rng = 256, np.random.default_rng(0)
    images = (rng.integers(0, levels, (500, 1, 2, 3)) // np.arange(1, 7).reshape(1, 2, 3)).astype(np.uint8)
    images[:, 0, 1, 1:] = 0, 255
    model = vae(6, "image", (1, 2, 3), levels, hidden=(), decoder=decoder)
    model.module = model.build([torch.Generator().manual_seed(s) for s in range(2)])
    model.fit_scale(images)
    made = dequantise if decoder == "gaussian" else binarise
    x = np.mean([made(images, levels, np.random.default_rng(s)) for s in range(40)], axis=(0, 1))
    np.testing.assert_allclose(model.module.shift[1, 0], x, atol=0.01)
    model.module.decoder[0].bias.data.zero_()
    begins = model.decode(torch.zeros(2, 1, 2))[0, 0].detach()
    begins = begins.numpy() if decoder == "gaussian" else begins.sigmoid().numpy()
    np.testing.assert_allclose(begins, x if decoder == "gaussian" else x.clip(RAREST, 1 - RAREST), atol=0.01)
