"""automations.yml: one sentence for each mistake; codes and their pools; what stands between the engine and a destination."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from activation.automations.coupons import ALPHABET, codes_of, made_code
from activation.automations.definitions import AutomationError, load_automations
from activation.automations.telling import TOLD_BEFORE, Content, Telling
from activation.destinations import KINDS
from activation.syncs.contract import Change, Outcome

GOOD: dict[str, Any] = {"name": "welcome", "audience": "fans", "when": "entered", "destination": "hook"}
KNOWN = {"audiences": {"fans"}, "destinations": {"hook": "webhook", "team": "slack", "crm": "hubspot"}}


def _loaded(tmp_path: Path, *given: dict[Any, Any]) -> Any:
    file = tmp_path / "automations.yml"
    file.write_text(yaml.safe_dump({"automations": list(given)}), encoding="utf-8")
    return load_automations(file, **KNOWN)  # type: ignore[arg-type]


def test_no_file_is_no_automation_and_a_good_one_is_read(tmp_path: Path) -> None:
    assert load_automations(tmp_path / "none.yml") == ()
    [each] = _loaded(
        tmp_path, {**GOOD, "coupon": {"prefix": "VIP"}, "columns": ["city"], "message": "Hi {city}: {coupon}"}
    )
    assert (each.cool_down_days, each.while_it_holds, each.backfill) == (30.0, True, False)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"when": "bought"}, "welcome: when: input should be 'entered' or 'left'."),
        ({"colour": "red"}, "welcome: colour: extra inputs are not permitted."),
        ({"audience": "foes"}, "welcome: there is no audience foes."),
        ({"destination": "fax"}, "welcome: destinations.yml has no destination fax."),
        ({"destination": "crm"}, "a destination of the type hubspot takes no events; use slack, discord, webhook."),
        ({"destination": "team"}, "welcome: a slack channel needs a message."),
        ({"message": "Hi {iban}"}, "welcome: it: the message holds {iban}, which is none of its columns."),
        ({"message": "Hi {coupon}"}, "the message holds {coupon}, but there is no coupon."),
        ({"message": "Hi", "coupon": {}}, "there is a coupon, but the message has no {coupon}."),
        ({"coupon": {"pool": "spring", "length": 9}}, "a pool has its own codes: take out prefix and length."),
        ({"columns": ["coupon"]}, "columns: coupon is there by itself; take it out."),
        ({"when": "left", "backfill": True}, "backfill is for `when: entered`"),
        ({"cool_down_days": -1}, "cool_down_days: input should be greater than or equal to 0."),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_mistake_is_one_sentence(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AutomationError) as refused:
        _loaded(tmp_path, {**GOOD, **change})
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_mistake_has_its_own_sentence_and_on_is_explained(tmp_path: Path) -> None:
    without = {key: value for key, value in GOOD.items() if key != "when"}
    with pytest.raises(AutomationError) as refused:
        _loaded(tmp_path, {**without, True: "entered"}, GOOD, GOOD, {**GOOD, "name": "b", "audience": "foes"})
    said = str(refused.value)
    assert "welcome: write `when:` instead of `on:`, which YAML reads as yes." in said
    assert "welcome is there twice." in said and "b: there is no audience foes." in said


@given(st.text(min_size=1, max_size=30), st.integers(8, 24), st.integers(0, 3))
def test_a_code_is_the_same_for_the_same_occurrence_and_says_nothing_of_it(salt: str, length: int, again: int) -> None:
    code = made_code(salt, "welcome", "c1.7", prefix="X", length=length, again=again)
    assert code == made_code(salt, "welcome", "c1.7", prefix="X", length=length, again=again)
    assert len(code) == length + 1 and set(code[1:]) <= set(ALPHABET)
    others = [made_code(salt, *of, prefix="X", length=length) for of in (("welcome", "c1.8"), ("goodbye", "c1.7"))]
    assert code not in others


def test_a_file_of_codes_is_read_whole_or_not_at_all() -> None:
    assert codes_of(["\ufeffA-1\n", "\n", " B2 \r\n", "A-1\n"]) == ["A-1", "B2"]
    with pytest.raises(AutomationError, match=r"^Line 2 is no code.*nothing was loaded"):
        codes_of(["A1", "two words", "B2"])
    with pytest.raises(AutomationError, match="holds no codes"):
        codes_of(["", " "])


class _Inner:
    batch_size = 10

    def __init__(self) -> None:
        self.sent: list[Change] = []

    def send(self, changes: list[Change]) -> list[Outcome]:
        self.sent += changes
        return [Outcome("refused", f"cannot take {each.payload['city']}") for each in changes]


def test_only_what_may_go_out_reaches_the_destination_and_its_words_lose_what_they_quote() -> None:
    inner = _Inner()
    contents = {key: Content(key[0], {"city": "Kiel"}) for key in ("a.1", "b.2")}
    telling = Telling(inner, contents, lambda: {"b.2": "withheld"})  # type: ignore[arg-type]
    changes = [
        Change(key, key, operation, {"occurrence": key}, None, "k", 1)  # type: ignore[arg-type]
        for key, operation in (("a.1", "upsert"), ("b.2", "upsert"), ("c.3", "upsert"), ("d.4", "remove"))
    ]
    outcomes = telling.send(changes)
    assert [(each.status, each.words) for each in outcomes] == [
        ("refused", "cannot take [hidden]"),
        ("refused", "withheld"),
        ("refused", TOLD_BEFORE),
        ("accepted", None),
    ]
    assert [(each.customer_id, each.payload, each.key) for each in inner.sent] == [("a", {"city": "Kiel"}, "a.1")]


def _blocks(page: str) -> list[Any]:
    text = (Path(__file__).resolve().parents[2] / "docs" / page).read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def test_the_examples_of_the_docs_are_accepted_as_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "automations.yml"
    file.write_text(yaml.safe_dump(_blocks("automations.md")[0]), encoding="utf-8")
    known = {"audiences": {"high_value", "lapsed_buyers"}, "destinations": {"shop": "webhook"}}
    assert len(load_automations(file, **known)) == 2  # type: ignore[arg-type]
    for block in _blocks("destinations.md"):
        for each in block["destinations"]:
            assert KINDS[each["type"]].config_model.model_validate(each).name == each["name"]
