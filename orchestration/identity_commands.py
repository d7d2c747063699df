"""`weft why` and `weft identity …`: why identifiers are one customer or not, what was decided, and what other rules would change."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.decision_commands import TAKES_EFFECT, deciding_user
from orchestration.decision_records import Recorded
from orchestration.explaining import Link, explain_one, explain_pair
from orchestration.resources import build_platform
from orchestration.state import utc_now
from orchestration.typed_identifiers import parse, shown

identity = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False)

NAMES_SHOWN = 3
MOST_STEPS = 40


def why(
    one: Annotated[str, typer.Argument(metavar="IDENTIFIER", help="type:value, such as email:anna@example.com.")],
    other: Annotated[str | None, typer.Argument(metavar="[IDENTIFIER]", help="Default: only about the first.")] = None,
    all_steps: Annotated[bool, typer.Option("--all", help=f"Every step, not only {MOST_STEPS}.")] = False,
) -> None:
    """Why two identifiers are one customer: the events that join them. Or why not: the rule that keeps them apart."""
    platform = build_platform()
    rules, made = platform.rules, platform.state.decisions.by_seq()
    first, second = parse(one, rules), parse(other, rules) if other is not None else None
    with platform.warehouse.open_served() as served:
        if second is None:
            for sentence in explain_one(served, made, rules, first):
                _say(sentence)
            return
        found = explain_pair(served, made, rules, first, second)
    for sentence in found.sentences:
        _say(sentence)
    for line in _steps(found.way, len(found.way) if all_steps else MOST_STEPS):
        _say(line)


@identity.command()
def decisions(
    with_withdrawn: Annotated[bool, typer.Option("--all", help="Those too that were withdrawn.")] = False,
) -> None:
    """What people decided, in the order in which they did."""
    found = build_platform().state.decisions.list(with_withdrawn=with_withdrawn)
    if not found:
        console.print("Nothing was decided; `weft link`, `weft forbid`, `weft split` and `weft review` do that.")
        return
    table = Table("nr", "what", "identifiers", "made", "by", "note", "", box=None)
    for record in found:
        table.add_row(
            str(record.seq),
            record.decision.command,
            Text(_sides(record)),
            f"{record.made_at:%Y-%m-%d %H:%M}",
            Text(record.made_by),
            Text(record.note),
            Text("" if record.is_in_force else f"withdrawn {record.withdrawn_at:%Y-%m-%d} by {record.withdrawn_by}"),
        )
    console.print(table)


@identity.command()
def withdraw(
    seq: Annotated[int, typer.Argument(help="A number that `weft identity decisions` shows.")],
    by: Annotated[str | None, typer.Option(help="Who decides; default: the user of this computer.")] = None,
) -> None:
    """Take a decision back, as if it had not been made."""
    record = build_platform().state.decisions.withdraw(seq, by=deciding_user(by), now=utc_now())
    console.print(f"Decision {seq} (weft {record.decision.command}) is withdrawn. {TAKES_EFFECT}", markup=False)


def _steps(way: Sequence[Link], most: int) -> Iterator[str]:
    """The way as lines; of a long one the beginning and the end."""
    if not way:
        return
    yield f"  {shown(way[0].start)}"
    left_out = range(most // 2, len(way) - (most - most // 2)) if len(way) > most else range(0)
    for number, link in enumerate(way):
        if number in left_out:
            if number == left_out.start:
                yield f"    … {len(left_out):,} more steps; --all shows them"
            continue
        yield f"    {'closed' if link.kept_apart else 'joined'} by {link.by}"
        yield f"  {shown(link.end)}"


def _say(text: str) -> None:
    console.print(text, markup=False)


def _sides(record: Recorded) -> str:
    sides = []
    for side in record.decision.sides:
        more = f" and {len(side) - NAMES_SHOWN:,} more" if len(side) > NAMES_SHOWN else ""
        sides.append(", ".join(shown(name) for name in side[:NAMES_SHOWN]) + more)
    return " | ".join(sides)
