// The demo shop's pages. Whatever a shopper does is told to Weft under the names of the Segment e-commerce spec, version 2.
"use strict";

const PURPOSES = { analytics: "Statistics", personalisation: "Suggestions", advertising: "Advertising", sharing: "Sharing with partners" };
const CURRENCY = "EUR", FREE_SHIPPING_FROM = 75, SHIPPING = 4.9, TAX_SHARE = 19 / 119, COUPONS = { WELCOME10: 0.1 };

// ---- small tools
const $ = (id) => document.getElementById(id);
const kept = (name, otherwise) => JSON.parse(localStorage.getItem("shop_" + name)) ?? otherwise;
const keep = (name, value) => localStorage.setItem("shop_" + name, JSON.stringify(value));
const cents = (amount) => Math.round(amount * 100) / 100;
const money = (amount) => new Intl.NumberFormat("en-IE", { style: "currency", currency: CURRENCY }).format(amount);

/** An element with attributes and children; texts are texts, never markup. */
function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
const field = (name, label, attributes) => el("label", {}, label, el("input", { name, id: name, ...attributes }));
const show = (...children) => $("main").replaceChildren(...children.filter((child) => child !== null));

/** A product's name as it is shown: a number stays on the line of its unit. */
const shown_name = (product) => product.name.replace(/(\d) (?=\S+$)/, "$1\u00a0");
const shelf = (category) => category.split(" > ").pop();
const of_category = (category) => "/?category=" + encodeURIComponent(category);

/** Leaves for another page of the shop a moment later: nothing has to be waited for, the tracker keeps what was not sent yet. */
const go = (address) => location.assign(address);

// ---- what Weft is told; the list at the foot of the page shows it
function tell(call, ...values) {
  window.weft[call](...values);
  const calls = JSON.parse(sessionStorage.getItem("calls")) || [];
  calls.unshift([call, ...values]);
  sessionStorage.setItem("calls", JSON.stringify(calls.slice(0, 40)));
  list_calls();
}
function list_calls() {
  const calls = JSON.parse(sessionStorage.getItem("calls")) || [];
  $("calls").replaceChildren(...calls.map((call) => el("li", {}, el("code", {}, call.map((value) => JSON.stringify(value)).join(" ")))));
  const id = window.weft.anonymousId && window.weft.anonymousId();
  $("who").replaceChildren("This browser is ", el("code", {}, id || "unknown so far"));
}
const product_facts = (product) => ({
  product_id: product.id, sku: product.id, name: product.name, category: product.category, price: product.price,
});
const cart_lines = () => cart.lines.map((line, i) => ({
  ...product_facts(by_id[line.id]), quantity: line.quantity, position: i + 1,
  ...(cart.coupon ? { discount: cents(by_id[line.id].price * line.quantity * COUPONS[cart.coupon]) } : {}),
}));

// ---- the cart: one per browser, until the order or until somebody signs out
let products = [], by_id = {};
let cart = kept("cart") || new_cart();
function new_cart() {
  return { id: "cart-" + Math.random().toString(36).slice(2, 12), lines: [], coupon: null };
}
function keep_cart() {
  keep("cart", cart);
  $("cart-count").textContent = cart.lines.reduce((sum, line) => sum + line.quantity, 0);
}
function put_into_cart(id, quantity) {
  const line = cart.lines.find((one) => one.id === id);
  if (line) line.quantity += quantity;
  else cart.lines.push({ id, quantity });
  cart.lines = cart.lines.filter((one) => one.quantity > 0);
  keep_cart();
  const name = quantity > 0 ? "Product Added" : "Product Removed";
  tell("track", name, { cart_id: cart.id, ...product_facts(by_id[id]), quantity: Math.abs(quantity), currency: CURRENCY });
}
/** Amounts of the order as the cart stands: prices are with tax, `revenue` is without tax and shipping, after discount. */
function amounts() {
  const goods = cart.lines.reduce((sum, line) => sum + by_id[line.id].price * line.quantity, 0);
  const discount = cents(goods * (COUPONS[cart.coupon] || 0));
  const tax = cents((goods - discount) * TAX_SHARE);
  const shipping = !goods || goods >= FREE_SHIPPING_FROM ? 0 : SHIPPING;
  return { goods: cents(goods), discount, tax, shipping, revenue: cents(goods - discount - tax), total: cents(goods - discount + shipping) };
}

