"""What `weft status` and the demo tell a person, read from the served build and the operator state."""

from orchestration.clock import PINNED_CLOCK
from orchestration.errors import NothingServedError
from orchestration.resources import Platform
from orchestration.transform import audience_definitions, prepare_manifest, read_manifest
from orchestration.warehouse import scalar


def status_rows(platform: Platform) -> list[tuple[str, str]]:
    """Pairs of what and how it stands, for a table."""
    settings, state = platform.settings, platform.state
    prepare_manifest(settings)
    size = (platform.warehouse.size_bytes() or 0) / 1e6
    rows = [
        ("home", str(settings.home)),
        (
            "warehouse",
            f"{platform.warehouse.dialect}, {size:,.0f} MB" if size else "empty: run `weft import` or `weft demo`",
        ),
        ("pinned clock", state.setting(PINNED_CLOCK) or "none: runs look back from now"),
    ]
    try:
        with platform.warehouse.open_served() as served:
            rows += [
                ("served build", str(platform.warehouse.served_build())),
                ("as of", str(scalar(served, "select as_of from control.current_run"))),
            ]
            rows += [(table, f"{scalar(served, f'select count(*) from {table}'):,} rows") for table in SHOWN_TABLES]
    except NothingServedError as nothing:
        rows.append(("served build", str(nothing)))
    for definition in audience_definitions(read_manifest()):
        newest = state.newest_version(definition.name)
        last = state.last_publication(definition.name, newest.version) if newest else None
        if newest:
            rows.append(
                (
                    f"audience {definition.name}",
                    f"v{newest.version}, {newest.member_count:,} members, {last[1] if last else 'not published yet'}",
                )
            )
    for card in state.models.cards():
        if card["is_champion"]:
            rows.append((f"model {card['model']}", f"{card['version']}, trained {str(card['trained_at'])[:16]}"))
    return rows


SHOWN_TABLES = (
    "raw.events",
    "raw.rejected_events",
    "identity.identifiers",
    "customer_360.customers",
    "customer_360.orders",
)
