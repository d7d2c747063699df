"""How good recommendations are on Online Retail, through the product: import, run with a cut-off, read the lists, see what came after.

The split is that of the reference: merchandise that was sold (no credit notes, positive price), known before 2011-11-09, judged
on what the same customers bought until the file's last day, 2011-12-09. Beside it plain rules and implicit alone, made here
from the same rows; `implicit` is timed, fit and recommend together.
"""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from bench.comparison import markdown_table
from bench.harness import run_in_installation, workspace
from bench.prediction_sets import DATA
from ml.baskets import IntArray, Pairs
from ml.ranking import Judged, judge
from orchestration.model_inputs import read_frame
from orchestration.resources import build_platform

FILE: Final = DATA / "online_retail" / "transactions.parquet"
AS_OF: Final = date(2011, 11, 9)
LISTS: Final = ("all", "new")
FIGURES: Final = ("hr_at_10", "recall_at_20", "ndcg_at_10", "coverage_at_10")
RESAMPLES: Final = 500
MERCHANDISE: Final = f"""
    select * from read_parquet('{FILE}')
    where customer_id is not null and invoice_no not like 'C%' and unit_price > 0 and quantity > 0
        and regexp_matches(stock_code, '^[0-9]{{5}}')
"""
REFERENCE: Final = {
    "popularity, 30 days": (("0.646", "0.092", "0.142", "0.003"), ("0.434", "0.074", "0.080", "0.011")),
    "own history, 90-day half-life": (("0.835", "0.260", "0.354", ""), ("0.434", "0.074", "0.080", "")),
    "implicit ALS, 64": (("0.722", "0.198", "0.216", ""), ("0.385", "0.087", "0.077", "")),
    "two-stage LambdaRank": (("0.854", "0.273", "0.365", "0.35"), ("0.514", "0.112", "0.120", "0.20")),
}
"""Section 3 of the reference page (shared/reference/data_and_ml.md), per list."""


@dataclass(frozen=True)
class Split:
    """Customers (rows) and products known before the cut-off (columns), what was bought before (`past`) and after (pairs)."""

    customers: npt.NDArray[np.object_]
    products: npt.NDArray[np.object_]
    past: pd.DataFrame
    had: IntArray
    bought: IntArray

    @property
    def width(self) -> int:
        """How many products there are."""
        return len(self.products)

    def bought_on(self, name: str) -> IntArray:
        """What a list could have held of it; `new` counts products that somebody had bought before."""
        return self.bought if name == "all" else np.setdiff1d(self.bought, self.had)


def run(size: int, repeats: int, *, keep: Path | None = None) -> str:
    """Import, run and judge once; `keep` holds the installation between calls. Always the whole set."""
    del size, repeats
    title = "### Recommendations: Online Retail merchandise"
    if not FILE.exists():
        return f"{title}\n\nSkipped: ../shared/data/online_retail/transactions.parquet is not here."
    with nullcontext(keep) if keep else workspace() as folder:
        seconds = _build(folder / "recommendations")
        split = _split()
        lists = _lists(split, folder / "recommendations")
    peers, implicit_seconds = _peers(split)
    lines = [
        title,
        "",
        f"Import and run took {seconds:.0f} s, implicit alone {implicit_seconds:.1f} s (fit and recommend).",
    ]
    for name in LISTS:
        bought = split.bought_on(name)
        found = {"**Weft**": judge(lists[name], bought, catalogue=split.width)}
        found |= {peer: judge(of(name), bought, catalogue=split.width) for peer, of in peers.items()}
        rows = [[peer, *_cells(judged)] for peer, judged in found.items()]
        rows += [[f"reference: {peer}", *figures[LISTS.index(name)]] for peer, figures in REFERENCE.items()]
        count = len(found["**Weft**"].hits)
        lines += ["", f"List `{name}`, {count:,} customers (95 % intervals, {RESAMPLES} resamples of customers):", ""]
        lines += markdown_table(["", *FIGURES], rows)
    return "\n".join(lines)


def _build(home: Path) -> float:
    imported, done = home / "merchandise.parquet", home / "done"
    if done.exists():
        return 0.0
    home.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"copy ({MERCHANDISE}) to '{imported}' (format parquet)")
    weft, started = str(Path(sys.executable).with_name("weft")), time.perf_counter()
    run_in_installation([weft, "import", str(imported), "--mapping", "online_retail"], home=home)
    run_in_installation([weft, "run", "--as-of", AS_OF.isoformat(), "--reporting-currency", "GBP"], home=home)
    done.touch()
    return time.perf_counter() - started


