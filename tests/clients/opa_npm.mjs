// SPDX-License-Identifier: Apache-2.0 OR MIT
// The npm client `@open-policy-agent/opa`, unmodified, against the listener that serves one environment.
import assert from "node:assert/strict";
import { OPAClient } from "@open-policy-agent/opa";

const { CMS_OPA_URL: url, CMS_DECIDER: decider, CMS_WRITER: writer } = process.env;
const client = new OPAClient(url, { headers: { Authorization: `Bearer ${decider}` } });

const put = async (id, text) => {
  const headers = { Authorization: `Bearer ${writer}`, "Content-Type": "text/plain" };
  const answer = await fetch(`${url}/v1/policies/${id}`, { method: "PUT", headers, body: text });
  assert.equal(answer.status, 200, await answer.text());
};

const checks = {
  "it evaluates a path with an input and without": async () => {
    await put("npm", 'package npm.authz\n\ndefault allow := false\n\nallow if input.user == "ada"\n\nlevel := input.level\n');
    assert.equal(await client.evaluate("npm/authz/allow", { user: "ada" }), true);
    assert.equal(await client.evaluate("npm/authz/allow", { user: "bob" }), false);
    assert.equal(await client.evaluate("npm/authz/allow"), false);
    const whole = await client.evaluate("npm/authz", { user: "ada", level: 3 });
    assert.deepEqual(whole, { allow: true, level: 3 });
  },
  "it converts results": async () => {
    const fromResult = (result) => (result ? "yes" : "no");
    assert.equal(await client.evaluate("npm/authz/allow", { user: "ada" }, { fromResult }), "yes");
  },
  "it evaluates the default decision": async () => {
    await put("npm/main", "package system\n\nmain := data.npm.authz.allow\n");
    assert.equal(await client.evaluateDefault({ user: "ada" }), true);
  },
  "it evaluates a batch": async () => {
    const batch = await client.evaluateBatch("npm/authz/allow", { a: { user: "ada" }, b: { user: "bob" } });
    assert.deepEqual(batch, { a: true, b: false });
  },
  "it tells evaluations that fail from those that do not, in one batch": async () => {
    await put("npm/conflict", "package npm.conflict\n\nx := 1 if input.a\n\nx := 2 if input.b\n");
    const inputs = { good: { a: true }, bad: { a: true, b: true } };
    const batch = await client.evaluateBatch("npm/conflict/x", inputs);
    assert.equal(batch.good, 1);
    assert.equal(batch.bad.code, "internal_error");
    await assert.rejects(client.evaluateBatch("npm/conflict/x", inputs, { rejectMixed: true }));
  },
  "it fails for an evaluation that fails": async () => {
    await assert.rejects(client.evaluate("npm/conflict/x", { a: true, b: true }), (error) => error.code === "internal_error");
  },
};

let failed = false;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok npm @open-policy-agent/opa: ${name}`);
  } catch (error) {
    failed = true;
    console.error(error);
    console.log(`not ok npm @open-policy-agent/opa: ${name}: ${String(error).split("\n")[0]}`);
  }
}
process.exit(failed ? 1 : 0);
