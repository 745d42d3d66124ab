package node

import (
	"bytes"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

// TestFoldRestored: the event that begins an epoch has to be of the log as it is, and right behind the backup; it suspends what could have
// been revoked since, or leaves it alone.
func TestFoldRestored(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	user, siem := testID("alice"), "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
	for _, trusted := range []bool{false, true} {
		s := newState()
		epoch, seq := testID("one"), uint64(0)
		apply := func(d events.Payload) voidReason {
			seq++
			return s.apply(seq, &events.Event{ID: events.NewID(), Epoch: epoch, Node: "a", Time: time.Unix(1_800_000_000, 0), Reason: "why", Data: d}).void
		}
		for _, d := range []events.Payload{
			&events.LogStarted{HashKey: key},
			&events.SecretUser{User: user, Name: "alice", Hash: "h"},
			&events.SecretAPIKey{Key: testID("key"), User: user, Digest: key, UserSeq: 2},
			&events.SecretClient{Client: "svc", Hash: "h"},
			&events.SecretClient{Client: "app"},
			&events.SecretWebhook{Webhook: "hook", Address: "https://example.com/", Origin: "https://example.com", Key: key},
			&events.EventsGranted{Grant: "siem", Key: siem},
			&events.NodeJoined{Incarnation: testID("life"), Level: 9},
		} {
			if void := apply(d); void != "" {
				t.Fatalf("%T: %s", d, void)
			}
		}
		flags := [2]uint32{s.users[user].flag, s.access.keys[testID("key")].flag}
		if void := apply(&events.Restored{Before: epoch, Last: seq}); void != voidEpoch {
			t.Errorf("without a new epoch: %q", void)
		}
		old := epoch
		epoch = testID("two")
		if void := apply(&events.Restored{Before: epoch, Last: seq}); void != voidEpoch {
			t.Errorf("of another log: %q", void)
		}
		if void := apply(&events.Restored{Before: old, Last: seq - 1}); void != voidChanged {
			t.Errorf("not right behind the backup: %q", void)
		}
		if void := apply(&events.Restored{Before: old, Last: seq, Trusted: trusted}); void != "" {
			t.Fatal(void)
		}
		if s.epoch != epoch || s.log != old || len(s.holders()) != 0 {
			t.Errorf("epoch %s of log %s, %d holders", s.epoch, s.log, len(s.holders()))
		}
		for _, r := range s.records {
			if r.origin.Epoch != epoch {
				t.Errorf("the record of %d would be void", r.seq)
			}
		}
		u, k := s.users[user], s.access.keys[testID("key")]
		for what, kept := range map[string]bool{
			"password": u.hash == "h" && s.access.live.Live(flags[0]), "API key": k.digest == apiKeyDigest(key) && s.access.live.Live(flags[1]),
			"secret": s.clients["svc"].hash == "h", "webhook": s.hooks["hook"].paused == "", "grant": len(s.access.grants) == 1,
			"public client": !s.clients["app"].disabled,
		} {
			if kept != trusted {
				t.Errorf("trusted %t: %s: kept %t", trusted, what, kept)
			}
		}
		if s.clients["app"].hash != "" || s.clients["svc"].disabled || !s.access.live.Live(u.flag) || !s.access.live.Live(k.flag) {
			t.Error("a public client got a secret, or a record has no live flag")
		}
		epoch = old
		if void := apply(&events.AllRevoked{}); void != voidEpoch {
			t.Errorf("an event of the epoch before: %q", void)
		}
	}
}
