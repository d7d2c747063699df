"""What the routes of uploads answer, and how OpenAPI describes them."""

from dataclasses import asdict
from typing import Any

from ingestion.collector.openapi import refusals
from ingestion.uploads import ENDINGS, Upload

_REFUSED = {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}}}
_ID_SCHEMA = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_MAPPING = {
    "name": "mapping", "in": "query", "required": True, "schema": {"type": "string"},
    "description": "A mapping that comes with Weft.",
}  # fmt: skip
_NAME = {
    "name": "name", "in": "query", "schema": {"type": "string", "maxLength": 300},
    "description": f"What the file is called; its ending tells the format: {', '.join(ENDINGS)}.",
}  # fmt: skip
_OWN_ID = {
    "name": "id", "in": "query", "schema": _ID_SCHEMA,
    "description": "The client's own choice of an id, so that progress can be asked for while the file is on its way.",
}  # fmt: skip
_FILE = {"schema": {"type": "string", "minLength": 1, "contentMediaType": "application/octet-stream"}}


def written(upload: Upload) -> dict[str, Any]:
    """An upload as its sender sees it."""
    return {name: value for name, value in asdict(upload).items() if name not in ("source", "file")}


def _upload(**more: Any) -> dict[str, Any]:
    own = {
        "id": _ID_SCHEMA,
        "state": {"enum": ["receiving", "uploaded", "confirmed", "landed", "refused"]},
        "bytes": {"type": "integer"},
        "counts": {"type": "object", "description": "The books of its landing."},
        "problem": {"type": ["string", "null"]},
        **more,
    }
    schema = {
        "type": "object",
        "required": ["success", "upload"],
        "properties": {"success": {"const": True}, "upload": {"type": "object", "properties": own, "required": ["id"]}},
    }
    return {"200": {"description": "The upload.", "content": {"application/json": {"schema": schema}}}}


def _refusals(*statuses: str) -> dict[str, Any]:
    own = {
        "409": "The id is taken, or the upload was confirmed before.",
        "507": "The disk has no room; nothing of the file was kept.",
    }
    described = refusals(*(status for status in statuses if status not in own))
    return described | {
        status: {"description": own[status], "content": _REFUSED} for status in statuses if status in own
    }


RECEIVE: dict[str, Any] = {
    "operation_id": "upload",
    "summary": "Upload a CSV, NDJSON, JSON or Parquet file.",
    "description": "The file as the body, or as the one file of a form. Nothing is landed before it was confirmed.",
    "parameters": (_NAME, _OWN_ID),
    "body": {
        "required": True,
        "content": {
            "text/csv": _FILE,
            "application/x-ndjson": _FILE,
            "application/vnd.apache.parquet": _FILE,
            "application/octet-stream": _FILE,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
                }
            },
        },
    },
    "responses": _upload() | _refusals("400", "401", "403", "409", "413", "415", "429", "503", "507"),
}
PROGRESS: dict[str, Any] = {
    "operation_id": "upload_progress",
    "summary": "How far is an upload?",
    "parameters": (_ID,),
    "responses": _upload() | _refusals("401", "403", "404", "429", "503"),
}
PREVIEW: dict[str, Any] = {
    "operation_id": "upload_preview",
    "summary": "The first rows as a mapping reads them, those it refuses with the reason, and the columns found and missing.",
    "parameters": (_ID, _MAPPING),
    "responses": _upload(rows={"type": "array"}, rejected={"type": "array"})
    | _refusals("400", "401", "403", "404", "409", "429", "503"),
}
CONFIRM: dict[str, Any] = {
    "operation_id": "upload_confirm",
    "summary": "Put the file into the inbox, which the next run lands.",
    "parameters": (_ID, _MAPPING),
    "responses": _upload() | _refusals("400", "401", "403", "404", "409", "429", "503", "507"),
}
