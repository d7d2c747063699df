"""Decisions and rule files on the command line: what is typed is normalised, what is wrong is one sentence, and nothing else happens."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from identity.rules import DEFAULT_RULES, RulesError
from orchestration import decision_commands, identity_commands
from orchestration.cli import app, is_mistake
from orchestration.errors import DecisionError, NothingServedError, SettingsError, WeftError
from orchestration.resources import build_platform
from orchestration.rule_file import changes, install_rules
from orchestration.typed_identifiers import MOST


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "weft"))
    monkeypatch.delenv("WEFT_IDENTITY_RULES", raising=False)
    return tmp_path / "weft"


def weft(*arguments: str) -> str:
    result = _invoked(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def mistake(*arguments: str) -> str:
    """The one sentence that a mistake gets."""
    result = _invoked(*arguments)
    error = result.exception
    if isinstance(error, Exception) and not isinstance(error, SystemExit):
        assert is_mistake(error), error
        return str(error)
    assert result.exit_code == 2
    return " ".join(result.output.split())


def _invoked(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def sides(seq: int = 1) -> list[list[str]]:
    record = build_platform().state.decisions.by_seq()[seq]
    return [[":".join(name) for name in side] for side in record.decision.sides]


def test_what_is_typed_is_normalised_and_kept_once() -> None:
    said = weft(
        "link",
        "email: Anna@Example.COM",
        "phone:0171 / 12345678",
        "email:anna@example.com",
        "--note",
        " met\x1b[2J her ",
        "--by",
        "Otto",
    )
    assert "Decision 1 is made. It takes effect in the next run" in said
    assert sides() == [["email:anna@example.com", "phone:+4917112345678"]]
    [record] = build_platform().state.decisions.list()
    assert (record.note, record.made_by) == ("met [2J her", "Otto")
    assert "by decision 1" in weft("link", "phone:+4917112345678", "email:anna@example.com")


def test_a_value_with_a_colon_is_whole() -> None:
    weft("forbid", "user_id:shop:7:a", "user_id:crm:9")
    assert sides() == [["user_id:shop:7:a"], ["user_id:crm:9"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("link", "anna@example.com", "email:a@b.de"), "'anna@example.com' is no identifier; write type:value"),
        (
            ("link", "mail:anna@example.com", "email:a@b.de"),
            "There is no identifier type 'mail'; the rule file has user_id, email",
        ),
        (("link", "card_last4:1234", "email:a@b.de"), "There is no identifier type 'card_last4'"),
        (("link", "email:anna", "email:a@b.de"), "'email:anna' cannot be read as email"),
        (("link", "phone:", "email:a@b.de"), "'phone:' cannot be read as phone"),
        (("link", "email:a@b.de"), "two different identifiers"),
        (("link", "email:a@b.de", "email: A@B.DE"), "two different identifiers"),
        (("link", f"email:{'x' * 100_000}@b.de", "email:a@b.de"), "cannot be read as email"),
        (("link", "@nothing.txt", "email:a@b.de"), "nothing.txt cannot be read"),
        (("link", "email:a@b.de\udcff", "email:a@b.de"), "bytes that are not text"),
        (("forbid", "email:a@b.de", "email:a@b.de"), "apart from itself"),
        (("forbid", "email:a@b.de"), "Missing argument"),
        (("split", "email:a@b.de", "--from", "email:a@b.de"), "apart from itself"),
        (("split", "email:a@b.de"), "No whole build is served"),
        (("why", "email:a@b.de", "email:c@d.de"), "No whole build is served"),
        (("why", "email"), "is no identifier"),
        (("review", "list"), "No whole build is served"),
        (("review", "approve", "abc"), "No whole build is served"),
        (("identity", "withdraw", "7"), "There is no decision 7"),
        (("identity", "withdraw", "seven"), "Invalid value"),
        (("identity", "plan"), "No whole build is served"),
        (("identity", "plan", "--rules", "nothing.yml"), "nothing.yml: the rule file cannot be read"),
        (("identity", "apply", "--rules", "nothing.yml"), "nothing.yml: the rule file cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence_and_decides_nothing(arguments: tuple[str, ...], said: str) -> None:
    found = mistake(*arguments)
    assert said in found
    assert len(found) < 1_000
    assert build_platform().state.decisions.list(with_withdrawn=True) == []


def test_a_file_holds_one_identifier_a_line(tmp_path: Path) -> None:
    (tmp_path / "his.txt").write_text(
        "\ufeff# Bert's\nemail:bert@b.de\r\n\n  phone:0171 1234567\nemail:bert@b.de\n", encoding="utf-8"
    )
    weft("split", f"@{tmp_path / 'his.txt'}", "--from", "email:anna@b.de", "--from", "user_id:anna")
    assert sides() == [["email:bert@b.de", "phone:+491711234567"], ["email:anna@b.de", "user_id:anna"]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no identifier"), (b"# nobody\n\n", "holds no identifier"), (b"\xff\xfe\x00", "is not UTF-8"),
        (b"email:a@b.de\nwhat\n", "'what' is no identifier"), (b"user_id:a\x00b\n", "not text"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    assert said in mistake("link", f"@{tmp_path / 'names.txt'}")
    assert "cannot be read" in mistake("link", f"@{tmp_path}")


def test_a_split_of_thousands_is_made_and_more_than_a_hundred_thousand_is_a_mistake(tmp_path: Path) -> None:
    for side in "ab":
        (tmp_path / side).write_text("\n".join(f"user_id:{side}{number}" for number in range(2500)))
    weft("split", f"@{tmp_path / 'a'}", "--from", f"@{tmp_path / 'b'}")
    assert [len(side) for side in sides()] == [2500, 2500]
    assert "decision 1 (weft split" in mistake("link", "user_id:a7", "user_id:b2499")
    (tmp_path / "all").write_text("\n".join(f"user_id:{number}" for number in range(MOST + 1)))
    assert "at most 100,000" in mistake("link", f"@{tmp_path / 'all'}")


def test_a_blocked_value_is_accepted_and_said_to_wait() -> None:
    said = weft("link", "email:test@shop.example", "user_id:anna")
    assert "email:test@shop.example is blocked (matches" in said
    assert "for it, the decision waits" in said
    assert len(build_platform().state.decisions.list()) == 1


def test_decisions_are_listed_and_withdrawn() -> None:
    assert "Nothing was decided" in weft("identity", "decisions")
    weft("forbid", "user_id:[red]anna[/]", "user_id:bert", "--note", "[bold]twins[/]")
    listed = weft("identity", "decisions")
    assert "forbid" in listed
    assert "[red]anna" in listed.replace("\n", "")
    assert "weft forbid) is withdrawn" in weft("identity", "withdraw", "1", "--by", "otto")
    assert "Nothing was decided" in weft("identity", "decisions")
    assert "withdrawn" in weft("identity", "decisions", "--all")
    assert "was withdrawn on" in mistake("identity", "withdraw", "1")


def test_a_user_without_a_name_decides_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no username set in the environment")

    monkeypatch.setattr(decision_commands, "getuser", nobody)
    weft("forbid", "user_id:anna", "user_id:bert")
    assert build_platform().state.decisions.list()[0].made_by == "unknown"
    assert getpass.getuser() != "unknown"


# ---- rule files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The limit of hot identifiers in every pass that is asked for."""
    asked: list[int] = []
    monkeypatch.setattr(identity_commands, "make_pass", lambda platform, as_of: asked.append(platform.rules.hot.limit))
    return asked


