"""Who entered and left each audience, since when and why: examples, on DuckDB and on PostgreSQL."""

from collections.abc import Iterator

import pytest

from orchestration.memberships import changes_after
from tests.orchestration.member_shop import Shop, audience, day, opened, settle

ROW = "customer_id, entered_at, entered_kind, left_at, left_kind, left_because"


@pytest.fixture
def shop(where: str) -> Iterator[Shop]:
    with opened(where) as connection:
        yield Shop(connection)


def changes(shop: Shop, after: int = 0) -> list[tuple[str, str, str, str]]:
    rows = changes_after(shop.connection, after).to_pylist()
    return [(row["change"], row["audience"], row["customer_id"], row["change_kind"]) for row in rows]


def test_entering_staying_leaving_and_coming_back_are_rows_with_reasons(shop: Shop) -> None:
    shop.people("a", "b")
    first = shop.settle({"fans": {"a": "3 views", "b": None}}, day(0))
    assert (first.entered, first.left, first.members) == ({"fans": 2}, {}, {"fans": 2})
    second = shop.settle({"fans": {"a": "9 views"}}, day(1))
    assert (second.entered, second.left, second.members) == ({}, {"fans": 1}, {"fans": 1})
    shop.settle({"fans": {"a": "9 views", "b": "5 views"}}, day(2))
    assert shop.rows("customer_id, entered_at, left_at, entered_because, left_because, left_kind") == [
        ("a", day(0), None, "3 views", None, None),
        ("b", day(0), day(1), None, "no longer matches", "rule"),
        ("b", day(2), None, "5 views", None, None),
    ]
    assert shop.connection.rows(
        "select as_of, before_count, entered_count, left_count, member_count from audiences.sizes order by 1"
    ) == [
        (day(0), 0, 2, 0, 2),
        (day(1), 2, 0, 1, 1),
        (day(2), 1, 1, 0, 2),
    ]


def test_the_same_build_settled_again_changes_nothing(shop: Shop) -> None:
    shop.people("a", "b", "c")
    shop.living["b"] = "a"
    members = {"fans": {"a": "x"}, "r_ruled": {"c": "y"}}
    shop.settle(members, day(0))
    before = shop.everything()
    for as_of in (day(0), day(1)):
        again = settle(shop.connection, members, as_of)
        assert (again.entered, again.left) == ({}, {})
    assert [table for table in shop.everything()[:3]] == before[:3]


def test_of_two_members_who_merge_the_one_that_lives_is_in_since_the_earlier_day(shop: Shop) -> None:
    shop.people("old", "young")
    shop.settle({"fans": {"young": "1"}}, day(0))
    shop.settle({"fans": {"young": "1", "old": "2"}}, day(1))
    seen = len(changes(shop))
    shop.living["young"] = "old"
    shop.settle({"fans": {"old": "2"}}, day(2))
    assert shop.rows(ROW) == [
        ("young", day(0), "rule", day(2), "merged", "merged into old"),
        ("old", day(0), "rule", None, None, None),
    ]
    assert changes(shop, seen) == [("left", "fans", "young", "merged")]


def test_a_member_who_merges_into_somebody_who_was_not_in_stays_in_under_the_other_id(shop: Shop) -> None:
    shop.people("old", "young")
    shop.settle({"fans": {"young": "3 views"}}, day(0))
    shop.living["young"] = "old"
    shop.settle({"fans": {"old": "5 views"}}, day(1))
    assert shop.rows(f"{ROW}, entered_because where left_seq is null") == [
        ("old", day(0), "merged", None, None, None, "3 views")
    ]
    assert {kind for *_, kind in changes(shop, 1)} == {"merged"}


def test_members_who_merge_into_somebody_who_does_not_match_leave_once(shop: Shop) -> None:
    shop.people("old", "young", "younger")
    shop.settle({"fans": {"young": None, "younger": None}}, day(0))
    shop.living |= {"young": "old", "younger": "old"}
    shop.settle({"fans": {}}, day(1))
    assert shop.rows("customer_id, left_kind, left_because") == [
        ("young", "rule", "merged into old, who no longer matches"),
        ("younger", "merged", "merged into old"),
    ]
    left = [row for row in changes_after(shop.connection, 2).to_pylist() if row["change_kind"] == "rule"]
    assert [(row["customer_id"], row["living_customer_id"]) for row in left] == [("young", "old")]


def test_ids_that_are_split_again_get_back_what_they_had(shop: Shop) -> None:
    shop.people("old", "young", "never_in")
    shop.settle({"fans": {"young": "y"}}, day(0))
    shop.settle({"fans": {"young": "y", "old": "o"}}, day(1))
    shop.living |= {"young": "old", "never_in": "old"}
    shop.settle({"fans": {"old": "o"}}, day(2))
    seen = len(changes(shop))
    shop.living |= {"young": "young", "never_in": "never_in"}
    shop.settle({"fans": {"old": "o", "young": "y", "never_in": "n"}}, day(3))
    assert set(shop.rows("customer_id, entered_at, entered_kind where left_seq is null")) == {
        ("old", day(1), "rule"),
        ("young", day(0), "split"),
        ("never_in", day(0), "split"),  # was in as a part of old, which was in since day 0
    }
    assert changes(shop, seen) == [("entered", "fans", "never_in", "split"), ("entered", "fans", "young", "split")]


