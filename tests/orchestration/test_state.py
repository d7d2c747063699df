"""Operator state: audience versions, tries to publish, the salt."""

from datetime import date, datetime, timedelta
from pathlib import Path

from orchestration.publishing import FAILED, PUBLISHED, REQUESTED, STUCK_AFTER, pending_versions
from orchestration.state import AudienceVersion, State, utc_now

AS_OF = datetime(2026, 7, 1)


def register(state: State, audience: str, content: str, definition: str = "d") -> AudienceVersion | None:
    return state.register_version(
        audience=audience, build_id="b", definition_hash=definition, content_hash=content, member_count=1, as_of=AS_OF
    )


def waiting(state: State, *, after: int = 0, later: timedelta = timedelta()) -> list[tuple[str, int, int]]:
    pending = pending_versions(state, after=after, now=utc_now() + later)
    return [(version.audience, version.version, attempt) for version, attempt in pending]


def test_only_a_changed_definition_or_content_is_a_new_version(state: State) -> None:
    first = register(state, "vip", "one")
    assert first is not None
    assert first.version == 1
    assert register(state, "vip", "one") is None
    assert [v.version for v in (register(state, "vip", "two"), register(state, "vip", "two", "e")) if v] == [2, 3]
    assert register(state, "vip", "one") is not None  # back to an old content is a change too


def test_every_change_is_asked_for_once_in_order_and_not_only_the_newest(state: State) -> None:
    for audience, content in [("vip", "1"), ("new", "1"), ("vip", "2")]:
        register(state, audience, content)
    assert waiting(state) == [("vip", 1, 1), ("new", 1, 1), ("vip", 2, 1)]
    for audience, version in [("vip", 1), ("new", 1), ("vip", 2)]:
        state.record_publication(audience, version, 1, PUBLISHED)
    assert waiting(state) == []


def test_a_failed_publication_is_tried_again_with_pauses_of_ten_minutes_at_most(state: State) -> None:
    register(state, "vip", "1")
    state.record_publication("vip", 1, 1, FAILED, "Redis is gone")
    assert waiting(state, after=1) == []
    assert waiting(state, after=1, later=timedelta(seconds=31)) == [("vip", 1, 2)]
    state.record_publication("vip", 1, 3, FAILED)
    assert waiting(state, after=1, later=timedelta(seconds=119)) == []
    state.record_publication("vip", 1, 200, FAILED)
    assert waiting(state, after=1, later=timedelta(minutes=9)) == []
    assert waiting(state, after=1, later=timedelta(minutes=11)) == [("vip", 1, 201)]


def test_a_publication_whose_process_was_killed_is_tried_again(state: State) -> None:
    register(state, "vip", "1")
    state.record_publication("vip", 1, 1, REQUESTED)
    assert waiting(state, after=1) == []
    assert waiting(state, after=1, later=STUCK_AFTER + timedelta(seconds=1)) == [("vip", 1, 2)]


def test_the_salt_is_made_once_and_stays(url: str, tmp_path: Path) -> None:
    salt = State(url).salt()
    assert len(salt) == 32
    assert State(url).salt() == salt
    assert State(f"sqlite:///{tmp_path / 'other.sqlite'}").salt() != salt


def test_days_and_alerts_are_kept_once(state: State) -> None:
    days = [date(2026, 3, 1), date(2026, 3, 2)]
    state.snapshots.ask_for(days)
    state.snapshots.ask_for(days[1:])
    as_of = datetime(2026, 3, 2, 12)
    assert state.snapshots.instants(as_of, retention_days=30) == [datetime(2026, 3, 1)]
    assert state.snapshots.instants(as_of + timedelta(days=1), retention_days=1) == [datetime(2026, 3, 2)]
    state.alerts.add("run", {"job": "refresh"}, now=as_of)
    state.alerts.add("run", {"job": "another"}, now=as_of)
    [alert] = state.alerts.due(as_of)
    assert alert.body == {"job": "refresh"}
    state.alerts.told(alert)
    assert state.alerts.due(as_of + timedelta(days=1)) == []
