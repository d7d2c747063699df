"""Identity quality over easier and harder shops: Weft beside three simple ways of stitching, judged by the simulator's truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from bench.comparison import markdown_table
from bench.harness import Facts, measure, workspace
from bench.stitched_shops import SETTINGS, Setting

JUDGE = "bench.stitched_shops:judge"
TARGETS = {"pairwise_precision": 0.995, "pairwise_recall": 0.96, "exact_share": 0.96}
HEAD = [
    "shop", "identifiers", "precision", "recall", "F1", "B-cubed F1", "exactly right", "of customers", "unreachable pairs",
    "last login wins", "one hop", "components", "targets",
]  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """One shop, and what each method made of it (rows of identity.quality, one for every repeat)."""

    setting: Setting
    runs: list[Facts]

    def row(self) -> list[str]:
        """The line of the table; the mean where a shop was judged more than once."""
        shares = [self.share("weft", name) for name in ("pairwise_precision", "pairwise_recall", "pairwise_f1")]
        shares += [self.share("weft", "bcubed_f1"), self.share("weft", "exact_share")]
        weft = self.runs[0]["weft"]
        missing = weft["unreachable_pairs"] / weft["true_pairs"]
        return [
            self.setting.label,
            f"{weft['identifier_count']:,}",
            *(f"{share:.4f}" for share in shares),
            f"{weft['connected_customer_count']:,}",
            f"{missing:.1%}",
            *(f"{self.share(name, 'pairwise_f1'):.4f}" for name in ("last_login_wins", "one_hop", "components")),
            self.verdict(),
        ]

    def share(self, method: str, name: str) -> float:
        """The mean of a measure; 0 where there was nothing to measure."""
        return mean(run[method][name] or 0.0 for run in self.runs)

    def verdict(self) -> str:
        """Which targets were missed; nothing for a shop without targets."""
        if not self.setting.has_targets:
            return ""
        missed = [name for name, least in TARGETS.items() if self.share("weft", name) < least]
        return f"**missed**: {', '.join(missed)}" if missed else "met"


def run(size: int, repeats: int) -> str:
    """Judge every shop and give the table as Markdown."""
    judged = []
    with workspace() as inputs:
        for name, setting in SETTINGS.items():
            (inputs / name).mkdir()
            runs = [measure(JUDGE, inputs=inputs / name, size=size).facts for _ in range(repeats)]
            judged.append(Judged(setting, runs))
    return report(judged, size)


def report(judged: Sequence[Judged], size: int) -> str:
    """The table with what it says."""
    lines = [
        f"{size:,} events each, `weft build` up to identity.quality; pairs of identifiers with one true owner. Recall counts pairs",
        "that noise-free evidence connects (unreachable: the others, of all true pairs); exactly right: of customers whose two or more",
        "identifiers it connects. In brackets the default in percent. The last three columns are F1 of the baselines. Targets:",
        f"{', '.join(f'{name} {least}' for name, least in TARGETS.items())}.",
    ]
    return "\n".join(["### Identity quality", "", *lines, "", *markdown_table(HEAD, [each.row() for each in judged])])
