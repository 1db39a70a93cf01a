"""Tells the service what a killed worker left unanswered, and ends: ``python -m simpleflow.runtime.last_answers``.

A task runner becomes this program when its worker is gone (``unanswered.py``), which is then on stdin.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from simpleflow import log
from simpleflow.core import limits, retries, text
from simpleflow.process import tree
from simpleflow.swf import errors, repeating
from simpleflow.swf.transport import base, http

from . import failures, frames, pool, unanswered, values

logger = logging.getLogger(__name__)

#: seconds that the service is waited for: what it is not told in this time its timeouts find out
PATIENCE = retries.Patience.of(10.0)


def tell(transport: base.Transport, left: unanswered.Left, patience: retries.Patience = PATIENCE) -> None:
    """Send the answers, hand back what the worker was given and did not hand on, and clean up. Raises SwfError."""
    try:
        _send_all(transport, left, patience)
    finally:
        if left.ended is not None:
            clean_up(left.setup, left.ended.task)
    if left.ended is not None:
        _send_alone(transport, left.ended.task.token, left.ended.answer, patience)


def _send_all(transport: base.Transport, left: unanswered.Left, patience: retries.Patience) -> None:
    following = None
    if left.claim:
        # Its poll may still be open. The answer shows as well whether the service knows more than Amazon SWF does.
        repeating.attempts("RevokePoll", patience).run(lambda: transport.revoke(left.claim))
        poll = {"domain": left.reach.domain, "taskList": {"name": left.reach.task_list}}
        following = base.Following(json.dumps(poll), left.claim, again=True, most=0)
    not_handed_on = _send(transport, left.answers, following, patience)
    if not_handed_on:
        _send(transport, [(task.task_token, unanswered.not_begun()) for task in not_handed_on], None, patience)


def clean_up(setup: frames.Setup, task: values.Task) -> None:
    """Run the clean-up that the activity of a task declares, in a process of its own."""
    runner: pool.Runner | None = None
    try:
        runner = pool.Runner(setup)
        runner.ready()
        failure = runner.clean_up(task, pool.CLEANUP_SECONDS)
    except Exception as error:
        failure = str(error)
    finally:
        if runner is not None:
            runner.end(wait=0)
    if failure:
        logger.error("The clean-up of task %s failed: %s", task.id, failure, extra={"action": "cleanup_failed"})


def _send(
    transport: base.Transport,
    answers: Sequence[tuple[str, unanswered.Answer]],
    following: base.Following | None,
    patience: retries.Patience,
) -> Sequence[Any]:
    """Send answers; return the tasks that an earlier call had brought."""
    requests = [values.to_request(answer, token) for token, answer in answers]
    together = repeating.attempts("RespondActivityTasks", patience)
    exchanged = together.run(lambda: transport.exchange_several(requests, following))
    if exchanged is None:
        for token, answer in answers:
            _send_alone(transport, token, answer, patience)
        return ()
    for (token, answer), refusal in zip(answers, exchanged.refusals, strict=True):
        if refusal is not None:
            _refused(transport, token, answer, refusal, patience)
    return exchanged.tasks


def _send_alone(transport: base.Transport, token: str, answer: unanswered.Answer, patience: retries.Patience) -> None:
    action, request = values.to_request(answer, token)
    try:
        repeating.call(transport, action, request, patience=patience)
    except errors.SwfError as error:
        if error.kind is not retries.Kind.VERDICT:
            raise
        _refused(transport, token, answer, error, patience)


def _refused(
    transport: base.Transport,
    token: str,
    answer: unanswered.Answer,
    error: errors.SwfError,
    patience: retries.Patience,
) -> None:
    """Fail the task whose answer the service does not take; a task that it does not know has an answer already."""
    if isinstance(error, errors.UnknownResourceFault):
        return
    logger.error("The last answer of a killed worker was refused: %s", error)
    failed = failures.of_words("AnswerRefused", str(error)[: limits.REASON])
    if not (isinstance(answer, values.Failed) and answer.reason == failed.reason):
        _send_alone(transport, token, failed, patience)


def main() -> None:
    log.configure()
    left = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=unanswered.Left)
    try:
        transport = (
            http.open_amazon() if left.reach.endpoint_url is None else http.open_endpoint(left.reach.endpoint_url)
        )
        tell(transport, left)
        logger.info("The worker is gone; what was sent for it: %s.", text.count(len(left.answers), "answer"))
    except Exception as error:
        logger.error("What a killed worker left unanswered waits for its timeouts: %s", error)
    finally:
        tree.end_own()


if __name__ == "__main__":
    main()
