package node

import (
	"slices"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/webhook"
)

// maxWebhooks bounds how many webhooks there are: each has a goroutine, a connection and a part of the log in memory at one replica.
const maxWebhooks = 100

// hook is a webhook. seq is the newest sequence at which its record changed; a command names the seq that it was validated against.
//
// claim is the sequence of the event that says which life delivers. Whatever changes what is delivered, or whether, ends the claim: so a
// delivery is allowed exactly while its claim is the one in the state.
type hook struct {
	name        string
	url         string
	description string
	types       []string
	about       string
	user        events.ID
	private     bool
	key, oldKey []byte
	oldExpires  int64 // Unix seconds; oldKey signs until then
	created     int64
	seq         uint64
	paused      string // why; "": it is not
	pausedText  string
	cursor      uint64 // everything up to here that is asked for has been delivered, or is to be left out
	claim       uint64 // 0: nobody delivers
	owner       events.ID
	ownerName   string
	progress    events.HookProgress // newest; of the claim, or of an earlier one
}

// query returns what is delivered.
func (h *hook) query() EventQuery {
	return EventQuery{After: h.cursor, Types: h.types, Subject: h.about, User: h.user}
}

// keys returns the keys that sign at a time, the newest first.
func (h *hook) keys(now int64) [][]byte {
	if len(h.oldKey) > 0 && now < h.oldExpires {
		return [][]byte{h.key, h.oldKey}
	}
	return [][]byte{h.key}
}

// release ends the claim.
func (h *hook) release() { h.claim, h.owner, h.ownerName = 0, events.ID{}, "" }

// foldWebhook applies the events about webhooks.
func (s *state) foldWebhook(seq uint64, e *events.Event) voidReason {
	switch d := e.Data.(type) {
	case *events.SecretWebhook:
		return s.foldSecretWebhook(seq, e, d)
	case *events.SecretWebhookSecret:
		return s.foldSecretWebhookSecret(seq, e, d)
	case *events.WebhookDeleted:
		if s.hooks[d.Webhook] == nil {
			return voidGone
		}
		delete(s.hooks, d.Webhook)
		s.touch(seq)
		return ""
	case *events.WebhookPaused:
		return s.foldWebhookPaused(seq, e, d)
	case *events.WebhookResumed:
		return s.foldWebhookResumed(seq, d)
	case *events.WebhookCursorSet:
		return s.foldWebhookCursorSet(seq, d)
	case *events.WebhookClaimed:
		return s.foldWebhookClaimed(seq, e, d)
	case *events.WebhookProgress:
		return s.foldWebhookProgress(seq, d)
	case *events.WebhookCreated:
		return s.foldRecord(d.Secret)
	case *events.WebhookChanged:
		return s.foldRecord(d.Secret)
	case *events.WebhookSecretRotated:
		return s.foldRecord(d.Secret)
	default:
		// Records of attempts and optional events of a later version change no state.
		return ""
	}
}

func (s *state) foldSecretWebhook(seq uint64, e *events.Event, d *events.SecretWebhook) voidReason {
	h := s.hooks[d.Webhook]
	switch {
	case d.WebhookSeq != 0 && h == nil:
		return voidGone
	case d.WebhookSeq != 0 && h.seq != d.WebhookSeq:
		return voidChanged
	case d.WebhookSeq == 0 && h != nil:
		return voidExists
	case d.WebhookSeq == 0 && (len(s.hooks) >= maxWebhooks || !webhook.GoodKey(d.Key) || d.Cursor > seq):
		return voidChanged
	case d.WebhookSeq == 0:
		h = &hook{name: d.Webhook, key: slices.Clone(d.Key), created: e.Time.Unix(), cursor: d.Cursor}
		if d.Paused {
			h.paused = pausedByOperator
		}
		s.hooks[h.name] = h
		s.owe(seq, e, &events.WebhookCreated{Webhook: h.name, Origin: d.Origin, Secret: seq})
	default:
		s.owe(seq, e, &events.WebhookChanged{Webhook: h.name, Origin: d.Origin, Secret: seq})
	}
	h.url, h.description, h.types, h.about, h.user, h.private = d.Address, d.Description, slices.Clone(d.Types), d.About, d.User, d.Private
	h.seq = seq
	h.release()
	s.touch(seq)
	return ""
}

