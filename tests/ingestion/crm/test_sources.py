"""crm.yml: what is wrong in it is one sentence that names the place and repeats no value."""

from pathlib import Path

import pytest

from ingestion.crm.calls import CrmError
from ingestion.crm.sources import HubSpotSource, load_sources


def written(folder: Path, text: str) -> Path:
    path = folder / "crm.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_is_no_source(tmp_path: Path) -> None:
    assert load_sources(tmp_path / "crm.yml") == ()


def test_defaults_are_the_vendor_s_and_own_fields_stand_beside_them(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "sources:\n  - {name: hub, kind: hubspot, secret: HUB_TOKEN, fields: {user_id: shop_id, traits: {city: city}}}\n",
    )
    [source] = load_sources(path)
    assert isinstance(source, HubSpotSource)
    assert (source.url, source.fields.user_id, source.fields.email) == (
        "https://api.hubapi.com",
        ("shop_id",),
        ("email",),
    )
    assert source.fields.traits == {"city": "city"}


MISTAKES = {
    "sources: 1": "needs a list `sources`",
    "[": "cannot be read",
    "sources: [{name: a, kind: sap}]": "a has no `kind`",
    "sources: [{name: a, kind: hubspot}]": "a: secret: field required",
    "sources: [{name: a, kind: hubspot, secret: pat-eu1-s3cret}]": "a: secret: string should match",
    "sources: [{name: ../a, kind: hubspot, secret: T}]": "name: string should match",
    "sources: [{name: a, kind: hubspot, secret: T, url: 'http://api.example'}]": "write https",
    "sources: [{name: a, kind: hubspot, secret: T, url: 'https://me:s3cret@api.example'}]": "without a user",
    "sources: [{name: a, kind: hubspot, secret: T, colour: s3cret}]": "colour: extra inputs",
    "sources: [{name: a, kind: salesforce, secret: T, client_id: c, url: 'https://x.my.salesforce.com', extra: ['Id FROM User--']}]":
        "string should match",
    "sources: [{name: a, kind: rest, secret: T, url: 'https://a.example', path: /m, modified: u, fields: {}, paging: {style: page}}]":
        "needs 'parameter'",
    "sources: [{name: a, kind: hubspot, secret: T}, {name: a, kind: hubspot, secret: T}]": "the source a twice",
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), MISTAKES.items(), ids=MISTAKES.values())
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CrmError) as mistake:
        load_sources(written(tmp_path, text))
    assert said in str(mistake.value)
    assert "s3cret" not in str(mistake.value)
    assert str(mistake.value).endswith(".")
