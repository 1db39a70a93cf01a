"""Workflows as a user of simpleflow 0.36 writes them: names and calls of its documentation, no types."""

# mypy: ignore-errors
from simpleflow import Workflow, activity, canvas, exceptions, futures, task


@activity.with_attributes(task_list="author", version="example", heartbeat_timeout=20, start_to_close_timeout="60")
def increment(x):
    return x + 1


@activity.with_attributes(task_list="author", version="example", retry=1)
def boom(x):
    raise ValueError(f"no {x}")


@activity.with_attributes(task_list="author", version="example", raises_on_failure=True)
def bang(x):
    raise ValueError(f"no {x}")


@activity.with_attributes(task_list="author", version="example", idempotent=True)
def pair(x):
    return [x, x]


@activity.with_attributes(task_list="author", version="example")
class Sum:
    def __init__(self, a, b=2):
        self.a, self.b = a, b

    def execute(self):
        return {"sum": self.a + self.b, "context": sorted(self.context)}


def takes_context(a, context=None):
    return [a, sorted(context)]


takes_context.add_context_in_kwargs = True
takes_context = activity.with_attributes(task_list="author", version="example")(takes_context)


def named(a):
    return a


named.get_task_id = lambda workflow, a: f"mine-{a}"
named = activity.with_attributes(task_list="author", version="example")(named)


class Child(Workflow):
    name, version, task_list = "author-child", "1", "author-decisions"

    def run(self, x):
        return self.submit(increment, x).result * 10


class BadChild(Workflow):
    name, version, task_list = "author-bad-child", "1", "author-decisions"
    raises_on_failure = False

    def run(self):
        self.fail("on purpose", "with details")


class Everything(Workflow):
    """A line for most rows of the features that concern activities, workflows and futures."""

    name, version, task_list = "everything", "1.3", "author-decisions"
    execution_timeout = 300
    decision_tasks_timeout = 30
    tag_list = ["a", "b"]

    def run(self, x):
        out = {}
        first = self.submit(increment, x)
        second = self.submit(increment, first)
        out["result"] = second.result
        out["flags"] = [second.finished, second.done, second.pending, second.running, second.cancelled, second.state]
        failed = self.submit(boom, x)
        out["failed"] = [failed.result, type(failed.exception).__name__, failed.exception.reason]
        out["map"] = futures.wait(*self.map(increment, [1, 2, 3]))
        out["starmap"] = [each.result for each in self.starmap(increment, [(1,), (2,)])]
        out["idempotent"] = [self.submit(pair, 1).result, self.submit(pair, 1).result]
        out["class"] = self.submit(Sum, 1, b=5).result
        out["context"] = self.submit(takes_context, 4).result
        out["task id"] = self.submit(named, 4).result
        out["child"] = self.submit(Child, 4).result
        child = self.submit(BadChild)
        out["failed child"] = [child.result, type(child.exception).__name__]
        out["task"] = self.submit(task.ActivityTask(increment, 8)).result
        self.submit(self.record_marker("m", {"a": 1}))
        self.submit(self.record_marker("m", {"a": 2}))
        self.submit(self.start_timer("soon", 1, control={"k": 1})).result
        out["markers"] = [(each.name, each.details) for each in self.list_markers()]
        out["all markers"] = [(each.name, each.details) for each in self.list_markers(all=True)]
        out["timer"] = self.get_event_details("timer", "soon")["state"]
        self.submit(self.signal("s", 1, b=2, propagate=False))
        out["signal"] = self.submit(self.wait_signal("s")).result
        out["no signal"] = self.get_event_details("signal", "t")
        try:
            self.get_event_details("weather", "s")
        except ValueError:
            out["no such event"] = "ValueError"
        self.submit(self.start_timer("never", 250))
        self.submit(self.cancel_timer("never"))
        context = self.get_run_context()
        out["run context"] = [sorted(context), context["tag_list"], context["name"], context["version"]]
        out["group"] = self.submit(canvas.Group((increment, 1), (pair, 4), max_parallel=1)).result
        out["chain"] = self.submit(canvas.Chain((increment, 1), (pair,), send_result=True)).result
        try:
            self.submit(object())
        except TypeError:
            out["not submittable"] = "TypeError"
        timer = self.submit(self.start_timer("long", 250))
        timer.cancel()
        out["cancelled"] = [timer.cancelled, type(timer.exception).__name__]
        try:
            self.submit(bang, 3).result
        except exceptions.TaskFailed as error:
            out["raised"] = [error.name, error.reason]
        return out


class Countdown(Workflow):
    """Continues as new, with a positional argument, until nothing is left."""

    name, version, task_list = "countdown", "1", "author-decisions"

    def run(self, left=3):
        if left:
            return self.submit(self.continue_as_new(left - 1)).result
        return self.get_run_context()["continued_execution_run_id"] is not None
