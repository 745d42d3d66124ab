package node

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
)

// access builds the data of a command about keys and roles.
func (sc *scenario) access(t *testing.T, cmd string, w []string, arg map[string]string) events.Payload {
	t.Helper()
	digest := sha256.Sum256([]byte(arg["secret"]))
	switch cmd {
	case "key":
		d := &events.SecretAPIKey{
			Key: testID(w[0]), User: testID(w[1]), Name: w[0], Scope: w[2:], Digest: digest[:], UserSeq: sc.at(arg, "user", w[1]),
		}
		if ttl := sc.num(arg, "ttl", 0); ttl != 0 {
			d.Expires = sc.now + ttl
		}
		return d
	case "rotate-key":
		return &events.SecretAPIKeyRotated{
			Key: testID(w[0]), User: testID(w[1]), Digest: digest[:], OldExpires: sc.now + sc.num(arg, "overlap", 0), KeySeq: sc.at(arg, "key", w[0]),
		}
	case "revoke-key":
		return &events.APIKeyRevoked{Key: testID(w[0])}
	case "use-key":
		return &events.APIKeyUsed{Key: testID(w[0]), User: testID(w[1]), UsedAt: sc.now + sc.num(arg, "ahead", 0)}
	case "grant":
		return &events.EventsGranted{Grant: w[0], Key: w[1], After: uint64(sc.num(arg, "after", 0))}
	case "revoke-grant":
		return &events.GrantRevoked{Grant: w[0]}
	case "role":
		return &events.RoleScopes{Role: w[0], Scope: w[1:], RoleSeq: sc.at(arg, "role", w[0])}
	}
	return sc.replica(t, cmd, w, arg)
}

// printAccess lists keys and roles, times counted from the beginning of the scenario.
func (sc *scenario) printAccess() (lines []string) {
	since := func(t int64) int64 {
		if t == 0 {
			return 0
		}
		return t - 1_800_000_000
	}
	for _, k := range sc.s.access.keys {
		c := sc.s.keyClaims(k, never)
		lines = append(lines, fmt.Sprintf("key %s of %s seq %d scope %s roles %s expires %d old %d used %d", k.name, k.user.name, k.seq,
			strings.Join(c.Scopes, ","), strings.Join(c.Roles, ","), since(k.expires), since(k.oldExpires), since(k.usedAt)))
	}
	for _, g := range sc.s.access.grants {
		lines = append(lines, fmt.Sprintf("grant %s of %s after %d consumer %s live %v", g.name, g.key, g.after, consumerOf(g.name, g.seq), sc.s.access.live.Live(g.flag)))
	}
	for name, r := range sc.s.access.roles {
		lines = append(lines, fmt.Sprintf("role %s seq %d scope %s", name, r.seq, strings.Join(r.scope, ",")))
	}
	for name, h := range sc.s.hooks {
		lines = append(lines, fmt.Sprintf("webhook %s seq %d to %s paused %q cursor %d claim %d of %s attempts %d keys %d", name, h.seq, h.url, h.paused,
			h.cursor, h.claim, h.ownerName, h.progress.Attempts, len(h.keys(sc.now))))
	}
	return lines
}
