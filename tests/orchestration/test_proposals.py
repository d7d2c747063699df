"""Links between customers that fuzzy matching proposes: from a served build into the operator state, and what people decided."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime
from types import SimpleNamespace

import dagster as dg
import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa

from identity.tables import DECISIONS, LEDGER, MEMBERSHIPS
from orchestration.assets.link_proposals import LINK_PROPOSALS, link_proposals
from orchestration.customer_contacts import read_contacts
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.link_proposals import LinkProposals, ProposedLink
from orchestration.proposals import Proposal, open_proposals, proposal_id, propose
from orchestration.state_tables import metadata
from orchestration.warehouse import SQL_TYPES, Connection, create_table
from tests.identity.test_fuzzy import needs_splink

NOW, LATER = datetime(2026, 7, 1), datetime(2026, 7, 8)
NOTHING = DECISIONS.empty_table()

ANN, ANNA, BOB = "email:ann.lee@mail.example", "email:ann.leee@mail.exmple", "email:bob@ray.example"
TRAITS = {
    "ann": {
        "first_name": "Ann",
        "Last-Name": "Lee",
        "birthday": "1990-05-01",
        "address": '{"street": "Elm 1", "postalCode": "10115"}',
    },
    "anna": {"first_name": "Ann", "Last-Name": "Leee", "birthday": "1990-05-01", "address": '{"postal_code": "10115"}'},
    "bob": {"name": "Bob Ray", "birthday": "1985-02-11", "address": "Oak 7, Bonn"},
}


@pytest.fixture
def served() -> Iterator[DuckDBConnection]:
    """A build with three customers, two of whom may be one; and what has no strong identifier, or did not keep it."""
    with duckdb.connect() as native:
        connection = DuckDBConnection(native)
        for table, schema in (("identity.memberships", MEMBERSHIPS), ("identity.customer_ids", LEDGER)):
            create_table(connection, table, {field.name: SQL_TYPES[field.type] for field in schema})
        native.execute("create schema customer_360")
        native.execute("create table customer_360.traits (customer_id varchar, trait varchar, trait_value varchar)")
        native.execute("create table customer_360.contacts (customer_id varchar, email varchar, phone varchar)")
        for seq, (customer, identifier) in enumerate((("ann", ANN), ("anna", ANNA), ("bob", BOB))):
            own(connection, customer, identifier, seq=seq)
            native.execute(
                "insert into customer_360.contacts values (?, ?, null)", [customer, identifier.partition(":")[2]]
            )
            for trait, value in TRAITS[customer].items():
                native.execute("insert into customer_360.traits values (?, ?, ?)", [customer, trait, value])
        own(connection, "ghost", "anonymous_id:c1", seq=8)
        native.execute("insert into customer_360.traits values ('ghost', 'first_name', 'Ann')")
        yield connection


def own(connection: Connection, customer: str, identifier: str, *, seq: int) -> None:
    kind, _, value = identifier.partition(":")
    is_strong = kind != "anonymous_id"
    connection.execute(
        "insert into identity.customer_ids values (?, ?, ?, ?, ?, ?, ?)",
        [seq, customer, f"id of {value}", kind, value, is_strong, NOW],
    )
    connection.execute(
        "insert into identity.memberships values (?, ?, ?, ?, null, null, ?, null, 1)",
        [f"id of {value}", kind, value, customer, NOW],
    )


@pytest.fixture
def proposals() -> LinkProposals:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    metadata.create_all(engine)
    return LinkProposals(engine)


def proposed(proposals: LinkProposals, one: str = ANN, other: str = ANNA, *, now: datetime = NOW) -> str:
    """Put a proposal there as a matching would."""
    names = (f"id of {one.partition(':')[2]}", f"id of {other.partition(':')[2]}")
    link = ProposedLink(proposal_id(names), names, 0.9, "birth_date", "email", now)
    proposals.replace([link])
    return link.proposal_id


def decision(action: str, *sides: list[str]) -> pa.Table:
    rows = [(7, action, side, *name.split(":")) for side, names in enumerate(sides) for name in names]
    return pa.Table.from_pylist([dict(zip(DECISIONS.names, row, strict=True)) for row in rows], schema=DECISIONS)


def test_contacts_are_read_by_the_usual_names_of_traits(served):
    rows = {row["customer_id"]: row for row in read_contacts(served).to_pylist()}
    assert rows.keys() == {"ann", "anna", "bob"}, "without a strong identifier nobody is matched"
    ann = rows["ann"]
    told = (ann["given_name"], ann["family_name"], ann["birth_date"], ann["street"], ann["postcode"], ann["email"])
    assert told == ("Ann", "Lee", "1990-05-01", "Elm 1", "10115", "ann.lee@mail.example")
    assert (rows["bob"]["full_name"], rows["bob"]["street"], rows["bob"]["postcode"]) == (
        "Bob Ray",
        "Oak 7, Bonn",
        None,
    )
    assert rows["anna"]["postcode"] == "10115" and rows["anna"]["identifier_id"] == "id of ann.leee@mail.exmple"


def test_contacts_without_any_trait_are_read(served):
    served.execute("delete from customer_360.traits")
    assert read_contacts(served).column_names == ["customer_id", "identifier_id", "email", "phone"]


@pytest.mark.parametrize("text", ["{", "[1]", "17", '{"street": 5, "city": ""}', "x" * 20_000, "null"])
def test_an_address_that_is_none_does_no_harm(served, text):
    served.execute("update customer_360.traits set trait_value = ? where trait = 'address'", [text])
    assert read_contacts(served).num_rows == 3


def test_the_anchor_is_the_first_strong_identifier_that_the_customer_still_has(served):
    own(served, "ann", "user_id:u1", seq=20)
    assert _anchor(served, "ann") == "id of ann.lee@mail.example"
    served.execute(
        "update identity.memberships set customer_id = 'bob' where identifier_value = 'ann.lee@mail.example'"
    )
    assert _anchor(served, "ann") == "id of u1"


def _anchor(served: Connection, customer: str) -> str:
    return {row["customer_id"]: row["identifier_id"] for row in read_contacts(served).to_pylist()}[customer]


@pytest.fixture
def crowd(served) -> None:
    """So many strangers that it shows how rarely people agree by chance."""
    words = ("ada", "kim", "max", "lou", "zoe", "tim", "ben", "ivy")
    for place in range(40):
        given, family = words[place % 8].title(), words[place // 8].title() + "son"
        own(served, f"c{place}", f"email:{given}{place}@{family}.example".lower(), seq=100 + place)
        for trait, value in (
            ("first_name", given),
            ("last-name", family),
            ("birthday", f"19{50 + place}-0{1 + place % 9}-1{place % 10}"),
        ):
            served.execute("insert into customer_360.traits values (?, ?, ?)", [f"c{place}", trait, value])
    served.execute(
        "insert into customer_360.contacts select customer_id, identifier_value, null from identity.memberships where customer_id like 'c%'"
    )


@needs_splink
@pytest.mark.usefixtures("crowd")
def test_a_probable_link_is_proposed_once_and_keeps_its_id_and_time(served, proposals):
    statistics = propose(served, decisions=NOTHING, proposals=proposals, now=NOW)
    assert (statistics.customers, statistics.proposed) == (43, 1)
    (first,) = open_proposals(served, decisions=NOTHING, proposals=proposals)
    assert first.identifiers == {tuple(ANN.split(":")): "ann", tuple(ANNA.split(":")): "anna"}
    assert first.probability > 0.5 and "birth_date" in first.equal_fields and "email" in first.alike_fields
    own(served, "ann", "user_id:u1", seq=20)
    propose(served, decisions=NOTHING, proposals=proposals, now=LATER)
    (again,) = open_proposals(served, decisions=NOTHING, proposals=proposals)
    assert (again.review_id, again.proposed_at) == (first.review_id, NOW)


@needs_splink
@pytest.mark.parametrize(
    "made", [decision("wall", [ANNA], [ANN]), decision("refuse", [ANN, ANNA]), decision("link", [ANN, ANNA])]
)
def test_what_people_decided_on_is_not_proposed(served, proposals, made):
    assert propose(served, decisions=made, proposals=proposals, now=NOW).proposed == 0


@pytest.mark.parametrize(
    ("made", "is_open"),
    [
        (NOTHING, True),
        (decision("wall", [ANN], [ANNA]), False),
        (decision("wall", [ANNA, "email:else@where.example"], [ANN]), False),
        (decision("wall", [ANN, ANNA], [BOB]), True),
        (decision("refuse", [ANN, ANNA]), False),
        (decision("link", [ANN, ANNA]), False),
        (decision("link", [ANN, BOB]), True),
    ],
)
def test_a_proposal_is_open_until_somebody_decides_on_the_two(served, proposals, made, is_open):
    name = proposed(proposals)
    assert [each.review_id for each in open_proposals(served, decisions=made, proposals=proposals)] == [name] * is_open


def test_a_decision_holds_for_the_customers_whichever_of_their_identifiers_it_names(served, proposals):
    own(served, "ann", "user_id:u1", seq=20)
    proposed(proposals)
    assert not open_proposals(served, decisions=decision("refuse", ["user_id:u1", ANNA]), proposals=proposals)


def test_a_proposal_ends_when_the_two_are_one_customer_or_one_is_gone(served, proposals):
    proposed(proposals)
    served.execute("update identity.memberships set customer_id = 'ann' where customer_id = 'anna'")
    assert not open_proposals(served, decisions=NOTHING, proposals=proposals)
    served.execute("delete from identity.memberships where customer_id = 'ann'")
    assert not open_proposals(served, decisions=NOTHING, proposals=proposals)


def test_proposals_that_no_longer_hold_are_replaced(served, proposals):
    proposed(proposals)
    proposals.replace([])
    assert proposals.list() == [] and open_proposals(served, decisions=NOTHING, proposals=proposals) == []


def test_a_proposal_shows_types_and_no_values():
    shown = Proposal("p", 0.9, "", "", NOW, {("email", "ann@x.example"): "ann", ("phone", "+49"): "bob"})
    assert shown.kinds() == "email, phone"
    assert proposal_id(["b", "a"]) == proposal_id(["a", "b"]) != proposal_id(["a", "c"])


def materialised(served: Connection, proposals: LinkProposals) -> dg.ExecuteInProcessResult:
    """Run the asset on this build."""
    warehouse = SimpleNamespace(open_served=lambda: nullcontext(served))
    state = SimpleNamespace(proposals=proposals, decisions=SimpleNamespace(table=lambda: NOTHING))
    platform = SimpleNamespace(warehouse=warehouse, state=state)
    return dg.materialize([link_proposals], resources={"platform": platform})


@needs_splink
@pytest.mark.usefixtures("crowd")
def test_the_asset_tells_how_many_links_it_proposed(served, proposals):
    result = materialised(served, proposals)
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["proposed"].value == 1 and len(proposals.list()) == 1


def test_without_splink_the_asset_is_skipped_and_what_was_proposed_stays(served, proposals, monkeypatch):
    monkeypatch.setitem(sys.modules, "splink", None)
    name = proposed(proposals)
    result = materialised(served, proposals)
    assert result.success and not result.get_asset_materialization_events()
    assert [link.proposal_id for link in proposals.list()] == [name]


def test_matching_is_no_part_of_a_pass():
    from orchestration.definitions import assets
    from orchestration.schedules import PASS

    assert LINK_PROPOSALS not in PASS.resolve(assets) and LINK_PROPOSALS in dg.AssetSelection.all().resolve(assets)
