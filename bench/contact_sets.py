"""Public sets of contacts with known truth (../shared/data), in the columns that Weft knows, and how groupings are scored."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.harness import ROOT

DATA = ROOT.parent / "shared" / "data"

FEBRL = {
    "given_name": "given_name",
    "surname": "family_name",
    "address_1": "street",
    "address_2": "district",
    "street_number": "street_number",
    "suburb": "city",
    "postcode": "postcode",
    "state": "region",
    "date_of_birth": "birth_date",
    "soc_sec_id": "national_id",
}
HISTORICAL = {
    "first_name": "given_name",
    "surname": "family_name",
    "dob": "birth_date",
    "birth_place": "city",
    "postcode_fake": "postcode",
    "gender": "gender",
    "occupation": "job_title",
}
FAKE = {"first_name": "given_name", "surname": "family_name", "dob": "birth_date", "city": "city", "email": "email"}


@dataclass(frozen=True)
class ContactSet:
    """Files to put one below the other, the names of their columns, and the column that holds the truth."""

    files: tuple[str, ...]
    columns: Mapping[str, str]
    truth: str

    def paths(self) -> list[Path]:
        """Where the files are, whether or not they are there."""
        return [DATA / file for file in self.files]

    def read(self) -> tuple[pa.Table, np.ndarray]:
        """The contacts, and a number per contact that is equal where the person is."""
        whole = pa.concat_tables([pq.read_table(path) for path in self.paths()])
        contacts = pa.table({field: whole[column] for column, field in self.columns.items()})
        people = whole[self.truth].combine_chunks().dictionary_encode().indices
        return contacts, people.to_numpy()


SETS = {
    "febrl4": ContactSet(("febrl/dataset4a.parquet", "febrl/dataset4b.parquet"), FEBRL, "entity_id"),
    "febrl3": ContactSet(("febrl/dataset3.parquet",), FEBRL, "entity_id"),
    "historical_50k": ContactSet(("historical_50k/records.parquet",), HISTORICAL, "cluster"),
    "fake_1000": ContactSet(("fake_1000/records.parquet",), FAKE, "cluster"),
}


@dataclass(frozen=True)
class Score:
    """Final groups against the truth: over pairs, over contacts (B-cubed), and the largest group."""

    precision: float
    recall: float
    b_cubed: float
    largest: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall over pairs."""
        return _harmonic(self.precision, self.recall)


def score(groups: np.ndarray, people: np.ndarray) -> Score:
    """Score a grouping: a number per contact on both sides."""
    cells, cell_of = np.unique(np.column_stack([groups, people]), axis=0, return_inverse=True)
    together = np.bincount(cell_of.reshape(-1)).astype(float)
    group_size = np.bincount(np.unique(groups, return_inverse=True)[1])
    person_size = np.bincount(np.unique(people, return_inverse=True)[1])
    in_group = group_size[np.unique(cells[:, 0], return_inverse=True)[1]]
    in_person = person_size[np.unique(cells[:, 1], return_inverse=True)[1]]
    found, grouped, true = _pairs(together), _pairs(group_size), _pairs(person_size)
    b_precision, b_recall = ((together**2 / whole).sum() / len(groups) for whole in (in_group, in_person))
    return Score(
        found / grouped if grouped else 1.0,
        found / true if true else 1.0,
        _harmonic(b_precision, b_recall),
        int(group_size.max()),
    )


def _pairs(sizes: np.ndarray) -> float:
    return float((sizes * (sizes - 1)).sum()) / 2


def _harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other else 0.0
