"""What the emulated account refuses, in AWS's words."""

from __future__ import annotations

from simpleflow.core import errors


class CloudError(errors.SimpleflowError):
    """The emulated cloud was asked for something it cannot be: a wrong option, two clouds in one process."""


class ApiError(errors.SimpleflowError):
    """An answer with an error code, as the service itself would give it.

    Args:
        code: AWS's error code, as botocore's ``ClientError`` shows it.
        message: the text beside it.
        status: the HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class LostAnswer(Exception):
    """The call was carried out and its answer is thrown away."""
