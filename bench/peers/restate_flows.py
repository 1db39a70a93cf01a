"""Runs under Restate's SDK: a worker with the same tasks and workflows as ``_flows.py``. ``restate_flows.py PORT``."""

from __future__ import annotations

import asyncio
import sys
import time

import hypercorn.asyncio
import hypercorn.config
import restate

tasks = restate.Service("tasks")
flows = restate.Service("flows")


@tasks.handler()
async def noop(context: restate.Context, number: int) -> int:
    return number


@tasks.handler()
async def now(context: restate.Context, number: int) -> float:
    return time.time()


@flows.handler()
async def fan(context: restate.Context, count: int) -> int:
    return len(await restate.gather(*[context.service_call(noop, arg=number) for number in range(count)]))


@flows.handler()
async def chain(context: restate.Context, count: int) -> int:
    for number in range(count):
        await context.service_call(noop, arg=number)
    return count


@flows.handler()
async def first(context: restate.Context, number: int) -> float:
    return await context.service_call(now, arg=number)


def main() -> None:
    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.h2_max_concurrent_streams = 2**31 - 1
    asyncio.run(hypercorn.asyncio.serve(restate.app(services=[tasks, flows]), config))


if __name__ == "__main__":
    main()
