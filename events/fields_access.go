package events

func (p *CodeIssued) fields(c *codec) {
	c.id("code", &p.Code)
	c.id("user", &p.User)
	c.text("client", &p.Client)
	c.list("scope", &p.Scope)
	c.int64("issued_at", &p.IssuedAt)
	c.int64("expires", &p.Expires)
	c.uint64("user_seq", &p.UserSeq)
	c.uint64("client_seq", &p.ClientSeq)
}

func (p *APIKeyRevoked) fields(c *codec) { c.id("key", &p.Key) }

func (p *UserChanged) fields(c *codec) {
	c.id("user", &p.User)
	c.uint64("secret", &p.Secret)
}

func (p *ClientChanged) fields(c *codec) {
	c.text("client", &p.Client)
	c.optText("name", &p.Name)
	c.list("scope", &p.Scope)
	c.list("redirects", &p.Redirects)
	c.uint64("client_seq", &p.ClientSeq)
}

func (p *ClientEnabled) fields(c *codec) {
	c.text("client", &p.Client)
	c.uint64("client_seq", &p.ClientSeq)
}

func (p *ClientSecretRotated) fields(c *codec) {
	c.text("client", &p.Client)
	c.uint64("secret", &p.Secret)
}

func (p *APIKeyCreated) fields(c *codec) {
	c.id("key", &p.Key)
	c.id("user", &p.User)
	c.list("scope", &p.Scope)
	c.optInt64("expires", &p.Expires)
	c.uint64("secret", &p.Secret)
}

func (p *APIKeyRotated) fields(c *codec) {
	c.id("key", &p.Key)
	c.id("user", &p.User)
	c.uint64("secret", &p.Secret)
}

func (p *APIKeyUsed) fields(c *codec) {
	c.id("key", &p.Key)
	c.id("user", &p.User)
	c.int64("used_at", &p.UsedAt)
}

func (p *RoleScopes) fields(c *codec) {
	c.text("role", &p.Role)
	c.list("scope", &p.Scope)
	c.uint64("role_seq", &p.RoleSeq)
}

func (p *EventsGranted) fields(c *codec) {
	c.text("grant", &p.Grant)
	c.text("key", &p.Key)
	c.uint64("after", &p.After)
}

func (p *GrantRevoked) fields(c *codec) { c.text("grant", &p.Grant) }

func (p *AttemptStarted) fields(c *codec) {
	c.optID("user", &p.User)
	c.optID("name_hash", &p.NameHash)
	c.uint32("free", &p.Free)
	c.int64("max_delay", &p.MaxDelay)
}

func (p *AttemptsForgiven) fields(c *codec) {
	c.optID("user", &p.User)
	c.optID("name_hash", &p.NameHash)
	c.optBool("everywhere", &p.Everywhere)
}

func (p *LockedOut) fields(c *codec) {
	c.optID("user", &p.User)
	c.optID("name_hash", &p.NameHash)
	c.int64("until", &p.Until)
}

func (p *SecretProfile) fields(c *codec) {
	c.id("user", &p.User)
	c.text("name", &p.Name)
	c.optText("email", &p.Email)
	c.optText("full_name", &p.FullName)
	c.uint64("user_seq", &p.UserSeq)
}

func (p *SecretClientSecret) fields(c *codec) {
	c.text("client", &p.Client)
	c.text("hash", &p.Hash)
	c.optInt64("old_expires", &p.OldExpires)
	c.uint64("client_seq", &p.ClientSeq)
}

func (p *SecretAPIKey) fields(c *codec) {
	c.id("key", &p.Key)
	c.id("user", &p.User)
	c.optText("name", &p.Name)
	c.list("scope", &p.Scope)
	c.optInt64("expires", &p.Expires)
	c.bytes("digest", &p.Digest)
	c.uint64("user_seq", &p.UserSeq)
}

func (p *SecretAPIKeyRotated) fields(c *codec) {
	c.id("key", &p.Key)
	c.id("user", &p.User)
	c.bytes("digest", &p.Digest)
	c.optInt64("old_expires", &p.OldExpires)
	c.uint64("key_seq", &p.KeySeq)
}
