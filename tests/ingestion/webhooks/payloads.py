"""Deliveries in the shapes that the vendors document, written for these tests: no recorded traffic, no real person."""

import base64
import hashlib
import hmac
import json
from copy import deepcopy
from typing import Any
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from ingestion.event_log import Normalized, Received
from ingestion.normalise import normalise

SHOP, SHOP_SECRETS = "shop", ("new-secret", "old-secret")
WOO, WOO_SECRETS = "woo", ("wc & secret",)
WHATSAPP, TWILIO_TOKENS = "whatsapp", ("12345",)
SECRETS = {SHOP: SHOP_SECRETS, WOO: WOO_SECRETS, WHATSAPP: TWILIO_TOKENS, "blank": ("", " ")}
RECEIVED_AT = 1_772_000_000_000  # 2026-02-25 06:13:20

Json = dict[str, Any]


def money(amount: str, shown: str | None = None) -> Json:
    """A Shopify price set: the shop's money, and what the customer was shown."""
    return {
        "shop_money": {"amount": amount, "currency_code": "EUR"},
        "presentment_money": {"amount": shown or amount, "currency_code": "USD" if shown else "EUR"},
    }


ORDER: Json = {
    "id": 450789469,
    "admin_graphql_api_id": "gid://shopify/Order/450789469",
    "name": "#1001",
    "order_number": 1001,
    "email": "Ann@Example.com",
    "contact_email": "ann@example.com",
    "phone": None,
    "created_at": "2026-02-20T10:00:00+01:00",
    "updated_at": "2026-02-20T10:00:01+01:00",
    "processed_at": "2026-02-20T10:00:00+01:00",
    "cancelled_at": None,
    "cancel_reason": None,
    "cart_token": "c0ffee",
    "checkout_id": 901414060,
    "currency": "EUR",
    "presentment_currency": "USD",
    "financial_status": "paid",
    "fulfillment_status": None,
    "source_name": "web",
    "landing_site": "/collections/mugs?utm_source=newsletter&utm_medium=email&utm_campaign=spring",
    "buyer_accepts_marketing": True,
    "taxes_included": True,
    "test": False,
    # 2 mugs at 11.90 and a pot at 29.75, 5.95 off; delivery 4.76; all with 19 % tax
    "total_line_items_price": "53.55",
    "total_discounts": "5.95",
    "total_discounts_set": money("5.95", "6.43"),
    "subtotal_price": "47.60",
    "subtotal_price_set": money("47.60", "51.41"),
    "total_tax": "8.36",
    "total_tax_set": money("8.36", "9.03"),
    "total_price": "52.36",
    "total_price_set": money("52.36", "56.55"),
    "current_total_price": "40.46",
    "discount_codes": [{"code": "SPRING", "amount": "5.95", "type": "fixed_amount"}],
    "shipping_lines": [
        {
            "title": "Standard",
            "price": "4.76",
            "discounted_price": "4.76",
            "discounted_price_set": money("4.76", "5.14"),
            "tax_lines": [{"title": "VAT", "rate": 0.19, "price": "0.76", "price_set": money("0.76", "0.82")}],
        }
    ],
    "customer": {
        "id": 207119551,
        "email": "ann@example.com",
        "phone": "+4915112345678",
        "first_name": "Ann",
        "last_name": "Example",
        "created_at": "2025-01-01T00:00:00Z",
        "default_address": {"city": "Köln", "country_code": "DE"},
    },
    "billing_address": {"city": "Köln", "country_code": "DE", "province_code": None},
    "line_items": [
        {
            "id": 1,
            "product_id": 632910392,
            "variant_id": 808950810,
            "sku": "MUG-1",
            "title": "Mug",
            "variant_title": "blue",
            "vendor": "Kiln",
            "price": "11.90",
            "price_set": money("11.90", "12.85"),
            "quantity": 2,
            "total_discount": "0.00",
            "discount_allocations": [{"amount": "2.65", "amount_set": money("2.65", "2.86")}],
            "tax_lines": [{"price": "3.38", "price_set": money("3.38", "3.65")}],
        },
        {
            "id": 2,
            "product_id": 921728736,
            "variant_id": 447654529,
            "sku": "POT-1",
            "title": "Pot",
            "vendor": "Kiln",
            "price": "29.75",
            "price_set": money("29.75", "32.13"),
            "quantity": 1,
            "total_discount": "0.00",
            "discount_allocations": [{"amount": "3.30", "amount_set": money("3.30", "3.57")}],
            "tax_lines": [{"price": "4.22", "price_set": money("4.22", "4.56")}],
        },
    ],
    "refunds": [],
}

