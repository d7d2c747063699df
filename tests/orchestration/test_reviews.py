"""`weft review`: what waits for a person, and what becomes of it when one has decided."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from identity.rules import load_rules
from orchestration import decision_commands
from orchestration.cli import app
from orchestration.decision_records import Decision
from orchestration.errors import DecisionError
from orchestration.link_proposals import ProposedLink
from orchestration.reviews import approval, find_review, read_proposals, read_reviews, refusal
from orchestration.state import State, utc_now
from orchestration.warehouse import Connection
from tests.identity import histories
from tests.identity.histories import day, identifier_id, seen
from tests.orchestration.stitched_store import Store, held_at
from tests.orchestration.test_explaining import serve

END = day(20)
HISTORY = [
    *(seen(number, f"email:e{number}") for number in range(1, 9)),
    seen(10, "email:e1 email:e2 email:e3 email:e4 email:null cookie:c"),
    seen(11, "email:e1 email:e2 email:e3 email:e4 cookie:d"),
    seen(12, "email:e5 email:e6 email:e7 email:e8"),
    seen(13, "user:anna cookie:1 cookie:2"),
    seen(14, "user:bert"),
    seen(15, "user:anna cookie:shared"),
    seen(16, "user:bert cookie:shared"),
]


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(f"sqlite:///{tmp_path / 'state.sqlite'}")


@pytest.fixture
def served() -> Iterator[Connection]:
    with Store() as store:
        store.run(HISTORY, dates=[END], rules=load_rules())
        yield serve(store, load_rules())


def decide(state: State, decision: Decision) -> None:
    state.decisions.add(decision, note="", made_by="anna", now=utc_now())


def test_events_with_the_same_strong_identifiers_are_one_review_named_as_the_engine_names_it(
    served: Connection, state: State
) -> None:
    first, second = read_reviews(served, state.decisions)
    assert list(first.identifiers) == [("email", f"e{number}") for number in range(1, 5)]
    assert (first.status, first.customer_count, first.event_count, first.kinds()) == ("open", 4, 2, "4 email")
    assert first.first_seen_at == day(10)
    for review in (first, second):
        ids = sorted(identifier_id(name) for name in review.identifiers)
        assert review.review_id == hashlib.sha256("\x1f".join(ids).encode()).hexdigest()[:16]
    assert all(first.identifiers.values())


def test_a_review_is_found_by_the_beginning_of_its_id(served: Connection, state: State) -> None:
    first, _ = read_reviews(served, state.decisions)
    assert find_review(served, state, f" {first.review_id[:7].upper()} ") == first
    for nonsense in ("", "   ", "zz", "%", "'; drop table identity.evidence", "x" * 10_000):
        with pytest.raises(DecisionError, match="No review") as refused:
            find_review(served, state, nonsense)
        assert len(str(refused.value)) < 200


def test_a_beginning_that_two_share_is_not_enough() -> None:
    pairs = [[f"email:x{number}{letter}" for letter in "abcd"] for number in range(40)]
    history = [seen(1 + place / 100, name) for place, name in enumerate(name for names in pairs for name in names)]
    history += [seen(10 + place / 100, " ".join(names)) for place, names in enumerate(pairs)]
    with Store() as store:
        store.run(history, dates=[END], rules=load_rules())
        served = serve(store, load_rules())
        state = State("sqlite://")
        by_beginning: dict[str, int] = {}
        for review in read_reviews(served, state.decisions):
            by_beginning[review.review_id[0]] = by_beginning.get(review.review_id[0], 0) + 1
        letter, count = max(by_beginning.items(), key=lambda item: item[1])
        assert count > 1
        with pytest.raises(DecisionError, match=f"{count} reviews begin with {letter}"):
            find_review(served, state, letter)


def test_an_approved_review_joins_and_a_refused_one_never_does(served: Connection, state: State) -> None:
    first, second = read_reviews(served, state.decisions)
    decide(state, approval(first))
    decide(state, refusal(second))
    assert [review.status for review in read_reviews(served, state.decisions)] == ["approved", "refused"]
    decisions = [histories.Decision(record.decision.action, record.decision.sides) for record in state.decisions.list()]
    with Store() as store:
        store.run(HISTORY, dates=[END], rules=load_rules(), decisions=decisions)
        owner = held_at(store.memberships(), END)
        again = serve(store, load_rules())
        assert [review.status for review in read_reviews(again, state.decisions)] == ["refused"]
        assert len({owner["email", f"e{number}"] for number in range(1, 5)}) == 1
        assert owner["anonymous_id", "d"] == owner["email", "e1"]
        assert len({owner["email", f"e{number}"] for number in range(5, 9)}) == 4
        state.decisions.withdraw(2, by="anna", now=utc_now())
        assert [review.status for review in read_reviews(again, state.decisions)] == ["open"]


def test_what_was_refused_is_not_approved_and_the_other_way_round(served: Connection, state: State) -> None:
    first, second = read_reviews(served, state.decisions)
    decide(state, refusal(first))
    decide(state, approval(second))
    with pytest.raises(DecisionError, match=r"decision 1 \(weft review refuse"):
        decide(state, approval(first))
    with pytest.raises(DecisionError, match=r"decision 2 \(weft review approve"):
        decide(state, refusal(second))


def test_a_proposed_link_is_approved_and_refused_like_a_review(served: Connection, state: State) -> None:
    ids = tuple(sorted(identifier_id(("email", name)) for name in ("e1", "e8")))
    link = ProposedLink("f00d" * 8, (ids[0], ids[1]), 0.9, "name", "street", utc_now())
    state.proposals.replace([link])
    proposal = find_review(served, state, "F00D")
    assert set(proposal.identifiers) == {("email", "e1"), ("email", "e8")}
    made = refusal(proposal)
    decide(state, made)
    assert read_proposals(served, state) == []
    with pytest.raises(DecisionError, match="No review"):
        find_review(served, state, "f00d")
    with pytest.raises(DecisionError, match=r"decision 1 \(weft review refuse"):
        decide(state, approval(proposal))
    state.decisions.withdraw(1, by="anna", now=utc_now())
    decide(state, approval(proposal))
    assert state.decisions.list()[0].decision.action == "link"


@pytest.fixture
def weft(served: Connection, state: State, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The command line of an installation whose served build is `served`."""
    warehouse = SimpleNamespace(open_served=lambda: nullcontext(served))
    platform = SimpleNamespace(warehouse=warehouse, state=state, rules=load_rules())
    monkeypatch.setattr(decision_commands, "build_platform", lambda: platform)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            return str(result.exception)
        return result.output

    return run


