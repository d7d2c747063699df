"""The model card for people: what a version is for, what it was made from, how good it is, what it must not be taken for."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from ml.model import ModelCard, ModelModule
from ml.schema import FEATURES

PAIRS: Final = {"interval": "Interval", "total_interval": "Total of the test customers, with its 80 % interval"}
TABLES: Final = {
    "calibration_table": "Calibration",
    "decile_table": "Tenths of customers, highest prediction first",
    "further_horizons": "Further horizons, on the newest date whose outcomes have passed, by a fit that ended before it",
    "groups": "Groups of the model that scores; `since` is the test date of the version that found a group first",
}


def card_text(card: ModelCard, module: ModelModule) -> str:
    """Markdown; equal cards give equal text."""
    return "\n\n".join(
        [
            f"# {card.model}: model card",
            module.PURPOSE,
            *_section("Data", [_data(card)]),
            *_section("Quality", [_quality(card), *_tables(card.metrics)]),
            *_section("Limits", [_bullets([*card.metrics.get("warnings", []), *module.LIMITS])]),
            *_section("Features", [_features(card, module)]),
            *_section("Parameters", [_parameters(card)]),
            *_section("Make it again", [_again(card)]),
        ]
    )


def _section(title: str, parts: Iterable[str]) -> list[str]:
    return [f"## {title}", *parts]


def _data(card: ModelCard) -> str:
    dates = ", ".join(day.isoformat() for day in card.train_dates)
    facts = {
        "outcomes": f"the {card.horizon_days} days after each date",
        "trained on": f"{card.train_rows:,} rows of {dates}",
        "judged on": f"{card.test_rows:,} rows of {card.test_date}, none of whose outcomes it had seen",
        "the model that scores": f"the same recipe, fitted once more on all labelled dates up to {card.test_date}",
        "fingerprint of all rows": f"`{card.data_fingerprint}`",
    }
    return _table(["", ""], facts.items())


def _quality(card: ModelCard) -> str:
    names = [name for name, value in card.metrics.items() if isinstance(value, int | float) and name != "rows"]
    columns = {f"**{card.model}**": card.metrics, **card.baseline_metrics}
    rows = [[name, *(_number(metrics.get(name)) for metrics in columns.values())] for name in names]
    return "The model beside simple rules on the same rows.\n\n" + _table(["", *columns], rows)


def _tables(metrics: Mapping[str, Any]) -> list[str]:
    found = []
    for name, title in TABLES.items():
        if rows := metrics.get(name):
            found.append(f"{title}:\n\n" + _table(list(rows[0]), [[_cell(*each) for each in r.items()] for r in rows]))
    for name, title in PAIRS.items():
        if pairs := metrics.get(name):
            found.append(f"{title}:\n\n" + _table(["", ""], [(key, _number(value)) for key, value in pairs.items()]))
    if sizes := metrics.get("names_and_sizes"):
        found.append("Groups on the test date:\n\n" + _table(["segment", "customers"], sizes.items()))
    return found


def _features(card: ModelCard, module: ModelModule) -> str:
    """A module that reads other columns than those of customers says what they mean, as FEATURES."""
    known = {feature.name: feature for feature in (*FEATURES, *getattr(module, "FEATURES", ()))}
    rows = [(f"`{name}`", known[name].unit, known[name].words.format(value="…")) for name in card.features]
    return _table(["feature", "unit", "in words"], rows)


def _parameters(card: ModelCard) -> str:
    return _table(["", ""], [(name, f"`{value}`") for name, value in card.parameters.items()])


def _again(card: ModelCard) -> str:
    as_of = card.test_date + timedelta(days=card.horizon_days)
    return (
        f"With the events that were known then, the same versions of Weft and its libraries and `WEFT_SEED={card.seed}`, "
        f"`weft run --as-of {as_of}` trains on rows of the same fingerprint and gives the same files bit for bit: "
        "the version is the hash of their hashes."
    )


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"* {sentence}" for sentence in sentences)


def _table(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in [columns, ["---"] * len(columns), *rows]]
    return "\n".join(lines)


def _cell(name: str, value: Any) -> str:
    return str(value) if name == "id" or isinstance(value, str) else _number(value)


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
