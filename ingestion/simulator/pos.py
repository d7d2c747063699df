"""Receipts of the stores' tills: one row per line of a sale or a refund, uploaded hours later."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from ingestion.simulator.arrays import Flags, Floats, Ints, chance
from ingestion.simulator.arrow_text import joined, money_text, number_text, picked, second_text, where
from ingestion.simulator.contacts import TYPO, typed_variants, written_emails, written_phones
from ingestion.simulator.places import COUNTRIES, CURRENCIES
from ingestion.simulator.world import Shop, World

_HOUR = 3_600_000_000


@dataclass(frozen=True)
class PosLines:
    """Parallel arrays over receipt lines, numbers only; -1 where an identifier is not carried; microseconds."""

    line: Ints  # into Lines
    refund: Ints  # into Refunds; -1 on a sale
    person: Ints
    owner: Ints
    store: Ints
    sold_at: Ints
    exported_at: Ints
    email: Ints
    phone: Ints
    loyalty: Ints
    is_store_phone: Flags

    def only(self, keep: Flags) -> PosLines:
        """The rows to keep."""
        return PosLines(*(getattr(self, item.name)[keep] for item in fields(self)))


def _stores(rng: np.random.Generator, shop: Shop, country: Ints) -> Ints:
    countries = np.array([store.country for store in shop.stores])
    number = np.bincount(countries, minlength=len(COUNTRIES))[country]
    first = np.searchsorted(countries, country).clip(0, countries.size - 1)  # only used where there are stores
    return first + (rng.random(country.size) * number).astype(np.int64)


def _store_phone_chances(shop: Shop) -> Floats:
    """Per store, the share of receipts with its own phone: a habit of a few busy stores, so that each has many."""
    difficulty = shop.config.difficulty
    number = np.bincount([store.country for store in shop.stores])
    weight = np.array([COUNTRIES[store.country].weight / number[store.country] for store in shop.stores])
    busiest = np.argsort(-weight, kind="stable")
    share = np.cumsum(weight[busiest]) / weight.sum()
    careless = busiest[: np.searchsorted(share, min(3 * difficulty.store_phone_share, 1.0)) + 1]
    chances = np.zeros(weight.size)
    chances[careless] = min(difficulty.store_phone_share / (weight[careless].sum() / weight.sum()), 1.0)
    return chances


def _told(rng: np.random.Generator, shop: Shop, world: World, store: Ints) -> tuple[Ints, Ints, Ints, Flags]:
    """Per order: e-mail, phone, card (-1: not told), and whether the store's own phone was typed instead."""
    difficulty, purchases, contacts = shop.config.difficulty, world.purchases, world.contacts
    person, count = purchases.person, purchases.count
    tells = ~purchases.is_stranger & ~chance(rng, count, difficulty.unidentified_receipt_share)
    shows_card = tells & world.people.has_loyalty_card[person] & chance(rng, count, 0.85)
    gives_phone = tells & chance(rng, count, np.where(shows_card, 0.15, 0.6))
    gives_email = tells & (chance(rng, count, 0.2) | ~(shows_card | gives_phone))
    variant = typed_variants(rng, person, contacts, second_share=0.3, typo_share=difficulty.typo_share)
    wrong = np.where(chance(rng, count, difficulty.typo_share), TYPO, 0)
    is_store_phone = chance(rng, count, _store_phone_chances(shop)[store]) & purchases.in_store
    return (
        np.where(gives_email, contacts.email_index(person, variant), -1),
        np.where(gives_phone & ~is_store_phone, contacts.email_index(person, wrong), -1),
        np.where(shows_card, person, -1),
        is_store_phone,
    )


