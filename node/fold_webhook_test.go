package node

import (
	"testing"

	"github.com/knell-auth/knell/events"
)

// webhook builds the data of a command about webhooks.
func (sc *scenario) webhook(t *testing.T, cmd string, w []string, arg map[string]string) events.Payload {
	t.Helper()
	var seq, claim uint64
	if h := sc.s.hooks[w[0]]; h != nil {
		seq, claim = h.seq, h.claim
	}
	if n := sc.num(arg, "hook", -1); n >= 0 {
		seq = uint64(n)
	}
	if n := sc.num(arg, "claim", -1); n >= 0 {
		claim = uint64(n)
	}
	switch cmd {
	case "hook":
		return &events.SecretWebhook{
			Webhook: w[0], Address: "https://one.test", Origin: "https://one.test", Key: make([]byte, sc.num(arg, "key", 32)),
			Cursor: uint64(sc.num(arg, "cursor", 0)), Paused: arg["paused"] != "",
		}
	case "change-hook":
		return &events.SecretWebhook{Webhook: w[0], Address: "https://two.test", Origin: "https://two.test", WebhookSeq: seq}
	case "hook-secret":
		return &events.SecretWebhookSecret{Webhook: w[0], Key: make([]byte, 24), OldExpires: sc.now + sc.num(arg, "overlap", 0), WebhookSeq: seq}
	case "delete-hook":
		return &events.WebhookDeleted{Webhook: w[0]}
	case "pause-hook":
		d := &events.WebhookPaused{Webhook: w[0], Cause: "operator"}
		if arg["cause"] != "" {
			d.Cause, d.Claim = arg["cause"], claim
		}
		return d
	case "resume-hook":
		return &events.WebhookResumed{Webhook: w[0], WebhookSeq: seq}
	case "replay-hook":
		return &events.WebhookCursorSet{Webhook: w[0], Cursor: uint64(sc.num(arg, "cursor", 0)), WebhookSeq: seq}
	case "claim-hook":
		return &events.WebhookClaimed{Webhook: w[0], Incarnation: testID(w[1]), Claim: claim}
	case "delivered":
		return &events.WebhookProgress{Hooks: []events.HookProgress{{
			Webhook: w[0], Claim: claim, Cursor: uint64(sc.num(arg, "cursor", 0)), Attempts: uint32(sc.num(arg, "attempts", 0)),
		}}}
	case "hook-record":
		return &events.WebhookCreated{Webhook: w[0], Secret: uint64(sc.num(arg, "secret", 0))}
	}
	t.Fatalf("no command %q", cmd)
	return nil
}