func (s *state) foldSecretWebhookSecret(seq uint64, e *events.Event, d *events.SecretWebhookSecret) voidReason {
	h := s.hooks[d.Webhook]
	switch {
	case h == nil:
		return voidGone
	case h.seq != d.WebhookSeq || !webhook.GoodKey(d.Key):
		return voidChanged
	}
	// Of three keys the oldest signs no more, whatever was said when it was replaced.
	h.oldKey, h.oldExpires = h.key, d.OldExpires
	h.key, h.seq = slices.Clone(d.Key), seq
	h.release()
	s.owe(seq, e, &events.WebhookSecretRotated{Webhook: h.name, Secret: seq})
	s.touch(seq)
	return ""
}

// foldWebhookPaused takes the word of the replica that delivers, if it still does, and that of an operator in any case.
func (s *state) foldWebhookPaused(seq uint64, e *events.Event, d *events.WebhookPaused) voidReason {
	h := s.hooks[d.Webhook]
	switch {
	case h == nil:
		return voidGone
	case d.Claim != 0 && d.Claim != h.claim:
		return voidChanged
	case h.paused != "":
		return voidNoop
	}
	h.paused, h.pausedText, h.seq = d.Cause, e.Reason, seq
	h.release()
	s.touch(seq)
	return ""
}

// foldWebhookResumed begins to count failures anew.
func (s *state) foldWebhookResumed(seq uint64, d *events.WebhookResumed) voidReason {
	h := s.hooks[d.Webhook]
	switch {
	case h == nil:
		return voidGone
	case h.seq != d.WebhookSeq:
		return voidChanged
	case h.paused == "":
		return voidNoop
	}
	h.paused, h.pausedText, h.seq = "", "", seq
	h.forgetFailures()
	s.touch(seq)
	return ""
}

func (h *hook) forgetFailures() {
	p := &h.progress
	p.Failing, p.Attempts, p.RetryAt = 0, 0, 0
}

func (s *state) foldWebhookCursorSet(seq uint64, d *events.WebhookCursorSet) voidReason {
	h := s.hooks[d.Webhook]
	switch {
	case h == nil:
		return voidGone
	case h.seq != d.WebhookSeq || d.Cursor > seq:
		return voidChanged
	}
	h.cursor, h.seq = d.Cursor, seq
	h.forgetFailures()
	h.release()
	s.touch(seq, h.cursor)
	return ""
}

// foldWebhookClaimed gives the webhook to the first who takes it from the one that had it.
func (s *state) foldWebhookClaimed(seq uint64, e *events.Event, d *events.WebhookClaimed) voidReason {
	h := s.hooks[d.Webhook]
	switch {
	case h == nil || h.paused != "":
		return voidGone
	case h.claim != d.Claim:
		return voidChanged
	}
	h.claim, h.owner, h.ownerName = seq, d.Incarnation, e.Node
	s.touch(seq)
	return ""
}

// foldWebhookProgress takes what is said under claims that hold. A cursor never goes back under one, nor beyond the log.
func (s *state) foldWebhookProgress(seq uint64, d *events.WebhookProgress) voidReason {
	void := voidChanged
	for i := range d.Hooks {
		p := &d.Hooks[i]
		h := s.hooks[p.Webhook]
		if h == nil || p.Claim == 0 || h.claim != p.Claim || p.Cursor < h.cursor || p.Cursor > seq {
			continue
		}
		h.cursor, h.progress, void = p.Cursor, *p, ""
		s.touch(p.Claim, p.Cursor)
	}
	return void
}
