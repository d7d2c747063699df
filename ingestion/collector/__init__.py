"""The collector: takes events over HTTP, and answers once the log has them on disk."""
