"""`weft why` on the tables that a run leaves: it tells one customer from two as the engine did, and names the rule that stands between."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.rules import HotLimits, Rules, load_rules
from orchestration.decision_records import Decision as Made
from orchestration.decision_records import Recorded
from orchestration.errors import NothingServedError, UnknownIdentifierError
from orchestration.explaining import Explanation, explain_one, explain_pair, made_since, way_lines
from orchestration.transform import DBT_PROJECT
from orchestration.warehouse import TEXT, Connection, write_table
from tests.identity.histories import (
    Decision,
    Sighting,
    day,
    histories,
    link,
    names,
    refuse,
    seen,
    some_decisions,
    strict_rules,
    wall,
)
from tests.orchestration.stitched_store import Store, held_at

END = day(20)
TYPES = {"identifier_type": "varchar", "priority": "integer", "is_strong": "boolean"}


def serve(store: Store, rules: Rules) -> Connection:
    """Add to what the engine wrote what dbt has beside it, the model of nodes as it stands in the project."""
    connection = store.connection
    for statement in (
        "alter table identity.identifiers add column event_count bigint default 1",
        f"alter table identity.identifiers add column first_seen_at timestamp default timestamp '{day(0)}'",
        f"alter table identity.identifiers add column last_seen_at timestamp default timestamp '{END}'",
        "alter table identity.evidence add column event_count bigint default 1",
        f"alter table control.current_run add column as_of timestamp default timestamp '{END}'",
    ):
        connection.execute(statement)
    write_table(connection, "control.identifier_types", rules.types_table(), TYPES)
    model = (DBT_PROJECT / "models/identity/nodes.sql").read_text(encoding="utf-8")
    model = re.sub(r"\{\{ config\(.*?\) \}\}", "", model)
    model = re.sub(r"\{\{ ref\('(\w+)'\) \}\}", r"identity.\1", model)
    model = re.sub(r"\{\{ source\('engine', '(\w+)'\) \}\}", r"identity.\1", model)
    connection.execute(f"create view identity.nodes as {model}")
    return connection


def recorded(decisions: Sequence[Decision]) -> dict[int, Recorded]:
    """What the operator state would say of decisions."""
    commands = {"link": "link", "wall": "forbid", "refuse": "review refuse"}
    return {
        seq: Recorded(
            seq, Made(each.action, commands[each.action], each.sides), "", "anna", datetime(2026, 1, 2), None, None
        )
        for seq, each in enumerate(decisions, start=1)
    }


def why(
    history: Sequence[Sighting], one: str, other: str, *decisions: Decision, rules: Rules | None = None
) -> Explanation:
    rules = rules or load_rules()
    with Store() as store:
        store.run(history, dates=[END], rules=rules, decisions=decisions)
        served = serve(store, rules)
        return explain_pair(served, recorded(decisions), rules, names(one)[0], names(other)[0])


def test_two_that_events_join_get_the_events() -> None:
    history = [seen(1, "user:anna cookie:c", message="m1"), seen(2, "cookie:c email:a", message="m2", source="pos")]
    found = why(history, "user:anna", "email:a")
    assert found.is_one_customer
    assert "joined in 2 steps" in found.sentences[0]
    assert list(way_lines(found.way, most=10)) == [
        "  user_id:anna",
        "    joined by event m1 of web, 2024-01-02 00:00:00",
        "  anonymous_id:c",
        "    joined by event m2 of pos, 2024-01-03 00:00:00",
        "  email:a",
    ]


def test_two_that_a_link_joins_get_the_decision() -> None:
    found = why([seen(1, "user:anna"), seen(2, "email:a")], "user:anna", "email:a", link("user:anna email:a"))
    assert found.is_one_customer
    assert [step.by for step in found.way] == ["decision 1 (weft link, 2026-01-02)"]


def test_two_links_join_through_an_identifier_that_nobody_has_seen() -> None:
    decisions = (link("user:anna phone:9"), link("phone:9 email:a"))
    found = why([seen(1, "user:anna"), seen(2, "email:a")], "user:anna", "email:a", *decisions)
    assert [step.end for step in found.way] == [("phone", "9"), ("email", "a")]


def test_a_blocked_identifier_gets_the_rule_that_blocks_it() -> None:
    found = why([seen(1, "user:anna email:null")], "user:anna", "email:null")
    assert not found.is_one_customer
    assert found.sentences == ["email:null is blocked: value is on the list. It is nobody's and joins nothing."]


def test_a_hot_identifier_gets_its_numbers() -> None:
    rules = load_rules().model_copy(update={"hot": HotLimits(limit=2)})
    kiosk = [seen(number, f"user:u{number} device:kiosk") for number in range(1, 4)]
    assert why(kiosk, "user:u1", "device:kiosk", rules=rules).sentences == [
        "device_id:kiosk is hot: it was seen with 3 different user_id (over 2 is too many). It is nobody's and joins nothing."
    ]
    between = why(kiosk, "user:u1", "user:u3", rules=rules)
    assert not between.is_one_customer
    assert between.sentences[0] == "Only identifiers that join nothing lie between them:"
    assert between.sentences[1].startswith("device_id:kiosk is hot")


def test_a_wall_is_named_by_its_decision() -> None:
    history = [seen(1, "user:anna email:a"), seen(2, "email:a phone:1")]
    found = why(history, "user:anna", "phone:1", wall("user:anna", "phone:1"))
    assert "Decision 1 (weft forbid, 2026-01-02) keeps them apart." in found.sentences
    assert (
        "phone:1 was set aside in the event: decision 1 (weft forbid, 2026-01-02) keeps apart whom it would join."
        in found.sentences
    )


def test_a_wall_is_named_though_no_event_connects_the_two() -> None:
    found = why([seen(1, "user:anna"), seen(2, "user:bert")], "user:anna", "user:bert", wall("user:anna", "user:bert"))
    assert found.sentences == [
        "Decision 1 (weft forbid, 2026-01-02) keeps them apart.",
        "No event connects them, not even through others.",
    ]


def test_what_was_set_aside_gets_the_limit() -> None:
    history = [seen(1, "user:anna email:a"), seen(2, "user:bert"), seen(3, "user:bert email:a")]
    found = why(history, "user:bert", "email:a")
    assert (
        "email:a was set aside in the event: one customer would hold too many user_id (the limit is 1)."
        in found.sentences
    )


def test_what_was_set_aside_is_told_of_sets_that_are_equal_without_what_is_hot() -> None:
    rules = load_rules().model_copy(update={"hot": HotLimits(limit=2)})
    history = [
        *(seen(0.1 * number, f"user:u{number} device:kiosk") for number in range(1, 4)),
        seen(1, "user:anna email:a"),
        seen(2, "user:bert phone:1"),
        seen(3, "user:bert email:a"),
        seen(4, "user:bert email:a device:kiosk"),
    ]
    found = why(history, "phone:1", "email:a", rules=rules)
    assert not found.is_one_customer
    assert any("was set aside in the event" in sentence for sentence in found.sentences)


def test_an_event_in_review_gets_its_review() -> None:
    known = [seen(number, f"email:e{number}") for number in range(1, 5)]
    held = seen(5, " ".join(f"email:e{number}" for number in range(1, 5)))
    found = why([*known, held], "email:e1", "email:e4")
    assert any("names 4 customers at once and waits for `weft review show" in sentence for sentence in found.sentences)
    refused = why([*known, held], "email:e1", "email:e4", refuse(" ".join(f"email:e{n}" for n in range(1, 5))))
    assert any("was refused" in sentence for sentence in refused.sentences)


def test_a_shared_device_gets_the_type_that_two_people_hold() -> None:
    history = [seen(1, "user:anna cookie:c"), seen(2, "user:bert cookie:c")]
    found = why(history, "user:anna", "user:bert")
    said = (
        "anonymous_id:c is shared, and nothing joins through it: people who hold different user_id were seen with it."
    )
    assert found.sentences.count(said) == 1
    assert [bool(step.kept_apart) for step in found.way] == [True, True]
    itself = why(history, "user:anna", "anonymous_id:c".replace("anonymous_id", "cookie"))
    assert not itself.is_one_customer
    assert said in itself.sentences


def test_two_that_nothing_connects_are_told_so() -> None:
    assert why([seen(1, "user:anna"), seen(2, "user:bert")], "user:anna", "user:bert").sentences == [
        "No event connects them, not even through others."
    ]


def test_an_identifier_that_no_event_carries_is_one_sentence() -> None:
    with pytest.raises(UnknownIdentifierError, match=r"carries user_id:nobody\.$"):
        why([seen(1, "user:anna")], "user:anna", "user:nobody")


def test_an_identifier_is_itself() -> None:
    assert why([seen(1, "user:anna")], "user:anna", "user:anna").is_one_customer


def test_one_identifier_is_told_with_its_customer_and_its_periods() -> None:
    rules = load_rules()
    with Store() as store:
        store.run(
            [seen(1, "user:anna cookie:c"), seen(2, "user:bert cookie:c"), seen(3, "email:null")],
            dates=[END],
            rules=rules,
        )
        served = serve(store, rules)
        anna, cookie, null = (explain_one(served, {}, rules, name) for name in names("user:anna cookie:c email:null"))
    assert "which holds 1 identifier." in anna[1]
    assert cookie[1] == "It is shared: people who hold different user_id were seen with it."
    assert "is blocked" in null[1]


def test_decisions_that_the_build_does_not_know_are_told() -> None:
    decisions = [link("user:anna email:a"), wall("user:anna", "phone:1")]
    with Store() as store:
        store.run([seen(1, "user:anna email:a")], dates=[END], rules=load_rules(), decisions=decisions[:1])
        served = serve(store, load_rules())
        made = recorded(decisions)
        assert made_since(served, made, names("user:anna")) == [
            "Decision 2 (weft forbid, 2026-01-02) was made since; the next run follows."
        ]
        assert made_since(served, made, names("email:a")) == []
        made[1] = replace(made[1], withdrawn_at=datetime(2026, 1, 3), withdrawn_by="otto")
        assert made_since(served, made, names("email:a")) == [
            "Decision 1 (weft link, 2026-01-02) was withdrawn since; the next run follows."
        ]


def test_a_build_of_an_earlier_version_is_not_explained() -> None:
    rules = load_rules()
    with Store() as store:
        store.run([seen(1, "user:anna")], dates=[END], rules=rules)
        served = serve(store, rules)
        served.execute("drop table identity.refused_joins")
        with pytest.raises(NothingServedError, match="earlier version"):
            explain_one(served, {}, rules, ("user_id", "anna"))


@settings(derandomize=True, deadline=None, max_examples=30)
@given(histories(), some_decisions(), st.booleans())
def test_every_pair_is_told_as_the_engine_decided(
    history: list[Sighting], decisions: list[Decision], is_strict: bool
) -> None:
    rules = strict_rules(2 if is_strict else 10)
    made: Mapping[int, Recorded] = recorded(decisions)
    with Store() as store:
        store.run(history, dates=[END], rules=rules, decisions=decisions)
        owner = held_at(store.memberships(), END)
        served = serve(store, rules)
        known = sorted({name for each in history for name in each.members})
        for place, one in enumerate(known):
            assert explain_one(served, made, rules, one)
            for other in known[place + 1 :: 4]:
                found = explain_pair(served, made, rules, one, other)
                assert found.is_one_customer == (owner.get(one, one) == owner.get(other, other))
                assert found.sentences
                if found.is_one_customer:
                    assert found.way
                    assert not any(step.kept_apart for step in found.way)
                elif found.way:
                    assert any(step.kept_apart for step in found.way)


def test_a_chain_of_ten_thousand_events_is_told_in_its_beginning_and_end() -> None:
    chain = [seen(number / 1000, f"cookie:{number} device:{number}") for number in range(1, 5001)]
    chain += [seen(6 + number / 1000, f"device:{number} cookie:{number + 1}") for number in range(1, 5000)]
    rules = load_rules().model_copy(update={"limits": {}})
    with Store() as store:
        store.run(chain, dates=[END], rules=rules)
        served = serve(store, rules)
        started = time.perf_counter()
        found = explain_pair(served, {}, rules, ("anonymous_id", "1"), ("device_id", "5000"))
        assert time.perf_counter() - started < 10
    assert len(found.way) == 9999
    lines = list(way_lines(found.way, most=10))
    assert lines[11].strip() == "… 9,989 more steps; --all shows them"
    assert len(lines) == 22


def test_the_same_is_told_from_postgresql(postgres_url: str) -> None:
    from orchestration.postgres_connection import PostgresConnection, connect

    rules, decisions = strict_rules(2), [link("email:5 phone:3"), wall("user:1", "email:2")]
    history = [
        seen(1, "user:1 email:1 cookie:1"), seen(2, "user:2 cookie:1"), seen(3, "user:1 email:2"), seen(3.5, "email:5"),
        seen(4, "email:1 email:2 phone:1 user:3"), seen(5, "phone:3 device:1"), seen(6, "email:null phone:1"), seen(7, "cookie:2 device:1"),
    ]  # fmt: skip
    known = sorted({name for each in history for name in each.members})
    with Store() as store:
        store.run(history, dates=[END], rules=rules, decisions=decisions)
        served = serve(store, rules)
        native = connect(postgres_url)
        try:
            other = PostgresConnection(native)
            copy_tables(served, other)
            for one in known:
                for two in known:
                    told = [explain_pair(each, recorded(decisions), rules, one, two) for each in (served, other)]
                    assert told[0].sentences == told[1].sentences
                    assert len(told[0].way) == len(told[1].way)
                assert explain_one(served, {}, rules, one) == explain_one(other, {}, rules, one)
        finally:
            native.close()


def copy_tables(source: Connection, target: Connection) -> None:
    """Every table of the one into the other; nodes as a table."""
    rows = source.rows(
        "select table_schema, table_name, column_name, data_type from information_schema.columns "
        "where table_schema in ('identity', 'control', 'audiences') order by ordinal_position"
    )
    columns: dict[str, dict[str, str]] = {}
    for schema, table, column, type_ in rows:
        columns.setdefault(f"{schema}.{table}", {})[column] = TEXT if type_ == "VARCHAR" else type_
    for table, declared in columns.items():
        write_table(
            target,
            table,
            source.arrow(f"select * from {table}"),
            {k: "varchar" if v == TEXT else v for k, v in declared.items()},
        )
