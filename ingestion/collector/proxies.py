"""Who sent a request, and to which address: what proxies say is believed only of those that the settings trust."""

from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.requests import Request

from ingestion.collector.cross_origin import is_origin
from ingestion.collector.routing import sent_headers

Networks = tuple[IPv4Network | IPv6Network, ...]

_LONGEST_USER_AGENT = 1_000
_NO_CONTROL = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)))


def client_ip(request: Request, trusted: Networks) -> str | None:
    """The sender's address: the connection's own, or the last one in X-Forwarded-For that is no trusted proxy."""
    client = request.scope.get("client")
    address: str | None = client[0] if client else None
    if not trusted or not _is_trusted(address, trusted):
        return address
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    for hop in reversed(forwarded):
        candidate = _address(hop)
        if candidate is None:
            return address
        address = candidate
        if not _is_trusted(candidate, trusted):
            return candidate
    return address


def public_url(request: Request, trusted: Networks) -> str:
    """The URL that the sender called, as a signature over it needs it: scheme and host from a trusted proxy's headers where it sent any."""
    # not request.url: it cannot be made where the header Host is none
    scheme, host = str(request.scope["scheme"]), request.headers.get("host", "")
    if trusted and request.client and _is_trusted(request.client.host, trusted):
        scheme = request.headers.get("x-forwarded-proto", scheme).split(",")[-1].strip()
        host = request.headers.get("x-forwarded-host", host).split(",")[-1].strip()
    path = request.scope.get("raw_path", b"").decode("latin-1") or str(request.scope["path"])
    query = request.scope["query_string"].decode("latin-1")
    return f"{scheme}://{host}{path}" + (f"?{query}" if query else "")


def facts_of(request: Request, trusted: Networks, **more: str) -> dict[str, str]:
    """What of a request goes into the log beside its body: `ip`, `user_agent`, `origin` (the page's, where a browser sends), `gpc` (1 where
    the browser says "do not sell"), and `more` where it is not blank."""
    facts = {name: value for name, value in more.items() if value}
    address = client_ip(request, trusted)
    if address:
        facts["ip"] = address
    headers = sent_headers(request)
    agent, origin = headers.get(b"user-agent"), headers.get(b"origin")
    if agent:
        facts["user_agent"] = agent.decode("latin-1")[:_LONGEST_USER_AGENT].translate(_NO_CONTROL)
    if origin is not None and is_origin(origin):
        facts["origin"] = origin.decode("ascii")
    if headers.get(b"sec-gpc") == b"1":
        facts["gpc"] = "1"
    return facts


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return None


def _is_trusted(address: str | None, trusted: Networks) -> bool:
    if address is None:
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)
