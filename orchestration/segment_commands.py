"""`weft segments`: which kinds of customers there are, how many moved between them, and where one customer has been."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from orchestration.audience_explaining import find_customer
from orchestration.audience_history import ids_of
from orchestration.resources import build_platform
from orchestration.warehouse import Connection, scalar, tables_of

console = Console(soft_wrap=True, highlight=False)

GROUPS = """
    select
        segments.segment_id,
        segments.segment_name,
        count(*) as customers,
        avg(features.recency_days) as recency_days,
        avg(features.order_day_count) as order_day_count,
        avg(features.net_revenue) as net_revenue
    from predictions.segments as segments
    left join features.customer_features as features
        on segments.customer_id = features.customer_id and segments.as_of_date = features.as_of_date
    group by segments.segment_id, segments.segment_name
    order by customers desc, segments.segment_id
"""

MOVES = """
    with was as (
        select
            coalesce(redirects.living_customer_id, history.customer_id) as customer_id,
            min(history.segment_id) as segment_id
        from predictions.segment_history as history
        left join identity.customer_redirects as redirects on history.customer_id = redirects.customer_id
        where history.valid_from <= ? and (history.valid_to > ? or history.valid_to is null)
        group by 1
    ),

    names as (
        select
            segment_id,
            segment_name,
            row_number() over (partition by segment_id order by valid_from desc, segment_name) as age
        from predictions.segment_history
    )

    select was_named.segment_name, is_named.segment_name, count(*) as customers
    from was
    full outer join predictions.segments as scores on was.customer_id = scores.customer_id
    left join names as was_named on was.segment_id = was_named.segment_id and was_named.age = 1
    left join names as is_named on scores.segment_id = is_named.segment_id and is_named.age = 1
    where was.segment_id is distinct from scores.segment_id
    group by was_named.segment_name, is_named.segment_name
    order by customers desc, was_named.segment_name, is_named.segment_name
"""
"""Who is elsewhere than on a day, under living ids; a customer whose ids were apart then counts with one of them."""


def segments(
    days: Annotated[int, typer.Option(help="Moves within this many days before the newest scores.", min=1)] = 7,
    customer: Annotated[str | None, typer.Option(help="Only this customer's: an id, or type:value.")] = None,
) -> None:
    """The segments of today's scores, who moved between them, or where one customer has been."""
    platform = build_platform()
    with platform.warehouse.open_served() as served:
        if "segment_history" not in tables_of(served, "predictions"):
            _say("No customer was put into a segment yet; `weft run` does it where history is long enough.")
        elif customer is None:
            _show_groups(served, platform.settings.reporting_currency)
            _show_moves(served, days)
        else:
            _show_customer(served, find_customer(served, platform.rules, customer))


def _show_groups(served: Connection, currency: str) -> None:
    rows = served.rows(GROUPS)
    everybody = sum(row[2] for row in rows)
    title = Column("segment", min_width=24)
    table = Table("id", title, "customers", "share", "days since", "order days", currency, box=None)
    for number, name, count, recency, order_days, spent in rows:
        figures = (f"{recency or 0:,.0f}", f"{order_days or 0:,.1f}", f"{spent or 0:,.0f}")
        table.add_row(str(number), name, f"{count:,}", f"{count / everybody:.0%}", *figures)
    console.print(table)
    _say(f"Means per customer: days since the last order, days with an order, {currency} spent.")


def _show_moves(served: Connection, days: int) -> None:
    newest = scalar(served, "select max(as_of_date) from predictions.segment_transitions")
    since = newest - timedelta(days=days)
    first = scalar(served, "select min(as_of_date) from predictions.segment_transitions")
    if first > since:
        _say(f"\nThe history of segments begins on {first}; moves since {since} cannot be told.")
        return
    rows = served.rows(MOVES, [since, since])
    _say(f"\nMoves since {since}:" if rows else f"\nNobody moved since {since}.")
    if rows:
        table = Table("from", "to", "customers", box=None)
        for before, after, count in rows:
            table.add_row(before or "(new)", after or "(no more)", f"{count:,}")
        console.print(table)
    changed = scalar(
        served,
        "select max(as_of_date) from predictions.segment_transitions where model_changed and as_of_date > ?",
        [since],
    )
    if changed is not None:
        _say(f"Another version of the model scores since {changed}: some moved because borders did.")


def _show_customer(served: Connection, customer_id: str) -> None:
    ids = ids_of(served, customer_id)
    rows = served.rows(
        "select valid_from, valid_to, segment_name, ended, customer_id from predictions.segment_history "
        f"where customer_id in ({', '.join('?' * len(ids))}) order by valid_from desc, customer_id",
        ids,
    )
    if not rows:
        _say(f"Customer {customer_id} was in no segment yet; only customers with an order are.")
        return
    table = Table("from", "to", "segment", "then", "as", box=None)
    for since, until, name, ended, own_id in rows:
        table.add_row(str(since), str(until or ""), name, ended or "", "" if own_id == customer_id else own_id)
    console.print(table)


def _say(text: str) -> None:
    console.print(text, markup=False)
