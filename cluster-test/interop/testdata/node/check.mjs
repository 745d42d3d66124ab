// What the scripts beside this one share: the installation that they talk to, and how they say what they have seen.

import assert from "node:assert/strict";

const env = process.env;
export const issuer = new URL(env.ISSUER); // a balancer before all replicas
export const replicas = env.REPLICAS.split(",");
export const audience = env.AUDIENCE;
export const client = { id: env.CLIENT_ID, secret: env.CLIENT_SECRET, redirect: env.CLIENT_REDIRECT };
export const user = { name: env.USER_NAME, password: env.USER_PASSWORD };

export function same(what, got, want) {
  assert.deepEqual(got, want, `${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  console.log(what, JSON.stringify(got));
}

// Every replica answers /verify with the status.
export async function verified(what, token, status) {
  for (const base of replicas) {
    const answer = await fetch(base + "/verify", { headers: { authorization: "Bearer " + token } });
    same(`${what} at ${base}`, answer.status, status);
  }
}

export async function logout(token) {
  const answer = await fetch(replicas[1] + "/logout", { method: "POST", headers: { authorization: "Bearer " + token } });
  same("logout", answer.status, 204);
}

// A token of a log-in at a replica with the user's password.
export async function logInByPassword(base) {
  const answer = await fetch(base + "/token", {
    method: "POST", body: new URLSearchParams({ grant_type: "password", username: user.name, password: user.password }),
  });
  same("log-in by password", answer.status, 200);
  return (await answer.json()).access_token;
}

// A token by the client's own credentials, by hand.
export async function clientToken(scope = "notes") {
  const answer = await fetch(env.ISSUER + "/token", {
    method: "POST",
    headers: { authorization: "Basic " + Buffer.from(client.id + ":" + client.secret).toString("base64") },
    body: new URLSearchParams({ grant_type: "client_credentials", scope }),
  });
  return (await answer.json()).access_token;
}

// What a person does with the log-in page at a URL; returns where the browser is sent afterwards.
export async function logInAt(url) {
  const page = await fetch(url);
  same("log-in page", page.status, 200);
  const html = await page.text();
  const form = new URLSearchParams({ username: user.name, password: user.password });
  for (const [, name, value] of html.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)) form.set(name, value);
  const cookie = page.headers.getSetCookie().map((c) => c.split(";")[0]).join("; ");
  const answer = await fetch(new URL(html.match(/action="([^"]*)"/)[1], url), {
    method: "POST", redirect: "manual", body: form, headers: { cookie, origin: new URL(url).origin },
  });
  same("log-in", [302, 303].includes(answer.status), true);
  return new URL(answer.headers.get("location"));
}
