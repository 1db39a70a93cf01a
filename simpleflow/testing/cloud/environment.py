"""An environment from which nothing reaches a real account."""

from __future__ import annotations

from collections.abc import Mapping

from simpleflow.testing.cloud.wire import principals

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def scrubbed(
    base: Mapping[str, str],
    *,
    endpoint: str,
    region: str,
    credentials: principals.Credentials,
    swf_endpoint: str = "",
    metadata_endpoint: str = "",
) -> dict[str, str]:
    """Copy an environment without anything that could lead to AWS, and with what leads to the emulated account.

    Every ``AWS_*`` variable goes (profiles, real keys, ``AWS_IGNORE_CONFIGURED_ENDPOINT_URLS``), every proxy variable
    goes, shared configuration files are replaced by an empty one, and loopback is exempt from proxies.
    """
    kept = {
        key: value
        for key, value in base.items()
        if not key.startswith("AWS_") and key.lower() not in _PROXIES and not key.startswith("BOTO_")
    }
    kept |= {
        "AWS_ACCESS_KEY_ID": credentials.key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "BOTO_CONFIG": "/dev/null",
        "no_proxy": "127.0.0.1,localhost",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    if credentials.token:
        kept["AWS_SESSION_TOKEN"] = credentials.token
    if swf_endpoint:
        kept["AWS_ENDPOINT_URL_SWF"] = swf_endpoint
    if metadata_endpoint:
        kept["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata_endpoint
        # a node has the keys of its profile's role, from metadata, and no others
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            kept.pop(key, None)
    else:
        kept["AWS_EC2_METADATA_DISABLED"] = "true"
    return kept
