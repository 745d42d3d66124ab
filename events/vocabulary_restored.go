package events

// TypeRestored is the type of Restored.
const TypeRestored Type = "revoked.restored"

// Restored says that the log before it comes from a backup, and begins a new epoch: that of its envelope. It ends every session and
// makes every older token invalid. The signing keys are revoked. Unless the credentials are trusted, nothing opens an account any more
// that might have been revoked after the backup was made: passwords, client secrets and API keys are forgotten and wait for new ones,
// public clients are disabled, grants of events have ended, and webhooks are paused.
type Restored struct {
	Before  ID     // the epoch that it ends
	Last    uint64 // sequence of the last message of the backup, right before this one
	Trusted bool   // passwords, clients and their secrets, API keys, grants of events and webhooks are as they were
}

// Type implements Payload.
func (*Restored) Type() Type { return TypeRestored }

func (p *Restored) fields(c *codec) {
	c.id("before", &p.Before)
	c.uint64("last", &p.Last)
	c.optBool("trusted", &p.Trusted)
}

func newRestoredPayload(t Type) Payload {
	if t == TypeRestored {
		return new(Restored)
	}
	return newNextPayload(t)
}

func restoredExamples() []Payload {
	return []Payload{&Restored{Before: DeriveID("knell/example", []byte("older epoch")), Last: 50000, Trusted: true}}
}
