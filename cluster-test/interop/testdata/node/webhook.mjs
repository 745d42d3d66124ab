// standardwebhooks, the reference library of Standard Webhooks, verifies what a webhook sends, and cloudevents reads it: also after the
// secret was replaced, by each of the two.

import { CloudEvent, HTTP } from "cloudevents";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";
import { logInByPassword, logout, replicas, same } from "./check.mjs";

const admin = await (async () => {
  const answer = await fetch(replicas[0] + "/token", {
    method: "POST", body: new URLSearchParams({ grant_type: "password", username: "root", password: process.env.USER_PASSWORD.replace("alice", "root") }),
  });
  return (await answer.json()).access_token;
})();

async function call(status, method, path, body) {
  const answer = await fetch(replicas[1] + path, {
    method, headers: { authorization: "Bearer " + admin, "content-type": "application/json" }, body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  assert.equal(answer.status, status, `${method} ${path}: ${answer.status} ${text}`);
  return text && JSON.parse(text);
}

// A server that keeps what it gets, and a way to wait for more.
const got = [];
let wake = () => {};
const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  got.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
  response.writeHead(204).end();
  wake();
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const until = async (enough) => {
  const late = AbortSignal.timeout(20_000);
  while (!got.some(enough)) {
    await new Promise((resolve, reject) => {
      wake = resolve;
      late.onabort = () => reject(new Error("waited in vain; got " + got.map((g) => g.body)));
    });
  }
};

const name = "interop";
const made = await call(201, "POST", "/webhooks", { name, url: `http://127.0.0.1:${server.address().port}/in`, allow_private: true, types: ["revoked"] });
assert(made.secret.startsWith("whsec_"));
const ended = async () => {
  const token = await logInByPassword(replicas[2]);
  await logout(token);
  const { sid } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  const is = (g) => JSON.parse(g.body).data.session === sid;
  await until(is);
  return got.find(is);
};

const first = await ended();
const event = new Webhook(made.secret).verify(first.body, first.headers);
same("verified", [event.type, event.username, event.id], ["knell.revoked.session", "alice", first.headers["webhook-id"]]);
assert.throws(() => new Webhook(made.secret).verify(first.body.replace("alice", "mallory"), first.headers));
assert.throws(() => new Webhook(made.secret).verify(first.body, { ...first.headers, "webhook-id": "other" }));
const read = HTTP.toEvent({ headers: first.headers, body: first.body });
assert(read instanceof CloudEvent && read.validate());
same("CloudEvent", [read.type, read.source.startsWith("/knell/"), Number(read.sequence) > 0], [event.type, true, true]);

const rotated = await call(200, "POST", `/webhooks/${name}/secret`, {});
const second = await ended();
for (const secret of [made.secret, rotated.secret]) new Webhook(secret).verify(second.body, second.headers);
assert.throws(() => new Webhook("whsec_" + Buffer.alloc(32).toString("base64")).verify(second.body, second.headers));

const test = await call(200, "POST", `/webhooks/${name}/test`);
same("test", [test.delivered, test.status], [true, 204]);
new Webhook(rotated.secret).verify(got.at(-1).body, got.at(-1).headers);

// A replica that does not deliver itself is a second behind with what it says of deliveries.
let shown;
const late = Date.now() + 10_000;
do shown = await call(200, "GET", `/webhooks/${name}`);
while (shown.delivery.lag.events > 0 && Date.now() < late);
same("shown", [shown.delivery.lag.events, shown.delivery.attempts, "secret" in shown], [0, 0, false]);
await call(204, "DELETE", `/webhooks/${name}`).catch((error) => assert.fail(error));
server.closeAllConnections();
server.close();
