"""Automations: somebody enters or leaves an audience, and a webhook, a message or a coupon goes out, once."""
