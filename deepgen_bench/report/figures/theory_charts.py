"""Figures of textbook claims. Each function maps the tables of a claim to (name, title, caption, chart) tuples."""

from collections.abc import Callable, Mapping

import altair as alt
import pandas as pd

from deepgen_bench.report.figures.charts import Chart
from deepgen_bench.report.figures.colours import GREY, PALETTE

Tables = Mapping[str, pd.DataFrame]
Charts = list[tuple[str, str, str, Chart]]
BLUE, ORANGE, GREEN = PALETTE[:3]
WIDE, HIGH = 300, 210


def colour(field: str, names: list[str], *, first_grey: bool = False) -> alt.Color:
    """The colours of `names`; `first_grey` for the first one being an exact value."""
    colours = [GREY, *PALETTE] if first_grey else PALETTE
    return alt.Color(f"{field}:N", title=None, scale=alt.Scale(domain=names, range=colours[: len(names)]))


def mixture(tables: Tables) -> Charts:
    densities = tables["densities"]
    exact = densities[densities["distribution"] == "quadrature"]
    trained = densities[densities["distribution"] != "quadrature"]
    x, y = alt.X("x:Q", title="x"), alt.Y("p:Q", title="density")
    bars = alt.Chart(tables["histogram"]).mark_bar(color=BLUE, opacity=0.35, binSpacing=0).encode(x, y)
    line = alt.Chart(exact).mark_line(color=GREY, strokeDash=[5, 3]).encode(x, y)
    vae = alt.Chart(trained).mark_line(color=ORANGE, strokeWidth=1).encode(x, y, detail="distribution:N")
    left = alt.layer(bars, line).properties(title="draws", width=WIDE, height=HIGH)
    right = alt.layer(vae, line).properties(title="trained VAEs", width=WIDE, height=HIGH)
    chart = alt.hconcat(left, right)
    caption = (
        "Left: a histogram of draws. Right: the densities of VAEs trained on draws, one line for each. Dashed: the "
        "density by quadrature."
    )
    return [("densities", "Density and draws of a mixture, and densities of trained VAEs", caption, chart)]


def transformation(tables: Tables) -> Charts:
    data = tables["curves"]
    names = list(dict.fromkeys(data["distribution"]))
    exact = data[data["which"] == "exact"].rename(columns={"F": "exact"})[["distribution", "x", "exact"]]
    data = data[data["which"] != "exact"].merge(exact, on=["distribution", "x"])
    data["difference"] = data["F"] - data["exact"]
    lines = (
        alt.Chart(data)
        .mark_line(strokeWidth=1.4)
        .encode(
            alt.X("x:Q", title="x", scale=alt.Scale(nice=False)),
            alt.Y("difference:Q", title="F(x) − exact"),
            colour("which", ["transformation", "generator"]),
            detail="seed:N",
        )
    )
    panels = lines.properties(width=210, height=180).facet(alt.Facet("distribution:N", title=None, sort=names))
    caption = (
        "Empirical distribution functions of draws of the transformed variable, and of generators trained on such "
        "draws (one line for each), minus the exact distribution function."
    )
    return [("distributions", "Three transformations", caption, panels.resolve_scale(x="independent"))]


def bound(tables: Tables) -> Charts:
    gaps = tables["gaps"]
    y = alt.Y("case:N", title=None, sort=None)
    x = alt.X("ELBO:Q", title="nats", scale=alt.Scale(zero=False))
    base = alt.Chart(gaps)
    bars = base.mark_bar(height=14, color=ORANGE).encode(x, y, x2="log p(x):Q")
    exact = base.mark_tick(color=GREY, thickness=3, size=20).encode(alt.X("log p(x):Q"), y)
    elbo = base.mark_tick(color=BLUE, thickness=3, size=20).encode(x, y)
    left = alt.layer(bars, exact, elbo).properties(width=WIDE, height=130, title="ELBO (blue) and log p(x) (grey)")
    curve = tables["curve"]
    axes = (
        alt.X("K:Q", scale=alt.Scale(type="log"), title="K"),
        alt.Y("bound:Q", title="nats", scale=alt.Scale(zero=False)),
    )
    line = alt.Chart(curve).mark_line(point=True, color=BLUE).encode(*axes)
    top = alt.Chart(curve).mark_rule(color=GREY, strokeDash=[5, 3]).encode(y="mean(log p(x)):Q")
    right = alt.layer(line, top).properties(width=220, height=130, title="importance-weighted bound")
    caption = (
        "Left: for each q, the difference between log p(x) and the ELBO is KL(q ‖ p(z|x)). Right: with more importance "
        "samples the bound increases to log p(x) (dashed)."
    )
    return [("gaps", "The gap between the ELBO and log p(x)", caption, alt.hconcat(left, right))]