def _exported(rng: np.random.Generator, shop: Shop, sold: Ints) -> Ints:
    """Tills upload at two in the night, some a day or more later; one time per receipt."""
    next_night = (sold // (24 * _HOUR) + 1) * 24 * _HOUR + 2 * _HOUR
    is_late = chance(rng, sold.size, shop.config.difficulty.late_share)
    late = np.where(is_late, rng.geometric(0.5, sold.size) * 24 * _HOUR, 0)
    return next_night + late + (rng.random(sold.size) * _HOUR).astype(np.int64)


def draw_pos_lines(rng: np.random.Generator, shop: Shop, world: World) -> PosLines:
    """All receipt lines that the tills have uploaded by the window's end."""
    purchases, lines, refunds = world.purchases, world.lines, world.refunds
    store = _stores(rng, shop, world.people.country[purchases.person])
    email, phone, loyalty, is_store_phone = _told(rng, shop, world, store)
    sold_at, refunded_at = shop.seasons.micros(purchases.at), shop.seasons.micros(refunds.at)
    sold_known, refund_known = _exported(rng, shop, sold_at), _exported(rng, shop, refunded_at)
    sales = np.flatnonzero(purchases.in_store[lines.order])
    returned = np.flatnonzero(purchases.in_store[lines.order[refunds.line]])
    line = np.r_[sales, refunds.line[returned]]
    refund = np.r_[np.full(sales.size, -1, np.int64), refunds.refund[returned]]
    order, is_refund = lines.order[line], refund >= 0
    safe_refund = np.maximum(refund, 0)
    at = np.r_[sold_at[order[~is_refund]], refunded_at[safe_refund[is_refund]]]
    known = np.r_[sold_known[order[~is_refund]], refund_known[safe_refund[is_refund]]]
    both = PosLines(
        line=line,
        refund=refund,
        person=purchases.person[order],
        owner=np.where(purchases.is_stranger[order], -1, purchases.person[order]),
        store=store[order],
        sold_at=at,
        exported_at=known,
        email=email[order],
        phone=phone[order],
        loyalty=loyalty[order],
        is_store_phone=is_store_phone[order],
    )
    return both.only(both.exported_at < shop.end)


def pos_table(rng: np.random.Generator, shop: Shop, world: World, rows: PosLines) -> pa.Table:
    """One row per receipt line, columns as the mapping simulator_pos reads them; a refund's amounts are positive."""
    lines, catalogue, people = world.lines, shop.catalogue, world.people
    order, product = lines.order[rows.line], lines.product[rows.line]
    is_refund, country = rows.refund >= 0, people.country[rows.person]
    sale_id = picked(world.order_ids, order)
    refund_id = picked(world.refund_ids, rows.refund, only=is_refund) if is_refund.any() else sale_id
    phone = written_phones(rng, picked(world.contacts.phones, rows.phone, only=rows.phone >= 0), country)
    store_phone = picked([store.phone for store in shop.stores], rows.store)
    towns = [COUNTRIES[store.country].towns[store.town][1] for store in shop.stores]
    return pa.table(
        {
            "receipt_id": where(is_refund, refund_id, sale_id),
            "line_number": pa.array(lines.number[rows.line]),
            "receipt_type": where(is_refund, "refund", "sale"),
            "original_receipt_id": where(is_refund, sale_id, None),
            "store_id": picked([store.store_id for store in shop.stores], rows.store),
            "product_id": picked(catalogue.product_id, product),
            "product_name": picked(catalogue.name, product),
            "category": picked(catalogue.category_paths, product),
            "quantity": number_text(lines.quantity[rows.line]),
            "unit_price": money_text(lines.price[rows.line]),
            "discount": money_text(lines.discount[rows.line]),
            "tax": money_text(lines.tax[rows.line]),
            "currency": picked(list(CURRENCIES), people.currency[rows.person]),
            "loyalty_id": picked(world.contacts.loyalty_ids, rows.loyalty, only=rows.loyalty >= 0),
            "phone": where(rows.is_store_phone, store_phone, phone),
            "email": written_emails(rng, picked(world.contacts.emails, rows.email, only=rows.email >= 0)),
            "country": picked([item.code for item in COUNTRIES], country),
            "city": picked(towns, rows.store),
            "sold_at": second_text(rows.sold_at),
            "exported_at": second_text(rows.exported_at),
        }
    )


def pos_message_ids(table: pa.Table) -> pa.Array:
    """The message ids that the mapping gives the rows: receipt and line."""
    combined = table.combine_chunks()
    receipt, number = combined["receipt_id"].chunk(0), combined["line_number"].chunk(0)
    return joined(receipt, "-", number.cast(pa.string()))
