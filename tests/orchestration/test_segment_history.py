"""Who was in which segment when, on DuckDB and on PostgreSQL; a shadow that keeps whole snapshots says the same."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest

from ml import schema
from orchestration.segment_history import SettledSegments, newest_transitions, settle_segments, transition_table
from orchestration.warehouse import Connection, create_table, write_table
from tests.orchestration.member_shop import opened

NAMES = {1: "loyal", 2: "lapsed", 3: "new"}
D0 = date(2026, 3, 1)
Segments = dict[str, int]


@pytest.fixture
def connection(where: str) -> Iterator[Connection]:
    with opened(where) as connection:
        create_table(connection, "control.feature_dates", {"as_of_date": "date"})
        create_table(connection, "predictions.segments", schema.PREDICTIONS["segments"])
        connection.execute("create schema if not exists identity")
        # as dbt makes it: in the collation of the database
        connection.execute("create table identity.customer_redirects (customer_id varchar, living_customer_id varchar)")
        yield connection


def settle(
    connection: Connection,
    day: int,
    segments: Segments,
    *,
    merged: dict[str, str] | None = None,
    version: str = "v1",
    names: dict[int, str] = NAMES,
) -> SettledSegments:
    """What scoring leaves behind on the `day`, settled."""
    with connection.transaction():
        today = D0 + timedelta(days=day)
        connection.execute("delete from control.feature_dates")
        connection.execute("insert into control.feature_dates (as_of_date) values (?)", [today])
        rows = [(c, today, s, names[s], version) for c, s in segments.items()]
        columns = schema.PREDICTIONS["segments"]
        table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows]) if rows else None
        connection.execute("delete from predictions.segments")
        if table is not None:
            write_table(connection, "predictions.segments", table, columns)
        connection.execute("delete from identity.customer_redirects")
        for old, living in (merged or {}).items():
            connection.execute("insert into identity.customer_redirects values (?, ?)", [old, living])
        return settle_segments(connection, version)


def history(connection: Connection) -> list[tuple[object, ...]]:
    """customer, segment, from and to as days since D0, why."""
    query = "select customer_id, segment_id, valid_from, valid_to, ended from predictions.segment_history order by 1, 3"
    return [
        (customer, segment, (since - D0).days, until and (until - D0).days, ended)
        for customer, segment, since, until, ended in connection.rows(query)
    ]


def moves(connection: Connection) -> dict[tuple[int | None, int | None], int]:
    rows = newest_transitions(connection)
    return {(row["from_segment_id"], row["to_segment_id"]): row["customers"] for row in rows}


def test_coming_staying_moving_and_going_are_rows_with_dates(connection: Connection) -> None:
    assert settle(connection, 0, {"a": 1, "b": 2}).entered == 2
    assert settle(connection, 7, {"a": 1, "b": 1, "c": 3}).ended == {"moved": 1}
    assert moves(connection) == {(1, 1): 1, (2, 1): 1, (None, 3): 1}
    assert settle(connection, 14, {"a": 1, "b": 2}).ended == {"gone": 1, "moved": 1}
    assert moves(connection) == {(1, 1): 1, (1, 2): 1, (3, None): 1}
    assert history(connection) == [
        ("a", 1, 0, None, None),
        ("b", 2, 0, 7, "moved"),
        ("b", 1, 7, 14, "moved"),
        ("b", 2, 14, None, None),
        ("c", 3, 7, 14, "gone"),
    ]


def test_an_id_that_was_merged_ends_as_merged_and_is_counted_once(connection: Connection) -> None:
    settle(connection, 0, {"a": 1, "b": 2, "x": 2})
    settled = settle(connection, 1, {"a": 1, "y": 1}, merged={"b": "a", "x": "y"})
    assert settled.ended == {"merged": 2}
    # a stays in 1 whoever was merged into it; y is x under a new id, so it comes from where x was
    assert moves(connection) == {(1, 1): 1, (2, 1): 1}
    assert history(connection)[1] == ("b", 2, 0, 1, "merged")


def test_one_day_settled_twice_is_settled_once_with_the_newer_scores(connection: Connection) -> None:
    settle(connection, 0, {"a": 1, "b": 2})
    settle(connection, 1, {"a": 2})
    settle(connection, 1, {"a": 1, "b": 2, "c": 3})
    assert history(connection) == [("a", 1, 0, None, None), ("b", 2, 0, None, None), ("c", 3, 1, None, None)]
    assert moves(connection) == {(1, 1): 1, (2, 2): 1, (None, 3): 1}


def test_a_look_into_the_past_moves_nobody(connection: Connection) -> None:
    settle(connection, 0, {"a": 1})
    settle(connection, 9, {"a": 2})
    before = history(connection)
    assert "nobody moved" in (settle(connection, 4, {"a": 3}).postponed or "")
    assert history(connection) == before


def test_a_settlement_ahead_of_the_clock_binds_nobody(connection: Connection) -> None:
    settle(connection, 0, {"a": 1})
    settle(connection, 100_000, {"a": 2, "b": 2})
    settle(connection, 3, {"a": 3})
    assert history(connection) == [("a", 1, 0, 3, "moved"), ("a", 3, 3, None, None)]


def test_a_group_that_gets_another_name_or_version_moves_nobody(connection: Connection) -> None:
    settle(connection, 0, {"a": 1})
    settled = settle(connection, 1, {"a": 1}, version="v2", names={1: "loyal high spenders"})
    assert settled.ended == {"renamed": 1}
    [row] = newest_transitions(connection)
    assert (row["from_segment_id"], row["to_segment_id"]) == (1, 1)
    assert (row["from_segment_name"], row["to_segment_name"]) == ("loyal", "loyal high spenders")
    assert row["model_changed"]
    settle(connection, 2, {"a": 1}, version="v2", names={1: "loyal high spenders"})
    assert [row["model_changed"] for row in newest_transitions(connection)] == [False]


def test_the_history_is_what_whole_snapshots_say(connection: Connection) -> None:
    chance = random.Random(5)
    snapshots: list[Segments] = []
    for day in range(8):
        snapshots.append({f"c{n}": chance.randint(1, 3) for n in range(30) if chance.random() < 0.8})
        settle(connection, day, snapshots[-1])
        counted: Counter[tuple[int | None, int | None]] = Counter()
        for one, other in pairwise([{}, *snapshots][-2:]):
            counted.update((one.get(c), other.get(c)) for c in {*one, *other})
        assert moves(connection) == counted
    for day, snapshot in enumerate(snapshots):
        at = D0 + timedelta(days=day)
        found = connection.rows(
            "select customer_id, segment_id from predictions.segment_history "
            "where valid_from <= ? and (valid_to > ? or valid_to is null)",
            [at, at],
        )
        assert dict(found) == snapshot
        assert len(found) == len(snapshot)


def test_people_see_the_moves_as_a_matrix(connection: Connection) -> None:
    assert transition_table(newest_transitions(connection)) == ""
    settle(connection, 0, {"a": 1, "b": 2})
    settle(connection, 7, {"a": 1, "b": 1, "c": 1})
    assert transition_table(newest_transitions(connection)).splitlines() == [
        "Scores of 2026-03-08",
        "",
        "| from / to | loyal |",
        "| --- | ---: |",
        "| (new) | 1 |",
        "| lapsed | 1 |",
        "| loyal | 1 |",
    ]
