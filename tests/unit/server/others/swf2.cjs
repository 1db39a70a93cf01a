// One execution, from start to end, with version 2 of the AWS SDK for JavaScript.
const assert = require("node:assert/strict");
const AWS = require("node:module").createRequire(process.cwd() + "/")("aws-sdk");

const swf = new AWS.SWF({ endpoint: process.env.AWS_ENDPOINT_URL_SWF, region: "us-east-1", maxRetries: 0 });
const call = (name, request) => swf[name](request).promise();
const domain = "javascript2";
const type = { name: "type", version: "1" };

async function main() {
  await call("registerDomain", { name: domain, workflowExecutionRetentionPeriodInDays: "1" });
  await assert.rejects(
    call("registerDomain", { name: domain, workflowExecutionRetentionPeriodInDays: "1" }),
    (error) => error.code === "DomainAlreadyExistsFault" && error.statusCode === 400,
  );
  await call("registerWorkflowType", { domain, ...type });
  const { runId } = await call("startWorkflowExecution", {
    domain,
    workflowId: "w",
    workflowType: type,
    taskList: { name: "decisions" },
    executionStartToCloseTimeout: "600",
    taskStartToCloseTimeout: "60",
    childPolicy: "TERMINATE",
  });
  const task = await call("pollForDecisionTask", { domain, taskList: { name: "decisions" } });
  assert.equal(task.workflowExecution.runId, runId);
  assert.ok(task.events[0].eventTimestamp instanceof Date);
  await call("respondDecisionTaskCompleted", {
    taskToken: task.taskToken,
    decisions: [
      { decisionType: "RecordMarker", recordMarkerDecisionAttributes: { markerName: "m", details: "ü" } },
      { decisionType: "CompleteWorkflowExecution", completeWorkflowExecutionDecisionAttributes: { result: "all" } },
    ],
  });
  const { events } = await call("getWorkflowExecutionHistory", { domain, execution: { workflowId: "w", runId } });
  assert.equal(events.at(-1).eventType, "WorkflowExecutionCompleted");
  assert.equal(events.at(-2).markerRecordedEventAttributes.details, "ü");
  const counted = await call("countClosedWorkflowExecutions", { domain, closeTimeFilter: { oldestDate: new Date(0) } });
  assert.equal(counted.count, 1);
  console.log("all is well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
