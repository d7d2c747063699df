"""`weft exclude`, `weft holdout` and `weft audience approve|lift` as a person types them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration import gate_commands
from orchestration.cli import app
from orchestration.errors import DecisionError, GateError
from orchestration.resources import Platform
from orchestration.settings import load_settings
from tests.orchestration.gated_shop import ALL, Shop, opened_shop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    opened = opened_shop(Platform(load_settings(home=tmp_path)), monkeypatch)
    monkeypatch.setattr(gate_commands, "build_platform", lambda: opened.platform)
    monkeypatch.setattr(gate_commands, "prepare_manifest", lambda _settings: None)
    opened.consents = {f"p{number}": dict(ALL) for number in range(60)}
    opened.audience("buyers", opened.consents)
    opened.build()
    return opened


def weft(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_lists_are_filled_shown_with_who_and_why_and_emptied_by_typing(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "who.txt"
    file.write_text("email: Mail-P1@shop.example \nuser_id:u-p2\n", encoding="utf-8")
    assert "3 of 3 are new on the list (everywhere)" in weft(
        "exclude", "add", "customer_id:p0", f"@{file}", "--note", "asked"
    )
    assert "0 of 1 are new" in weft("exclude", "add", "customer_id:p0")
    assert "(audience buyers)" in weft("exclude", "add", "user_id:u-p3", "--audience", "buyers")
    weft("exclude", "add", "user_id:u-p4", "--destination", "meta")
    told = weft("exclude", "list")
    assert "email:mail-p1@shop.example everywhere" in told
    assert "asked" in told and "audience buyers" in told and "destination meta" in told
    assert "1 of 1 were on the list" in weft("exclude", "remove", "customer_id:p0")
    assert "customer_id:p0" not in weft("exclude", "list")
    assert "customer_id:p0" in weft("exclude", "list", "--withdrawn")
    assert shop.gated(next(iter(_audiences(shop)))).withheld == {"excluded": 2}


def test_holdouts_are_set_shown_and_ended_by_typing_and_lift_says_what_there_is(shop: Shop) -> None:
    assert weft("holdout", "list") == "Nobody is held out."
    assert "20 % of everybody are held out (round 1)" in weft("holdout", "set", "20", "--note", "a trial")
    weft("holdout", "set", "30", "--audience", "buyers")
    assert "everybody 20 1" in weft("holdout", "list") and "buyers 30 1" in weft("holdout", "list")
    shop.build()
    told = weft("audience", "lift", "buyers")
    assert "holdout of 30 % of buyers, round 1" in told
    assert "Too few to tell" in told
    assert weft("holdout", "show", "--audience", "buyers").startswith("side people reached")
    assert "Nobody of buyers is held out" in weft("holdout", "set", "0", "--audience", "buyers")
    assert "buyers 30 1" in weft("holdout", "list", "--ended")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("exclude", "add", "anna"), "is no identifier"),
        (("exclude", "add", "customer_id:"), "needs an id"),
        (("exclude", "add", "user_id:1", "--audience", "byers"), "no audience byers; there are buyers"),
        (("exclude", "add", "user_id:1", "--audience", "buyers", "--destination", "meta"), "not of both"),
        (("holdout", "set", "10", "--audience", "byers"), "no audience byers"),
        (("holdout", "show"), "has no holdout"),
        (("audience", "approve", "buyers"), "No version of buyers is held back"),
        (("audience", "lift", "buyers"), "Nobody of buyers is held out"),
    ],
)
def test_what_cannot_be_is_one_sentence(shop: Shop, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises((GateError, DecisionError), match=said):
        weft(*arguments)


def _audiences(shop: Shop):  # type: ignore[no-untyped-def]
    from orchestration.audience_catalogue import audiences

    return audiences(shop.platform.state)
