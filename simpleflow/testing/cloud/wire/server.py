"""The loopback server of an emulated account."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import werkzeug.serving

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class _Quiet(werkzeug.serving.WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    #: seconds that an idle connection is kept
    timeout = 60

    def log(self, type: str, message: str, *args: Any) -> None:
        """The record of calls is the log."""


class Server:
    """Serves one application on 127.0.0.1 from threads.

    Args:
        application: what to serve.
        port: 0 takes a free one.
    """

    def __init__(self, application: WSGIApplication, port: int = 0) -> None:
        self._server = werkzeug.serving.make_server(
            "127.0.0.1", port, application, threaded=True, request_handler=_Quiet
        )
        self.port = int(self._server.port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="emulated-cloud", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening and end the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