REFUND: Json = {
    "id": 509562969,
    "order_id": 450789469,
    "created_at": "2026-02-22T09:00:00+01:00",
    "note": "broken",
    "refund_line_items": [
        {
            "id": 104689539,
            "quantity": 1,
            "line_item_id": 1,
            "subtotal": 10.57,
            "subtotal_set": money("10.57", "11.42"),
            "total_tax": 1.69,
            "total_tax_set": money("1.69", "1.83"),
            "line_item": {"product_id": 632910392, "title": "Mug", "price": "11.90", "price_set": money("11.90")},
        }
    ],
    "order_adjustments": [],
    "transactions": [{"id": 1, "kind": "refund", "status": "success", "amount": "10.57", "currency": "EUR"}],
}

CUSTOMER: Json = {
    "id": 207119551,
    "email": "ann@example.com",
    "phone": "+4915112345678",
    "first_name": "Ann",
    "last_name": "Example",
    "created_at": "2025-01-01T00:00:00Z",
    "updated_at": "2026-02-21T08:00:00Z",
    "state": "enabled",
    "verified_email": True,
    "tags": "vip",
    "email_marketing_consent": {
        "state": "subscribed",
        "opt_in_level": "confirmed_opt_in",
        "consent_updated_at": "2025-06-01T10:00:00Z",
    },
    "sms_marketing_consent": {"state": "unsubscribed", "consent_updated_at": "2025-07-01T10:00:00Z"},
    "default_address": {"city": "Köln", "country_code": "DE"},
}

CART: Json = {
    "id": "c0ffee",
    "token": "c0ffee",
    "note": None,
    "created_at": "2026-02-20T08:50:00.000Z",
    "updated_at": "2026-02-20T08:50:00.120Z",
    "line_items": [
        {
            "id": 808950810,
            "variant_id": 808950810,
            "product_id": 632910392,
            "title": "Mug",
            "price": "11.90",
            "quantity": 2,
        }
    ],
}

CHECKOUT: Json = {
    "id": 901414060,
    "token": "7e57",
    "cart_token": "c0ffee",
    "email": "ann@example.com",
    "phone": None,
    "created_at": "2026-02-20T09:55:00+01:00",
    "updated_at": "2026-02-20T09:56:00+01:00",
    "completed_at": None,
    "abandoned_checkout_url": "https://shop.example/recover",
    "currency": "EUR",
    "taxes_included": True,
    "total_price": "52.36",
    "total_tax": "8.36",
    "total_discounts": "5.95",
    "shipping_lines": [],
    "line_items": [{"product_id": 632910392, "title": "Mug", "price": "11.90", "quantity": 2}],
}

PRODUCT: Json = {
    "id": 632910392,
    "title": "Mug",
    "product_type": "Kitchen",
    "status": "active",
    "vendor": "Kiln",
    "updated_at": "2026-02-20T08:00:00Z",
    "category": {"name": "Mugs", "full_name": "Home & Garden > Kitchen > Mugs"},
    "variants": [
        {"id": 808950810, "price": "11.90", "inventory_quantity": 5, "inventory_management": "shopify"},
        {"id": 808950811, "price": "9.90", "inventory_quantity": -1, "inventory_management": "shopify"},
    ],
}

REDACT: Json = {
    "shop_id": 954889,
    "shop_domain": "shop.example",
    "customer": {"id": 207119551, "email": "ann@example.com", "phone": "+4915112345678"},
    "orders_to_redact": [450789469],
}
DATA_REQUEST: Json = {
    "shop_id": 954889,
    "shop_domain": "shop.example",
    "orders_requested": [450789469],
    "customer": {"id": 207119551, "email": "ann@example.com", "phone": "+4915112345678"},
    "data_request": {"id": 9999},
}
SHOP_REDACT: Json = {"shop_id": 954889, "shop_domain": "shop.example"}

SHOPIFY: dict[str, Json] = {
    "orders/create": ORDER,
    "refunds/create": REFUND,
    "customers/update": CUSTOMER,
    "carts/create": CART,
    "checkouts/update": CHECKOUT,
    "products/update": PRODUCT,
    "products/delete": {"id": 632910392},
    "customers/redact": REDACT,
    "customers/data_request": DATA_REQUEST,
    "shop/redact": SHOP_REDACT,
}