def test_reviews_and_proposed_links_are_listed_shown_and_decided(weft: Callable[..., str], state: State) -> None:
    ids = tuple(sorted(identifier_id(("email", name)) for name in ("e1", "e8")))
    state.proposals.replace([ProposedLink("f00d" * 8, (ids[0], ids[1]), 0.9, "name", "street", utc_now())])
    listed = weft("review", "list")
    assert listed.count("4 email") == 2
    assert "f00df00df00d" in listed
    assert "0.900" in listed
    assert "e1" not in listed.split()  # a list shows nobody's values
    first = find_review_id(listed)
    shown = weft("review", "show", first)
    assert f"review {first}" in shown
    assert "email:e1" in shown
    assert "probability 0.900" in weft("review", "show", "f00d")
    assert "Decision 1 is made" in weft("review", "approve", first, "--note", "one family office")
    assert "Decision 2 is made" in weft("review", "refuse", "f00d")
    assert "approved" in weft("review", "list", "--all")
    assert "approved by decision 1 (weft review approve" in weft("review", "show", first)
    left = weft("review", "list")
    assert left.count("4 email") == 1
    assert "f00d" not in left
    assert "is so already" in weft("review", "approve", first)


def test_a_split_without_a_side_is_from_the_rest_of_the_customer(weft: Callable[..., str], state: State) -> None:
    assert "holds no other identifier" in weft("split", "user_id:bert")
    assert "belong to 2 customers" in weft("split", "user_id:anna", "user_id:bert")
    for nobodys in ("user_id:nobody", "anonymous_id:shared"):
        assert f"{nobodys} is no one customer's" in weft("split", nobodys)
    assert state.decisions.list() == []
    said = weft("split", "anonymous_id:1")
    assert "apart from the 2 other identifiers of their customer" in said
    [record] = state.decisions.list()
    assert record.decision.sides == ((("anonymous_id", "1"),), (("anonymous_id", "2"), ("user_id", "anna")))


def find_review_id(listed: str) -> str:
    return next(line.split()[0] for line in listed.splitlines() if "4 email" in line)
