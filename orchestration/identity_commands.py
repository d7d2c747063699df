"""`weft why` and `weft identity …`: why identifiers are one customer or not, what was decided, and what other rules would change."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from identity.rules import Rules, load_rules
from orchestration.decision_commands import TAKES_EFFECT, deciding_user
from orchestration.decision_records import Recorded
from orchestration.pass_commands import make_pass, parsed_instant, working
from orchestration.resources import Platform, build_platform
from orchestration.rule_file import changes, install_rules
from orchestration.state import utc_now
from orchestration.typed_identifiers import parse, shown

identity = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False)

RuleFile = Annotated[Path | None, typer.Option("--rules", help="A rule file; default: that of this installation.")]
NAMES_SHOWN = 3
MOST_STEPS = 40


def why(
    one: Annotated[str, typer.Argument(metavar="IDENTIFIER", help="type:value, such as email:anna@example.com.")],
    other: Annotated[str | None, typer.Argument(metavar="[IDENTIFIER]", help="Default: only about the first.")] = None,
    all_steps: Annotated[bool, typer.Option("--all", help=f"Every step, not only {MOST_STEPS}.")] = False,
) -> None:
    """Why two identifiers are one customer: the events that join them. Or why not: the rule that keeps them apart."""
    from orchestration.explaining import explain_one, explain_pair, made_since, way_lines

    platform = build_platform()
    rules, made = platform.rules, platform.state.decisions.by_seq()
    first, second = parse(one, rules), parse(other, rules) if other is not None else None
    with platform.warehouse.open_served() as served:
        since = made_since(served, made, [first] if second is None else [first, second])
        if second is None:
            for sentence in [*explain_one(served, made, rules, first), *since]:
                _say(sentence)
            return
        found = explain_pair(served, made, rules, first, second)
    for sentence in [*since, *found.sentences]:
        _say(sentence)
    for line in way_lines(found.way, most=len(found.way) if all_steps else MOST_STEPS):
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


@identity.command()
def plan(rules: RuleFile = None) -> None:
    """What other rules, and the decisions made since the served build, would change. Writes nothing."""
    from orchestration.identity_plan import make_plan, report_plan

    platform = build_platform()
    new = load_rules(rules) if rules else platform.rules
    with working("Deciding the evidence of the served build anew"), platform.warehouse.open_served() as served:
        found = make_plan(served, rules=new, decisions=platform.state.decisions.table(), salt=platform.salt)
    _print_changes(platform, new)
    for part in report_plan(found):
        console.print(part, markup=False)


@identity.command()
def apply(
    rules: RuleFile = None,
    as_of: Annotated[str | None, typer.Option(help="As of `weft run`.")] = None,
) -> None:
    """Make a rule file the installation's, and make the pass: everything downstream follows."""
    platform = build_platform()
    if rules is not None:
        new = load_rules(rules)
        _print_changes(platform, new)
        before = install_rules(rules, platform.settings.rule_file)
        _say(f"The rules are those of {rules}." + (f" The ones before are in {before}." if before else ""))
    make_pass(build_platform(), parsed_instant(as_of))


@identity.command()
def propose() -> None:
    """Match customers by what their contacts say and propose links; `weft review list` shows them. Merges nobody."""
    from orchestration.proposals import propose

    platform = build_platform()
    state = platform.state
    with working("Comparing the customers of the served build"), platform.warehouse.open_served() as served:
        statistics = propose(served, decisions=state.decisions.table(), proposals=state.proposals, now=utc_now())
    _say(statistics.sentence())


def _print_changes(platform: Platform, new: Rules) -> None:
    lines = changes(platform.rules, new)
    for line in lines:
        _say(line)
    if not lines:
        _say("The rules are those of this installation.")
    if new.default_country != platform.rules.default_country:
        _say("default_country changes how phone numbers are read: only the next run shows the effect of that.")


def _say(text: str) -> None:
    console.print(text, markup=False)


def _sides(record: Recorded) -> str:
    sides = []
    for side in record.decision.sides:
        more = f" and {len(side) - NAMES_SHOWN:,} more" if len(side) > NAMES_SHOWN else ""
        sides.append(", ".join(shown(name) for name in side[:NAMES_SHOWN]) + more)
    return " | ".join(sides)
