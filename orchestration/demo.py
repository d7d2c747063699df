"""`weft demo`: the main job on a simulated shop, and a report of what came out."""

import json
import os
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from activation.reader import Reader
from ingestion.simulator import SimulationConfig, SimulationSummary, simulate
from ml.registry import MODULES
from orchestration.audience_catalogue import audiences
from orchestration.audience_explaining import explain_audiences
from orchestration.clock import PINNED_CLOCK
from orchestration.errors import WeftError
from orchestration.passes import PassReport, run_pass
from orchestration.published_features import PUBLISH_FEATURES
from orchestration.publishing import online_store
from orchestration.resources import Platform
from orchestration.settings import export_for_tools
from orchestration.transform import audience_definitions, read_manifest
from orchestration.truth import load_truth
from orchestration.warehouse import Connection, first_row, row_count, scalar, tables_of


class NotADemoHomeError(WeftError):
    """The demo would mix simulated people with a shop's own."""


def run_demo(platform: Platform, *, events: int, seed: int, console: Console) -> None:
    """Simulate a shop, run one pass over it and report: counts, identity quality, models, audiences, one customer, times."""
    export_for_tools(platform.settings)
    _refuse_real_data(platform)
    started = time.monotonic()
    config = SimulationConfig(events=events, seed=seed)
    folder = platform.settings.home / "simulated" / f"{events}-{seed}"
    progress = Console(stderr=True)  # what tools print to stdout meanwhile goes to a log
    with progress.status("Simulating a shop"):
        simulate_once(config, folder)
        put_into_inbox(folder, platform.settings.inbox)
        with platform.warehouse.writer() as connection:
            load_truth(connection, folder / "truth")
    platform.state.remember(PINNED_CLOCK, config.end.isoformat())
    platform.state.remember(PUBLISH_FEATURES, "yes")
    simulated = time.monotonic() - started
    with progress.status("Collect, unify, predict, activate"):
        report = run_pass(platform, as_of=config.end)
    print_report(platform, report, console)
    times = [("simulate", simulated), *report.seconds.items(), ("in all", time.monotonic() - started)]
    console.rule("Time")
    console.print("   ".join(f"{stage} {seconds:.1f} s" for stage, seconds in times))
    console.rule("What next")
    for line in NEXT_STEPS:
        console.print(line, markup=False)


NEXT_STEPS = (
    "make up                                          the platform with Dagster's UI; the graph is under Assets",
    ".venv/bin/weft audience show high_value          what a web shop reads from Redis",
    ".venv/bin/weft segments                          kinds of customers, and who moved between them",
    ".venv/bin/weft status                            what is where, how old and how big",
    "cd dbt_project && ../.venv/bin/dbt build         what an analyst types after editing a model",
    ".venv/bin/weft import FILE --mapping NAME        your own data (in a WEFT_HOME of its own: the demo's people are invented)",
)


def simulate_once(config: SimulationConfig, folder: Path) -> None:
    """Write the simulation where it is not there yet; a folder that was not finished is written again."""
    done = folder / "done"
    if not done.exists():
        summary: SimulationSummary = simulate(config, folder)
        done.write_text(f"{summary.rows}\n")


def put_into_inbox(folder: Path, inbox: Path) -> None:
    """Hand every simulated file to the inbox of its mapping, as a link: nothing is copied, and twice is once."""
    for mapping in sorted(path for path in folder.iterdir() if path.is_dir() and path.name != "truth"):
        (inbox / mapping.name).mkdir(parents=True, exist_ok=True)
        for file in sorted(mapping.iterdir()):
            target = inbox / mapping.name / f"{folder.name}-{file.name}"
            if not target.exists():
                os.link(file, target)


def _refuse_real_data(platform: Platform) -> None:
    if platform.warehouse.size_bytes() is None:
        return
    with platform.warehouse.writer() as connection:
        if "landings" not in tables_of(connection, "raw"):
            return
        source = scalar(connection, "select source from raw.landings where source not like 'simulator%' limit 1")
    if source:
        raise NotADemoHomeError(
            f"The warehouse already holds data of the source {source}; set WEFT_HOME to an empty folder for the demo."
        )


def print_report(platform: Platform, report: PassReport, console: Console) -> None:
    """What a newcomer wants to see, from the served build and from Redis."""
    with platform.warehouse.open_served() as served:
        console.rule("Collect")
        console.print(_landing_line(report))
        console.rule("Unify")
        _print_identity(served, console)
        console.rule("Predict")
        _print_models(platform, console)
        _print_segments(served, console)
        console.rule("Activate")
        _print_audiences(platform, served, report, console)
        console.rule("One customer's story")
        _print_story(platform, served, console)


def _landing_line(report: PassReport) -> str:
    events, rejected = report.metadata["raw/events"], report.metadata["raw/rejected_events"]
    if not events["rows_landed"]:
        return f"Nothing new: all {events['dagster/row_count']:,} events had landed before, {rejected['dagster/row_count']:,} rejected."
    return (
        f"{events['rows_landed']:,} events landed ({events['dagster/row_count']:,} in all), "
        f"{rejected['rows_landed']:,} rows rejected with their reasons."
    )


def _print_identity(served: Connection, console: Console) -> None:
    counts = first_row(
        served,
        "select (select count(*) from identity.identifiers), "
        "(select count(*) from identity.nodes where customer_id is not null), "
        "count(*), count(*) filter (is_identified) from customer_360.customers",
    )
    identifiers, members, customers, identified = counts or (0, 0, 0, 0)
    console.print(
        f"{identifiers:,} identifiers, {members:,} of them in {customers:,} customers ({identified:,} identified)."
    )
    _print_quality(served, console)
    hot = scalar(served, "select count(distinct identifier_id) from identity.hot_identifiers")
    console.print(f"{hot} hot identifiers (kiosks, store phones) join nobody.")
    revenue = scalar(served, "select sum(net_revenue) from customer_360.daily_metrics")
    currency = scalar(served, "select reporting_currency from control.current_run")
    console.print(f"{row_count(served, 'customer_360.orders'):,} orders, net revenue {revenue or 0:,.0f} {currency}.")


