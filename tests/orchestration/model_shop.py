"""A warehouse with the features and labels of the made-up shop, and predict steps in a process that kills itself."""

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from ml import MODELS, churn, registry, schema
from ml.channel_model import CHANNEL_COUNTS
from ml.channels import HORIZON_DAYS
from ml.model import Fitted
from orchestration import duckdb_warehouse
from orchestration.clock import BUILDS, CURRENT_RUN, DATES, FEATURE_DATES, mark_build_whole
from orchestration.predicting import load, train
from orchestration.resources import Platform
from orchestration.scoring import score
from orchestration.settings import load_settings
from orchestration.warehouse import Connection, create_table, scalar, write_table
from tests.forked import PROCESSES
from tests.ml.made_up_baskets import HORIZON, lines_of, made_up_products
from tests.ml.made_up_channels import channel_rows
from tests.ml.made_up_shop import OPENED, TEST_DATE, made_up_orders
from tests.ml.shop_history import dates_back, features_at, labelled_rows

YESTERDAY = TEST_DATE + timedelta(days=89)
TODAY = TEST_DATE + timedelta(days=90)
_BY_CHANNEL = {"customer_id": "varchar", "as_of_date": "date", "channel": "varchar"}
CHANNEL_COLUMNS = _BY_CHANNEL | dict.fromkeys(CHANNEL_COUNTS, "bigint") | {"days_since_last": "float8"}
CHANNEL_LABEL_COLUMNS = _BY_CHANNEL | {"horizon_days": "bigint", "used_day_count": "bigint"}
FEATURE_COLUMNS = {"customer_id": "varchar", "as_of_date": "date"} | {f.name: f.type for f in schema.FEATURES}


def platform_at(home: Path, **settings: object) -> Platform:
    return Platform(load_settings(home=home, **settings))


def labelled(customers: int = 300) -> pd.DataFrame:
    return labelled_rows(made_up_orders(customers), dates_back(TEST_DATE, OPENED))


def of_today(day: date, customers: int = 300) -> pd.DataFrame:
    return features_at(made_up_orders(customers), day)


