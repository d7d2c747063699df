"""`python -m ml.feature_table`: the features as docs/features.md has them."""

from ml.features import FEATURES


def feature_table() -> str:
    """Markdown, one row per feature: name, type, unit, how it is computed, and a value in words."""
    lines = ["| feature | type | unit | how it is computed | in words |", "|---|---|---|---|---|"]
    for feature in FEATURES:
        words = feature.words.format(value="*n*")
        lines.append(f"| `{feature.name}` | {feature.type} | {feature.unit} | {feature.how} | {words} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(feature_table(), end="")
