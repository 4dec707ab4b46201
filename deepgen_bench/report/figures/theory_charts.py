"""The figures of measured claims: from a claim's tables to (name, title, caption, chart)."""

from collections.abc import Callable, Mapping

import altair as alt
import pandas as pd

from deepgen_bench.report.figures.charts import Chart
from deepgen_bench.report.figures.colours import GREY, PALETTE

Tables = Mapping[str, pd.DataFrame]
Drawn = list[tuple[str, str, str, Chart]]
BLUE, ORANGE, GREEN = PALETTE[:3]
WIDE, HIGH = 300, 210


def _colour(field: str, names: list[str], title: str | None = None) -> alt.Color:
    colours = [GREY, *PALETTE] if names[0].startswith(("law", "p*/", "2·JSD", "quadrature")) else PALETTE
    return alt.Color(f"{field}:N", title=title, scale=alt.Scale(domain=names, range=colours[: len(names)]))


def mixture(tables: Tables) -> Drawn:
    laws = tables["laws"]
    truth, learnt = laws[laws["law"] == "quadrature"], laws[laws["law"] != "quadrature"]
    x, y = alt.X("x:Q", title="x"), alt.Y("p:Q", title="density")
    bars = alt.Chart(tables["histogram"]).mark_bar(color=BLUE, opacity=0.35, binSpacing=0).encode(x, y)
    line = alt.Chart(truth).mark_line(color=GREY, strokeDash=[5, 3]).encode(x, y)
    vae = alt.Chart(learnt).mark_line(color=ORANGE, strokeWidth=1).encode(x, y, detail="law:N")
    left = alt.layer(bars, line).properties(title="draws", width=WIDE, height=HIGH)
    right = alt.layer(vae, line).properties(title="trained VAEs", width=WIDE, height=HIGH)
    chart = alt.hconcat(left, right)
    caption = (
        "Draws (left) and the laws of VAEs trained on draws, a line each (right); dashed: the density by quadrature."
    )
    return [("laws", "A mixture's density, its draws, and what VAEs learn of it", caption, chart)]


def transformation(tables: Tables) -> Drawn:
    data = tables["curves"]
    laws = list(dict.fromkeys(data["law"]))
    law = data[data["which"] == "law"].rename(columns={"F": "exact"})[["law", "x", "exact"]]
    data = data[data["which"] != "law"].merge(law, on=["law", "x"])
    data["difference"] = data["F"] - data["exact"]
    lines = (
        alt.Chart(data)
        .mark_line(strokeWidth=1.4)
        .encode(
            alt.X("x:Q", title="x", scale=alt.Scale(nice=False)),
            alt.Y("difference:Q", title="F(x) − the law's"),
            _colour("which", ["transformation", "generator"]),
            detail="seed:N",
        )
    )
    panels = lines.properties(width=210, height=180).facet(alt.Facet("law:N", title=None, sort=laws))
    caption = (
        "Distribution functions of the transformation's draws, and of generators trained on such draws, a line "
        "each, minus that of the law."
    )
    return [("laws", "Three transformations", caption, panels.resolve_scale(x="independent"))]


def bound(tables: Tables) -> Drawn:
    gaps = tables["gaps"]
    y = alt.Y("case:N", title=None, sort=None)
    x = alt.X("ELBO:Q", title="nats", scale=alt.Scale(zero=False))
    base = alt.Chart(gaps)
    bars = base.mark_bar(height=14, color=ORANGE).encode(x, y, x2="log p(x):Q")
    exact = base.mark_tick(color=GREY, thickness=3, size=20).encode(alt.X("log p(x):Q"), y)
    elbo = base.mark_tick(color=BLUE, thickness=3, size=20).encode(x, y)
    left = alt.layer(bars, exact, elbo).properties(width=WIDE, height=130, title="ELBO (blue) and log p(x) (grey)")
    curve = tables["curve"]
    of = (
        alt.X("K:Q", scale=alt.Scale(type="log"), title="K"),
        alt.Y("bound:Q", title="nats", scale=alt.Scale(zero=False)),
    )
    line = alt.Chart(curve).mark_line(point=True, color=BLUE).encode(*of)
    top = alt.Chart(curve).mark_rule(color=GREY, strokeDash=[5, 3]).encode(y="mean(log p(x)):Q")
    right = alt.layer(line, top).properties(width=220, height=130, title="importance-weighted bound")
    caption = (
        "Left: for each q, what lies between the ELBO and log p(x) is KL(q ‖ p(z|x)). Right: with more importance "
        "samples the bound rises to log p(x) (dashed)."
    )
    return [("gaps", "What the ELBO leaves out", caption, alt.hconcat(left, right))]


def optimal_discriminator(tables: Tables) -> Drawn:
    data = tables["curves"]
    names = ["p*/(p* + p_g)", "trained"]
    x, y = alt.X("x:Q", title="x"), alt.Y("D:Q", title="D(x)", scale=alt.Scale(domain=[0, 1]))
    trained = alt.Chart().mark_line(strokeWidth=1.2).encode(x, y, _colour("which", names), detail="seed:N")
    trained = trained.transform_filter("datum.which == 'trained'")
    exact = alt.Chart().mark_line(strokeDash=[5, 3], strokeWidth=2).encode(x, y, _colour("which", names))
    exact = exact.transform_filter("datum.which != 'trained'")
    chart = (
        alt.layer(trained, exact, data=data)
        .properties(width=WIDE, height=HIGH)
        .facet(alt.Facet("laws:N", title=None, sort=None))
    )
    caption = "The exact ratio (dashed) and discriminators after training, a line each."
    return [("ratio", "Discriminators against the exact ratio", caption, chart)]


