// Makes the calls that stand on stdin (JSON: {packages, host, writeKey, settings, calls: [[method, params], ...]}) with
// @segment/analytics-node, and ends when everything was delivered or given up; what was given up goes to stderr.
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const told = JSON.parse(readFileSync(0, "utf8"));
const { Analytics } = createRequire(told.packages + "/")("@segment/analytics-node");
const analytics = new Analytics({ host: told.host, writeKey: told.writeKey, ...told.settings });
analytics.on("error", (error) => console.error("given up:", error.code, String(error.reason)));
for (const [method, params] of told.calls) {
  const timestamp = params.timestamp && new Date(params.timestamp);
  analytics[method]({ ...params, timestamp });
}
analytics.closeAndFlush({ timeout: 60000 });
