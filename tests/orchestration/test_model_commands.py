"""The commands that people look at models with, and choose the champion."""

import html.parser
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from ml import MODELS
from orchestration.cli import app, is_mistake
from orchestration.resources import Platform
from tests.orchestration.model_shop import (
    TODAY,
    labelled,
    of_today,
    platform_at,
    rewrite,
    score_at,
    train_at,
    with_shuffled_features,
)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return labelled()


@pytest.fixture(scope="module")
def today() -> pd.DataFrame:
    return of_today(TODAY)


@pytest.fixture
def platform(home_with_models: Path, tmp_path: Path) -> Platform:
    return platform_at(Path(shutil.copytree(home_with_models, tmp_path / "home")))


@pytest.fixture
def weft(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WEFT_HOME", str(platform.settings.home))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["model", *arguments])
        if isinstance(result.exception, Exception):
            assert is_mistake(result.exception)
            return f"mistake: {result.exception}"
        return result.output

    return run


def test_people_look_at_compare_promote_and_roll_back(
    weft: Any, platform: Platform, rows: pd.DataFrame, today: pd.DataFrame
) -> None:
    [old] = platform.state.models.champions("churn")
    rewrite(platform, with_shuffled_features(rows), today)
    new = train_at(platform)["version"]
    assert "No whole build is served" in weft("compare", "churn", new)
    platform.warehouse.serve_newest_build()
    assert old in weft("list")
    assert new in weft("list")
    shown = weft("show", "churn")
    assert f"churn {old}, champion, trained" in shown
    assert "# churn: model card" in shown
    assert "not clearly better" in weft("show", "churn", new)
    assert "It would not be promoted. A challenger is promoted where" in " ".join(weft("compare", "churn", new).split())
    assert "of 2025-01-25: a gain of" in weft("compare", "churn", new, old)
    assert "the next run scores with it" in weft("promote", "churn", new, "--reason", "I know better")
    assert score_at(platform)["churn"].version == new
    assert f"promote   {new}  I know better" in weft("show", "churn")
    assert f"churn {old} is the champion again" in weft("rollback", "churn")
    assert score_at(platform)["churn"].version == old
    assert len(platform.state.models.history("churn")) == 3


@pytest.mark.parametrize("module", MODELS)
def test_the_card_of_every_model_is_a_page_that_needs_nothing_else(weft: Any, tmp_path: Path, module: Any) -> None:
    page = tmp_path / "card.html"
    assert "is in" in weft("show", module.MODEL, "--html", str(page))
    parsed = HTMLParser(page.read_text(encoding="utf-8"))
    assert not parsed.unclosed
    assert not [address for address in parsed.addresses if not address.startswith("data:image/png;base64,")]
    assert len(parsed.addresses) == (1 if module.MODEL == "recommendations" else 2)
    assert module.PURPOSE.split(",")[0] in parsed.text
    assert "the first model" in parsed.text
    assert all(limit in parsed.text for limit in module.LIMITS)


def test_a_page_that_cannot_be_written_is_one_sentence(weft: Any, tmp_path: Path) -> None:
    assert weft("show", "churn", "--html", str(tmp_path)) == f"mistake: {tmp_path} cannot be written: Is a directory."


class HTMLParser(html.parser.HTMLParser):
    """What a page says and what it asks for from elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.addresses, self.unclosed = "", [], []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attributes if name in ("src", "href") and value]
        if tag not in ("meta", "img"):
            self.unclosed.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "nobody"), "There is no model 'nobody'; there are churn, ltv, "),
        (("show", "churn", "abc"), "There is no churn model in version abc"),
        (("compare", "churn", "abc"), "There is no churn model in version abc"),
        (("promote", "churn", "abc", "--reason", "why not"), "There is no churn model in version abc"),
        (("rollback", "churn"), "There is no champion of churn before this one"),
        (("rollback", "nobody"), "There is no model 'nobody'"),
    ],
)
def test_a_mistake_is_one_sentence(weft: Any, arguments: tuple[str, ...], said: str) -> None:
    assert weft(*arguments).startswith(f"mistake: {said}")


def test_a_version_whose_files_are_damaged_cannot_be_promoted(weft: Any, platform: Platform) -> None:
    [old] = platform.state.models.champions("churn")
    (platform.settings.models / "churn" / old / "card.md").write_text("nothing")
    assert "card.md is not the file that was saved" in weft("promote", "churn", old, "--reason", "a test")
    assert "card.md is not the file that was saved" in weft("show", "churn")