def objective(tables: Tables) -> Drawn:
    data = tables["values"]
    names = ["2·JSD − 2 log 2", "trained, a seed each", "D = 1/2"]
    x = alt.X("value:Q", title="V(D)", scale=alt.Scale(zero=False))
    y = alt.Y("laws:N", title=None, sort=None)
    # the exact value reaches beyond the seeds', which lie on it
    layers = [
        alt.Chart(data[(data["which"] == names[0]) == exact])
        .mark_tick(thickness=2.5, size=40 if exact else 20)
        .encode(x, y, _colour("which", names))
        for exact in (True, False)
    ]
    chart = alt.layer(*layers).properties(width=2 * WIDE, height=100)
    return [("values", "The objective's value", "On draws that the discriminators were not trained on.", chart)]


def disjoint_supports(tables: Tables) -> Drawn:
    distances = tables["distances"].melt("theta", ["jsd", "w1"], "distance", "value")
    distances["distance"] = distances["distance"].map({"jsd": "JSD", "w1": "W1"})
    left = (
        alt.Chart(distances)
        .mark_line(point=True)
        .encode(alt.X("theta:Q", title="θ"), alt.Y("value:Q", title="distance"), _colour("distance", ["JSD", "W1"]))
        .properties(width=220, height=HIGH, title="distances")
    )
    data = tables["gradients"]
    # what is 0 to a logarithm
    data = data.assign(**{name: data[name].clip(lower=1e-8) for name in ("gradient", "low", "high")})
    losses = ["minimax", "non-saturating", "Wasserstein"]
    x = alt.X("step:Q", title="training steps of the judge", scale=alt.Scale(type="log"))
    y = alt.Y("gradient:Q", title="|gradient|", scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e", tickCount=5))
    band = alt.Chart().mark_rule(opacity=0.5).encode(x, alt.Y("low:Q"), _colour("loss", losses), y2="high:Q")
    line = alt.Chart().mark_line(point=True).encode(x, y, _colour("loss", losses))
    right = (
        alt.layer(line, band, data=data)
        .properties(width=170, height=HIGH)
        .facet(alt.Facet("theta:N", title="θ"), columns=4)
    )
    caption = (
        "Above: distances of U[0, 1] and U[θ, θ + 1] by samples. Below: the generator's gradient by three losses "
        "as its judge is trained; lines from the smallest to the largest of the seeds; values below 1e-8 are "
        "drawn there."
    )
    return [
        ("gradients", "Distances and gradients", caption, alt.vconcat(left, right).resolve_scale(color="independent"))
    ]


def stability(tables: Tables) -> Drawn:
    x = alt.X("FD:Q", title="FD", scale=alt.Scale(type="log", nice=False, padding=10))
    models = list(dict.fromkeys(tables["distances"]["model"]))
    y = alt.Y("model:N", title=None, sort=models)
    left = alt.Chart(tables["distances"]).mark_circle(size=50, opacity=0.6, color=BLUE).encode(x, y)
    parts = [left.properties(width=WIDE, height=140, title="a point for each seed")]
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
    return [("spread", "Outcomes over seeds", "Replicates differ in the seed alone.", alt.hconcat(*parts))]


def critic(tables: Tables) -> Drawn:
    data = tables["course"].assign(m=lambda d: "m = " + d["m"].map("{:g}".format))
    shifts = list(dict.fromkeys(data["m"]))

    def panel(field: str, title: str, which: str) -> alt.Chart:
        own = data[data["critic"] == which]
        return (
            alt.Chart(own, title=f"{title}, {which}")
            .mark_line(strokeWidth=1.2)
            .encode(
                alt.X("step:Q", title="steps", scale=alt.Scale(type="log")),
                alt.Y(f"{field}:Q", title=None, scale=alt.Scale(zero=False)),
                _colour("m", shifts),
                detail="seed:N",
            )
            .properties(width=220, height=170)
        )

    first = [panel(field, title, "penalty") for field, title in (("ratio", "reading / W1"), ("slope", "slope"))]
    second = [panel(field, title, "clipping") for field, title in (("ratio", "reading / W1"), ("slope", "slope"))]
    chart = alt.vconcat(alt.hconcat(*first), alt.hconcat(*second))
    return [("course", "Critics in training", "A line for each seed and each distance m of the laws.", chart)]


def observation_noise(tables: Tables) -> Drawn:
    names = {"kl": "KL [nats]", "active": "active units", "error": "squared error"}
    data = tables["course"]
    x = alt.X("tau2:Q", title="τ²", scale=alt.Scale(type="log"), axis=alt.Axis(values=[0.02, 0.1, 0.5, 2, 6]))
    parts = []
    for name, title in names.items():
        exact = alt.Chart(tables["predicted"]).mark_line(
            color=GREY, strokeDash=[5, 3], interpolate="step-after" if name == "active" else "linear"
        )
        exact = exact.encode(x, alt.Y(f"{name}:Q", title=None))
        own = alt.Chart(data[data["quantity"] == name]).mark_point(color=BLUE, filled=True, size=45, opacity=0.7)
        own = own.encode(x, alt.Y("value:Q", title=None))
        parts.append(alt.layer(exact, own).properties(width=220, height=170, title=title))
    caption = (
        "Dashed: what the eigenvalues 4 and 1 of the data's covariance predict. Points: VAEs trained at fixed τ², one "
        "for each seed."
    )
    return [("tau", "Reconstruction against KL", caption, alt.hconcat(*parts))]


CHARTS: dict[str, Callable[[Tables], Drawn]] = {
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
