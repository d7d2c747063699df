"""The demo shop: twelve products, a cart, a checkout and an account, with the tracker on every page. Served on a port of its own, so that
browsers speak with the collector across origins as they do in a real shop."""

import csv
import json
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ingestion.tracker import snippet

_MEDIA_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def catalogue_file() -> Traversable:
    """The shop's catalogue, a CSV in the columns of the mapping `products`: land it, and the warehouse knows what the shop sells."""
    return resources.files(__package__).joinpath("products.csv")


def create_shop(collector_url: str, write_key: str) -> Starlette:
    """The shop as an ASGI app whose pages send their events to a collector under a write key (both are public: browsers read them)."""
    folder = resources.files(__package__)
    page = folder.joinpath("site", "page.html").read_text(encoding="utf-8")
    page = page.replace("{{snippet}}", snippet(collector_url, write_key, {"consent": "required"}))
    files = {
        file.name: (file.read_bytes(), _MEDIA_TYPES[file.name.rpartition(".")[2]])
        for file in folder.joinpath("site").iterdir()
        if file.name.rpartition(".")[2] in _MEDIA_TYPES
    }
    products = _products(folder)
    known = {product["id"] for product in products}

    async def show(request: Request) -> Response:
        missing = request.path_params.get("product", request.path_params.get("nowhere"))
        return HTMLResponse(page, status_code=200 if missing is None or missing in known else 404)

    async def serve(request: Request) -> Response:
        if request.path_params["name"] not in files:
            return PlainTextResponse("There is no such file.", status_code=404)
        content, media_type = files[request.path_params["name"]]
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    async def list_products(_: Request) -> Response:
        return JSONResponse(products)

    pages = ["/", "/product/{product}", "/cart", "/checkout", "/thanks", "/account"]
    return Starlette(
        routes=[
            *(Route(path, show) for path in pages),
            Route("/products.json", list_products),
            Route("/site/{name}", serve),
            Route("/{nowhere:path}", show),
        ]
    )


def _products(folder: Traversable) -> list[dict[str, object]]:
    """What the pages need of the catalogue, with each product's picture and description."""
    showcase = json.loads(folder.joinpath("showcase.json").read_text(encoding="utf-8"))
    rows = csv.DictReader(catalogue_file().read_text(encoding="utf-8").splitlines())
    return [
        {
            "id": row["id"],
            "name": row["name"],
            "category": row["category_path"],
            "price": float(row["price"]),
            "currency": row["currency"],
            **showcase[row["id"]],
        }
        for row in rows
    ]