// ---- the account: anybody may sign in with any address; the same address is the same user everywhere
const account = () => kept("account");
function user_id(email) {
  let hash = 0xcbf29ce484222325n; // FNV-1a
  for (const byte of new TextEncoder().encode(email.trim().toLowerCase())) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return "shopper-" + hash.toString(16).padStart(16, "0");
}
function sign_in(email, name) {
  keep("account", { id: user_id(email), email, name });
  tell("identify", user_id(email), { email, name });
  tell("track", "Signed In", { method: "demo" });
}
function sign_out() {
  tell("track", "Signed Out");
  sessionStorage.removeItem("calls"); // the next person at this browser reads nothing of this one
  tell("reset");
  localStorage.removeItem("shop_account");
  cart = new_cart();
  keep_cart();
}

// ---- pages
const card = (product, position) => el("a", { class: "card", href: "/product/" + product.id, "data-product": product.id, onclick: () => tell("track", "Product Clicked", { ...product_facts(product), currency: CURRENCY, position }) },
  drawing(product.picture),
  el("div", { class: "words" }, el("div", { class: "row" }, el("span", { class: "name" }, shown_name(product)), el("span", { class: "price" }, money(product.price))),
    el("span", { class: "soft small" }, shelf(product.category))));

function list_page() {
  const wanted = new URLSearchParams(location.search);
  const query = (wanted.get("q") || "").trim(), category = wanted.get("category");
  document.querySelector(".search input").value = query;
  const shown = products.filter((product) => (!category || product.category === category) && (product.name + product.category).toLowerCase().includes(query.toLowerCase()));
  const categories = [...new Set(products.map((product) => product.category))];
  const chip = (label, address, on) => el("a", { href: address, class: on ? "on" : "" }, label);
  show(
    el("div", { class: "hero" }, el("h1", {}, query ? `Results for “${query}”` : category ? shelf(category) : "Things worth keeping"), el("p", { class: "soft" }, query || category ? `${shown.length} of ${products.length} products` : "Good tools for the kitchen, warm light, soft wool, and something hot to drink.")),
    el("div", { class: "chips" }, chip("Everything", "/", !category && !query), ...categories.map((name) => chip(shelf(name), of_category(name), name === category))),
    shown.length ? el("div", { class: "grid" }, ...shown.map((product, i) => card(product, i + 1))) : el("a", { class: "button", href: "/" }, "Look at everything"),
  );
  if (query) tell("track", "Products Searched", { query });
  else tell("track", "Product List Viewed", { list_id: category || "everything", ...(category ? { category } : {}), products: shown.map((product, i) => ({ ...product_facts(product), position: i + 1 })) });
}

function product_page(id) {
  const product = by_id[id];
  if (!product) return nowhere();
  document.title = product.name + " · Loom & Larder";
  const added = el("p", { class: "note small", hidden: true }, "In your cart. ", el("a", { href: "/cart" }, "Look at it →"));
  show(el("div", { class: "product" }, drawing(product.picture),
    el("div", {}, el("p", { class: "soft small crumbs" }, el("a", { href: "/" }, "Everything"), " › ", el("a", { href: of_category(product.category) }, shelf(product.category))), el("h1", {}, shown_name(product)), el("p", { class: "price" }, money(product.price)), el("p", {}, product.about), added,
      el("div", { class: "buttons" }, el("button", { type: "button", id: "add", onclick: () => { put_into_cart(id, 1); added.hidden = false; } }, "Add to cart")),
      el("p", { class: "soft small", style: "margin-top:1rem" }, `With tax; shipping ${money(SHIPPING)}, free from ${money(FREE_SHIPPING_FROM)}.`))));
  tell("track", "Product Viewed", { ...product_facts(product), currency: CURRENCY, url: location.origin + location.pathname });
}

