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

_NOT_BLANK: dict[str, Any] = {"type": "string", "pattern": r"[^\s\x00]"}
_ID: dict[str, Any] = {"anyOf": [_NOT_BLANK, {"type": "integer"}]}
_INSTANT: dict[str, Any] = {"anyOf": [{"type": "null"}, {"type": "string", "format": "date-time"}]}
_OPTIONAL_ID: dict[str, Any] = {"type": ["string", "integer", "null"]}
_NAMES_OF_A_PERSON = ("user_id", "anonymous_id", "email", "phone", "loyalty_id", "device_id")
_NUMBER: dict[str, Any] = {"type": ["number", "null"]}
_PLACE = {
    "type": ["object", "null"],
    "properties": {
        **dict.fromkeys(("country", "region", "city"), _TEXT),
        "latitude": _NUMBER,
        "longitude": _NUMBER,
    },
}


def _store_act(own: dict[str, Any], key: str) -> dict[str, Any]:
    """A QR scan or a visit: its own fields, who it was, when and where."""
    people = dict.fromkeys(_NAMES_OF_A_PERSON, _OPTIONAL_ID) | {"email": _TEXT, "message_id": _TEXT}
    told = {"occurred_at": _INSTANT, "sent_at": _INSTANT, "location": _PLACE, "properties": {"type": "object"}}
    consent = {"type": ["object", "null"], "additionalProperties": {"type": "boolean"}}
    return {"type": "object", "properties": people | told | {"consent": consent} | own, "required": [key]}


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
    "Scan": _store_act(
        {"qr_id": _ID, "store_id": _OPTIONAL_ID, "product_id": _OPTIONAL_ID, "campaign": _TEXT, "url": _TEXT}, "qr_id"
    ),
    "Visit": _store_act({"store_id": _ID, "seconds": {"type": ["number", "null"]}, "means": _TEXT}, "store_id")
    | {
        "anyOf": [
            {"required": [name], "properties": {name: _NOT_BLANK if name == "email" else _ID}}
            for name in _NAMES_OF_A_PERSON
        ]
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
