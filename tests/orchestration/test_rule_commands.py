"""What people type and see of rule audiences; and rules that are built when somebody asks for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from orchestration.cli import app, main
from orchestration.resources import Platform, build_platform
from orchestration.rule_audiences import build_rule_members
from orchestration.rule_author import ApiAuthor
from tests.orchestration.rule_shop import AS_OF, fill, serve

SPENDERS = {"attribute": "net_revenue", "op": "gte", "value": 100}
SAID = ("--owner", "crm", "--purpose", "personalisation", "--destination", "redis", "--description", "Spenders.")


@pytest.fixture
def shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str, manifest: dict[str, Any]
) -> Iterator[Platform]:
    """The installation that `typed` is about."""
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "weft"))
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "250")
    platform = build_platform()
    with platform.warehouse.writer() as connection:
        fill(connection)
    serve(platform.warehouse, "a")
    yield platform


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "spenders.json"
    path.write_text(json.dumps(SPENDERS), encoding="utf-8")
    return path


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["audience", *arguments], catch_exceptions=False)


def test_a_rule_is_previewed_saved_listed_explained_exported_and_deleted(
    shop: Platform, file: Path, tmp_path: Path
) -> None:
    assert typed("preview", str(file)).stdout.splitlines() == [
        "2 customers, 50.0% of all, as of 2026-03-31 12:00.",
        "  ada",
        "  dee",
    ]
    assert "no rule yet" in typed("rules").stdout
    assert "saved as revision 1" in typed("save", "spenders", str(file), *SAID, "--max-share", "0.6").stdout
    assert "waits for" in typed("rules").stdout
    with shop.warehouse.writer() as connection:
        build_rule_members(connection, shop.state, AS_OF)
    serve(shop.warehouse, "bb")
    listed = typed("rules").stdout
    assert all(text in listed for text in ("spenders", "crm", "personalisation", "2")) and "waits" not in listed
    out = tmp_path / "out"
    out.mkdir()
    assert typed("export", "spenders", "--to", str(out)).stdout.split() == [
        str(out / "spenders.sql"),
        str(out / "spenders.yml"),
    ]
    assert "spenders is deleted" in typed("delete", "spenders").stdout
    assert shop.state.rules.current() == []


def test_mistakes_are_sentences_with_exit_code_2(
    shop: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    wrong = tmp_path / "wrong.json"
    for content, arguments, said in (
        (
            '{"attribute": "net_revnue", "op": "gte", "value": 1}',
            ("preview", str(wrong)),
            "$.attribute: there is no attribute 'net_revnue'; did you mean net_revenue?",
        ),
        (
            '{"attribute": "net_revenue", "op": "gte", "value": "ada@example.com"}',
            ("preview", str(wrong)),
            "$.value: net_revenue takes a number, not a text.",
        ),
        ("{", ("save", "x", str(wrong), *SAID), "this is not JSON"),
        (json.dumps(SPENDERS), ("save", "x", str(wrong)), "$.owner: is missing."),
        (
            json.dumps(SPENDERS),
            ("save", "profiles", str(wrong), *SAID),
            "profiles is a model of the warehouse; choose another name.",
        ),
        (json.dumps(SPENDERS), ("export", "nothing"), "There is no rule nothing"),
        (json.dumps(SPENDERS), ("preview", str(tmp_path / "missing.json")), "cannot be read"),
    ):
        wrong.write_text(content, encoding="utf-8")
        monkeypatch.setattr("sys.argv", ["weft", "audience", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr().out
        assert ended.value.code == 2 and said in shown and "@" not in shown, shown
    assert shop.state.rules.current() == []


def test_asked_for_over_the_api_the_rules_are_built_at_once(shop: Platform) -> None:
    from orchestration.rule_rebuilding import rebuild_rules, rules_asked_for  # needs the manifest

    author = ApiAuthor(shop)
    definition = {
        "name": "spenders",
        "rule": SPENDERS,
        "owner": "crm",
        "consent_purpose": "personalisation",
        "destinations": ["redis"],
        "description": "Spenders.",
    }
    author.save(definition, by="key")
    with dg.instance_for_test() as instance:

        def asked(cursor: str | None) -> Any:
            with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": shop}) as context:
                tick = rules_asked_for.evaluate_tick(context)
            return tick.run_requests or [], tick.cursor

        assert asked(None)[0] == []
        author.rebuild("spenders", by="key")
        [request], cursor = asked(None)
        assert request.run_key.startswith("rules:") and asked(cursor)[0] == []
        author.rebuild("spenders", by="key")
        assert asked(cursor)[0][0].run_key != request.run_key
    assert rebuild_rules(shop) is None, "the run of this warehouse did not come to its end"


def test_rules_are_rebuilt_on_a_whole_build_and_served(shop: Platform) -> None:
    from orchestration.rule_rebuilding import rebuild_rules  # needs the manifest

    ApiAuthor(shop).save(
        {
            "name": "spenders",
            "rule": SPENDERS,
            "owner": "crm",
            "consent_purpose": "personalisation",
            "destinations": ["redis"],
            "description": "S.",
        },
        by="key",
    )
    with shop.warehouse.writer() as connection:
        connection.execute("update control.builds set run_seq = 1")
    built = rebuild_rules(shop)
    assert built is not None and built.counts == {"spenders": 2}
    with shop.warehouse.open_served() as served:
        assert served.rows("select customer_id from audiences.rule_members order by 1") == [("ada",), ("dee",)]
    version = shop.state.newest_version("spenders")
    assert version is not None and version.member_count == 2, "the sensor has something to publish"
