"""The answers: who the people are, what identifies them, whose every event is. The only place that tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.simulator.arrays import Flags, Floats, Ints, Strings
from ingestion.simulator.arrow_text import picked
from ingestion.simulator.catalogue import CATEGORIES
from ingestion.simulator.channels import Channels
from ingestion.simulator.contacts import TYPO
from ingestion.simulator.people import BOT, mean_order_value
from ingestion.simulator.places import COUNTRIES, CURRENCIES
from ingestion.simulator.world import Shop, World


@dataclass
class TruthBooks:
    """The files of OUT/truth, written chunk by chunk."""

    folder: Path
    _writers: dict[str, pq.ParquetWriter] = field(default_factory=dict)

    def add(self, name: str, table: pa.Table) -> None:
        """Appends rows to truth/<name>.parquet."""
        if name not in self._writers:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._writers[name] = pq.ParquetWriter(self.folder / f"{name}.parquet", table.schema, compression="zstd")
        self._writers[name].write_table(table)

    def close(self) -> list[Path]:
        """Completes the files and names them."""
        for writer in self._writers.values():
            writer.close()
        return [self.folder / f"{name}.parquet" for name in self._writers]


def _moments(shop: Shop, day: Floats) -> pa.Array:
    micros = shop.seasons.micros(np.nan_to_num(day))
    return pa.array(micros, mask=np.isnan(day)).view(pa.timestamp("us"))


def people_table(shop: Shop, world: World, first_person: int, kept: Flags) -> pa.Table:
    """One row per visitor who left a row in the files, bots included; money in EUR, order value before discounts."""
    people = world.people
    arrived = np.where(people.arrived < 0, np.nan, people.arrived)
    table = pa.table(
        {
            "person_id": pa.array(first_person + np.arange(people.count)),
            "is_bot": pa.array(people.kind == BOT),
            "is_customer": pa.array(people.is_customer),
            "is_buyer": pa.array(people.is_buyer),
            "has_account": pa.array(people.has_account),
            "country": picked([item.code for item in COUNTRIES], people.country),
            "currency": picked(list(CURRENCIES), people.currency),
            "arrived_at": _moments(shop, arrived),
            "churned_at": _moments(shop, world.purchases.churned_at),
            "monthly_order_rate": pa.array(people.monthly_rate),
            "mean_order_value": pa.array(mean_order_value(people, shop.catalogue)),
            "favourite_category": picked([item.path for item in CATEGORIES], people.favourites[:, 0]),
            "price_tier": pa.array(people.price_tier),
            "shares_device": pa.array(people.housemate >= 0),
            "has_second_email": pa.array(world.contacts.has_second_email),
        }
    )
    return table.filter(pa.array(kept))


def owner_table(source: str, message_ids: Strings, owner: Ints, first_person: int) -> pa.Table:
    """One row per event of a source: its person, or null for bots and for strangers at a kiosk or a till."""
    return pa.table(
        {
            "source": pa.array([source]).take(pa.array(np.zeros(owner.size, np.int64))),
            "message_id": message_ids,
            "person_id": pa.array(owner + first_person, mask=owner < 0),
        }
    )


def bad_row_table(source: str, message_ids: Strings, reasons: list[str]) -> pa.Table:
    """One row per row that landing must reject, and why."""
    sources, texts = pa.array([source] * len(reasons), pa.string()), pa.array(reasons, pa.string())
    return pa.table({"source": sources, "message_id": message_ids, "reason": texts})


@dataclass(frozen=True)
class _Shown:
    """The rows of the files that show an identifier: which value, and whose row it is (-1: none, nobody)."""

    kind: str
    values: Strings
    value: Ints
    owner: Ints
    is_kiosk: bool = False


def _shown(shop: Shop, world: World, channels: Channels) -> list[_Shown]:
    contacts, devices = world.contacts, world.devices
    web, pos, messages = channels.web, channels.pos, channels.messages
    told_owner = np.r_[web.owner, pos.owner]
    return [
        _Shown("user_id", contacts.user_ids, web.user, web.owner),
        _Shown("email", contacts.emails, np.r_[web.email, pos.email], told_owner),
        _Shown(
            "phone",
            contacts.phones,
            np.r_[web.phone, pos.phone, messages.person],
            np.r_[told_owner, messages.owner],
        ),
        _Shown("loyalty_id", contacts.loyalty_ids, np.r_[web.loyalty, pos.loyalty], told_owner),
        _Shown("device_id", devices.device_ids, web.device, web.owner),
        _Shown("anonymous_id", devices.cookie_ids, web.cookie, web.owner),
        _Shown("device_id", shop.kiosk_devices, web.kiosk, web.owner, is_kiosk=True),
        _Shown("anonymous_id", shop.kiosk_cookies, web.kiosk, web.owner, is_kiosk=True),
    ]


def identifier_table(shop: Shop, world: World, channels: Channels, first_person: int) -> pa.Table:
    """One row per identifier that the files show and person it belongs to (a kiosk's: person who used it)."""
    people = world.people.count
    return pa.concat_tables([_identifier_rows(shown, people, first_person) for shown in _shown(shop, world, channels)])


def _identifier_rows(shown: _Shown, people: int, first_person: int) -> pa.Table:
    both = (shown.value >= 0) & (shown.owner >= 0)
    pairs = np.unique(shown.value[both] * people + shown.owner[both])
    value, person = pairs // people, pairs % people
    owners = np.bincount(value, minlength=len(shown.values))[value]
    is_typo = (value // people == TYPO) & (shown.kind in ("email", "phone"))
    return pa.table(
        {
            "identifier_type": pa.array([shown.kind] * value.size, pa.string()),
            "identifier_value": picked(shown.values, value),
            "person_id": pa.array(first_person + person),
            "is_typo": pa.array(is_typo),
            "is_shared": pa.array((owners > 1) | shown.is_kiosk),
            "is_kiosk": pa.array(np.full(value.size, shown.is_kiosk)),
        }
    )
