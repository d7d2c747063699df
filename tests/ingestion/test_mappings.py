"""A mapping file that cannot be used is refused with one sentence that names the file and the field."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion.mappings import MappingError, available_mappings, load_mapping

GOOD: dict[str, Any] = {
    "name": "till",
    "source": "till",
    "columns": {"id": "text", "at": "timestamp"},
    "event": {"type": "'track'", "event": "'Order Completed'", "occurred_at": "at"},
}


def _load(folder: Path, content: str | dict[str, Any]) -> str:
    path = folder / "till.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(MappingError) as caught:
        load_mapping(path)
    return str(caught.value)


@pytest.mark.parametrize("name", available_mappings())
def test_every_mapping_that_comes_with_weft_can_be_read(name: str) -> None:
    assert load_mapping(name).name == name


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"colour": "blue"}, "till.yml: colour is not a key of the mapping grammar."),
        ({"columns": {"id": "number"}}, "till.yml: columns.id is not valid"),
        ({"columns": {}}, "till.yml: columns is not valid"),
        ({"event": {"occurred_at": "at"}}, "till.yml: event.type is missing."),
        ({"event": {"type": "'track'", "when": "at"}}, "till.yml: event.when is not a key of the mapping grammar."),
        ({"event": None}, "till.yml: target events needs the block 'event'."),
        ({"product": {"product_id": "id"}}, "till.yml: target events cannot have the block 'product' as well"),
        ({"target": "people"}, "till.yml: target is not valid"),
        ({"optional": ["nobody"]}, "till.yml: optional names 'nobody', which is not among the columns."),
        ({"columns": {"id": "text", "ID": "text"}}, "till.yml: columns has two names that differ only in"),
        ({"properties": {"a": {"b": None}}}, "till.yml: 'a.b' has no expression."),
        ({"properties": 5}, "till.yml: properties must be a map or one expression."),
        ({"rejects": [{"reason": "Too Bad", "when": "true"}]}, "till.yml: rejects.0.reason is not valid"),
        ({"delimiter": ", "}, "till.yml: delimiter is not valid"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    message = _load(tmp_path, GOOD | change)
    assert message.startswith(sentence)
    assert "\n" not in message


def test_a_missing_name_is_named(tmp_path: Path) -> None:
    assert _load(tmp_path, {key: value for key, value in GOOD.items() if key != "name"}) == "till.yml: name is missing."


def test_what_is_not_yaml_is_said_so_with_its_line(tmp_path: Path) -> None:
    assert _load(tmp_path, "name: till\n  source: [") == (
        "till.yml is not valid YAML: mapping values are not allowed here in line 2."
    )
    assert _load(tmp_path, "- a list") == "till.yml must be a YAML object with name, source, columns and event."
    assert _load(tmp_path, "name: a\nname: b\n") == "till.yml is not valid YAML: the key 'name' stands twice in line 1."


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"There is no mapping 'tills'; name one of .*online_retail, .*segment"):
        load_mapping("tills")
    with pytest.raises(MappingError, match=r"The mapping file .*nowhere\.yml does not exist\."):
        load_mapping(tmp_path / "nowhere.yml")
    with pytest.raises(MappingError, match="There is no mapping"):
        load_mapping("../mappings/segment")


def test_numbers_and_booleans_stand_for_themselves(tmp_path: Path) -> None:
    path = tmp_path / "till.yml"
    event = {"type": "'track'", "event": 7, "occurred_at": "at"}
    path.write_text(yaml.safe_dump(GOOD | {"event": event, "identifiers": {"vip": True}}), encoding="utf-8")
    mapping = load_mapping(path)
    assert mapping.event and mapping.event.event == "7"
    assert mapping.identifiers == {"vip": "true"}