STITCHING = {
    "weft": "Weft",
    "last_login_wins": "last login wins",
    "one_hop": "cookie to login, one hop",
    "components": "whatever is connected",
}


def _print_quality(served: Connection, console: Console) -> None:
    """Weft and the baselines on the same evidence; nothing where there is no truth."""
    found = {row["method"]: row for row in served.arrow("select * from identity.quality").to_pylist()}
    if not found:
        return
    weft = found["weft"]
    console.print(
        f"Against the simulator's truth, {weft['identifier_count']:,} identifiers with one owner; no evidence connects "
        f"{weft['unreachable_pairs']:,} of their {weft['true_pairs']:,} true pairs, recall counts the others."
    )
    table = Table("pairs of identifiers", "precision", "recall", "F1", "customers exactly right", box=None)
    for method, label in STITCHING.items():
        shares = [found[method][name] for name in ("pairwise_precision", "pairwise_recall", "pairwise_f1")]
        row = found[method]
        exact = (
            f"{row['exact_customer_count']:,} of {row['connected_customer_count']:,} ({row['exact_share'] or 0:.1%})"
        )
        table.add_row(label, *("" if share is None else f"{share:.4f}" for share in shares), exact)
    console.print(table)


SHOWN_METRICS = {
    "best_channel": ("accuracy", "log_loss", "brier", "ece"),
    "churn": ("roc_auc", "pr_auc", "brier", "ece"),
    "ltv": ("mae", "rmse", "spearman", "total_bias"),
    "next_order": ("integrated_brier", "concordance", "roc_auc", "ece"),
    "segments": ("silhouette", "inertia"),
}


def _print_models(platform: Platform, console: Console) -> None:
    champions = [card for card in platform.state.models.cards() if card["is_champion"]]
    if not champions:
        console.print("No model: history is too short to learn from.")
    for card in champions:
        module = MODULES.get(card["model"])
        names = SHOWN_METRICS.get(card["model"], module.HEADLINE if module else ())
        table = Table(f"{card['model']} on {card['test_rows']:,} rows of {card['test_date']}", *names, box=None)
        for label, metrics in [
            (f"model {card['version']}", json.loads(card["metrics"])),
            *json.loads(card["baseline_metrics"]).items(),
        ]:
            table.add_row(label, *(f"{metrics[name]:,.3f}" if metrics.get(name) is not None else "" for name in names))
        console.print(table)


def _print_segments(served: Connection, console: Console) -> None:
    groups = served.rows(
        "select segment_name, count(*) as customers from predictions.segments group by segment_name order by customers desc, 1"
    )
    if groups:
        console.print("Segments: " + ", ".join(f"{count:,} {name}" for name, count in groups) + ".", markup=False)


def _print_audiences(platform: Platform, served: Connection, report: PassReport, console: Console) -> None:
    customers = row_count(served, "customer_360.customers")
    table = Table("audience", "version", "members", "share of customers", box=None)
    for definition in audience_definitions(read_manifest()):
        newest = platform.state.newest_version(definition.name)
        if newest:
            share = newest.member_count / customers if customers else 0
            table.add_row(definition.name, f"v{newest.version}", f"{newest.member_count:,}", f"{share:.1%}")
    console.print(table)
    for line in report.published or ["Nothing changed, nothing was published."]:
        console.print(line)


def _print_story(platform: Platform, served: Connection, console: Console) -> None:
    """A customer seen on several channels, by id only: no personal value is printed."""
    customer_id = scalar(
        served,
        "select customer_id from audiences.profiles where order_count >= 2 order by channel_count desc, "
        "(churn_probability is not null) desc, identifier_count desc, event_count desc, customer_id limit 1",
    )
    if customer_id is None:
        console.print("No customer has ordered twice yet.")
        return
    kinds = served.rows(
        "select identifier_type || ' x' || count(*) from identity.nodes "
        "where customer_id = ? group by identifier_type order by 1",
        [customer_id],
    )
    console.print(f"Customer {customer_id}, stitched from {', '.join(kind for (kind,) in kinds)}.")
    timeline = served.rows(
        "select cast(occurred_at as date) as day, channel, event, count(distinct coalesce(order_id, message_id)) "
        "from customer_360.events where customer_id = ? "
        "and event in ('identify', 'Order Completed', 'Order Refunded', 'Message Received', 'Product Reviewed') "
        "group by day, channel, event order by day",
        [customer_id],
    )
    for day, channel, event, count in timeline[:3] + timeline[3:][-5:]:
        console.print(f"  {day}  {channel:<9} {event}{f' x{count}' if count > 1 else ''}")
    with online_store(platform.settings) as client:
        profile = Reader(client).profile("customer_id", customer_id)
    if profile:
        shown = {
            name: profile.fields.get(name)
            for name in (
                "net_revenue",
                "order_count",
                "churn_probability",
                "next_order_on",
                "best_channel",
                "segment_name",
                "journey_stage",
            )
        }
        console.print(
            "In Redis now: " + ", ".join(f"{name} {value}" for name, value in shown.items() if value is not None)
        )
        console.print("Audiences: " + (", ".join(profile.audiences) or "none"))
    for each in explain_audiences(served, customer_id, audiences(platform.state)).audiences:
        if each.is_in:
            console.print(f"  matches {each.audience}: {each.because or 'as its definition says'}", markup=False)
