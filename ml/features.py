"""The features of a customer at a date: what dbt builds in features.customer_features, in this order, and what models may read."""

from dataclasses import dataclass
from typing import Final, Literal

ColumnType = Literal["VARCHAR", "DATE", "TIMESTAMP", "BOOLEAN", "INTEGER", "BIGINT", "FLOAT8", "JSON"]


@dataclass(frozen=True)
class Feature:
    """A column: `words` say a value ("{value}") in a sentence of reason codes, `how` is its description in dbt and the docs."""

    name: str
    type: ColumnType
    unit: str
    words: str
    words_if_one: str = ""
    words_if_null: str = "an unknown value"
    how: str = ""


_ONE_DAY: Final = "orders on one day only so far"
_MONEY: Final = "Orders after discount without tax and shipping, minus refunds, in the reporting currency"


def _counted(name: str, unit: str, words: str, how: str, words_if_one: str = "") -> Feature:
    return Feature(name, "BIGINT", unit, words, words_if_one, how=how)


def _number(
    name: str, unit: str, words: str, how: str, words_if_one: str = "", *, words_if_null: str = "an unknown value"
) -> Feature:
    return Feature(name, "FLOAT8", unit, words, words_if_one, words_if_null, how)


FEATURES: Final = (
    _number(
        "recency_days",
        "days",
        "no order for {value} days",
        "Days of the calendar (UTC) since the last order.",
        "no order for 1 day",
    ),
    _number(
        "tenure_days",
        "days",
        "customer for {value} days",
        "Days of the calendar since the first order.",
        "customer for 1 day",
    ),
    _number(
        "days_since_last_event",
        "days",
        "nothing heard for {value} days",
        "Days of the calendar since the last event of any kind; null without one.",
        "nothing heard for 1 day",
    ),
    _counted("order_count", "orders", "{value} orders so far", "Orders that stand.", "1 order so far"),
    _counted("order_day_count", "days", "orders on {value} different days", "Days with an order.", _ONE_DAY),
    _counted("order_count_30d", "orders", "{value} orders in 30 days", "Orders, last 30 days.", "1 order in 30 days"),
    _counted("order_count_90d", "orders", "{value} orders in 90 days", "Orders, last 90 days.", "1 order in 90 days"),
    _counted(
        "order_count_365d", "orders", "{value} orders in 365 days", "Orders, last 365 days.", "1 order in 365 days"
    ),
    _number("net_revenue", "money", "net revenue of {value} so far", f"{_MONEY}."),
    _number("net_revenue_30d", "money", "net revenue of {value} in 30 days", f"{_MONEY}, last 30 days."),
    _number("net_revenue_90d", "money", "net revenue of {value} in 90 days", f"{_MONEY}, last 90 days."),
    _number("net_revenue_365d", "money", "net revenue of {value} in 365 days", f"{_MONEY}, last 365 days."),
    _number(
        "average_order_value",
        "money",
        "an average order of {value}",
        "Mean order before refunds, in the reporting currency.",
    ),
    _counted("refund_count", "refunds", "{value} refunds so far", "Refunds.", "1 refund so far"),
    _number("refund_share", "share", "{value} of revenue refunded", "Refunds over orders, by amount."),
    _number(
        "mean_days_between_orders",
        "days",
        "{value} days between orders",
        "Days from the first to the last order over days with an order less one; null with one such day.",
        "1 day between orders",
        words_if_null=_ONE_DAY,
    ),
    _number(
        "recency_to_rhythm",
        "ratio",
        "a pause of {value} times the usual gap",
        "recency_days over mean_days_between_orders; null with one day of orders.",
        words_if_null=_ONE_DAY,
    ),
    _counted(
        "distinct_product_count",
        "products",
        "{value} different products bought",
        "Different products bought.",
        "1 product bought",
    ),
    _counted(
        "distinct_category_count",
        "categories",
        "{value} different categories",
        "Different categories bought.",
        "1 category bought",
    ),
    _number(
        "items_per_order", "items", "{value} items per order", "Different products an order, mean.", "1 item per order"
    ),
    _counted(
        "session_count_30d",
        "visits",
        "{value} visits in 30 days",
        "Online visits that began in the last 30 days.",
        "1 visit in 30 days",
    ),
    _counted(
        "session_count_90d",
        "visits",
        "{value} visits in 90 days",
        "Online visits that began in the last 90 days.",
        "1 visit in 90 days",
    ),
    _counted(
        "product_view_count_30d",
        "views",
        "{value} products viewed in 30 days",
        "Products viewed, last 30 days.",
        "1 product viewed in 30 days",
    ),
    _counted(
        "product_view_count_90d",
        "views",
        "{value} products viewed in 90 days",
        "Products viewed, last 90 days.",
        "1 product viewed in 90 days",
    ),
    _counted(
        "cart_add_count_30d",
        "products",
        "{value} products put in the cart in 30 days",
        "Products put into a cart, last 30 days.",
        "1 product put in the cart in 30 days",
    ),
    _counted("channel_count", "channels", "{value} channels used", "Channels of its events.", "1 channel used"),
    _number(
        "discount_share",
        "share",
        "{value} of order value discounted",
        "Discount over amount before discount, 0 to 1.",
    ),
    _counted(
        "identifier_count",
        "identifiers",
        "{value} known identifiers",
        "Identifiers (cookies, e-mail addresses, cards and so on) that it held then.",
        "1 known identifier",
    ),
    _number(
        "order_amount_trend",
        "trend",
        "a revenue trend of {value} (from -1 to 1) over 180 days",
        "Net revenue of the last 90 days minus that of the 90 before, over the sum of their sizes; -1 to 1.",
    ),
    _counted(
        "order_day_count_90d",
        "days",
        "orders on {value} days in 90 days",
        "Days with an order, of those whose first order lies in the last 90 days.",
        "orders on 1 day in 90 days",
    ),
    _number("net_revenue_180d", "money", "net revenue of {value} in 180 days", f"{_MONEY}, last 180 days."),
    _number(
        "last_order_value",
        "money",
        "a last order of {value}",
        "The newest order before refunds, in the reporting currency.",
    ),
    _number(
        "largest_order_value",
        "money",
        "a largest order of {value}",
        "The largest order before refunds, in the reporting currency.",
    ),
    _number(
        "gap_variation",
        "ratio",
        "gaps between orders that vary by {value} of their mean",
        "Standard deviation of the days between days with an order over their mean; null under three such days.",
        words_if_null="too few orders to see a rhythm",
    ),
    _number(
        "last_gap_days",
        "days",
        "{value} days between the last two orders",
        "Days between the last two days with an order; null with one such day.",
        "1 day between the last two orders",
        words_if_null=_ONE_DAY,
    ),
    _counted(
        "order_count_same_season",
        "orders",
        "{value} orders in this season a year ago",
        "Orders in the 90 days that began 365 days before the date.",
        "1 order in this season a year ago",
    ),
    _counted(
        "refund_count_90d", "refunds", "{value} refunds in 90 days", "Refunds, last 90 days.", "1 refund in 90 days"
    ),
    _number(
        "discounted_order_share", "share", "{value} of orders with a discount", "Orders with a discount over orders."
    ),
    _number(
        "top_category_share",
        "share",
        "{value} of items from one category",
        "Order lines of the most bought category over lines with a category; 0 without any.",
    ),
    _counted(
        "category_count_90d",
        "categories",
        "{value} categories bought in 90 days",
        "Different categories bought, last 90 days.",
        "1 category bought in 90 days",
    ),
    _number(
        "repeat_product_share",
        "share",
        "{value} of products bought before",
        "Products of orders that an earlier order had, over products of orders; 0 without any.",
    ),
    _number("online_order_share", "share", "{value} of orders online", "Orders on the channel web over orders."),
    _number(
        "main_channel_share",
        "share",
        "{value} of orders on one channel",
        "Orders on the channel with the most of them over orders.",
    ),
    _counted("session_count", "visits", "{value} visits so far", "Online visits.", "1 visit so far"),
    _number(
        "session_trend",
        "trend",
        "a trend of visits of {value} (from -1 to 1) over 180 days",
        "Visits of the last 90 days minus those of the 90 before, over their sum; 0 without any.",
    ),
    _number(
        "days_since_last_visit",
        "days",
        "no visit for {value} days",
        "Days of the calendar since the last act online; null without one.",
        "no visit for 1 day",
        words_if_null="no visit seen",
    ),
    _number(
        "product_view_count_per_session_90d",
        "views",
        "{value} products viewed per visit in 90 days",
        "Products viewed over visits, last 90 days; 0 without a visit.",
        "1 product viewed per visit in 90 days",
    ),
    _counted(
        "search_count_90d", "searches", "{value} searches in 90 days", "Searches, last 90 days.", "1 search in 90 days"
    ),
    _counted(
        "cart_add_count_90d",
        "products",
        "{value} products put in the cart in 90 days",
        "Products put into a cart, last 90 days.",
        "1 product put in the cart in 90 days",
    ),
    _counted(
        "checkout_count_90d",
        "checkouts",
        "{value} checkouts begun in 90 days",
        "Checkouts begun, last 90 days.",
        "1 checkout begun in 90 days",
    ),
    _counted(
        "abandoned_cart_count_90d",
        "carts",
        "{value} carts left behind in 90 days",
        "Times in the last 90 days that something went into a cart and neither more nor an order on any channel followed within 24 hours.",
        "1 cart left behind in 90 days",
    ),
    _counted(
        "strong_identifier_count",
        "identifiers",
        "{value} identifiers that name a person",
        "Identifiers of strong types (user id, e-mail, phone, card) that it held then.",
        "1 identifier that names a person",
    ),
    _counted(
        "identifier_type_count",
        "types",
        "{value} kinds of identifiers known",
        "Different types of the identifiers that it held then.",
        "1 kind of identifier known",
    ),
)
FEATURE_NAMES: Final = tuple(feature.name for feature in FEATURES)
