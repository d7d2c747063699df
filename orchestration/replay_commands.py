"""`weft rejected` and `weft replay`: what was refused, and sending it again once the cause is mended."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ingestion.mappings import load_mapping
from orchestration.collecting import ensure_raw_tables
from orchestration.consent_sweep import sweep_refusals
from orchestration.errors import ReplayError
from orchestration.log_passes import use_source_settings
from orchestration.pass_commands import parsed_instant, working
from orchestration.replaying import Selection, replay
from orchestration.resources import build_platform
from orchestration.state import utc_now
from orchestration.warehouse import Connection

console = Console(soft_wrap=True, highlight=False)
ID_SHOWN, SHORTEST_ID = 12, 4

Reason = Annotated[str | None, typer.Option(help="Only of this reason, such as unknown_currency.")]
Source = Annotated[str | None, typer.Option(help="Only of this source.")]
Since = Annotated[str | None, typer.Option(help="Only refused since this day or instant, ISO, UTC.")]


def replay_rejected(
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    mapping: Annotated[
        str | None, typer.Option(help="A mapping's YAML file, for rows that were imported with one of your own.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would become of them; write nothing.")] = False,
) -> None:
    """Send what was refused again, after its cause was mended. Conflicts only with --reason conflicting_body."""
    platform = build_platform()
    use_source_settings(platform)
    selection = Selection(reason, source, parsed_instant(since))
    chosen = load_mapping(mapping) if mapping else None
    with platform.warehouse.writer() as connection, working("Sending refused rows again"):
        report = replay(connection, selection, now=utc_now(), mapping=chosen, is_dry=dry_run)
        if not dry_run:
            sweep_refusals(platform, connection)
    for problem, rows in report.problems.items():
        console.print(f"[yellow]{rows:,} rows were not sent: {escape(problem)}[/]")
    console.print(report.sentence() + (" Nothing was written (--dry-run)." if dry_run and report.taken else ""))
    if report.problems:
        raise typer.Exit(2)


def rejected(
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    newest: Annotated[int, typer.Option("--list", help="Show so many of them, the newest first.", min=0)] = 0,
    show: Annotated[
        str | None, typer.Option(help="Write the bytes of one to stdout, by its id (or its beginning).")
    ] = None,
) -> None:
    """What was refused, by source and reason. Bytes, which may name a person, are shown of one row only, with --show."""
    selection = Selection(reason, source, parsed_instant(since))
    with build_platform().warehouse.writer() as connection:
        ensure_raw_tables(connection)
        if show is not None:
            _show(connection, show)
            return
        table = _newest(connection, selection, newest) if newest else _counts(connection, selection)
    console.print(table if table.row_count else "Nothing was refused.")


def _counts(connection: Connection, selection: Selection) -> Table:
    condition, values = selection.narrowed()
    rows = connection.rows(
        "select source, reason, count(*) - count(replayed_at), count(replayed_at), max(rejected_at), max(detail) "
        f"from raw.rejected_events where {condition} group by source, reason order by source, 3 desc, reason",
        values,
    )
    waiting_, settled_ = (Column(name, justify="right", no_wrap=True) for name in ("waiting", "settled"))
    table = Table("source", "reason", waiting_, settled_, "newest", Column("why", overflow="fold"), box=None)
    for of_source, code, waiting, settled, at, why in rows:
        table.add_row(of_source, code, f"{waiting:,}", f"{settled:,}", f"{at:%Y-%m-%d %H:%M}", escape(why or ""))
    return table


def _newest(connection: Connection, selection: Selection, limit: int) -> Table:
    condition, values = selection.narrowed()
    rows = connection.rows(
        "select reject_id, source, reason, origin, row_number, rejected_at, replayed_at from raw.rejected_events "
        f"where {condition} order by rejected_at desc, origin, row_number limit {limit}",
        values,
    )
    folded = (Column(name, overflow="fold") for name in ("source", "reason", "from", "row", "refused", "settled"))
    table = Table(Column("id", no_wrap=True), *folded, box=None)
    for reject_id, of_source, code, origin, row, refused_at, settled_at in rows:
        instants = (f"{at:%Y-%m-%d %H:%M}" if at else "-" for at in (refused_at, settled_at))
        table.add_row(reject_id[:ID_SHOWN], of_source, code, escape(origin), str(row), *instants)
    return table


def _show(connection: Connection, reject_id: str) -> None:
    found = connection.rows(
        "select payload from raw.rejected_events where substr(reject_id, 1, ?) = ?", [len(reject_id), reject_id]
    )
    if len(reject_id) < SHORTEST_ID or len(found) != 1:
        which = "several have" if len(found) > 1 else "none has"
        raise ReplayError(f"Name one refused row by its id: {which} this one; `weft rejected --list 20` shows them.")
    sys.stdout.buffer.write(bytes(found[0][0]) + b"\n")
