package node

import "strings"

// codeHooks takes the webhooks.
func (s *state) codeHooks(c *coder) {
	list := inOrder(s.hooks, func(a, b *hook) int { return strings.Compare(a.name, b.name) })
	for _, h := range records(c, list, func(h *hook) { h.code(c) }) {
		s.hooks[h.name] = h
	}
}

func (h *hook) code(c *coder) {
	c.text(&h.name)
	c.text(&h.url)
	c.text(&h.description)
	c.list(&h.types)
	c.text(&h.about)
	c.id(&h.user)
	c.bool(&h.private)
	c.bytes(&h.key)
	c.bytes(&h.oldKey)
	c.int(&h.oldExpires)
	c.int(&h.created)
	c.uint(&h.seq)
	c.text(&h.paused)
	c.text(&h.pausedText)
	c.uint(&h.cursor)
	c.uint(&h.claim)
	c.id(&h.owner)
	c.text(&h.ownerName)
	p := &h.progress
	c.text(&p.Webhook)
	c.uint(&p.Claim)
	c.uint(&p.Cursor)
	c.int(&p.Success)
	c.int(&p.Failing)
	c.uint32(&p.Attempts)
	c.int(&p.RetryAt)
	c.text(&p.Error)
}
