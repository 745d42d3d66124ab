package main

import (
	"net/netip"
	"time"

	"github.com/knell-auth/knell/node"
)

// webhookSettings are the settings of where webhooks may go.
type webhookSettings struct {
	WebhookAllowPrivate []network     `env:"KNELL_WEBHOOK_ALLOW_PRIVATE" placeholder:"ADDR" help:"Addresses or ranges that are not public and that webhooks may reach, those that say so themselves; the same on all replicas. Default: none."`
	WebhookGiveUp       time.Duration `env:"KNELL_WEBHOOK_GIVE_UP" default:"24h" help:"A webhook that has failed for so long is paused."`
}

func (f *webhookSettings) check() error {
	return unless(f.WebhookGiveUp >= time.Minute && f.WebhookGiveUp <= 90*24*time.Hour, "--webhook-give-up %v: want 1m to 2160h", f.WebhookGiveUp)
}

// webhooks returns the settings of package node.
func (f *webhookSettings) webhooks() node.Webhooks {
	w := node.Webhooks{GiveUp: f.WebhookGiveUp}
	for _, n := range f.WebhookAllowPrivate {
		w.Private = append(w.Private, netip.Prefix(n))
	}
	return w
}
