"""Features in Redis: what comes back is what was published, bit for bit, and nobody who did not ask for them has them."""

import json
import math
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from activation import Reader
from activation.errors import FeaturesNotPublishedError
from activation.published_features import feature_texts, names_digest, read_features
from tests.activation.publications import AS_OF, hash_of, profiles

DAY = date(2026, 1, 31)
NAMES = ("recency_days", "order_count", "net_revenue")
NUMBERS = st.floats() | st.none()
PEOPLE = {"ada": {"orders": 3}, "bob": {"orders": 1}}


def features(rows: dict[str, tuple[float | None, int | None, float | None]]) -> pa.Table:
    columns = {name: [values[at] for values in rows.values()] for at, name in enumerate(NAMES)}
    table = pa.table({"customer_id": pa.array(list(rows), pa.string()), "as_of_date": pa.array([DAY] * len(rows))})
    for name, kind in zip(NAMES, (pa.float64(), pa.int64(), pa.float64()), strict=True):
        table = table.append_column(name, pa.array(columns[name], kind))
    return table


def bits(value: float | None) -> str:
    """What a model makes of a number: a number without a value where it is none or not finite."""
    return "null" if value is None or not math.isfinite(value) else float(value).hex()


@given(st.lists(st.tuples(NUMBERS, st.integers(-(2**63), 2**63 - 1) | st.none(), NUMBERS), max_size=5))
def test_every_number_reads_back_with_the_bits_that_it_had(
    rows: list[tuple[float | None, int | None, float | None]],
) -> None:
    table = features({f"c{at}": values for at, values in enumerate(rows)})
    for text, values in zip(feature_texts(table).to_pylist(), rows, strict=True):
        found = read_features(text, names_digest(NAMES))
        assert found is not None
        assert (found[0], [bits(each) for each in found[1]]) == (DAY, [bits(each) for each in values])
        assert read_features(text, names_digest(NAMES[::-1])) is None


def test_features_come_and_go_with_the_profile_and_readers_of_profiles_see_none_of_them(
    client: redis.Redis, tmp_path: Path
) -> None:
    reader, snapshot, now = Reader(client), tmp_path / "p", AS_OF + timedelta(hours=2)
    identifiers = [("email", "ada@example.com", "ada"), ("customer_id", "old", "ada")]
    asked = [("email", "Ada@Example.com"), ("customer_id", "old"), ("customer_id", "bob"), ("email", "eve@example.com")]
    profiles(client, snapshot, PEOPLE, identifiers)
    assert reader.has_features() is False
    with pytest.raises(FeaturesNotPublishedError, match="WEFT_PUBLISH_FEATURES"):
        reader.features(asked, NAMES, now=now)

    told = profiles(client, snapshot, PEOPLE, identifiers, 2, features=features({"ada": (3.0, 2, None)}))
    assert told.profiles_written == 2, "a new field of the hash concerns everybody once"
    ada, merged, *others = reader.features(asked, NAMES, now=now)
    assert reader.has_features() is True
    assert ada is not None
    assert (ada.customer_id, ada.as_of_date, ada.values, ada.age) == ("ada", DAY, (3.0, 2.0, None), timedelta(hours=2))
    assert (merged, others) == (ada, [None, None])
    assert set(reader.profile("customer_id", "ada").fields) == {"orders"}
    with pytest.raises(FeaturesNotPublishedError, match="another version of Weft"):
        reader.features(asked, NAMES[:2], now=now)

    told = profiles(client, snapshot, PEOPLE, identifiers, 3, features=features({"ada": (3.0, 2, None)}))
    assert (told.mode, told.profiles_written) == ("nothing", 0)
    told = profiles(
        client, snapshot, PEOPLE, identifiers, 4, features=features({"ada": (4.0, 2, 1.5), "bob": (1.0, 1, 1.0)})
    )
    assert told.profiles_written == 2
    assert json.loads(hash_of(client, "ada")["_features"])[2:] == [4, 2, 1.5]
    assert json.loads(client.hget("weft:profiles:manifest", "features")) == list(NAMES)
    profiles(client, snapshot, PEOPLE, identifiers, 5)
    assert "_features" not in hash_of(client, "ada")
    with pytest.raises(FeaturesNotPublishedError, match="WEFT_PUBLISH_FEATURES"):
        reader.features(asked, NAMES, now=now)


def test_what_is_no_number_is_refused(client: redis.Redis, tmp_path: Path) -> None:
    table = features({"ada": (3.0, 2, None)}).append_column("city", pa.array(["Graz"]))
    with pytest.raises(ValueError, match="city is no number"):
        profiles(client, tmp_path / "p", PEOPLE, features=table)
