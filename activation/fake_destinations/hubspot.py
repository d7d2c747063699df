"""HubSpot's CRM v3 as far as contacts are written: batch upsert and batch update, their limits, 207 with the rows that failed."""

import json
import re
from typing import Any

from activation.fake_destinations.vendor import Call, Reply, RollingLimit, Timepiece, Vendor

TOKEN = "pat-eu1-fake-0123456789"
CONTACTS = "/crm/v3/objects/contacts"
MOST_INPUTS = 100
PROPERTIES = {
    "email": "string", "firstname": "string", "lastname": "string", "phone": "string", "city": "string",
    "weft_customer_id": "string", "weft_member": "bool", "weft_score": "number",
}  # fmt: skip
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")


def _error(status: int, category: str, message: str, **more: Any) -> Reply:
    return Reply(
        status, {"status": "error", "message": message, "category": category, "correlationId": "c0ffee", **more}
    )


class HubSpot(Vendor):
    """Contacts by id. With `multi_status` off, one bad row costs its whole batch, as on the older endpoints."""

    def __init__(
        self, clock: Timepiece, *, properties: dict[str, str] | None = None, multi_status: bool = True
    ) -> None:
        super().__init__(clock)
        self.properties = dict(properties or PROPERTIES)
        self.unique = {"weft_customer_id"}
        self.multi_status = multi_status
        self.contacts: dict[str, dict[str, str]] = {}
        self.daily_limit: int | None = None
        self._ids = 100
        self._all = RollingLimit(clock, 100, 10.0)

    def state(self) -> Any:
        """Every contact by its id."""
        return {"contacts": self.contacts}

    def answer(self, call: Call) -> Reply:
        """Auth, then limits, then the two calls."""
        refusal = self._refusal(call)
        if refusal:
            return refusal
        calls = {f"{CONTACTS}/batch/upsert": self._upserted, f"{CONTACTS}/batch/update": self._updated}
        if call.method != "POST" or call.path not in calls:
            return _error(404, "OBJECT_NOT_FOUND", "No such path.")
        inputs = call.json.get("inputs") or []
        return self._unreadable(inputs) or calls[call.path](inputs)

    def _refusal(self, call: Call) -> Reply | None:
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return _error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        if self.daily_limit is not None:
            if self.daily_limit < 1:
                return self._too_many("DAILY")
            self.daily_limit -= 1
        if self._all.is_met():
            return self._too_many("TEN_SECONDLY_ROLLING")
        return None

    def _unreadable(self, inputs: list[dict[str, Any]]) -> Reply | None:
        if not inputs:
            return _error(400, "VALIDATION_ERROR", "Some required fields were not set: [inputs]")
        if len(inputs) > MOST_INPUTS:
            return _error(400, "VALIDATION_ERROR", f"The maximum number of inputs is {MOST_INPUTS}.")
        if len({(each.get("idProperty"), each["id"]) for each in inputs}) < len(inputs):
            return _error(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input.")
        unknown = {name for each in inputs for name in each["properties"]} - set(self.properties)
        if unknown:
            return self._invalid(
                [_invalid(name, "PROPERTY_DOESNT_EXIST", "does not exist") for name in sorted(unknown)]
            )
        return None

    def _too_many(self, policy: str) -> Reply:
        words = {"status": "error", "message": "You have reached your limit.", "errorType": "RATE_LIMIT"}
        return Reply(429, {**words, "policyName": policy}, {} if policy == "DAILY" else {"Retry-After": "1"})

    def _invalid(self, problems: list[dict[str, Any]]) -> Reply:
        return _error(400, "VALIDATION_ERROR", f"Property values were not valid: {json.dumps(problems)}")

    def _problem(self, values: dict[str, str]) -> dict[str, Any] | None:
        for name, value in values.items():
            kind = self.properties[name]
            if name == "email" and not _EMAIL.fullmatch(value):
                return _invalid(name, "INVALID_EMAIL", f"Email address {value} is invalid")
            if value and kind == "bool" and value not in ("true", "false"):
                return _invalid(name, "INVALID_OPTION", f"{value} was not one of the allowed options")
            if value and kind == "number" and not re.fullmatch(r"-?\d+(\.\d+)?", value):
                return _invalid(name, "INVALID_INTEGER", f"{value} was not a valid number")
        return None

    def _upserted(self, inputs: list[dict[str, Any]]) -> Reply:
        named = {each.get("idProperty") for each in inputs}
        if not named <= {"email", *self.unique}:
            return _error(400, "VALIDATION_ERROR", "Unable to perform update/upsert by non-unique 0-1 property")
        return self._carried_out(inputs, self._found_or_new)

    def _updated(self, inputs: list[dict[str, Any]]) -> Reply:
        if not {each.get("idProperty") for each in inputs} <= {None, *self.unique}:
            return _error(400, "VALIDATION_ERROR", "Unable to perform update/upsert by non-unique 0-1 property")
        return self._carried_out(inputs, self._found)

    def _found(self, each: dict[str, Any]) -> str | None:
        name = each.get("idProperty")
        if name is None:
            return each["id"] if each["id"] in self.contacts else None
        wanted = each["id"].lower() if name == "email" else each["id"]
        return next((id_ for id_, held in self.contacts.items() if held.get(name) == wanted), None)

    def _found_or_new(self, each: dict[str, Any]) -> str:
        found = self._found(each)
        if found is None:
            self._ids += 1
            found = str(self._ids)
            name = each["idProperty"]
            self.contacts[found] = {name: each["id"].lower() if name == "email" else each["id"]}
        return found

    def _carried_out(self, inputs: list[dict[str, Any]], find: Any) -> Reply:
        problems: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for each in inputs:
            implied = {"email": each["id"]} if each.get("idProperty") == "email" else {}
            if problem := self._problem(implied | each["properties"]):
                problems.append((each, problem))
        is_traced = self.multi_status and all("objectWriteTraceId" in each for each in inputs)
        if problems and not is_traced:
            return self._invalid([problem for _, problem in problems])
        errors = [
            _row_error("VALIDATION_ERROR", problem["error"], problem["message"], each) for each, problem in problems
        ]
        results, missing = [], []
        for each in inputs:
            if any(each is bad for bad, _ in problems):
                continue
            id_ = find(each)
            if id_ is None:
                missing.append(each["id"])
                continue
            self.contacts[id_] |= {name: value for name, value in each["properties"].items() if name != "email"}
            if value := each["properties"].get("email"):
                self.contacts[id_]["email"] = value.lower()
            traced = {"objectWriteTraceId": each["objectWriteTraceId"]} if is_traced else {}
            results.append({"id": id_, "properties": dict(self.contacts[id_]), "archived": False, **traced})
        if missing:
            words = "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid."
            gone = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": words, "context": {"ids": missing}}
            errors.append(gone)
        refused = len(inputs) - len(results)
        self.tell(f"contacts: {len(results)} written, {refused} refused; {len(self.contacts)} contacts now")
        content: dict[str, Any] = {"status": "COMPLETE", "results": results}
        if errors:
            return Reply(207, {**content, "numErrors": len(errors), "errors": errors})
        return Reply(200, content)


def _invalid(name: str, code: str, message: str) -> dict[str, Any]:
    words = f'Property "{name}" {message}' if code == "PROPERTY_DOESNT_EXIST" else message
    return {"isValid": False, "message": words, "error": code, "name": name}


def _row_error(category: str, code: str, message: str, each: dict[str, Any]) -> dict[str, Any]:
    trace = each["objectWriteTraceId"]
    context = {"objectWriteTraceId": [trace]}
    return {
        "status": "error",
        "category": category,
        "message": message,
        "context": context,
        "errors": [{"message": message, "code": code}],
    }
