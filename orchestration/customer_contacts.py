"""What a served build knows of each customer that fuzzy matching can compare: contact identifiers, and traits by their usual names."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestration.warehouse import Connection

TRAITS: Mapping[str, Sequence[str]] = {
    "given_name": ("first_name", "given_name", "forename", "fname"),
    "family_name": ("last_name", "family_name", "surname", "lname"),
    "full_name": ("name", "full_name", "profile_name"),
    "birth_date": ("birthday", "birth_date", "date_of_birth", "dob", "birthdate"),
    "street": ("street", "address1", "address_line1", "street_address"),
    "city": ("city", "town"),
    "postcode": ("postal_code", "postcode", "zip", "zip_code"),
    "region": ("state", "region", "province", "province_code"),
    "gender": ("gender", "sex"),
    "job_title": ("job_title", "occupation", "title"),
}
"""Names that sources give a field, the preferred ones first; case, spaces, hyphens and underscores do not matter."""

ADDRESSES = ("address", "default_address", "shipping_address", "billing_address")
"""Traits that may hold an address, as an object with the names above or as its text."""

MOST_CHARACTERS = 10_000
"""An address longer than this is none."""

# The first of its anchors that a customer got and still holds: it stays when the customer gains identifiers.
ANCHORS = """
    select customer_id, identifier_id
    from (
        select
            ledger.customer_id, ledger.identifier_id,
            row_number() over (partition by ledger.customer_id order by ledger.ledger_seq, ledger.identifier_id) as place
        from identity.customer_ids as ledger
        inner join identity.memberships as memberships
            on ledger.identifier_id = memberships.identifier_id and ledger.customer_id = memberships.customer_id
        where ledger.is_strong and memberships.known_to is null and memberships.valid_from is null
    ) as anchors
    where place = 1
"""


def read_contacts(served: Connection) -> pa.Table:
    """One row per customer that has a strong identifier: customer_id, identifier_id (its anchor), and text columns of fields."""
    known = _known_traits(
        name for (name,) in served.rows("select distinct trait from customer_360.traits order by trait")
    )
    columns = [name for names in known.values() for name in names]
    picked = "".join(
        f", max(case when trait = {_literal(name)} then trait_value end) as trait_{place}"
        for place, name in enumerate(columns)
    )
    wanted = ", ".join(f"told.trait_{place}" for place in range(len(columns)))
    table = served.arrow(
        f"select anchors.customer_id, anchors.identifier_id, contacts.email, contacts.phone{', ' if wanted else ''}{wanted} "
        f"from ({ANCHORS}) as anchors "
        "left join customer_360.contacts as contacts on anchors.customer_id = contacts.customer_id "
        f"left join (select customer_id{picked} from customer_360.traits group by customer_id) as told "
        "on anchors.customer_id = told.customer_id order by anchors.customer_id"
    )
    by_name = {name: table[f"trait_{place}"] for place, name in enumerate(columns)}
    return _fields(table.select(["customer_id", "identifier_id", "email", "phone"]), known, by_name)


def _known_traits(present: Iterable[str]) -> dict[str, list[str]]:
    """The traits that are there, by the field they tell of (or 'address'), the preferred ones first."""
    by_spelling: dict[str, list[str]] = {}
    for name in present:
        by_spelling.setdefault(_spelling(name), []).append(name)
    wanted = {**TRAITS, "address": ADDRESSES}
    found = {
        field: [name for spelling in names for name in by_spelling.get(_spelling(spelling), [])]
        for field, names in wanted.items()
    }
    return {field: list(dict.fromkeys(names)) for field, names in found.items() if names}


def _fields(contacts: pa.Table, known: Mapping[str, Sequence[str]], by_name: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    told: dict[str, list[pa.ChunkedArray]] = {}
    for field, names in known.items():
        for name in names:
            parts = _address_parts(by_name[name]) if field == "address" else {field: by_name[name]}
            for part, values in parts.items():
                told.setdefault(part, []).append(values)
    for field, columns in told.items():
        contacts = contacts.append_column(field, pc.coalesce(*columns))
    return contacts


def _address_parts(texts: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    """The fields of an address that is an object; its text as the street where it is none."""
    encoded = texts.combine_chunks().dictionary_encode()
    parsed = [_address(text) for text in encoded.dictionary.to_pylist()]
    fields = sorted({field for address in parsed for field in address})
    return {
        field: pa.chunked_array(
            [pa.array([address.get(field) for address in parsed], pa.string()).take(encoded.indices)]
        )
        for field in fields
    }


def _address(text: str) -> dict[str, str]:
    if len(text) > MOST_CHARACTERS:
        return {}
    try:
        given: Any = json.loads(text)
    except ValueError:
        return {"street": text}
    if not isinstance(given, dict):
        return {"street": given} if isinstance(given, str) else {}
    by_spelling = {
        _spelling(str(name)): value for name, value in given.items() if isinstance(value, str) and value.strip()
    }
    found: dict[str, str] = {}
    for field in ("street", "city", "postcode", "region"):
        value = next((by_spelling[key] for name in TRAITS[field] if (key := _spelling(name)) in by_spelling), None)
        if value is not None:
            found[field] = value
    return found


def _spelling(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
