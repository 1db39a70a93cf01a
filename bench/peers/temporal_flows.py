"""Runs under Temporal's SDK: a worker and the client of it. ``temporal_flows.py PORT``.

Each line of input is the number of local activities that one workflow runs, one after another; the line of output is
the seconds from its start to its result.
"""

from __future__ import annotations

import asyncio
import datetime
import sys
import time
import uuid

from temporalio import activity, client, worker, workflow

QUEUE = "bench"
LIMIT = datetime.timedelta(seconds=60)


@activity.defn
async def noop(number: int) -> int:
    return number


@workflow.defn
class Local:
    @workflow.run
    async def run(self, count: int) -> int:
        value = 0
        for number in range(count):
            value = await workflow.execute_local_activity(noop, number, start_to_close_timeout=LIMIT)
        return value + 1


async def main() -> None:
    connected = await client.Client.connect(f"127.0.0.1:{sys.argv[1]}")
    # Without the sandbox of their default: it imports everything again for each workflow.
    made = worker.Worker(
        connected,
        task_queue=QUEUE,
        workflows=[Local],
        activities=[noop],
        workflow_runner=worker.UnsandboxedWorkflowRunner(),
    )
    async with made:
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            count = int(line)
            begun = time.perf_counter()
            found = await connected.execute_workflow(Local.run, count, id=uuid.uuid4().hex, task_queue=QUEUE)
            took = time.perf_counter() - begun
            assert found == count
            print(took, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