def with_shuffled_features(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that nothing can be learnt from, to be judged on the true rows of the test date: the features of somebody else."""
    names = list(schema.FEATURE_NAMES)
    is_before = rows["as_of_date"] < pd.Timestamp(TEST_DATE)
    shuffled = rows.loc[is_before, names].sample(frac=1, random_state=1)
    before = rows[is_before].assign(**{name: shuffled[name].to_numpy() for name in names})
    return pd.concat([before, rows[~is_before]])


def write_shop(connection: Connection, rows: pd.DataFrame, today: pd.DataFrame, day: date) -> None:
    """What dbt and the run clock leave behind: features, labels, the dates and the run's own date."""
    with connection.transaction():
        features = pd.concat([rows[list(FEATURE_COLUMNS)], today[list(FEATURE_COLUMNS)]])
        _write(connection, "features.customer_features", features, FEATURE_COLUMNS)
        labels = rows[list(schema.LABELS)]
        in_a_month = labels.assign(horizon_days=HORIZON_DAYS)
        _write(connection, "features.customer_labels", pd.concat([labels, in_a_month]), schema.LABELS)
        _write_baskets(connection, rows, today)
        _write_channels(connection, rows, today)
        as_of = datetime(day.year, day.month, day.day)
        dates = pd.DataFrame({"as_of_date": [day], "as_of": [as_of], "is_training_date": [False]})
        training = pd.DataFrame({"as_of_date": rows["as_of_date"].unique(), "is_training_date": True})
        training["as_of"] = pd.to_datetime(training["as_of_date"])
        _write(connection, "control.feature_dates", pd.concat([training[list(FEATURE_DATES)], dates]), FEATURE_DATES)
        create_table(connection, "control.current_run", CURRENT_RUN)
        create_table(connection, "control.builds", BUILDS)
        connection.execute("delete from control.current_run")
        connection.execute("insert into control.current_run (run_id, as_of, run_seq) values ('r', ?, 1)", [as_of])
        create_table(connection, "control.standing_dates", DATES)
    mark_build_whole(connection, f"build-{day}")


def _write_channels(connection: Connection, rows: pd.DataFrame, today: pd.DataFrame) -> None:
    """Active days by channel, and the contacts of every third customer with consent of every second."""
    found = channel_rows(pd.concat([rows[list(schema.KEYS)], today[list(schema.KEYS)]]))
    _write(connection, "features.channel_features", found[found["active_day_count_365d"] > 0], CHANNEL_COLUMNS)
    later = found[(found["used_day_count"] > 0) & (found["as_of_date"] < pd.to_datetime(today["as_of_date"]).max())]
    _write(connection, "features.channel_labels", later, CHANNEL_LABEL_COLUMNS)
    ids = today["customer_id"].tolist()
    contacts = pa.table({"customer_id": ids, "email": ["a@example.com" if n % 3 else None for n in range(len(ids))]})
    contacts = contacts.append_column("phone", pa.array([None] * len(ids), pa.string()))
    write_table(connection, "customer_360.contacts", contacts, dict.fromkeys(contacts.column_names, "varchar"))
    allowed = pa.table(
        {
            "customer_id": ids,
            "purpose": ["personalisation"] * len(ids),
            "is_allowed": [n % 2 == 0 for n in range(len(ids))],
        }
    )
    columns = {"customer_id": "varchar", "purpose": "varchar", "is_allowed": "boolean"}
    write_table(connection, "customer_360.consents", allowed, columns)


def _write(connection: Connection, table: str, frame: pd.DataFrame, columns: Any) -> None:
    frame = frame.assign(as_of_date=pd.to_datetime(frame["as_of_date"]).dt.date)
    write_table(connection, table, pa.Table.from_pandas(frame, preserve_index=False), columns)


def _write_baskets(connection: Connection, rows: pd.DataFrame, today: pd.DataFrame) -> None:
    """What the customers of each date had bought by then, what they bought in the month after, and the catalogue."""
    keys = pd.concat([rows[list(schema.KEYS)], today[list(schema.KEYS)]]).astype({"customer_id": str})
    keys = keys.assign(as_of_date=pd.to_datetime(keys["as_of_date"]).astype("datetime64[us]"))
    every = [lines_of(customer, OPENED) for customer in sorted(keys["customer_id"].unique())]
    lines = keys.merge(pd.concat(every or [lines_of("nobody").head(0)]), on="customer_id")
    after = lines["ordered_at"] - lines["as_of_date"]
    later = lines[(after >= pd.Timedelta(0)) & (after < pd.Timedelta(days=HORIZON))].assign(horizon_days=HORIZON)
    known = {"customer_id": "varchar", "as_of_date": "date"}
    purchases = known | {"order_key": "varchar", "product_id": "varchar", "ordered_at": "timestamp"}
    _write(connection, "features.order_lines", lines.loc[after < pd.Timedelta(0), list(purchases)], purchases)
    # as dbt's view does, it forgets who is no customer any more
    connection.execute(
        "create or replace view features.known_purchases as select * from features.order_lines "
        "where (customer_id, as_of_date) in (select customer_id, as_of_date from features.customer_features)"
    )
    bought = known | {"horizon_days": "bigint", "product_id": "varchar"}
    _write(connection, "features.product_labels", later[list(bought)].drop_duplicates(), bought)
    create_table(
        connection,
        "features.known_product_views",
        known | {"product_id": "varchar", "occurred_at": "timestamp", "is_cart": "boolean"},
    )
    types = {"product_id": "varchar", "product_name": "varchar", "category": "varchar"}
    catalogue = pa.Table.from_pandas(made_up_products(), preserve_index=False)
    write_table(connection, "features.products", catalogue, types | {"stock": "bigint", "is_repeatable": "boolean"})


def rewrite(platform: Platform, rows: pd.DataFrame, features: pd.DataFrame, day: date = TODAY) -> None:
    with platform.warehouse.writer() as connection:
        write_shop(connection, rows, features, day)


def train_at(platform: Platform, module: Any = churn, day: date = TODAY, **options: Any) -> dict[str, Any]:
    with platform.warehouse.writer() as connection:
        as_of = datetime(day.year, day.month, day.day)
        return train(connection, module, settings=platform.settings, state=platform.state, as_of=as_of, **options)


def score_at(platform: Platform, **options: Any) -> Any:
    with platform.warehouse.writer() as connection:
        return score(connection, settings=platform.settings, state=platform.state, **options)


def scores_of(platform: Platform) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of every scores table."""
    with platform.warehouse.writer() as connection:
        return {m.TABLE: connection.rows(f"select * from predictions.{m.TABLE} order by all") for m in MODELS}


def assert_models_are_whole(platform: Platform) -> None:
    """Every version that is registered or lies in its place can be loaded, and the champion scores."""
    models, root = platform.state.models, platform.settings.models
    for card in models.cards():
        load(models, card["model"], card["version"], root)
    for folder in root.glob("*/[!.]*"):
        registry.load(root, folder.parent.name, folder.name)
    for model, scored in score_at(platform).items():
        assert [scored.version] == models.champions(model)[:1]


def assert_scores_are_of_one_run(platform: Platform) -> date:
    """All tables hold the scores of one date, of every customer with features of that date; returns the date."""
    [day] = {row[1] for rows in scores_of(platform).values() for row in rows}
    with platform.warehouse.writer() as connection:
        wanted = scalar(connection, "select count(*) from features.customer_features where as_of_date = ?", [day])
    if day == TODAY:
        assert [len({row[0] for row in rows}) for rows in scores_of(platform).values()] == [wanted] * len(MODELS)
    return day


# ---- processes that kill themselves, and broken variants of what they run ----------------------------------------------


def killed(what: str, home: Path, step: str, broken: Callable[[], None]) -> int | None:
    """Run `train` or `score` in a process of its own that kills itself at `step`; returns its exit code (-9 when it did)."""
    process = PROCESSES.Process(target=_run, args=(what, home, step, broken))
    process.start()
    process.join(120)
    return process.exitcode


def nothing_is_broken() -> None:
    """The product as it is."""


def saves_in_place() -> None:
    """The broken variant that writes files where readers look for them."""

    def save(fitted: Fitted[Any], root: Path, *, on_step: Callable[[str], None]) -> registry.SavedModel:
        elsewhere = registry.save_whole(fitted, root.with_name("elsewhere"))  # type: ignore[attr-defined]
        folder = root / elsewhere.model / elsewhere.version
        folder.mkdir(parents=True)
        for file in sorted(elsewhere.place.path.iterdir(), key=lambda file: file.name != registry.MANIFEST):
            (folder / file.name).write_bytes(file.read_bytes())
            on_step(f"{file.name} written")
        return elsewhere

    registry.save_whole = registry.save  # type: ignore[attr-defined]
    registry.save = save  # type: ignore[assignment]


def registers_before_the_files_are_there() -> None:
    """The broken variant that names a version first and writes it later."""
    save = registry.save
    registry.save = lambda fitted, root, on_step: save(fitted, root.with_name("later"))  # type: ignore[assignment,misc]


def writes_table_by_table() -> None:
    """The broken variant without a transaction around the scores."""

    def no_transaction(self: object) -> AbstractContextManager[None]:
        return nullcontext()

    duckdb_warehouse.DuckDBConnection.transaction = no_transaction  # type: ignore[method-assign]


def _run(what: str, home: Path, step: str, broken: Callable[[], None]) -> None:
    broken()
    platform = platform_at(home)
    if what == "train":
        train_at(platform, on_step=_kill_at(step))
    else:
        score_at(platform, on_step=_kill_at(step))


def _kill_at(step: str) -> Callable[[str], None]:
    def reached(now: str) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached
