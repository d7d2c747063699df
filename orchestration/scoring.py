"""Today's scores by every model's champion: in batches, only of whom something changed, all tables in one transaction."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final, Protocol

import pandas as pd
import pyarrow as pa

import ml
from ml import MODELS, schema
from ml.model import Fitted, ModelError, ModelModule, ModelOptions
from orchestration.basket_inputs import write_product_tables
from orchestration.failpoints import OnStep, failpoints
from orchestration.ltv_totals import write_ltv_totals
from orchestration.matured_scores import remember_scores
from orchestration.model_inputs import INPUTS, CustomerRows, ModelInputs, frames, model_options
from orchestration.predicting import load, write_model_versions
from orchestration.segment_history import settle_segments
from orchestration.settings import Settings
from orchestration.state import State
from orchestration.warehouse import Connection, add_columns, create_table, row_count, scalar

SCORED_INPUTS: Final = {"customer_id": "varchar", "scored_by": "varchar", "input_hash": "bigint", "row_count": "bigint"}
"""`control.inputs_of_<table>`: from which inputs, and by what, the rows of a customer were made, and how many there are."""
PLAN: Final = {"customer_id": "varchar", "input_hash": "bigint", "stands": "boolean"}


@dataclass(frozen=True)
class Scored:
    """What became of one model's table: `rows` made by `version`; None: the scores that were there stay.

    `customers_scored` were scored in this pass, the others keep the numbers they had; None where the kind of input does
    not tell customers apart. `problems` say why the champion, or nobody, could score.
    """

    rows: int | None
    customers_scored: int | None
    version: str | None
    problems: tuple[str, ...]
    fitted: Fitted[Any] | None = None


class AfterScoring(Protocol):
    """What else changes with a model's scores, within the transaction that switches them; `scored.rows` may be None."""

    def __call__(self, connection: Connection, scored: Scored) -> None: ...


def _total_ltv(connection: Connection, scored: Scored) -> None:
    if scored.rows is not None:
        write_ltv_totals(connection, scored.fitted)


def _settle_segments(connection: Connection, scored: Scored) -> None:
    if scored.version is not None:
        settle_segments(connection, scored.version)


def _write_product_tables(connection: Connection, scored: Scored) -> None:
    if scored.rows is not None:
        write_product_tables(connection, scored.fitted.model if scored.fitted else None)


def _remember_churn(connection: Connection, scored: Scored) -> None:
    if scored.fitted is not None:
        remember_scores(connection, horizon_days=scored.fitted.card.horizon_days)


AFTER_SCORING: Final[dict[str, AfterScoring]] = {
    "churn": _remember_churn,
    "ltv": _total_ltv,
    "recommendations": _write_product_tables,
    "segments": _settle_segments,
}
"""By model: histories, totals and other tables that are made from its table once that holds the new scores."""


def score(
    connection: Connection,
    *,
    settings: Settings,
    state: State,
    on_step: OnStep = failpoints("scoring"),
    anew: bool = False,
) -> dict[str, Scored]:
    """Score today's customers with every model's champion; all tables of `predictions` change in one transaction or not.

    Rows are read, scored and staged in batches: memory does not grow with customers. Customers whose inputs are those
    that their scores were made from, by the same version of the model and of Weft, keep them (unless `anew`). Where a champion's
    files are damaged, the newest champion before it that is whole scores. Where none is, or the features are not those of
    the run, the scores of the last run stay. Returns what happened, by model.
    """
    options = model_options(settings)
    works = [_Work(connection, module, options, anew=anew) for module in MODELS]
    staged = {work.module.MODEL: work.stage(state, settings) for work in works}
    on_step("scored")
    scored: dict[str, Scored] = {}
    with connection.transaction():
        for work in works:
            done = work.switch(staged[work.module.MODEL])
            if follow := AFTER_SCORING.get(work.module.MODEL):
                follow(connection, done)
            scored[work.module.MODEL] = done
            on_step(f"{work.module.TABLE} written")
        write_model_versions(connection, state.models)
    on_step("committed")
    return scored