def optimal_discriminator(tables: Tables) -> Charts:
    data = tables["curves"]
    names = ["p*/(p* + p_g)", "trained"]
    x, y = alt.X("x:Q", title="x"), alt.Y("D:Q", title="D(x)", scale=alt.Scale(domain=[0, 1]))
    colours = colour("which", names, first_grey=True)
    trained = alt.Chart().mark_line(strokeWidth=1.2).encode(x, y, colours, detail="seed:N")
    trained = trained.transform_filter("datum.which == 'trained'")
    exact = alt.Chart().mark_line(strokeDash=[5, 3], strokeWidth=2).encode(x, y, colours)
    exact = exact.transform_filter("datum.which != 'trained'")
    chart = (
        alt.layer(trained, exact, data=data)
        .properties(width=WIDE, height=HIGH)
        .facet(alt.Facet("pair:N", title=None, sort=None))
    )
    caption = "The exact ratio (dashed), and discriminators after training, one line for each."
    return [("ratio", "Discriminators and the exact ratio", caption, chart)]


def objective(tables: Tables) -> Charts:
    data = tables["values"]
    names = ["2·JSD − 2 log 2", "trained, one per seed", "D = 1/2"]
    x = alt.X("value:Q", title="V(D)", scale=alt.Scale(zero=False))
    y = alt.Y("pair:N", title=None, sort=None)
    # the tick of the exact value is longer than those of the seeds, which are on top of it
    layers = [
        alt.Chart(data[(data["which"] == names[0]) == exact])
        .mark_tick(thickness=2.5, size=40 if exact else 20)
        .encode(x, y, colour("which", names, first_grey=True))
        for exact in (True, False)
    ]
    chart = alt.layer(*layers).properties(width=2 * WIDE, height=100)
    return [("values", "The value of the objective", "On draws that were not used for training.", chart)]


