"""HTTPS with urllib3's pool: certificates as botocore checks them, proxies as the environment names them."""

from __future__ import annotations

import functools
import os
import urllib.parse
import urllib.request
import weakref
from collections.abc import Callable
from typing import Any

import urllib3

from simpleflow import _version
from simpleflow.swf import errors

#: connections that are kept: each open long poll holds one
POOL = 64
CONNECT_SECONDS = 10.0


class Tls:
    """Posts to one https URL. Thread safe."""

    def __init__(self, url: str, bundle: str) -> None:
        """``bundle`` is the path of the certificates that are trusted."""
        self._url = url
        options: dict[str, Any] = {"maxsize": POOL, "cert_reqs": "CERT_REQUIRED", "ca_certs": bundle}
        host = urllib.parse.urlsplit(url).hostname or ""
        proxy = None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get("https")
        self._make: Callable[[], urllib3.PoolManager] = (
            functools.partial(urllib3.ProxyManager, proxy, **options)
            if proxy
            else functools.partial(urllib3.PoolManager, **options)
        )
        self._pool = self._make()
        _pools.add(self)

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> tuple[int, bytes]:
        """Send one request, return status and body. Raises TransportError."""
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers={"User-Agent": f"simpleflow/{_version.__version__}", **headers},
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=timeout),
            )
        except urllib3.exceptions.HTTPError as error:
            raise errors.TransportError(f"no answer from {self._url} ({error})") from error
        return answer.status, answer.data

    def close(self) -> None:
        self._pool.clear()

    def forked(self) -> None:
        """Called in a forked child: the connections are its parent's, and a lock of theirs may be held for ever."""
        self._pool = self._make()


_pools: weakref.WeakSet[Tls] = weakref.WeakSet()


def _forked() -> None:
    for pool in list(_pools):
        pool.forked()


os.register_at_fork(after_in_child=_forked)