def _split() -> Split:
    lines = duckdb.sql(
        "select cast(customer_id as varchar) as customer_id, upper(stock_code) as product_id, invoice_no as order_key, "
        f"invoice_date as ordered_at, invoice_date < '{AS_OF}' as is_past from ({MERCHANDISE})"
    ).df()
    past, after = lines[lines["is_past"]], lines[~lines["is_past"]]
    customers, products = (
        np.array(sorted(past[name].unique()), dtype=object) for name in ("customer_id", "product_id")
    )
    known = after[after["customer_id"].isin(customers) & after["product_id"].isin(products)]

    def pairs(frame: pd.DataFrame) -> IntArray:
        return np.unique(_keys(frame, customers, products))

    return Split(customers, products, past, pairs(past), pairs(known))


def _keys(frame: pd.DataFrame, customers: npt.NDArray[np.object_], products: npt.NDArray[np.object_]) -> IntArray:
    rows = pd.Index(customers).get_indexer(frame["customer_id"])
    columns = pd.Index(products).get_indexer(frame["product_id"])
    kept = (rows >= 0) & (columns >= 0)
    return np.asarray((rows * len(products) + columns)[kept], dtype=np.int64)


def _lists(split: Split, home: Path) -> dict[str, Pairs]:
    """What the product offers, by list; the score is the place turned round."""
    with build_platform(home=home).warehouse.open_served() as served:
        offered = read_frame(
            served,
            "select users.user_id as customer_id, offered.product_id, offered.list, offered.rank "
            "from predictions.recommendations as offered "
            f"inner join customer_360.customers as users using (customer_id) where offered.as_of_date = '{AS_OF}'",
        )
    found = {}
    for name, rows in offered.groupby("list"):
        keys = _keys(rows, split.customers, split.products)
        found[str(name)] = _ordered(keys, -rows["rank"].to_numpy(dtype=np.float64), split.width)
    return found


def _peers(split: Split) -> tuple[dict[str, Callable[[str], Pairs]], float]:
    """Rules over all products of every customer, and how long implicit took."""
    past = split.past.assign(days=(pd.Timestamp(AS_OF) - split.past["ordered_at"]).dt.total_seconds() / 86_400)
    once = past.sort_values("days").drop_duplicates(["customer_id", "product_id", "order_key"])
    shape = (len(split.customers), split.width)
    weights = np.bincount(
        _keys(once, split.customers, split.products), weights=0.5 ** (once["days"] / 90), minlength=shape[0] * shape[1]
    ).reshape(shape)
    recent = past[past["days"] <= 30].drop_duplicates(["customer_id", "product_id"])
    popular = recent["product_id"].value_counts().reindex(split.products, fill_value=0).to_numpy(dtype=np.float64)
    orders = sparse.csr_matrix(
        (
            np.ones(len(once)),
            (pd.factorize(once["order_key"])[0], pd.Index(split.products).get_indexer(once["product_id"])),
        )
    )
    together = (orders.T @ orders).toarray()
    norms = np.sqrt(np.diag(together))
    np.fill_diagonal(together, 0.0)
    latent, seconds = _implicit(sparse.csr_matrix(np.log1p(weights)))
    scores: dict[str, Any] = {
        "popularity, 30 days": np.broadcast_to(popular, shape),
        "own history, 90-day half-life": weights + 1e-6 * popular,
        "item-kNN on baskets": weights @ (together / np.outer(norms, norms)),
        "implicit ALS, 64, alone": latent,
    }
    return {name: _of(split, each) for name, each in scores.items()}, seconds


def _of(split: Split, scores: npt.NDArray[np.float64]) -> Callable[[str], Pairs]:
    def of(name: str) -> Pairs:
        open_ = np.array(scores, dtype=np.float64).ravel()
        if name == "new":
            open_[split.had] = -np.inf
        top = np.argpartition(-open_.reshape(scores.shape), 20, axis=1)[:, :20]
        keys = (np.arange(scores.shape[0])[:, None] * split.width + top).ravel()
        return _ordered(keys, open_[keys], split.width)

    return of


def _implicit(weights: sparse.csr_matrix) -> tuple[npt.NDArray[np.float64], float]:
    from implicit.cpu.als import AlternatingLeastSquares

    started = time.perf_counter()
    model = AlternatingLeastSquares(64, 0.05, 10.0, iterations=15, num_threads=1, random_state=20)
    model.fit(weights.astype(np.float32), show_progress=False)
    model.recommend(np.arange(weights.shape[0]), weights, N=20, filter_already_liked_items=False)
    seconds = time.perf_counter() - started
    return np.asarray(model.user_factors @ model.item_factors.T, dtype=np.float64), seconds


def _ordered(keys: IntArray, values: npt.NDArray[np.float64], width: int) -> Pairs:
    order = np.argsort(keys, kind="stable")
    return Pairs(keys[order], values[order], width)


def _cells(judged: Judged) -> list[str]:
    random = np.random.default_rng(20)
    drawn = random.integers(0, len(judged.hits), (RESAMPLES, len(judged.hits)))
    cells = []
    for values in (judged.hits, judged.recall, judged.ndcg):
        low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
        cells.append(f"{values.mean():.3f} ({low:.3f} to {high:.3f})")
    return [*cells, f"{judged.coverage:.3f}"]
