package httpapi

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/knell-auth/knell/events"
)

// find returns the newest event in the log with a payload of type P.
func find[P events.Payload](t *testing.T, w *world) (found events.Event) {
	t.Helper()
	reader := w.log.Node("reader")
	stat, err := reader.Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	errEnd := errors.New("end of the log")
	err = reader.Follow(t.Context(), 0, func(batch []events.Message) error {
		for _, m := range batch {
			var e events.Event
			if err := events.Decode(m.Data, &e); err != nil {
				return err
			}
			if _, ok := e.Data.(P); ok {
				found = e
			}
			if m.Seq >= stat.Last {
				return errEnd
			}
		}
		return nil
	})
	if !errors.Is(err, errEnd) {
		t.Fatal(err)
	}
	if found.Data == nil {
		t.Fatalf("no %T in the log", *new(P))
	}
	return found
}

// An event says who asked for it, from where, with what and why.
func TestEventsSayWho(t *testing.T) {
	w := newWorld(t)
	device := []string{"User-Agent: browser/1", "X-Request-Id: req-7", "X-Forwarded-For: 203.0.113.9"} // nobody is trusted
	check := func(e events.Event, actor, reason string) {
		t.Helper()
		got := [4]string{e.Actor, e.Address, e.UserAgent, e.Reason}
		if want := [4]string{actor, "192.0.2.1", "browser/1", reason}; got != want || e.RequestID == "" || e.RequestID == "req-7" {
			t.Errorf("%s: %q, want %q; request %q", e.Data.Type(), got, want, e.RequestID)
		}
	}
	alice, root := w.vars["alice-id"], w.vars["root-id"]

	got := call(w.handler, "POST", "/token", loginForm, append(device, formType)...)
	expect(t, got, 200)
	var tokens struct{ Access_token, Refresh_token string }
	if err := json.Unmarshal(got.Body.Bytes(), &tokens); err != nil {
		t.Fatal(err)
	}
	check(find[*events.SessionStarted](t, w), alice, "")

	refresh := "grant_type=refresh_token&refresh_token=" + tokens.Refresh_token
	expect(t, call(w.handler, "POST", "/token", refresh, append(device, formType)...), 200)
	check(find[*events.SessionRefreshed](t, w), alice, "")

	expect(t, call(w.handler, "POST", "/logout", "", append(device, "Authorization: Bearer "+tokens.Access_token)...), 204)
	check(find[*events.SessionRevoked](t, w), alice, "")

	asRoot := append(device, "Authorization: Bearer "+w.vars["root"], jsonType)
	expect(t, call(w.handler, "POST", "/users/"+alice+"/disable", `{"reason":"left the company"}`, asRoot...), 204)
	check(find[*events.UserRevoked](t, w), root, "left the company")

	expect(t, call(NewLocal(w.node, Config{}), "POST", "/users/"+alice+"/enable", "", device...), 204)
	check(find[*events.UserEnabled](t, w), "local", "")
}
