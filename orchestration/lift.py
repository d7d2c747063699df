"""What an audience brought: orders of the treated beside those of the held out, from each person's entry on, by intention to treat."""

from dataclasses import dataclass

from ml.lift import LEVEL, Difference, Side, conversion_difference, revenue_difference, too_few
from orchestration.errors import GateError
from orchestration.gate_facts import ASSIGNMENTS
from orchestration.holdouts import EVERYBODY, Holdout
from orchestration.state import State
from orchestration.warehouse import Connection, scalar, tables_of

MEMBERSHIPS = "memberships"
TREATED, HELD_OUT, BOTH = "reached", "held out", "merged from both sides"

ASSIGNED = f"""
    select coalesce(redirects.living_customer_id, assigned.customer_id) as customer_id,
        bool_and(assigned.is_held_out) as is_held_out, bool_or(assigned.is_held_out) as is_ever_held_out,
        min(assigned.assigned_at) as started_at
    from audiences.{ASSIGNMENTS} as assigned
    left join identity.customer_redirects as redirects on assigned.customer_id = redirects.customer_id
    where assigned.scope = ? and assigned.round = ?
    group by 1
"""
ENTERED = f"""
    select assigned.customer_id, assigned.is_held_out, assigned.is_ever_held_out,
        greatest(assigned.started_at, min(memberships.entered_at)) as started_at
    from ({ASSIGNED}) as assigned
    inner join (
        select coalesce(redirects.living_customer_id, entered.customer_id) as customer_id, entered.entered_at, entered.left_at
        from audiences.{MEMBERSHIPS} as entered
        left join identity.customer_redirects as redirects on entered.customer_id = redirects.customer_id
        where entered.audience = ?
    ) as memberships on assigned.customer_id = memberships.customer_id
    where memberships.left_at is null or memberships.left_at > assigned.started_at
    group by assigned.customer_id, assigned.is_held_out, assigned.is_ever_held_out, assigned.started_at
"""
# an order counts less what was paid back of it, until now
_OUTCOMES = """
    select people.is_held_out, count(*), sum(case when orders.order_count > 0 then 1 else 0 end),
        avg(coalesce(orders.revenue, 0)), coalesce(var_samp(coalesce(orders.revenue, 0)), 0)
    from ({people}) as people
    left join (
        select entrants.customer_id, count(*) as order_count,
            cast(sum(placed.net_amount - coalesce(paid_back.net_amount, 0)) as float8) as revenue
        from ({people}) as entrants
        inner join customer_360.orders as placed on entrants.customer_id = placed.customer_id and placed.ordered_at >= entrants.started_at
        left join (
            select order_key, sum(net_amount) as net_amount from customer_360.refunds group by order_key
        ) as paid_back on placed.order_key = paid_back.order_key
        where placed.ordered_at < ? {within}
        group by entrants.customer_id
    ) as orders on people.customer_id = orders.customer_id
    where people.is_held_out = people.is_ever_held_out {followed} {others}
    group by people.is_held_out
"""


@dataclass(frozen=True)
class Lift:
    """Both sides of one round, the differences between them, and how many people count for neither side."""

    audience: str
    holdout: Holdout
    days: int | None
    treated: Side
    held_out: Side
    contaminated: int

    @property
    def conversion(self) -> Difference:
        """Of the shares of people who ordered."""
        return conversion_difference(self.treated, self.held_out)

    @property
    def revenue(self) -> Difference:
        """Of net revenue per head, in the reporting currency."""
        return revenue_difference(self.treated, self.held_out)

    def text(self) -> str:
        """What a person reads."""
        of = "everybody" if self.holdout.scope == EVERYBODY else self.audience
        window = f"of {self.days} days after entering" if self.days else "since entering"
        lines = [
            f"{self.audience}: orders {window}, holdout of {self.holdout.percent:g} % of {of}, round {self.holdout.round}"
        ]
        for name, side in ((TREATED, self.treated), (HELD_OUT, self.held_out)):
            lines.append(
                f"  {name:<9} {side.people:>9,} people  {side.conversion:>7.2%} ordered  {side.mean_revenue:>9.2f} revenue per head"
            )
        found, money = self.conversion, self.revenue
        lines += [
            f"  difference in conversion {found.estimate:+.2%} [{found.lower:+.2%} to {found.upper:+.2%}]: {_said(found)}",
            f"  difference in revenue per head {money.estimate:+.2f} [{money.lower:+.2f} to {money.upper:+.2f}]: {_said(money)}",
            f"  {LEVEL:.0%} intervals: Newcombe 1998 method 10 for conversion, Welch 1947 for revenue; by intention to treat.",
        ]
        if self.contaminated:
            lines.append(f"  {self.contaminated:,} merged from both sides and count for neither.")
        if few := too_few(self.treated, self.held_out):
            lines.append(f"  {few}")
        return "\n".join(lines)


