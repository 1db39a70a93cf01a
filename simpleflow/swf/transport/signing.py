"""Credentials, region, certificates and signatures (SigV4) by botocore, which is imported when something needs it."""

from __future__ import annotations

import contextlib
import re
import threading
import time
import urllib.parse
from typing import Any

from simpleflow.data import aws
from simpleflow.swf import errors

#: region that signatures name when nobody names one and the endpoint is not Amazon's
ANY_REGION = "us-east-1"
#: ends of the names of Amazon's endpoints: IPv4 alone and dual stack, for each partition of botocore's partitions.json
_AMAZON = (
    ".amazonaws.com",
    ".api.aws",
    ".amazonaws.com.cn",
    ".api.amazonwebservices.com.cn",
    ".amazonaws.eu",
    ".api.amazonwebservices.eu",
    ".c2s.ic.gov",
    ".api.aws.ic.gov",
    ".sc2s.sgov.gov",
    ".api.aws.scloud",
    ".cloud.adc-e.uk",
    ".api.cloud-aws.adc-e.uk",
    ".csp.hci.ic.gov",
    ".api.aws.hci.ic.gov",
)
#: where such a name has the region: swf.REGION.amazonaws.com, vpce-ID.swf.REGION.vpce.amazonaws.com
_REGION = re.compile(r"(?:^|\.)swf(?:-fips)?\.([a-z0-9-]+)\.")


class NoCredentials(errors.SwfError):
    """Amazon SWF needs credentials, and there are none."""


class NoRegion(errors.SwfError):
    """Amazon SWF needs a region, and none is named."""


class Signer:
    """Signs requests to one URL as botocore does. Thread safe; credentials that expire are renewed by botocore."""

    def __init__(self, url: str, region: str, credentials: Any, *, local: bool = False) -> None:
        from botocore import auth, awsrequest

        self.url = url
        self.region = region
        self._credentials = credentials
        self._local = local
        self._request = awsrequest.AWSRequest
        self._auth = auth.SigV4Auth
        #: seconds that the service's clock is ahead of ours
        self._offset = 0.0
        self._renewed = float("-inf")
        self._lock = threading.Lock()

    def __call__(self, headers: dict[str, str], body: bytes) -> dict[str, str]:
        """Return the headers with those that sign them and the body. Raises NotSent without credentials."""
        request = self._request(method="POST", url=self.url, data=body, headers=headers)
        try:
            made = self._auth(self._credentials.get_frozen_credentials(), "swf", self.region)
            (aws.shifted(made, lambda: self._offset) if self._offset else made).add_auth(request)
        except Exception as error:  # those of a role, a login or a process could not be renewed, for whatever reason
            raise errors.NotSent(f"the request could not be signed ({error}); nothing was sent") from error
        return dict(request.headers.items())

    def renew(self, moment: float | None) -> None:
        """A signature was refused, by a service whose clock shows ``moment``: correct the clock, look for credentials
        anew."""
        if moment is not None:
            offset = moment - time.time()
            if abs(offset - self._offset) > aws.SKEW:
                self._offset = offset if abs(offset) > aws.SKEW else 0.0
        with self._lock:
            if time.monotonic() - self._renewed < aws.RENEWAL:
                return
            self._renewed = time.monotonic()
        with contextlib.suppress(Exception):  # the old ones are tried again then, and the refusal says what is wrong
            found = _credentials(_session(), local=self._local)
            if found is not None:
                self._credentials = found

    @classmethod
    def of(cls, url: str | None, *, local: bool, required: bool) -> Signer | None:
        """Return a signer with what the environment and AWS's configuration files say; None without credentials.

        ``url`` None: the endpoint that they name, or Amazon's of the region. ``local``: do not ask the metadata
        service of a machine or container for credentials, which takes seconds where there is none.
        """
        from botocore import exceptions

        session = _session()
        try:
            credentials = _credentials(session, local=local)
            region = session.get_config_variable("region")
            if url is None:
                if region is None:
                    raise NoRegion(
                        "Amazon SWF needs a region: set AWS_DEFAULT_REGION or write region into ~/.aws/config. "
                        "Without an account: --backend embedded runs the workflow on this machine"
                    )
                client = session.create_client("swf", region_name=region)
                url, region = client.meta.endpoint_url, client.meta.region_name
        except exceptions.BotoCoreError as error:
            raise NoCredentials(
                f"AWS's configuration cannot be used ({error}): mend it with aws configure. "
                "Without an account: --backend embedded runs the workflow on this machine"
            ) from error
        if credentials is None:
            if not required:
                return None
            raise NoCredentials(
                "Amazon SWF needs credentials and none were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "AWS_PROFILE, or run aws configure. Without an account: --backend embedded runs the workflow on this "
                "machine"
            )
        if region is None and is_amazon(url) and (named := _REGION.search(_host(url))):
            region = named[1]
        return cls(url, region or ANY_REGION, credentials, local=local)


def certificates() -> str:
    """Return the path of the certificates that are trusted."""
    from botocore import httpsession

    return str(_session().get_config_variable("ca_bundle") or httpsession.get_cert_path(True))


def is_amazon(url: str) -> bool:
    """Whether an endpoint is Amazon's own, in any partition: it never gets extensions of the protocol."""
    return _host(url).endswith(_AMAZON)


def _host(url: str) -> str:
    return (urllib.parse.urlsplit(url).hostname or "").removesuffix(".")


def _session() -> Any:
    import botocore.session

    return botocore.session.get_session()


def _credentials(session: Any, *, local: bool) -> Any:
    if local:
        resolver = session.get_component("credential_provider")
        resolver.remove("iam-role")
        resolver.remove("container-role")
    return session.get_credentials()
