package events_test

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
)

func TestSubjects(t *testing.T) {
	bucket := func(id string) string {
		h := sha256.Sum256([]byte(id))
		return hex.EncodeToString(h[:])[:3]
	}
	want := map[events.Type]string{
		events.TypeLogStarted:        "knell.secret.log",
		events.TypeSessionRevoked:    "knell.event.revoked.session",
		events.TypeUserRevoked:       "knell.event.revoked.user",
		events.TypeClientRevoked:     "knell.event.revoked.client",
		events.TypeSigningKeyRevoked: "knell.event.revoked.signing_key",
		events.TypeAllRevoked:        "knell.event.revoked.everything",
		events.TypeNodeBeat:          "knell.node.n1",
		events.TypeNodeJoined:        "knell.node.n1",
		events.TypeNodeLeft:          "knell.node.n1",
		events.TypeNodeKey:           "knell.node.n1",
		events.TypeLevelRaised:       "knell.node.n1",
		events.TypeWebhookClaimed:    "knell.node.n1",
		events.TypeWebhookProgress:   "knell.node.n1",
		events.TypeNodeSnapshot:      "knell.node.n1",
		events.TypeNodeTrimmed:       "knell.node.n1",
		events.TypeClientToken:       "knell.event.session." + bucket("svc"),
		events.TypeClientCreated:     "knell.event.account." + bucket("svc"),
		events.TypeSecretClient:      "knell.secret." + bucket("svc"),
		events.TypeAPIKeyRevoked:     "knell.event.revoked.api_key",
		events.TypeGrantRevoked:      "knell.event.revoked.grant",
		events.TypeRestored:          "knell.event.revoked.restored",
		events.TypeEventsGranted:     "knell.event.account." + bucket("siem"),
	}
	form := regexp.MustCompile(`^knell\.(event\.(session|account|attempt|webhook)|secret)\.[0-9a-f]{3}$`)
	for _, info := range events.Types() {
		got := events.Subject(example(info.Example))
		if w := want[info.Type]; w != "" && got != w || w == "" && !form.MatchString(got) {
			t.Errorf("%s: %s, want %s", info.Type, got, w)
		}
		if s, ok := info.Example.(*events.SessionStarted); ok && got != "knell.event.session."+bucket(s.User.String()) {
			t.Errorf("%s: %s is not the user's bucket", info.Type, got)
		}
	}
	known := example(&events.LoginFailed{User: events.NewID()})
	unknown := example(&events.LoginFailed{NameHash: events.NewID()})
	for _, e := range []*events.Event{known, unknown} {
		if got := events.Subject(e); !strings.HasPrefix(got, "knell.event.attempt.") {
			t.Error(got)
		}
	}
}

func TestValidNodeName(t *testing.T) {
	for name, want := range map[string]bool{"n1": true, "a": true, "-": true, strings.Repeat("z", 32): true, "": false,
		strings.Repeat("z", 33): false, "N1": false, "a.b": false, "*": false, ">": false, "é": false, "a b": false, "a\x00": false} {
		if events.ValidNodeName(name) != want {
			t.Errorf("%q: want %v", name, want)
		}
	}
}

func TestIDText(t *testing.T) {
	id := events.ID{0xff, 1, 2, 3, 4, 5, 6, 7, 0x88, 9, 10, 11, 12, 13, 14, 0xff}
	for _, id := range []events.ID{{}, id, events.NewID(), events.NewID(), {15: 1}, {8: 0x80}, {7: 1}} {
		back, err := events.ParseID(id.String())
		if err != nil || back != id {
			t.Errorf("%s: %v, %v", id, back, err)
		}
		want := strings.ToLower(strings.TrimRight(base32text(id), "="))
		if id.String() != want {
			t.Errorf("%s, want %s", id, want)
		}
	}
	for _, s := range []string{"", "abc", strings.Repeat("a", 25) + "b", strings.Repeat("A", 26), strings.Repeat("a", 25) + "1",
		strings.Repeat("a", 27), "é" + strings.Repeat("a", 24), strings.Repeat("a", 12) + "8" + strings.Repeat("a", 13)} {
		if _, err := events.ParseID(s); err != events.ErrBadID {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func base32text(id events.ID) string { return base32.StdEncoding.EncodeToString(id[:]) }

func TestAccess(t *testing.T) {
	for _, info := range events.Types() {
		family, _, _ := strings.Cut(string(info.Type), ".")
		want := events.Public
		switch family {
		case "secret", "log":
			want = events.Secret
		case "node":
			want = events.Internal
		}
		if got := events.AccessTo(events.Subject(example(info.Example))); got != want {
			t.Errorf("%s: %d, want %d", info.Type, got, want)
		}
	}
	if events.AccessTo("knell.eventual") != events.Secret || events.AccessTo("") != events.Secret {
		t.Error("an unknown subject is not secret")
	}
}
