"""Money adds up, refunds fit their orders, people stop."""

from datetime import timedelta

LINES = (
    "select properties ->> '$.order_id' as order_id, properties, unnest(from_json(properties -> '$.products', "
    '\'[{"product_id":"varchar","price":"decimal(18,2)","quantity":"bigint","discount":"decimal(18,2)"}]\''
    "), recursive := true) from web"
)


def amount(name: str) -> str:
    return f"(properties ->> '$.{name}')::decimal(18, 2)"


def test_an_orders_money_adds_up(shop):
    orders = (
        f"select order_id, {amount('revenue')} as revenue, {amount('discount')} as discount, {amount('shipping')} as shipping, "
        f"{amount('tax')} as tax, {amount('total')} as total, sum(price * quantity) as goods, sum(line_discount) as line_discounts "
        f"from (select * rename (discount as line_discount) from ({LINES} where event = 'Order Completed')) group by all"
    )
    counted, wrong = shop.one(
        f"select count(*), count(*) filter (revenue <> goods - discount or discount <> line_discounts or total <> revenue + shipping + tax "
        f"or revenue <= 0 or tax <= 0) from ({orders})"
    )
    assert counted > 300
    assert wrong == 0
    assert shop.one(f"select count(distinct order_id) = count(*) from ({orders})") == (True,)


def test_a_coupon_and_a_discount_come_together(shop):
    mixed = f"({amount('discount')} > 0) <> ((properties ->> '$.coupon') is not null)"
    assert shop.one(f"select count(*) from web where event = 'Order Completed' and {mixed}") == (0,)


def test_refunds_are_of_orders_before_them_and_not_larger(shop):
    money = "select properties ->> '$.order_id' as id, occurred_at as moment"
    refunds = f"{money}, {amount('total')} as total from web where event = 'Order Refunded'"
    orders = f"{money}, {amount('revenue')} as revenue from web where event = 'Order Completed'"
    counted, wrong = shop.one(
        f"select count(*), count(*) filter (refunds.moment <= orders.moment or refunds.total > orders.revenue) "
        f"from ({refunds}) as refunds join ({orders}) as orders using (id)"
    )
    assert counted > 10
    assert wrong == 0
    (lost,) = shop.one(f"select count(*) from ({refunds}) as refunds anti join ({orders}) as orders using (id)")
    assert lost <= 2  # the order's event was on its way for too long, and is not known by the end


def test_refund_receipts_name_lines_of_a_sale(shop):
    counted, wrong = shop.one(
        "select count(*), count(*) filter (sale.receipt_id is null or sale.quantity <> refund.quantity) from pos as refund "
        "left join pos as sale on sale.receipt_id = refund.original_receipt_id and sale.line_number = refund.line_number "
        "where refund.receipt_type = 'refund'"
    )
    assert counted > 0
    assert wrong == 0


def test_receipt_lines_have_their_own_message_ids_and_are_uploaded_hours_later(shop):
    assert shop.one("select count(*) = count(distinct message_id) from pos") == (True,)
    shortest, longest = shop.one(
        "select min(exported_at::timestamp - sold_at::timestamp), max(exported_at::timestamp - sold_at::timestamp) from pos"
    )
    assert timedelta(hours=1) < shortest
    assert longest < timedelta(days=20)


def test_nobody_does_anything_after_leaving(shop):
    activity = (
        "select person_id, occurred_at as moment from web join truth_event_owners using (message_id) "
        "union all select person_id, sold_at::timestamp from pos join truth_event_owners using (message_id) "
        "union all select person_id, sent_at from whatsapp join truth_event_owners using (message_id)"
    )
    left, later = shop.one(
        f"select count(distinct person_id), count(*) filter (moment >= churned_at) from ({activity}) "
        "join truth_people using (person_id) where churned_at is not null"
    )
    assert left > 30
    assert later == 0


def test_currencies_are_the_six_known_ones_and_prices_are_positive(shop):
    known = {"EUR", "GBP", "USD", "SEK", "PLN", "CHF"}
    found = shop.rows("select distinct properties ->> '$.currency' from web where properties like '%\"currency\"%'")
    assert {currency for (currency,) in found} == known
    assert {currency for (currency,) in shop.rows("select distinct currency from pos")} <= known
    assert shop.one(f"select count(*) from web where {amount('price')} <= 0") == (0,)


def test_the_catalogue_holds_what_is_sold_and_some_is_out_of_stock(shop):
    count, ids, sold_out, repeatable, categories = shop.one(
        "select count(*), count(distinct id), count(*) filter (stock = 0), count(*) filter (repeatable), "
        "count(distinct category_path) from products"
    )
    assert (count, ids, categories) == (408, 408, 12)
    assert 15 <= sold_out <= 45
    assert 100 <= repeatable <= 200
    assert shop.one(f"select count(*) from ({LINES}) as lines anti join products on id = product_id") == (0,)
