"""The rule file: read whole, or refused with file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from identity.rules import DEFAULT_RULES, RulesError, load_rules

PACKAGED = DEFAULT_RULES.read_text(encoding="utf-8")


def _line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "marker", "reason"),
    [
        ("limit: 10", "limit: ten", "limit: ten", "hot.limit: input should be a valid integer"),
        ("limit: 10", "limit: 0", "limit: 0", "hot.limit: input should be greater than or equal to 1"),
        ("limit: 10", "limits: 10", "limits: 10", "hot.limits is not a known field"),
        ("'^[0-]*$'", "'^[0-*$('", "'^[0-*$('", "blocked.all_types.regexes.0 is not a regular expression"),
        ("priority: 1,", "priority: 0,", "email:        {", "identifier_types.email.priority is also that of user_id"),
        ("strength: weak}", "strength: waek}", "device_id:    {", "identifier_types.device_id.strength"),
        ('"49"', "49", "default_country", "default_country: input should be a valid string"),
        ('"49"', '"DE"', "default_country", "default_country: string should match"),
        ("per_pair: {}", "per_pair: {cookie: {email: 3}}", "per_pair: {c", "hot.per_pair.cookie is not one of"),
        ("per_pair: {}", "per_pair: {email: {device_id: 3}}", "per_pair: {e", "email.device_id is not a strong type"),
        ("  phone:\n    values", "  telefon:\n    values", "  telefon:", "blocked.telefon is neither all_types nor"),
        ('- "null"', "- null", "- null", "blocked.all_types.values.0: input should be a valid string"),
        ("hot:\n", "hot:\n  limit: 4\n", "limit: 10", "hot.limit is given twice"),
        ("per_pair: {}", "per_pair: {", "per_pair: {", "the file is not YAML"),
        ("user_id: 1\n", "user_id: 0\n", "user_id: 0", "limits.user_id: input should be greater than or equal to 1"),
        ("  device_id: 20", "  gadget: 20", "  gadget: 20", "limits.gadget is not one of identifier_types"),
        ("  groups: 3", "  groups: 3.5", "groups: 3.5", "review.groups: input should be a valid integer"),
        ("gap_minutes: 30", "gap_minutes: 0", "gap_minutes: 0", "visits.gap_minutes"),
        ("visits:\n", "visit:\n", "visit:", "visit is not a known field"),
        ("limit: 10", "limit: !!python/name:os.system x", "limit: !!", "the file is not YAML"),
        ("per_pair: {}", "per_pair: &a {email: *a}", "per_pair: &a", "is nested too deeply"),
    ],
)
def test_a_mistake_is_refused_with_its_line(tmp_path: Path, old: str, new: str, marker: str, reason: str) -> None:
    assert old in PACKAGED
    text = PACKAGED.replace(old, new, 1)
    file = tmp_path / "rules.yml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RulesError) as caught:
        load_rules(file)
    message = str(caught.value)
    assert message.startswith(f"{file}, line {_line_of(text, marker)}: ")
    assert reason in message
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"- a list\n", b"\xff\xfe", b"hot: {limit: 10}\n"])
def test_a_file_without_rules_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rules.yml"
    file.write_bytes(content)
    with pytest.raises(RulesError, match=r"rules\.yml"):
        load_rules(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="cannot be read"):
        load_rules(tmp_path / "nowhere.yml")


def test_a_hot_limit_falls_back_to_the_general_one(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(PACKAGED.replace("per_pair: {}", "per_pair: {device_id: {user_id: 6}}"), encoding="utf-8")
    hot = load_rules(str(file)).hot
    assert (hot.allowed("device_id", "user_id"), hot.allowed("device_id", "email")) == (6, 10)


def test_types_come_by_priority() -> None:
    rows = load_rules().types_table().to_pylist()
    assert rows[0] == {"identifier_type": "user_id", "priority": 0, "is_strong": True}
    assert [row["identifier_type"] for row in rows] == [
        "user_id", "email", "phone", "loyalty_id", "device_id", "anonymous_id",
    ]  # fmt: skip
