// express-oauth2-jwt-bearer protects an Express service that finds everything by the issuer's metadata.

import express from "express";
import { auth, requiredScopes } from "express-oauth2-jwt-bearer";
import { audience, client, clientToken, issuer, same } from "./check.mjs";

const app = express();
app.use(auth({ issuerBaseURL: issuer.href.replace(/\/$/, ""), audience, strict: true }));
app.get("/notes", requiredScopes("notes"), (req, res) => res.json(req.auth.payload.sub));
app.get("/admin", requiredScopes("admin"), (req, res) => res.json("no"));
const server = app.listen(0, "127.0.0.1");
await new Promise((listening) => server.once("listening", listening));

const token = await clientToken();
async function get(path, headers) {
  const answer = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers });
  return [answer.status, answer.headers.get("www-authenticate")?.match(/error="([^"]*)"/)?.[1]];
}
same("good token", await get("/notes", { authorization: "Bearer " + token }), [200, undefined]);
same("missing scope", await get("/admin", { authorization: "Bearer " + token }), [403, "insufficient_scope"]);
same("no token", (await get("/notes", {}))[0], 401);
same("altered token", await get("/notes", { authorization: "Bearer " + token.slice(0, -5) + "AAAAA" }), [401, "invalid_token"]);
server.close();
server.closeAllConnections();
