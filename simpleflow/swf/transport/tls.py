"""HTTPS with urllib3's pool: certificates as botocore checks them, proxies as the environment names them."""

from __future__ import annotations

import functools
import os
import time
import urllib.parse
import urllib.request
import weakref
from collections.abc import Callable
from typing import Any

import urllib3

from simpleflow import _version
from simpleflow.swf import errors

from . import sockets

#: connections that are kept: each open long poll holds one
POOL = 64
CONNECT_SECONDS = 10.0
_CHUNK = 1 << 18
#: what urllib3 raises before it sends a request
_NOT_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
    urllib3.exceptions.LocationValueError,
)


class Tls:
    """Posts to one https URL. Thread safe."""

    def __init__(self, url: str, bundle: str) -> None:
        """``bundle`` is the path of the certificates that are trusted."""
        self._url = url
        options: dict[str, Any] = {
            "maxsize": POOL,
            "cert_reqs": "CERT_REQUIRED",
            "ca_certs": bundle,
            "socket_options": sockets.OPTIONS,
        }
        host = urllib.parse.urlsplit(url).hostname or ""
        proxy = None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get("https")
        self._make: Callable[[], urllib3.PoolManager] = (
            functools.partial(urllib3.ProxyManager, proxy, **options)
            if proxy
            else functools.partial(urllib3.PoolManager, **options)
        )
        self._pool = self._make()
        _pools.add(self)

    def post(self, headers: dict[str, str], body: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        """Send one request, return status, body and head. Raises TransportError."""
        answer: urllib3.BaseHTTPResponse | None = None
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers={"User-Agent": f"simpleflow/{_version.__version__}", **headers},
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=timeout),
            )
            content = self._content(answer, time.monotonic() + timeout)
        except _NOT_SENT as error:
            raise errors.NotSent(f"no answer from {self._url} ({error})") from error
        except Exception as error:  # urllib3's own, http.client's, and what either lets through of bytes that are none
            if answer is not None:
                answer.close()
            raise errors.TransportError(f"no answer from {self._url} ({error or type(error).__name__})") from error
        answer.release_conn()
        head = "".join(f"\r\n{name}: {value}" for name, value in answer.headers.items()) + "\r\n"
        return answer.status, content, head.lower().encode("latin-1", "replace")

    @staticmethod
    def _content(answer: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        """Read the body piece by piece: its announced length is not believed."""
        parts, size = [], 0
        for part in answer.stream(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > sockets.LONGEST:
                raise ConnectionAbortedError(f"the answer is longer than {size} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError("the answer did not end in time")
        return b"".join(parts)

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