def test_a_new_id_for_what_was_split_off_enters_as_a_part_of_the_one_it_left(shop: Shop) -> None:
    shop.people("old")
    shop.settle({"fans": {"old": "o"}, "others": {}}, day(0))
    shop.people("new")
    shop.splits.append(("old", "new"))
    shop.settle({"fans": {"new": "n"}, "others": {"new": "n"}}, day(1))
    assert shop.rows(f"audience, {ROW}") == [
        ("fans", "old", day(0), "rule", day(1), "split", "split off: new stays in"),
        ("fans", "new", day(0), "split", None, None, None),
        ("others", "new", day(1), "rule", None, None, None),
    ]


def test_an_old_customer_who_got_evidence_of_another_enters_by_the_rule(shop: Shop) -> None:
    shop.people("old", "other")
    shop.settle({"fans": {"old": "o"}}, day(0))
    shop.splits.append(("old", "other"))
    shop.settle({"fans": {"old": "o", "other": "n"}}, day(1))
    assert changes(shop, 1) == [("entered", "fans", "other", "rule")]


def test_a_deleted_audience_closes_its_rows_as_withdrawn_and_one_not_built_yet_is_left_alone(shop: Shop) -> None:
    shop.people("a", "b")
    shop.settle({"fans": {"a": None}, "r_ruled": {"b": None}}, day(0))
    shop.connection.execute("drop table audiences.fans")
    later = settle(shop.connection, {"fans": 1}, day(1))
    assert (later.entered, later.left, later.members) == ({}, {"r_ruled": 1}, {"fans": 1})
    assert shop.rows("left_kind, left_because where audience = 'r_ruled'") == [
        ("withdrawn", "the audience was withdrawn")
    ]


def test_a_customer_whose_identifiers_nobody_holds_any_more_is_gone(shop: Shop) -> None:
    shop.people("a")
    shop.settle({"fans": {"a": None}}, day(0))
    shop.living["a"] = None
    shop.settle({"fans": {}}, day(1))
    assert shop.rows("left_kind") == [("gone",)]


def test_a_look_back_in_time_moves_nobody_and_the_next_run_settles_the_difference(shop: Shop) -> None:
    shop.people("a", "b")
    shop.settle({"fans": {"a": None}}, day(5))
    before = shop.everything()
    looked_back = shop.settle({"fans": {"b": None}}, day(3))
    assert looked_back.postponed is not None
    assert "nobody moved" in looked_back.postponed
    assert (looked_back.entered, looked_back.members) == ({}, {"fans": 1})
    assert shop.everything() == before
    shop.settle({"fans": {"b": None}}, day(6))
    assert shop.current() == {("fans", "b")}


def test_a_run_by_mistake_ahead_of_the_wall_clock_binds_no_later_run(shop: Shop) -> None:
    shop.people("a")
    shop.settle({"fans": {"a": None}}, day(1000), now=day(5))
    assert shop.settle({"fans": {}}, day(5), now=day(5)).left == {"fans": 1}
    assert shop.rows("entered_at, left_at") == [(day(1000), day(1000))]


def test_a_stale_table_with_ids_that_merged_since_counts_each_person_once(shop: Shop) -> None:
    shop.people("old", "young")
    shop.living["young"] = "old"
    shop.settle({"fans": {"young": "y", "old": "o"}}, day(0))
    assert shop.rows("customer_id, entered_because") == [("old", "o")]


def test_an_sql_audience_that_gives_no_reason_has_members_without_one(shop: Shop) -> None:
    from orchestration.memberships import settle_memberships

    shop.people("a")
    shop.build({})
    shop.connection.execute("create table audiences.plain as select 'a' as customer_id")
    settle_memberships(shop.connection, [audience("plain", gives_reason=False)], day(0))
    assert shop.rows("customer_id, entered_because") == [("a", None)]


def test_who_left_a_rule_audience_left_for_the_clauses_that_fail(shop: Shop) -> None:
    shop.people("a", "b")
    shop.settle({"r_big": {"a": None, "b": None}, "fans": {"a": None}}, day(0))

    def explain(connection: object, asked: object, customers: list[str]) -> dict[str, str]:
        return {customer: f"order_count of {customer} is 1, below 2" for customer in customers if customer == "a"}

    shop.settle({"r_big": {}, "fans": {}}, day(1), explain_leaving=explain)
    assert shop.rows("audience, customer_id, left_because") == [
        ("fans", "a", "no longer matches"),
        ("r_big", "a", "order_count of a is 1, below 2"),
        ("r_big", "b", "no longer matches"),
    ]


def test_changes_page_with_a_cursor_and_there_are_none_before_the_first_settlement(shop: Shop) -> None:
    assert len(changes_after(shop.connection, 0)) == 0
    shop.people(*"abcde")
    shop.settle({"fans": dict.fromkeys("abcde")}, day(0))
    shop.settle({"fans": dict.fromkeys("ce")}, day(1))
    cursor, seen = 0, []
    while rows := changes_after(shop.connection, cursor, limit=3).to_pylist():
        seen += [row["change_seq"] for row in rows]
        cursor = seen[-1]
    assert seen == list(range(1, 9))
