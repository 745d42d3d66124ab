package events

// One method a payload: it names each member of "data" once, for writing and for reading, in the order in which they are
// written. A method of codec without "opt" is a member that must be there; with it, a zero value is left out. What is there
// keeps its order in later versions, and what is new is optional: a replica knows its own events again by their text.

func (p *LogStarted) fields(c *codec) { c.bytes("hash_key", &p.HashKey) }

func (p *SessionStarted) fields(c *codec) {
	c.id("session", &p.Session)
	c.id("user", &p.User)
	c.optText("client", &p.Client)
	c.list("scope", &p.Scope)
	c.int64("issued_at", &p.IssuedAt)
	c.int64("access_expires", &p.AccessExpires)
	c.int64("idle_expires", &p.IdleExpires)
	c.int64("expires", &p.Expires)
	c.uint64("user_seq", &p.UserSeq)
	c.optUint64("client_seq", &p.ClientSeq)
	c.optID("code", &p.Code)
	c.optInt64("auth_time", &p.AuthTime)
	c.optBool("remember", &p.Remember)
}

func (p *SessionRefreshed) fields(c *codec) {
	c.id("session", &p.Session)
	c.uint32("generation", &p.Generation)
	c.int64("issued_at", &p.IssuedAt)
	c.int64("access_expires", &p.AccessExpires)
	c.int64("idle_expires", &p.IdleExpires)
	c.uint64("session_seq", &p.SessionSeq)
	c.uint64("user_seq", &p.UserSeq)
	c.optUint64("client_seq", &p.ClientSeq)
	c.text("key", &p.Key)
}

func (p *RefreshReplayed) fields(c *codec) {
	c.id("session", &p.Session)
	c.uint32("generation", &p.Generation)
	c.uint64("session_seq", &p.SessionSeq)
	c.text("key", &p.Key)
}

func (p *ClientToken) fields(c *codec) {
	c.id("session", &p.Session)
	c.text("client", &p.Client)
	c.list("scope", &p.Scope)
	c.int64("issued_at", &p.IssuedAt)
	c.int64("access_expires", &p.AccessExpires)
	c.uint64("client_seq", &p.ClientSeq)
}

func (p *SessionRevoked) fields(c *codec) {
	c.id("session", &p.Session)
	c.optID("user", &p.User)
}

func (p *UserRevoked) fields(c *codec) {
	c.id("user", &p.User)
	c.optText("cause", &p.Cause)
	c.optUint64("user_seq", &p.UserSeq)
	c.optID("except", &p.Except)
}

func (p *ClientRevoked) fields(c *codec) {
	c.text("client", &p.Client)
	c.optText("cause", &p.Cause)
	c.optUint64("client_seq", &p.ClientSeq)
}

func (p *SigningKeyRevoked) fields(c *codec) { c.text("key", &p.Key) }

func (p *AllRevoked) fields(*codec) {}

func (p *UserCreated) fields(c *codec) {
	c.id("user", &p.User)
	c.list("roles", &p.Roles)
	c.uint64("secret", &p.Secret)
}

func (p *UserEnabled) fields(c *codec) {
	c.id("user", &p.User)
	c.uint64("user_seq", &p.UserSeq)
}

func (p *UserRolesChanged) fields(c *codec) {
	c.id("user", &p.User)
	c.list("roles", &p.Roles)
	c.list("scope", &p.Scope)
	c.uint64("user_seq", &p.UserSeq)
}

func (p *PasswordChanged) fields(c *codec) {
	c.id("user", &p.User)
	c.uint64("secret", &p.Secret)
	c.optID("except", &p.Except)
}

func (p *ClientCreated) fields(c *codec) {
	c.text("client", &p.Client)
	c.uint64("secret", &p.Secret)
}

func (p *LoginFailed) fields(c *codec) {
	c.optID("user", &p.User)
	c.optID("name_hash", &p.NameHash)
	c.text("cause", &p.Cause)
}

func (p *SecretUser) fields(c *codec) {
	c.id("user", &p.User)
	c.text("name", &p.Name)
	c.text("hash", &p.Hash)
	c.list("roles", &p.Roles)
	c.list("scope", &p.Scope)
	c.optBool("disabled", &p.Disabled)
	c.optText("email", &p.Email)
	c.optText("full_name", &p.FullName)
	c.optBool("first", &p.First)
}

func (p *SecretPassword) fields(c *codec) {
	c.id("user", &p.User)
	c.text("hash", &p.Hash)
	c.uint64("user_seq", &p.UserSeq)
	c.optID("except", &p.Except)
}

func (p *SecretRehash) fields(c *codec) {
	c.id("user", &p.User)
	c.text("hash", &p.Hash)
	c.uint64("user_seq", &p.UserSeq)
}

func (p *SecretClient) fields(c *codec) {
	c.text("client", &p.Client)
	c.optText("name", &p.Name)
	c.optText("hash", &p.Hash)
	c.list("scope", &p.Scope)
	c.optList("redirects", &p.Redirects)
}

func (p *NodeJoined) fields(c *codec) {
	c.id("incarnation", &p.Incarnation)
	c.optID("replaces", &p.Replaces)
	c.optText("version", &p.Version)
	c.uint32("level", &p.Level)
	c.optText("issuer", &p.Issuer)
	c.optText("audience", &p.Audience)
	c.optBytes("signature", &p.Signature)
}

func (p *Ping) fields(c *codec) {
	c.text("node", &p.Node)
	c.id("incarnation", &p.Incarnation)
	c.uint64("counter", &p.Counter)
	c.uint64("applied", &p.Applied)
	c.id("digest", &p.Digest)
	c.uint32("level", &p.Level)
	c.optUint64("lease_ms", &p.LeaseMillis)
	c.optBytes("signature", &p.Signature)
}

func (p *NodeBeat) fields(c *codec) { c.pings("pings", &p.Pings) }

func (p *NodeLeft) fields(c *codec) {
	c.id("incarnation", &p.Incarnation)
	c.optBytes("signature", &p.Signature)
}

func (p *LevelRaised) fields(c *codec) { c.uint32("level", &p.Level) }

func (p *NodeKey) fields(c *codec) {
	c.text("key", &p.Key)
	c.text("alg", &p.Alg)
	c.bytes("public", &p.Public)
	c.optBytes("refresh_public", &p.RefreshPublic)
	c.id("incarnation", &p.Incarnation)
}
