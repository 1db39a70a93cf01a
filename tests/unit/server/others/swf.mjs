// One execution, from start to end, with the AWS SDK for JavaScript.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const sdk = createRequire(process.cwd() + "/")("@aws-sdk/client-swf");
const client = new sdk.SWFClient({ endpoint: process.env.AWS_ENDPOINT_URL_SWF, maxAttempts: 1 });
const call = (name, request) => client.send(new sdk[`${name}Command`](request));
const domain = "javascript";
const type = { name: "type", version: "1" };

await call("RegisterDomain", { name: domain, workflowExecutionRetentionPeriodInDays: "1" });
await assert.rejects(
  call("RegisterDomain", { name: domain, workflowExecutionRetentionPeriodInDays: "1" }),
  (error) => error instanceof sdk.DomainAlreadyExistsFault && error.$metadata.httpStatusCode === 400,
);
await call("RegisterWorkflowType", { domain, ...type });
await call("RegisterActivityType", { domain, ...type });
await assert.rejects(
  call("StartWorkflowExecution", { domain, workflowId: "w", workflowType: type }),
  (error) => error instanceof sdk.DefaultUndefinedFault,
);
const { runId } = await call("StartWorkflowExecution", {
  domain,
  workflowId: "w",
  workflowType: type,
  taskList: { name: "decisions" },
  executionStartToCloseTimeout: "600",
  taskStartToCloseTimeout: "NONE",
  childPolicy: "TERMINATE",
  input: "ü",
});
let task = await call("PollForDecisionTask", { domain, taskList: { name: "decisions" } });
assert.equal(task.events.length, 3);
assert.ok(task.events[0].eventTimestamp instanceof Date);
assert.equal(task.events[0].workflowExecutionStartedEventAttributes.input, "ü");
await call("RespondDecisionTaskCompleted", {
  taskToken: task.taskToken,
  decisions: [
    {
      decisionType: "ScheduleActivityTask",
      scheduleActivityTaskDecisionAttributes: {
        activityType: type,
        activityId: "a",
        taskList: { name: "activities" },
        scheduleToCloseTimeout: "NONE",
        scheduleToStartTimeout: "NONE",
        startToCloseTimeout: "NONE",
        heartbeatTimeout: "NONE",
      },
    },
    { decisionType: "StartTimer", startTimerDecisionAttributes: { timerId: "t", startToFireTimeout: "1" } },
  ],
});
// A poll that waits, and is woken by the timer.
const waiting = call("PollForActivityTask", { domain, taskList: { name: "activities" } });
const activity = await waiting;
assert.equal(activity.workflowExecution.runId, runId);
const beat = await call("RecordActivityTaskHeartbeat", { taskToken: activity.taskToken, details: "half" });
assert.equal(beat.cancelRequested, false);
await call("RespondActivityTaskCompleted", { taskToken: activity.taskToken, result: "done" });
await assert.rejects(
  call("RespondActivityTaskCompleted", { taskToken: activity.taskToken }),
  (error) => error instanceof sdk.UnknownResourceFault,
);
let fired = false;
while (!fired) {
  task = await call("PollForDecisionTask", { domain, taskList: { name: "decisions" } });
  fired = task.events.some((event) => event.eventType === "TimerFired");
  const decisions = fired
    ? [{ decisionType: "CompleteWorkflowExecution", completeWorkflowExecutionDecisionAttributes: { result: "all" } }]
    : [];
  await call("RespondDecisionTaskCompleted", { taskToken: task.taskToken, decisions });
}
const described = await call("DescribeWorkflowExecution", { domain, execution: { workflowId: "w", runId } });
assert.equal(described.executionInfo.closeStatus, "COMPLETED");
const kinds = [];
const pages = sdk.paginateGetWorkflowExecutionHistory(
  { client, pageSize: 4 },
  { domain, execution: { workflowId: "w", runId } },
);
for await (const page of pages) kinds.push(...page.events.map((event) => event.eventType));
assert.equal(kinds.at(-1), "WorkflowExecutionCompleted");
assert.ok(kinds.includes("ActivityTaskCompleted"));
const { executionInfos } = await call("ListClosedWorkflowExecutions", {
  domain,
  closeTimeFilter: { oldestDate: new Date(0) },
});
assert.equal(executionInfos.length, 1);
console.log("all is well");
