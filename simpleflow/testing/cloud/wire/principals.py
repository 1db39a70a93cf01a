"""Who the access keys of the emulated account belong to. Keys it did not give out are refused."""

from __future__ import annotations

import hashlib
import threading
from typing import NamedTuple

from simpleflow.testing.cloud.wire import errors, requests

#: The administrator's key. No real key has this form: AWS's begin with AKIA or ASIA and hold no lower case.
ADMIN_KEY = "EMULATEDonlyADMIN000"
ADMIN_SECRET = "emulated-account-has-no-secrets"  # noqa: S105  (opens nothing but this emulator)
_REFUSALS = {
    "ec2": errors.ApiError("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
    "s3": errors.ApiError(
        "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403
    ),
    "query": errors.ApiError("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
    "json": errors.ApiError(
        "UnrecognizedClientException", "The security token included in the request is invalid.", 403
    ),
}
_JSON = frozenset({"ssm", "logs", "swf", "cloudwatch", "ebs"})


class Credentials(NamedTuple):
    """A key pair that this emulator accepts."""

    key: str
    secret: str
    token: str = ""


class Directory:
    """The keys given out so far. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.admin = Credentials(ADMIN_KEY, ADMIN_SECRET)
        self._known = {ADMIN_KEY: requests.Principal(arn=f"arn:aws:iam::{requests.ACCOUNT_ID}:user/rehearsal")}

    def of(self, key: str, service: str) -> requests.Principal:
        """Name the owner of an access key; raises ApiError, in the service's words, on one that is not ours."""
        with self._lock:
            known = self._known.get(key)
        if known is None:
            raise _REFUSALS.get(service) or _REFUSALS["json" if service in _JSON else "query"]
        return known

    def keys_of(self, principal: requests.Principal) -> Credentials:
        """The keys of a principal, for a service that calls on its behalf."""
        return self.assume(principal.role, principal.session) if principal.role else self.admin

    def assume(self, role: str, session: str) -> Credentials:
        """Give out the credentials of a role, as an instance profile does; the same pair gives the same."""
        digest = hashlib.sha256(f"{role}/{session}".encode()).hexdigest()
        credentials = Credentials(f"EMULATEDrole{digest[:8]}", ADMIN_SECRET, f"emulated-{digest}")
        with self._lock:
            self._known[credentials.key] = requests.Principal(
                arn=f"arn:aws:sts::{requests.ACCOUNT_ID}:assumed-role/{role}/{session}", role=role, session=session
            )
        return credentials
