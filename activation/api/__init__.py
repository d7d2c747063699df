"""The HTTP API of the online side: profiles and audiences as they are in Redis, and audiences defined by a rule."""
