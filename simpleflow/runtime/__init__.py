"""Deciders and workers: step functions, with thin loops, threads and processes around them.

values.py    one activity task, and the three answers to it
execute.py   a worker's step: task in, answer out (in a runner, or inline)
runner.py    the child process that executes; frames.py what travels between it and its parent
pool.py      the parent's side: runners started ahead, reused, recycled, ended with all they started
worker.py    one task list: a poller, N slots; heartbeat.py keeps a task alive; agent_channel.py speaks with the agent
decider.py   a decider's step; lanes.py polls and the one engine thread; watchdog.py ends a hung one
retrying.py  responses that must not be lost, the pace of polls
standalone.py  deciders and workers as supervised child processes
"""
