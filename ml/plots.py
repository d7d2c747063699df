"""Pictures of how good a model was on its test rows, as PNG bytes; drawn without a display."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

MODEL_COLOUR = "#1f5fa8"
OTHER_COLOUR = "#b8bcc4"


def calibration_plot(calibration_table: Sequence[dict[str, float]], *, title: str) -> bytes:
    """Reliability diagram over the number of customers per bin, from the `calibration_table` of the churn metrics."""
    figure = Figure(figsize=(6, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    said = [row["mean_probability"] for row in calibration_table]
    seen = [row["observed_rate"] for row in calibration_table]
    upper.plot([0, 1], [0, 1], color=OTHER_COLOUR, linestyle="--", label="perfect")
    upper.plot(said, seen, color=MODEL_COLOUR, marker="o", label="model")
    upper.set(title=title, ylabel="observed (share of customers)", ylim=(0, 1))
    upper.legend(loc="upper left", frameon=False)
    middles = [(row["from"] + row["to"]) / 2 for row in calibration_table]
    bars = lower.bar(middles, [row["rows"] for row in calibration_table], width=0.09, color=MODEL_COLOUR)
    lower.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    lower.set(xlabel="predicted probability", ylabel="customers", xlim=(0, 1))
    lower.margins(y=0.25)
    return _png(figure, upper, lower)


def decile_plot(decile_table: Sequence[dict[str, float]], *, title: str, currency: str) -> bytes:
    """Mean predicted and actual net revenue by tenth of customers, best first, from the `decile_table` of LTV metrics."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    tenths = [row["decile"] for row in decile_table]
    axes.bar(
        [t - 0.2 for t in tenths],
        [r["mean_predicted"] for r in decile_table],
        0.4,
        color=OTHER_COLOUR,
        label="predicted",
    )
    actual = axes.bar(
        [t + 0.2 for t in tenths], [r["mean_actual"] for r in decile_table], 0.4, color=MODEL_COLOUR, label="actual"
    )
    axes.bar_label(actual, fmt="{:,.0f}", fontsize=8)
    axes.set(title=title, xlabel="tenth of customers, highest prediction first", xticks=tenths)
    axes.set_ylabel(f"mean net revenue per customer ({currency})")
    axes.legend(frameon=False)
    return _png(figure, axes)


def segment_plot(sizes: dict[str, int], *, title: str) -> bytes:
    """Number of customers per segment, largest first."""
    figure = Figure(figsize=(8, 0.5 * len(sizes) + 1.5), layout="constrained")
    axes = figure.subplots()
    ranked = sorted(sizes.items(), key=lambda item: (item[1], item[0]))
    bars = axes.barh([name for name, _ in ranked], [size for _, size in ranked], color=MODEL_COLOUR)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set(title=title, xlabel="customers")
    axes.margins(x=0.12)
    return _png(figure, axes)


def drift_plot(indexes: dict[str, float], *, title: str, notable: float) -> bytes:
    """Population stability index of the columns that shifted most, largest first, beside the line that is `notable`."""
    most = list(indexes.items())[:12][::-1]
    figure = Figure(figsize=(7, 0.35 * len(most) + 1.5), layout="constrained")
    axes = figure.subplots()
    colours = [MODEL_COLOUR if index > notable else OTHER_COLOUR for _, index in most]
    bars = axes.barh([name for name, _ in most], [index for _, index in most], color=colours)
    axes.bar_label(bars, fmt="{:.2f}", fontsize=8, padding=3)
    axes.axvline(notable, color=MODEL_COLOUR, linestyle="--", linewidth=1)
    axes.set(title=title, xlabel="population stability index against the training rows")
    axes.margins(x=0.12)
    return _png(figure, axes)


def beside_baselines_plot(
    model: str, metrics: dict[str, Any], baselines: dict[str, Any], names: Sequence[str]
) -> bytes:
    """One row of bars per metric in `names`: the model beside every rule that was judged on the same rows."""
    figure = Figure(figsize=(7, 1.2 + len(names) * (0.5 + 0.32 * (1 + len(baselines)))), layout="constrained")
    rows = {model: metrics, **baselines}
    for axes, name in zip(figure.subplots(len(names), 1, squeeze=False)[:, 0], names, strict=True):
        found = {said.replace("_", " "): each[name] for said, each in rows.items() if _is_number(each.get(name))}
        colours = [MODEL_COLOUR if said == model.replace("_", " ") else OTHER_COLOUR for said in found]
        bars = axes.barh([*found][::-1], [*found.values()][::-1], color=colours[::-1])
        axes.bar_label(bars, fmt="{:,.4g}", fontsize=8, padding=3)
        axes.set_title(name.replace("_", " "), loc="left", fontsize=10)
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _png(figure: Figure, *axes: Axes) -> bytes:
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    buffer, metadata = BytesIO(), {"Software": "Weft"}
    FigureCanvasAgg(figure).print_png(buffer, metadata=metadata)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def model_plot(model: str, metrics: dict[str, Any], *, currency: str) -> bytes | None:
    """The picture that belongs to a model's metrics; None for a model that has none."""
    if "calibration_table" in metrics:
        text = f"{model}: predicted and observed\n{metrics['rows']:,} test customers, Brier {metrics['brier']:.3f}"
        return calibration_plot(metrics["calibration_table"], title=text)
    if "decile_table" in metrics:
        text = f"{model}: predicted and actual by tenth, {metrics['rows']:,} test customers"
        return decile_plot(metrics["decile_table"], title=text, currency=currency)
    if "names_and_sizes" in metrics:
        return segment_plot(metrics["names_and_sizes"], title=f"{model}: test customers per segment")
    return None
