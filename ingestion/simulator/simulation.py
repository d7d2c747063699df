"""The run: the shop, then chunk after chunk of people, then the files."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ingestion.simulator.arrays import Ints
from ingestion.simulator.channels import draw_channels, kept_people
from ingestion.simulator.clicks import VIEW
from ingestion.simulator.config import SimulationConfig, SimulationError, SimulationSummary
from ingestion.simulator.flaws import POS_DAMAGES, WEB_DAMAGES, Damages, bad_rows, delivered, with_duplicates
from ingestion.simulator.pos import pos_message_ids, pos_table
from ingestion.simulator.truth import TruthBooks, bad_row_table, identifier_table, owner_table, people_table
from ingestion.simulator.web_table import web_table
from ingestion.simulator.whatsapp import whatsapp_table
from ingestion.simulator.world import Shop, World, draw_world, open_shop
from ingestion.simulator.writer import Spool, WriteTable, cleared, write_csv, write_ndjson, write_parquet

WEB, POS, WHATSAPP, PRODUCTS = "simulator_web", "simulator_pos", "simulator_whatsapp", "products"
TRUTH = "truth"
_EVENTS_PER_VISITOR = 25  # rough; only says how many people to draw before cutting to the number wanted
_ROWS_PER_FILE = 200_000
_FEWEST_FILES = 4  # so that late and repeated rows cross files in the smallest world, too
_NEAR_ENOUGH = 0.004  # of the rows wanted

Progress = Callable[[int, int], None]


@dataclass
class _Run:
    """What grows while chunks are written."""

    shop: Shop
    spools: dict[str, Spool]
    books: TruthBooks
    people: int = 0
    customers: int = 0
    orders: int = 0
    duplicates: int = 0
    bad: int = 0

    @property
    def rows(self) -> int:
        return sum(spool.rows for spool in self.spools.values())


@dataclass(frozen=True)
class _Rows:
    """The rows of one source in one chunk, before anything goes wrong with them."""

    source: str
    table: pa.Table
    message_ids: pa.Array
    owner: Ints
    known_at: Ints
    damages: Damages | None = None
    can_be_damaged: Ints | None = None  # row numbers


def simulate(config: SimulationConfig, out: Path, *, progress: Progress | None = None) -> SimulationSummary:
    """Writes OUT/simulator_web, _pos, _whatsapp, OUT/products and OUT/truth, replacing those folders and nothing else.

    The same configuration gives the same bytes. Memory grows with `chunk_events` and the rows of a file, not with
    `events`. `progress` is told (rows drawn, rows wanted) after each chunk. Raises SimulationError if OUT is a file.
    """
    if out.exists() and not out.is_dir():
        raise SimulationError(f"{out} is a file: name a folder to write the simulation to.")
    cleared(out, (WEB, POS, WHATSAPP, PRODUCTS, TRUTH))
    shop = open_shop(config)
    run = _Run(shop, _spools(shop, out), TruthBooks(out / TRUTH))
    wanted = round(config.events / (1 + config.difficulty.duplicate_share + config.difficulty.bad_row_share))
    chunk, first_person, left = 0, 0, wanted
    while left > max(3, wanted * _NEAR_ENOUGH):
        visitors = math.ceil(min(config.chunk_events, left) / _EVENTS_PER_VISITOR) + 40
        rng = np.random.default_rng([config.seed, 1, chunk])
        left -= _write_chunk(rng, run, draw_world(rng, shop, visitors), first_person, left)
        first_person, chunk = first_person + visitors, chunk + 1
        if progress is not None:
            progress(wanted - left, wanted)
    return _finished(run, out)


def _finished(run: _Run, out: Path) -> SimulationSummary:
    files = [path for spool in run.spools.values() for path in spool.finish()]
    (out / PRODUCTS).mkdir(parents=True, exist_ok=True)
    write_csv(run.shop.catalogue.table(), out / PRODUCTS / "products.csv")
    return SimulationSummary(
        out=out,
        rows=run.rows,
        rows_by_source={name: spool.rows for name, spool in run.spools.items()},
        duplicates=run.duplicates,
        bad_rows=run.bad,
        people=run.people,
        customers=run.customers,
        orders=run.orders,
        files=(*files, out / PRODUCTS / "products.csv", *run.books.close()),
    )


def _spools(shop: Shop, out: Path) -> dict[str, Spool]:
    start = int(shop.seasons.micros(np.zeros(1))[0])
    files = max(_FEWEST_FILES, math.ceil(shop.config.events / _ROWS_PER_FILE))
    few = max(2, math.ceil(files / 10))
    kinds: tuple[tuple[str, str, WriteTable, int], ...] = (
        (WEB, "events-{:05d}.parquet", write_parquet, files),
        (POS, "receipts-{:05d}.csv", write_csv, few),
        (WHATSAPP, "messages-{:05d}.ndjson", write_ndjson, few),
    )
    return {
        name: Spool(out / name, pattern, write, start=start, end=shop.end, files=count)
        for name, pattern, write, count in kinds
    }


def _write_chunk(rng: np.random.Generator, run: _Run, world: World, first_person: int, wanted: int) -> int:
    """Writes a chunk's rows, at most `wanted` of them, and gives back how many (without duplicates and bad rows)."""
    shop = run.shop
    drawn = draw_channels(rng, shop, world)
    rows_of = drawn.rows_of_people(world.people.count)
    kept = kept_people(rows_of, wanted)
    channels = drawn.only(kept)
    web, pos, messages = channels.web, channels.pos, channels.messages
    web_rows, pos_rows = web_table(rng, shop, world, web), pos_table(rng, shop, world, pos)
    chats = whatsapp_table(rng, shop, world, messages)
    run.books.add("people", people_table(shop, world, first_person, kept))
    run.books.add("identifiers", identifier_table(shop, world, channels, first_person))
    views, lines = np.flatnonzero(web.kind == VIEW), np.arange(pos_rows.num_rows)
    for rows in (
        _Rows(WEB, web_rows, web_rows["message_id"], web.owner, web.received_at, WEB_DAMAGES, views),
        _Rows(POS, pos_rows, pos_message_ids(pos_rows), pos.owner, pos.exported_at, POS_DAMAGES, lines),
        _Rows(WHATSAPP, chats, chats["message_id"], messages.owner, messages.received_at),
    ):
        run.books.add("event_owners", owner_table(rows.source, rows.message_ids, rows.owner, first_person))
        _deliver(rng, run, rows)
    run.people += int(kept.sum())
    run.customers += int((kept & world.people.is_customer).sum())
    run.orders += int(kept[world.purchases.person].sum())
    return int(rows_of[kept].sum())


def _deliver(rng: np.random.Generator, run: _Run, rows: _Rows) -> None:
    """Hands the rows to their spool, with what goes wrong on the way."""
    difficulty, spool = run.shop.config.difficulty, run.spools[rows.source]
    clean = delivered(rng, rows.table, rows.known_at, difficulty)
    complete, duplicates = with_duplicates(rng, clean, difficulty)
    run.duplicates += duplicates
    if rows.damages is not None and difficulty.bad_row_share > 0:
        # at least one of each kind, even in the smallest world
        least = len(rows.damages.by_reason) if not spool.rows else 0
        count = max(round(clean.num_rows * difficulty.bad_row_share), least)
        bad, reasons = bad_rows(rng, clean.take(pa.array(rows.can_be_damaged)), rows.damages, count)
        ids = pos_message_ids(bad) if rows.source == POS else bad["message_id"]
        run.books.add("bad_rows", bad_row_table(rows.source, ids, reasons))
        run.bad += len(reasons)
        complete = pa.concat_tables([complete, bad])
    spool.add(complete)