def disjoint_supports(tables: Tables) -> Charts:
    distances = tables["distances"].melt("theta", ["jsd", "w1"], "distance", "value")
    distances["distance"] = distances["distance"].map({"jsd": "JSD", "w1": "W1"})
    left = (
        alt.Chart(distances)
        .mark_line(point=True)
        .encode(alt.X("theta:Q", title="θ"), alt.Y("value:Q", title="distance"), colour("distance", ["JSD", "W1"]))
        .properties(width=220, height=HIGH, title="distances")
    )
    data = tables["gradients"]
    # a logarithmic axis cannot show 0
    data = data.assign(**{name: data[name].clip(lower=1e-8) for name in ("gradient", "low", "high")})
    losses = ["minimax", "non-saturating", "Wasserstein"]
    x = alt.X("step:Q", title="training steps of the discriminator", scale=alt.Scale(type="log"))
    y = alt.Y("gradient:Q", title="|gradient|", scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e", tickCount=5))
    band = alt.Chart().mark_rule(opacity=0.5).encode(x, alt.Y("low:Q"), colour("loss", losses), y2="high:Q")
    line = alt.Chart().mark_line(point=True).encode(x, y, colour("loss", losses))
    right = (
        alt.layer(line, band, data=data)
        .properties(width=170, height=HIGH)
        .facet(alt.Facet("theta:N", title="θ"), columns=4)
    )
    caption = (
        "Above: distances between samples of U[0, 1] and U[θ, θ + 1]. Below: the generator's gradient for three losses "
        "during the training of the discriminator or critic; bars extend from the smallest to the largest value over "
        "seeds; values below 1e-8 are drawn at 1e-8."
    )
    return [
        ("gradients", "Distances and gradients", caption, alt.vconcat(left, right).resolve_scale(color="independent"))
    ]


def stability(tables: Tables) -> Charts:
    x = alt.X("FD:Q", title="FD", scale=alt.Scale(type="log", nice=False, padding=10))
    models = list(dict.fromkeys(tables["distances"]["model"]))
    y = alt.Y("model:N", title=None, sort=models)
    left = alt.Chart(tables["distances"]).mark_circle(size=50, opacity=0.6, color=BLUE).encode(x, y)
    parts = [left.properties(width=WIDE, height=140, title="one point for each seed")]
    if len(tables.get("modes", ())):
        bars = (
            alt.Chart(tables["modes"])
            .mark_circle(color=ORANGE)
            .encode(
                alt.X("modes:Q", title="modes covered", scale=alt.Scale(zero=False)),
                y,
                alt.Size("count():Q", title="seeds"),
            )
        )
        parts.append(bars.properties(width=WIDE, height=140, title="modes covered"))
    return [("spread", "Outcomes over seeds", "Replicates differ only in the seed.", alt.hconcat(*parts))]


def critic(tables: Tables) -> Charts:
    data = tables["curves"].assign(m=lambda d: "m = " + d["m"].map("{:g}".format))
    shifts = list(dict.fromkeys(data["m"]))

    def panel(field: str, title: str, critic: str) -> alt.Chart:
        return (
            alt.Chart(data[data["critic"] == critic], title=f"{title}, {critic}")
            .mark_line(strokeWidth=1.2)
            .encode(
                alt.X("step:Q", title="steps", scale=alt.Scale(type="log")),
                alt.Y(f"{field}:Q", title=None, scale=alt.Scale(zero=False)),
                colour("m", shifts),
                detail="seed:N",
            )
            .properties(width=220, height=170)
        )

    fields = (("ratio", "estimate / W1"), ("slope", "slope"))
    rows = [alt.hconcat(*(panel(*field, critic) for field in fields)) for critic in ("penalty", "clipping")]
    caption = "One line for each seed and each distance m between the distributions."
    return [("training", "Critics during training", caption, alt.vconcat(*rows))]


def observation_noise(tables: Tables) -> Charts:
    names = {"kl": "KL [nats]", "active": "active units", "error": "squared error"}
    data = tables["values"]
    x = alt.X("tau2:Q", title="τ²", scale=alt.Scale(type="log"), axis=alt.Axis(values=[0.02, 0.1, 0.5, 2, 6]))
    parts = []
    for name, title in names.items():
        exact = alt.Chart(tables["predicted"]).mark_line(
            color=GREY, strokeDash=[5, 3], interpolate="step-after" if name == "active" else "linear"
        )
        exact = exact.encode(x, alt.Y(f"{name}:Q", title=None))
        values = alt.Chart(data[data["quantity"] == name]).mark_point(color=BLUE, filled=True, size=45, opacity=0.7)
        values = values.encode(x, alt.Y("value:Q", title=None))
        parts.append(alt.layer(exact, values).properties(width=220, height=170, title=title))
    caption = (
        "Dashed: prediction from the eigenvalues 4 and 1 of the data's covariance. Points: VAEs trained with fixed τ², "
        "one for each seed."
    )
    return [("tau", "Reconstruction and KL", caption, alt.hconcat(*parts))]


CHARTS: dict[str, Callable[[Tables], Charts]] = {
    "mixture": mixture,
    "transformation": transformation,
    "bound": bound,
    "optimal_discriminator": optimal_discriminator,
    "objective": objective,
    "disjoint_supports": disjoint_supports,
    "stability": stability,
    "critic": critic,
    "observation_noise": observation_noise,
}
