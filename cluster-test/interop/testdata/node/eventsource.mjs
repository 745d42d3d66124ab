// eventsource, the client of most Node.js programs, follows the events of an installation and goes on at another replica;
// cloudevents reads each of them.

import { CloudEvent, HTTP } from "cloudevents";
import { EventSource } from "eventsource";
import assert from "node:assert/strict";
import { clientToken, logInByPassword, logout, replicas, same } from "./check.mjs";

const token = await clientToken("audit");

// An EventSource at a replica, what it has got, and a way to wait for more.
function follow(base, query, last) {
  const got = [];
  let wake = () => {};
  const source = new EventSource(base + "/events" + query, {
    fetch: (url, init) => fetch(url, {
      ...init, headers: { ...init.headers, authorization: "Bearer " + token, ...(last && !init.headers["Last-Event-ID"] && { "last-event-id": last }) },
    }),
  });
  source.onmessage = (message) => {
    const event = HTTP.toEvent({ headers: { "content-type": "application/cloudevents+json" }, body: message.data });
    assert(event instanceof CloudEvent && event.validate());
    got.push({ id: message.lastEventId, event });
    wake();
  };
  const until = async (enough) => {
    const late = AbortSignal.timeout(20_000);
    while (!got.some(enough)) {
      await new Promise((resolve, reject) => {
        wake = resolve;
        late.onabort = () => reject(new Error("waited in vain; got " + got.map((e) => e.event.type)));
      });
    }
  };
  return { source, got, until, opened: new Promise((resolve, reject) => { source.onopen = resolve; source.onerror = reject; }) };
}

const isSession = (session) => ({ event }) => event.type === "knell.revoked.session" && event.data.session === session;
const sessionOf = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url")).sid;

// What happens at one replica is seen at another one.
const first = follow(replicas[0], "?type=session,revoked");
await first.opened;
const one = await logInByPassword(replicas[1]);
await logout(one);
await first.until(isSession(sessionOf(one)));
first.source.close();
const started = first.got.find(({ event }) => event.data.session === sessionOf(one));
same("started", [started.event.type, started.event.username, started.event.actorname], ["knell.session.started", "alice", "alice"]);
same("sequence", started.event.sequence, started.id.padStart(20, "0"));

// Another replica goes on behind the last event that was seen, without a gap and without repeating any.
const last = first.got.at(-1).id;
const two = await logInByPassword(replicas[0]);
await logout(two);
const second = follow(replicas[2], "?after=0&type=session,revoked", last);
await second.until(isSession(sessionOf(two)));
second.source.close();
assert(second.got.every(({ id }) => BigInt(id) > BigInt(last)), "an event came twice");
const whole = follow(replicas[1], "?after=0&type=session,revoked");
await whole.until(isSession(sessionOf(two)));
whole.source.close();
const ids = (list) => list.map(({ id }) => id);
const from = ids(whole.got).indexOf(first.got[0].id);
const upTo = ids(whole.got).indexOf(second.got.at(-1).id);
assert.deepEqual([...ids(first.got), ...ids(second.got)], ids(whole.got).slice(from, upTo + 1));

// A bad position is refused for good: this client does not try again.
const future = follow(replicas[0], "?after=9007199254740991");
const refused = await future.opened.catch((error) => error);
same("a position of the future", [refused.code, future.source.readyState], [400, EventSource.CLOSED]);