function sums() {
  const sum = amounts();
  const row = (label, amount, more) => el("div", { class: "row sum " + (more || "") }, el("span", {}, label), el("span", { class: "price" }, amount));
  return [row("Goods", money(sum.goods)), sum.discount ? row("Discount " + cart.coupon, "−" + money(sum.discount)) : null,
    row("Shipping", sum.shipping ? money(sum.shipping) : "free"), row("Total", money(sum.total), "total"), el("p", { class: "soft small" }, `${money(sum.tax)} of it is tax.`)].filter(Boolean);
}
const empty_cart = () => show(el("div", { class: "panel narrow" }, el("h1", {}, "Your cart is empty"), el("p", { class: "soft" }, "That can be mended."), el("a", { class: "button", href: "/" }, "Look around")));

function cart_page(is_first) {
  if (!cart.lines.length) return empty_cart();
  const line = ({ id, quantity }) => el("div", { class: "line" }, drawing(by_id[id].picture),
    el("div", {}, el("a", { href: "/product/" + id }, shown_name(by_id[id])), el("div", { class: "soft small" }, `${quantity} × ${money(by_id[id].price)}  `, el("button", { type: "button", class: "link", "data-remove": id, onclick: () => { put_into_cart(id, -quantity); cart_page(); } }, "remove"))),
    el("span", { class: "price" }, money(by_id[id].price * quantity)));
  const coupon = el("form", { onsubmit: (event) => { event.preventDefault(); enter_coupon(event.target.coupon.value.trim().toUpperCase()); } },
    field("coupon", "Coupon (try WELCOME10)", { autocomplete: "off", value: cart.coupon || "" }));
  show(el("h1", {}, "Cart"), el("div", { class: "columns" }, el("div", { class: "panel" }, ...cart.lines.map(line)),
    el("div", { class: "panel" }, coupon, ...sums(), el("a", { class: "button wide", id: "to-checkout", href: "/checkout" }, "Check out"))));
  if (is_first) tell("track", "Cart Viewed", { cart_id: cart.id, currency: CURRENCY, value: amounts().total, products: cart_lines() });
}
function enter_coupon(code) {
  const is_good = code in COUPONS;
  cart.coupon = is_good ? code : null;
  keep_cart();
  tell("track", is_good ? "Coupon Applied" : "Coupon Denied", { cart_id: cart.id, coupon_id: code, ...(is_good ? { discount: amounts().discount } : { reason: "unknown" }) });
  cart_page();
}

function checkout_page() {
  if (!cart.lines.length) return empty_cart();
  const person = account() || {};
  const form = el("form", { class: "panel", id: "order", onsubmit: order }, el("h2", {}, "Where to?"),
    field("email", "E-mail", { type: "email", required: true, autocomplete: "email", value: person.email || "" }),
    field("name", "Name", { autocomplete: "name", value: person.name || "" }),
    field("city", "Town", { autocomplete: "address-level2" }),
    el("button", { class: "wide", type: "submit" }, "Order for " + money(amounts().total)),
    el("p", { class: "soft small", style: "margin-top:.8rem" }, "It is a demo: no card, no parcel."));
  show(el("h1", {}, "Checkout"), el("div", { class: "columns" }, form, el("div", { class: "panel" }, el("h2", {}, "Your order"),
    ...cart.lines.map(({ id, quantity }) => el("div", { class: "row sum" }, el("span", {}, `${quantity} × ${shown_name(by_id[id])}`), el("span", { class: "price" }, money(by_id[id].price * quantity)))), el("hr", {}), ...sums())));
  tell("track", "Checkout Started", { cart_id: cart.id, ...order_facts() });
}
function order_facts() {
  const sum = amounts();
  return { affiliation: "Loom & Larder", currency: CURRENCY, subtotal: cents(sum.goods - sum.discount - sum.tax), revenue: sum.revenue, tax: sum.tax,
    shipping: sum.shipping, discount: sum.discount, total: sum.total, ...(cart.coupon ? { coupon: cart.coupon } : {}), products: cart_lines() };
}
function order(event) {
  event.preventDefault();
  const { email, name, city } = event.target, order_id = "LL-" + Date.now().toString(36).toUpperCase() + Math.random().toString(36).slice(2, 5).toUpperCase();
  const traits = { email: email.value.trim(), ...(name.value ? { name: name.value } : {}), ...(city.value ? { address: { city: city.value } } : {}) };
  // a guest is known by the address alone: it says who they are, not that they have an account
  if (account()) tell("identify", account().id, traits);
  else tell("identify", traits);
  tell("track", "Order Completed", { order_id, checkout_id: cart.id, cart_id: cart.id, ...order_facts() });
  keep("last_order", { order_id, total: amounts().total, email: traits.email });
  cart = new_cart();
  keep_cart();
  go("/thanks");
}
function thanks_page() {
  const last = kept("last_order");
  if (!last) return nowhere();
  show(el("div", { class: "panel narrow", id: "thanks" }, el("h1", {}, "Thank you"), el("p", {}, `Order ${last.order_id} over ${money(last.total)} is yours, and ${last.email} would get a mail if this were not a demo.`), el("a", { class: "button", href: "/" }, "Back to the shop")));
}

