"""Connections of this machine that break in the middle of messages: an answer and the poll behind it among them."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest
from integration_flows import Payments
from place_rig import Place

from simpleflow.client import Client
from simpleflow.core import events

pytestmark = pytest.mark.needs_processes


class CutSocket:
    """A unix socket before another one: it cuts ``share`` of the pieces that pass, and closes their connections."""

    def __init__(self, path: Path, service: str, *, share: float, seed: int) -> None:
        self.cuts = 0
        self.share = share
        self._service = service
        self._random = random.Random(seed)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(256)
        self.url = f"unix://{path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            client,
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX) as service,
            selectors.DefaultSelector() as ready,
        ):
            service.connect(self._service)
            others = {client: service, service: client}
            for each in others:
                ready.register(each, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    here: socket.socket = key.fileobj  # type: ignore[assignment]  # one of the two
                    piece = here.recv(65_536)
                    if not piece:
                        return
                    if self._random.random() < self.share:
                        self.cuts += 1
                        others[here].sendall(piece[: self._random.randrange(len(piece) + 1)])
                        return
                    others[here].sendall(piece)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("disk", [(), ("--fault", "slow-disk:0.003")], ids=["quick disk", "slow disk"])
def test_no_cut_loses_a_task_or_runs_it_twice(place: Place, disk: tuple[str, ...]) -> None:
    """On a slow disk tasks come ahead of it, too."""
    workflows, tasks = 4, 25
    place.ok("server.start", "--detach", *disk)
    cut = CutSocket(place.folder / "cut.sock", f"{place.folder}/run/swf.sock", share=0.03, seed=len(disk))
    try:
        worker = ("worker.start", "-t", "work", "-N", "2")
        commands = [worker, worker, ("decider.start", "integration_flows.Payments")]
        spawned = [place.spawn(*each, "--endpoint-url", cut.url) for each in commands]
        with Client(endpoint_url=f"unix://{place.folder}/run/swf.sock") as near:
            runs = [near.start(Payments, number, tasks, str(place.folder)) for number in range(workflows)]
            results = [near.result(run, timeout=300) for run in runs]
            found = [event for run in runs for event in near.history(run)]
        cut.share = 0.0
        for each in spawned:
            each.terminate()
        for each in spawned:
            assert each.wait(120) == 0
    finally:
        cut.close()
    assert results == [
        [*(f"{number}-{n}" for n in range(tasks)), *(f"{number}-chain-{n}" for n in range(3))]
        for number in range(workflows)
    ]
    assert cut.cuts > 5
    ran = Counter((place.folder / "paid").read_text().split())
    assert set(ran) == {key for each in results for key in each}
    ended_early = (events.ActivityTaskTimedOut, events.ActivityTaskFailed)
    assert sum(ran.values()) - len(ran) <= sum(isinstance(event, ended_early) for event in found), ran.most_common(5)