def measure_lift(served: Connection, state: State, audience: str, *, days: int | None = None) -> Lift:
    """The lift of an audience in the round in force, of its own holdout where it has one, else of everybody's.

    `days`: orders of so many days after entering, and only people who entered at least so long ago. Raises GateError where nothing
    was held out or assigned yet.
    """
    rounds = {each.scope: each for each in state.holdouts.of(audience)}
    holdout = rounds.get(audience) or rounds.get(EVERYBODY)
    if holdout is None:
        raise GateError(f"Nobody of {audience} is held out, so there is nothing to compare with (`weft holdout set`).")
    existing = tables_of(served, "audiences")
    if ASSIGNMENTS not in existing:
        raise GateError(f"Nobody of {audience} has been assigned yet; the next build does that.")
    as_of = scalar(served, "select as_of from control.current_run")
    people, key = ASSIGNED, [holdout.scope, holdout.round]
    others, other_key = "", list[object]()
    if holdout.scope == EVERYBODY:
        if MEMBERSHIPS not in existing:
            raise GateError(
                "The history of memberships (audiences.memberships) is not built yet; the next build does that."
            )
        people, key = ENTERED, [*key, audience]
    elif everybody := rounds.get(EVERYBODY):
        # who is left alone everywhere is on neither side of an audience's own experiment
        others = f"and people.customer_id not in (select customer_id from ({ASSIGNED}) as alone where is_ever_held_out)"
        other_key = [EVERYBODY, everybody.round]
    within = "and placed.ordered_at < entrants.started_at + ? * interval '1 day'" if days else ""
    followed = "and people.started_at + ? * interval '1 day' <= ?" if days else ""
    query = _OUTCOMES.format(people=people, within=within, followed=followed, others=others)
    limits = [[days], [days, as_of]] if days else [[], []]
    rows = served.rows(query, [*key, *key, as_of, *limits[0], *limits[1], *other_key])
    sides = {
        is_held_out: Side(int(n), int(buyers), float(mean), float(spread))
        for is_held_out, n, buyers, mean, spread in rows
    }
    mixed = f"select count(*) from ({people}) as people where is_ever_held_out and not is_held_out"
    nobody = Side(0, 0)
    return Lift(
        audience, holdout, days, sides.get(False, nobody), sides.get(True, nobody), int(scalar(served, mixed, key))
    )


def assignment_counts(served: Connection, holdout: Holdout) -> dict[str, int]:
    """How many people of a round are on which side."""
    if ASSIGNMENTS not in tables_of(served, "audiences"):
        return dict.fromkeys((TREATED, HELD_OUT, BOTH), 0)
    query = f"""
        select count(*) filter (where not is_ever_held_out), count(*) filter (where is_held_out),
            count(*) filter (where is_ever_held_out and not is_held_out)
        from ({ASSIGNED}) as people
    """
    [found] = served.rows(query, [holdout.scope, holdout.round])
    return dict(zip((TREATED, HELD_OUT, BOTH), found, strict=True))


def _said(found: Difference) -> str:
    return "more than chance explains" if found.is_clear else "chance alone explains it"
