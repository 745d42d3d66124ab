-- Asks Knell whether a request may pass. HAProxy (2.6 or later) has no forward-auth of its own, but an HTTP client for Lua. It cannot
-- choose among servers, so it asks a frontend of this HAProxy, which does.
--
--   http-request lua.knell_verify <query>
--
-- asks GET /verify?<query>; "-" stands for no query. It sets the variables txn.knell_status (0: nobody answered),
-- txn.knell_challenge, txn.knell_retry_after, and txn.knell_user, _scopes, _roles and _session.

local verify = "http://127.0.0.1:8079/verify"

-- The headers that /verify looks at, or writes down.
local passed = { "authorization", "x-api-key", "x-forwarded-for", "x-request-id", "user-agent" }

local answered = {
	knell_challenge = "www-authenticate", knell_retry_after = "retry-after", knell_user = "x-knell-user",
	knell_scopes = "x-knell-scopes", knell_roles = "x-knell-roles", knell_session = "x-knell-session",
}

core.register_action("knell_verify", { "http-req" }, function(txn, query)
	local client = txn.sf:src()
	local headers = txn.http:req_get_headers()
	local asked = {}
	for _, name in ipairs(passed) do
		if headers[name] then
			asked[name] = {}
			for _, value in pairs(headers[name]) do -- two are two here too: Knell refuses them
				table.insert(asked[name], value)
			end
		end
	end
	asked["x-forwarded-for"] = asked["x-forwarded-for"] or {}
	table.insert(asked["x-forwarded-for"], client)

	local url = verify
	if query ~= "-" then
		url = url .. "?" .. query
	end
	local answer = core.httpclient():get { url = url, headers = asked, timeout = 7000 }
	txn:set_var("txn.knell_status", answer and answer.status or 0)
	for variable, name in pairs(answered) do
		local values = answer and answer.headers and answer.headers[name]
		txn:set_var("txn." .. variable, values and values[0] or "")
	end
	if txn:get_var("txn.knell_retry_after") == "" then -- nobody answered, or the frontend itself
		txn:set_var("txn.knell_retry_after", "1")
	end
end, 1)
