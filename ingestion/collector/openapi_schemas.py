"""Schemas of the OpenAPI document: the six calls, a batch, and what the collector answers."""

from typing import Any

_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_OBJECT: dict[str, Any] = {"type": ["object", "null"]}
_TIME: dict[str, Any] = {"type": ["string", "null"], "description": "ISO 8601, with an offset."}

_COMMON: dict[str, Any] = {
    "messageId": {"type": ["string", "null"], "maxLength": 100, "description": "The same id is taken once for ever."},
    "userId": _TEXT | {"description": "The shop's own id of the person; this or anonymousId is needed."},
    "anonymousId": _TEXT,
    "timestamp": _TIME,
    "originalTimestamp": _TIME,
    "sentAt": _TIME,
    "context": _OBJECT,
    "integrations": _OBJECT,
    "writeKey": _TEXT | {"description": "Only where no Basic authentication is sent."},
}


def _call(description: str, own: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "description": description, "properties": _COMMON | own, "required": required}


_CALLS: dict[str, Any] = {
    "Identify": _call("Who the person is.", {"traits": _OBJECT}, []),
    "Track": _call(
        "What the person did.", {"event": {"type": "string", "minLength": 1}, "properties": _OBJECT}, ["event"]
    ),
    "Page": _call("A page that the person saw.", {"name": _TEXT, "category": _TEXT, "properties": _OBJECT}, []),
    "Screen": _call("A screen of an app that the person saw.", {"name": _TEXT, "properties": _OBJECT}, []),
    "Group": _call("What the person belongs to.", {"groupId": {"type": "string"}, "traits": _OBJECT}, ["groupId"]),
    "Alias": _call("Two ids of one person.", {"previousId": {"type": "string"}}, ["previousId", "userId"]),
}

_PERSON: dict[str, Any] = {"user_id": _TEXT, "anonymous_id": _TEXT, "message_id": _TEXT}
_ANY_OBJECT: dict[str, Any] = {"type": "object"}

SCHEMAS: dict[str, Any] = _CALLS | {
    "Batch": {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {
                "type": "array",
                "maxItems": 2500,
                "description": "The six calls, each with its `type`. What is none of them is kept and shows up among the rejected events.",
                "items": {},
            },
            "context": {"description": "Merged into each event."},
            "sentAt": {"description": "ISO 8601, with an offset."},
            "writeKey": {"description": "Only where no Basic authentication is sent."},
        },
    },
    "SnowplowPayload": {
        "type": "object",
        "required": ["data"],
        "properties": {
            "schema": {"description": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"},
            "data": {"type": "array", "maxItems": 2500, "items": {}},
        },
    },
    "MiniIdentify": {
        "type": "object",
        "properties": _PERSON | {"traits": _OBJECT},
    },
    "MiniTrack": {
        "type": "object",
        "properties": _PERSON
        | {"event_type": {"type": "string", "minLength": 1}, "properties": _OBJECT, "occurred_at": _TIME},
        "required": ["event_type"],
    },
    "AnyObject": _ANY_OBJECT
    | {"description": "A JSON object; what it lacks is found when it is read, not when it is taken."},
    "Success": {
        "type": "object",
        "required": ["success"],
        "properties": {
            "success": {"const": True},
            "results": {
                "type": "array",
                "description": "With ?verbose=1: what will become of each event.",
                "items": {
                    "type": "object",
                    "required": ["index", "ok"],
                    "properties": {
                        "index": {"type": "integer", "minimum": 0},
                        "ok": {"type": "boolean"},
                        "reason": {"type": "string", "description": "A code as in raw.rejected_events."},
                        "detail": {"type": "string"},
                    },
                    "additionalProperties": False,
                },
            },
        },
        "additionalProperties": False,
    },
    "Refused": {
        "type": "object",
        "required": ["success", "code", "message", "request_id"],
        "properties": {
            "success": {"const": False},
            "code": {"type": "string"},
            "message": {"type": "string"},
            "request_id": {"type": "string"},
        },
        "additionalProperties": False,
    },
    "Status": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"const": "ok"}},
        "additionalProperties": False,
    },
}
