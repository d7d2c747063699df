"""The error of a file that cannot be landed at all."""


class FileError(ValueError):
    """A file cannot be landed; the text is one sentence that says what is wrong and what to do."""