def with_limit(path: Path, limit: int) -> Path:
    text = DEFAULT_RULES.read_text(encoding="utf-8")
    path.write_text(text.replace("hot:\n  limit: 10", f"hot:\n  limit: {limit}"), encoding="utf-8")
    return path


def test_an_applied_rule_file_is_the_installations_with_all_of_its_comments(
    tmp_path: Path, home: Path, passes: list[int]
) -> None:
    file = with_limit(tmp_path / "mine.yml", 5)
    said = weft("identity", "apply", "--rules", str(file))
    assert "hot.limit: 10 -> 5" in said
    assert (home / "identity_rules.yml").read_bytes() == file.read_bytes()
    assert build_platform().rules.hot.limit == 5
    again = weft("identity", "apply", "--rules", str(with_limit(tmp_path / "other.yml", 7)))
    assert "The ones before are in" in again
    assert with_limit(tmp_path / "mine.yml", 5).read_bytes() == (home / "identity_rules.yml.before").read_bytes()
    assert "The rules are those of this installation." in weft(
        "identity", "apply", "--rules", str(home / "identity_rules.yml")
    )
    weft("identity", "apply")
    assert passes == [5, 7, 7, 7]


def test_a_rule_file_that_is_wrong_changes_nothing(tmp_path: Path, home: Path, passes: list[int]) -> None:
    file = tmp_path / "wrong.yml"
    file.write_text(DEFAULT_RULES.read_text(encoding="utf-8").replace("  limit: 10", "  limit: many"), encoding="utf-8")
    assert "hot.limit" in mistake("identity", "apply", "--rules", str(file))
    assert "line " in mistake("identity", "apply", "--rules", str(file))
    assert not (home / "identity_rules.yml").exists()
    assert passes == []


def test_a_set_path_of_rules_is_where_they_are_applied(
    tmp_path: Path, home: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = with_limit(tmp_path / "rules.yml", 3)
    monkeypatch.setenv("WEFT_IDENTITY_RULES", str(where))
    weft("identity", "apply", "--rules", str(with_limit(tmp_path / "new.yml", 4)))
    assert passes == [4]
    assert not (home / "identity_rules.yml").exists()
    where.unlink()
    with pytest.raises(RulesError):
        _ = build_platform().rules


def test_a_link_to_the_rule_file_stays_a_link(tmp_path: Path) -> None:
    real = with_limit(tmp_path / "real.yml", 3)
    (tmp_path / "link.yml").symlink_to(real)
    install_rules(with_limit(tmp_path / "new.yml", 4), tmp_path / "link.yml")
    assert (tmp_path / "link.yml").is_symlink()
    assert "limit: 4" in real.read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SettingsError, match="cannot be replaced"):
        install_rules(with_limit(tmp_path / "new.yml", 4), tmp_path / "file" / "rules.yml")
    assert (tmp_path / "file").read_text() == "not a folder"


def test_what_differs_between_rule_files_is_one_line_a_field(tmp_path: Path) -> None:
    from identity.rules import load_rules

    file = with_limit(tmp_path / "new.yml", 4)
    text = file.read_text(encoding="utf-8").replace(
        '  email:\n    values: ["asdf@asdf.com"', '  email:\n    values: ["shop@shop.example"'
    )
    file.write_text(text.replace("  loyalty_id: 2\n", ""), encoding="utf-8")
    assert changes(load_rules(), load_rules(file)) == [
        "blocked.email.values: shop@shop.example added",
        "blocked.email.values: asdf@asdf.com removed",
        "hot.limit: 10 -> 4",
        "limits.loyalty_id: 2 -> not there",
    ]
    assert changes(load_rules(file), load_rules(file)) == []


def test_every_error_of_these_commands_is_a_persons_to_mend() -> None:
    assert all(issubclass(error, WeftError) for error in (DecisionError, NothingServedError, SettingsError))
