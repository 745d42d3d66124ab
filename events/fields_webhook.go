package events

func (p *WebhookCreated) fields(c *codec) {
	c.text("webhook", &p.Webhook)
	c.text("origin", &p.Origin)
	c.uint64("secret", &p.Secret)
}

func (p *WebhookChanged) fields(c *codec) {
	c.text("webhook", &p.Webhook)
	c.text("origin", &p.Origin)
	c.uint64("secret", &p.Secret)
}

func (p *WebhookSecretRotated) fields(c *codec) {
	c.text("webhook", &p.Webhook)
	c.uint64("secret", &p.Secret)
}

func (p *WebhookDeleted) fields(c *codec) { c.text("webhook", &p.Webhook) }

func (p *WebhookPaused) fields(c *codec) {
	c.text("webhook", &p.Webhook)
	c.text("cause", &p.Cause)
	c.optUint64("claim", &p.Claim)
}

func (p *WebhookResumed) fields(c *codec) {
	c.text("webhook", &p.Webhook)
	c.uint64("webhook_seq", &p.WebhookSeq)
}

func (p *WebhookCursorSet) fields(c *codec) {
	c.text("webhook", &p.Webhook)
	c.uint64("cursor", &p.Cursor)
	c.uint64("webhook_seq", &p.WebhookSeq)
}

func (p *SecretWebhook) fields(c *codec) {
	c.text("webhook", &p.Webhook)
	c.text("address", &p.Address)
	c.text("origin", &p.Origin)
	c.optText("description", &p.Description)
	c.optList("types", &p.Types)
	c.optText("about", &p.About)
	c.optID("user", &p.User)
	c.optBool("private", &p.Private)
	c.optBool("paused", &p.Paused)
	c.optBytes("key", &p.Key)
	c.optUint64("cursor", &p.Cursor)
	c.optUint64("webhook_seq", &p.WebhookSeq)
}

func (p *SecretWebhookSecret) fields(c *codec) {
	c.text("webhook", &p.Webhook)
	c.bytes("key", &p.Key)
	c.optInt64("old_expires", &p.OldExpires)
	c.uint64("webhook_seq", &p.WebhookSeq)
}

func (p *WebhookClaimed) fields(c *codec) {
	c.text("webhook", &p.Webhook)
	c.id("incarnation", &p.Incarnation)
	c.optUint64("claim", &p.Claim)
}

func (p *WebhookProgress) fields(c *codec) { c.hooks("hooks", &p.Hooks) }

func (p *HookProgress) fields(c *codec) {
	c.text("webhook", &p.Webhook)
	c.uint64("claim", &p.Claim)
	c.uint64("cursor", &p.Cursor)
	c.optInt64("success", &p.Success)
	c.optInt64("failing", &p.Failing)
	c.optUint32("attempts", &p.Attempts)
	c.optInt64("retry_at", &p.RetryAt)
	c.optText("error", &p.Error)
}