class _Work:
    """The scoring of one model: staged in tables of `control`, which a killed run may leave and the next one drops."""

    def __init__(self, connection: Connection, module: ModelModule, options: ModelOptions, *, anew: bool) -> None:
        self.connection, self.module, self.anew = connection, module, anew
        self.inputs: ModelInputs = INPUTS[module.reads(options).kind]
        self.columns: Mapping[str, str] = schema.columns_of(module.TABLE, options.ltv_horizons)
        self.table = f"predictions.{module.TABLE}"
        self.memory = f"control.inputs_of_{module.TABLE}"
        self.staged, self.plan = f"control.staged_{module.TABLE}", f"control.plan_of_{module.TABLE}"

    def stage(self, state: State, settings: Settings) -> Scored:
        """Score into the staging table with the newest champion that can; the result says nothing of rows yet."""
        create_table(self.connection, self.table, self.columns)
        add_columns(self.connection, self.table, self.columns)
        create_table(self.connection, self.memory, SCORED_INPUTS)
        problems: list[str] = []
        champions = list(dict.fromkeys(state.models.champions(self.module.MODEL)))
        for version in champions:
            self._prepare()
            try:
                fitted = load(state.models, self.module.MODEL, version, settings.models)
                customers = self._score_all(fitted, version)
            except (ModelError, schema.FeatureError) as error:
                problems.append(str(error))
            else:
                return Scored(0, customers, version, tuple(problems), fitted)
        self._prepare()
        return Scored(None if champions else 0, 0, None, tuple(dict.fromkeys(problems)))

    def switch(self, staged: Scored) -> Scored:
        """Put what was staged in the place of what it replaces; returns it with the rows that are there now."""
        rows = staged.rows
        if rows is not None:
            changed = f"not exists (select 1 from {self.plan} as plan where plan.customer_id = {{}}.customer_id and plan.stands)"
            standing = scalar(self.connection, f"select count(*) from {self.plan} where stands")
            for table in (self.table, self.memory):
                where = changed.format(table.partition(".")[2]) if standing else "1 = 1"
                self.connection.execute(f"delete from {table} where {where}")
            names = ", ".join(self.columns)
            self.connection.execute(f"insert into {self.table} ({names}) select {names} from {self.staged}")
            self._remember(staged.version)
            rows = row_count(self.connection, self.table)
        for table in (self.staged, self.plan):
            self.connection.execute(f"drop table {table}")
        return Scored(rows, staged.customers_scored, staged.version, staged.problems, staged.fitted)

    def _prepare(self) -> None:
        for table, columns in ((self.staged, self.columns), (self.plan, PLAN)):
            self.connection.execute(f"drop table if exists {table}")
            create_table(self.connection, table, columns)

    def _score_all(self, fitted: Fitted[Any], version: str) -> int | None:
        if not isinstance(self.inputs, CustomerRows):
            for batch in self.inputs.batches(self.connection):
                self._append(self.module.score(fitted.model, batch), version)
            return None
        today = self.inputs.today(self.connection)
        self._compare(today, version)
        for batch in self._to_score(today):
            self._append(self.module.score(fitted.model, batch), version)
        return int(scalar(self.connection, f"select count(*) from {self.plan} where not stands"))

    def _compare(self, today: str, version: str) -> None:
        """Fill the plan: everybody of today, the hash of what the model reads of them, and whether their scores stand."""
        hashed = input_hash(self.connection.dialect, ("as_of_date", *self.module.INPUTS))
        remembered = self.memory if self._can_stand(version) else f"(select * from {self.memory} where 1 = 0)"
        self.connection.execute(
            f"insert into {self.plan} (customer_id, input_hash, stands) "
            "select today.customer_id, today.input_hash, remembered.customer_id is not null "
            f"from (select customer_id, {hashed} as input_hash from ({today}) as features) as today "
            f"left join {remembered} as remembered on today.customer_id = remembered.customer_id "
            "and today.input_hash = remembered.input_hash"
        )

    def _can_stand(self, version: str) -> bool:
        """Whether the table is as this version, scored by this code, left it."""
        if self.anew:
            return False
        others = f"select count(*) from {self.memory} where scored_by <> ?"
        rows = scalar(self.connection, f"select coalesce(sum(row_count), 0) from {self.memory}")
        return not scalar(self.connection, others, [scored_by(version)]) and rows == scalar(
            self.connection, f"select count(*) from {self.table} where model_version = ?", [version]
        )

    def _to_score(self, today: str) -> Iterator[pd.DataFrame]:
        if scalar(self.connection, f"select count(*) from {self.plan} where stands"):
            today = f"select * from ({today}) as features where customer_id in (select customer_id from {self.plan} where not stands)"
        return frames(self.connection, today)

    def _append(self, scores: pd.DataFrame, version: str) -> None:
        rows = scores.assign(model_version=version).reindex(columns=list(self.columns))
        self.connection.append(self.staged, pa.Table.from_pandas(rows, preserve_index=False))

    def _remember(self, version: str | None) -> None:
        if version is None or not isinstance(self.inputs, CustomerRows):
            return
        self.connection.execute(
            f"insert into {self.memory} (customer_id, scored_by, input_hash, row_count) "
            "select plan.customer_id, ?, plan.input_hash, coalesce(made.row_count, 0) "
            f"from {self.plan} as plan left join "
            f"(select customer_id, count(*) as row_count from {self.staged} group by customer_id) as made "
            "on plan.customer_id = made.customer_id where not plan.stands",
            [scored_by(version)],
        )


def input_hash(dialect: str, columns: tuple[str, ...]) -> str:
    """SQL of a 63 or 64 bit hash over columns: two rows with one hash are taken for equal."""
    names = ", ".join(columns)
    return f"hash_record_extended(row({names}), 0)" if dialect == "postgres" else f"cast(hash({names}) >> 1 as bigint)"


def scored_by(version: str) -> str:
    """What made a score besides its inputs: the version of the model, and the code and the library that read it."""
    return f"{version} {_code()}"


@cache
def _code() -> str:
    folder = Path(ml.__file__).parent
    digest = sha256(f"lightgbm {installed('lightgbm')} numpy {installed('numpy')}".encode())
    for file in sorted(folder.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