function account_page() {
  const person = account();
  const boxes = purpose_boxes(kept("consent", {}));
  const privacy = el("div", { class: "panel narrow", style: "margin-top:1.25rem" }, el("h2", {}, "What we may use"), boxes, el("div", { class: "buttons" },
    el("button", { type: "button", class: "quiet", id: "save-consent", onclick: () => { give_consent(ticked(boxes)); go("/account"); } }, "Save")));
  if (person) {
    return show(el("div", { class: "panel narrow" }, el("h1", {}, "Hello" + (person.name ? ", " + person.name : "")), el("p", { class: "soft" }, person.email),
      el("button", { type: "button", id: "sign-out", onclick: () => { sign_out(); go("/account"); } }, "Sign out")), privacy);
  }
  const form = el("form", { id: "sign-in", onsubmit: (event) => { event.preventDefault(); sign_in(event.target.email.value.trim(), event.target.name.value.trim()); go("/account"); } },
    field("email", "E-mail", { type: "email", required: true, autocomplete: "email" }), field("name", "Name", { autocomplete: "name" }), el("button", { class: "wide", type: "submit" }, "Sign in"));
  form.name.value = "";
  show(el("div", { class: "panel narrow" }, el("h1", {}, "Sign in"), el("p", { class: "soft" }, "Any address will do. The same address is the same shopper, in every browser."), form), privacy);
}
const nowhere = () => show(el("div", { class: "panel narrow" }, el("h1", {}, "Nothing here"), el("p", { class: "soft" }, "This page does not exist, or no longer."), el("a", { class: "button", href: "/" }, "Back to the shop")));

// ---- consent: nothing is stored or sent before it is given
function purpose_boxes(given) {
  return el("div", { class: "purposes" }, ...Object.entries(PURPOSES).map(([purpose, label]) => el("label", {}, el("input", { type: "checkbox", value: purpose, checked: given[purpose] === true }), label)));
}
const ticked = (boxes) => Object.fromEntries([...boxes.querySelectorAll("input")].map((box) => [box.value, box.checked]));
function give_consent(consent) {
  keep("consent", consent);
  tell("consent", consent);
  $("banner").hidden = true;
}
function ask_for_consent() {
  const boxes = purpose_boxes({});
  $("banner-purposes").replaceChildren(boxes);
  const all = (value) => Object.fromEntries(Object.keys(PURPOSES).map((purpose) => [purpose, value]));
  const answers = { all: () => all(true), none: () => all(false), chosen: () => ticked(boxes) };
  for (const button of document.querySelectorAll("[data-consent]")) button.addEventListener("click", () => give_consent(answers[button.dataset.consent]()));
  $("banner").hidden = kept("consent") !== undefined && kept("consent") !== null;
}

async function start() {
  products = await (await fetch("/products.json")).json();
  by_id = Object.fromEntries(products.map((product) => [product.id, product]));
  cart.lines = cart.lines.filter((line) => by_id[line.id]);
  keep_cart();
  if (account()) $("account-link").textContent = account().name || "Account";
  ask_for_consent();
  const [, first, second] = location.pathname.split("/");
  const pages = { "": list_page, product: () => product_page(decodeURIComponent(second)), cart: () => cart_page(true), checkout: checkout_page, thanks: thanks_page, account: account_page };
  (pages[first] || nowhere)();
  list_calls();
  $("told").addEventListener("toggle", list_calls);
  document.body.dataset.ready = "yes";
}
start();
