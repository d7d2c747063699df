"""What keeps a file from being uploaded."""


class UploadError(ValueError):
    """An upload that is not taken, or is not there; `code` for programs, one sentence without anything of the file."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