WOO_ORDER: Json = {
    "id": 727,
    "number": "727",
    "status": "processing",
    "currency": "EUR",
    "date_created_gmt": "2026-02-20T09:00:00",
    "date_modified_gmt": "2026-02-20T09:00:20",
    "date_paid_gmt": "2026-02-20T09:00:20",
    "prices_include_tax": True,
    "discount_total": "5.00",
    "shipping_total": "4.00",
    "total": "52.36",
    "total_tax": "8.36",
    "customer_id": 25,
    "billing": {
        "email": "ann@example.com",
        "phone": "0151 12345678",
        "first_name": "Ann",
        "country": "DE",
        "city": "Köln",
    },
    "payment_method": "bacs",
    "meta_data": [{"id": 1, "key": "_wc_order_attribution_utm_source", "value": "newsletter"}],
    "line_items": [
        {
            "id": 1,
            "product_id": 93,
            "variation_id": 0,
            "name": "Mug",
            "quantity": 3,
            "subtotal": "20.00",
            "total": "18.00",
            "price": 6.0,
        },
        {
            "id": 2,
            "product_id": 94,
            "variation_id": 95,
            "name": "Pot",
            "quantity": 1,
            "subtotal": "25.00",
            "total": "22.00",
            "price": 22,
        },
    ],
    "coupon_lines": [{"code": "spring"}],
    "fee_lines": [],
    "refunds": [],
}
WOO_CUSTOMER: Json = {
    "id": 25,
    "username": "ann",
    "email": "ann@example.com",
    "first_name": "Ann",
    "last_name": "Example",
    "role": "customer",
    "date_created_gmt": "2025-01-01T00:00:00",
    "date_modified_gmt": "2026-02-20T09:00:00",
    "billing": {"phone": "0151 12345678", "country": "DE", "city": "Köln"},
}
WOO_PRODUCT: Json = {
    "id": 93,
    "name": "Mug",
    "permalink": "https://woo.example/mug",
    "status": "publish",
    "price": "6.66",
    "manage_stock": True,
    "stock_quantity": 12,
    "stock_status": "instock",
    "categories": [{"id": 9, "name": "Kitchen", "slug": "kitchen"}],
    "date_modified_gmt": "2026-02-20T09:00:00",
}
WOOCOMMERCE: dict[str, Json] = {
    "order.created": WOO_ORDER,
    "customer.updated": WOO_CUSTOMER,
    "product.updated": WOO_PRODUCT,
    "order.deleted": {"id": 727},
}

INBOUND: dict[str, str] = {
    "MessageSid": "SM0123456789abcdef0123456789abcdef",
    "SmsMessageSid": "SM0123456789abcdef0123456789abcdef",
    "SmsSid": "SM0123456789abcdef0123456789abcdef",
    "SmsStatus": "received",
    "AccountSid": "AC0123456789abcdef0123456789abcdef",
    "From": "whatsapp:+4915112345678",
    "To": "whatsapp:+14155238886",
    "Body": "Is the mug dishwasher safe? ☕",
    "NumMedia": "0",
    "ProfileName": "Ann",
    "WaId": "4915112345678",
}
STATUS: dict[str, str] = {
    "MessageSid": "SM1123456789abcdef0123456789abcdef",
    "MessageStatus": "delivered",
    "SmsStatus": "delivered",
    "AccountSid": "AC0123456789abcdef0123456789abcdef",
    "From": "whatsapp:+14155238886",
    "To": "whatsapp:+4915112345678",
}


def changed(document: Json, **changes: Any) -> Json:
    """A copy with other fields."""
    return deepcopy(document) | changes


def body_of(document: object) -> bytes:
    """A document as a shop sends it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def hmac_of(body: bytes, secret: str) -> str:
    """The signature of Shopify and of WooCommerce."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def shopify_headers(body: bytes, topic: str, *, secret: str = SHOP_SECRETS[0], delivery: str = "d-1") -> dict[str, str]:
    """The headers of a delivery by Shopify."""
    return {
        "content-type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-SHA256": hmac_of(body, secret),
        "X-Shopify-Shop-Domain": "shop.example",
        "X-Shopify-Webhook-Id": delivery,
    }


def woo_headers(body: bytes, topic: str, *, secret: str = WOO_SECRETS[0]) -> dict[str, str]:
    """The headers of a delivery by WooCommerce."""
    resource, _, event = topic.partition(".")
    return {
        "content-type": "application/json",
        "X-WC-Webhook-Topic": topic,
        "X-WC-Webhook-Resource": resource,
        "X-WC-Webhook-Event": event,
        "X-WC-Webhook-Signature": hmac_of(body, secret),
        "X-WC-Webhook-Source": "https://woo.example/",
        "X-WC-Webhook-Delivery-ID": "0123",
    }


def twilio_request(url: str, fields: dict[str, str], *, token: str = TWILIO_TOKENS[0]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request by Twilio, signed by its own SDK."""
    signature = RequestValidator(token).compute_signature(url, fields)
    headers = {"content-type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
    return urlencode(fields).encode(), headers


def normalised(kind: str, body: bytes, *, source: str = SHOP, entry: str = "7-0", **facts: str) -> Normalized:
    """What becomes of a body."""
    return normalise(Received(kind, source, RECEIVED_AT, body, facts), entry)


def lines(ndjson: bytes) -> list[Json]:
    """The lines of an entry of `events.normalized`."""
    return [json.loads(line) for line in ndjson.splitlines()]


def events(kind: str, document: object, *, source: str = SHOP, entry: str = "7-0", **facts: str) -> list[Json]:
    """The events of a document; nothing of it may be refused."""
    found = normalised(kind, body_of(document), source=source, entry=entry, **facts)
    assert not found.refused
    return lines(found.events)
