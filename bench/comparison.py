"""Weft beside its peers: the table of what each took, and the ratios that the targets of SPEC 14 are about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.harness import Contender, Measurement, Work, interleaved, measure, workspace


@dataclass(frozen=True)
class Ratio:
    """Time of `over` divided by time of `under`, turn by turn; `at_most` or `at_least` is the target, if there is one."""

    over: str
    under: str
    at_most: float | None = None
    at_least: float | None = None

    def row(self, measured: dict[str, list[Measurement]]) -> list[str]:
        """Name, median with spread, the same of CPU time, target, and whether the median of the wall time meets it."""
        pairs = list(zip(measured[self.over], measured[self.under], strict=True))
        values = [over.seconds / under.seconds for over, under in pairs]
        # a run too short for the CPU clock has no CPU ratio
        cpu = [over.cpu_seconds / under.cpu_seconds for over, under in pairs if under.cpu_seconds]
        target = "" if self.at_most is None else f"<= {self.at_most:g}"
        target = f">= {self.at_least:g}" if self.at_least is not None else target
        shown = [spread(values), spread(cpu) if cpu else ""]
        return [f"{self.over} / {self.under}", *shown, target, self.verdict(median(values))]

    def verdict(self, value: float) -> str:
        """Whether a value meets the target; nothing where there is none."""
        if self.at_most is None and self.at_least is None:
            return ""
        is_met = (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)
        return "met" if is_met else "**missed**"


@dataclass(frozen=True)
class Comparison:
    """A benchmark with peers: what is done to `size` of `unit`, by whom, and which ratios count."""

    title: str
    unit: str
    prepare: Work
    contenders: tuple[Contender, ...]
    ratios: tuple[Ratio, ...]
    note: str = ""

    def run(self, size: int, repeats: int) -> str:
        """Measure and give the result as Markdown."""
        with workspace() as inputs:
            prepared = measure(self.prepare, inputs=inputs, size=size).facts
            measured = interleaved(self.contenders, inputs=inputs, size=size, repeats=repeats)
        lines = [f"### {self.title}", ""]
        lines += [f"{size:,} {self.unit}, n = {repeats}.{_said(prepared)}{f' {self.note}' if self.note else ''}", ""]
        lines += markdown_table(
            ["contender", "seconds", "CPU s", "peak MB", "found"], [_row(name, runs) for name, runs in measured.items()]
        )
        lines += [
            "",
            *markdown_table(
                ["ratio", "wall: median (min-max)", "CPU: median (min-max)", "target", ""],
                [r.row(measured) for r in self.ratios],
            ),
        ]
        return "\n".join(lines)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    cells = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(row) + " |" for row in cells]


def spread(values: Sequence[float]) -> str:
    """Median with minimum and maximum, e.g. `1.45 (1.40-1.52)`; the median alone of one value."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _row(name: str, runs: Sequence[Measurement]) -> list[str]:
    def middle(value: Callable[[Measurement], float], form: str) -> str:
        return format(median(value(run) for run in runs), form)

    found = ", ".join(f"{fact} {_shown(value)}" for fact, value in runs[-1].facts.items())
    cpu, peak = middle(lambda run: run.cpu_seconds, ".2f"), middle(lambda run: run.peak_mb, ",.0f")
    return [name, spread([run.seconds for run in runs]), cpu, peak, found]


def _said(facts: dict[str, object]) -> str:
    return f" {'; '.join(f'{name} {_shown(value)}' for name, value in facts.items())}." if facts else ""


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
