package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

// The log-in page has a labelled box for whoever wants to stay logged in: not ticked at first, kept when something was wrong, and
// what comes of it has the longer lifetimes.
func TestStayLoggedIn(t *testing.T) {
	w := newAppWorld(t)
	first := ask(w.handler, authorization())
	box := checkbox(t, checkPage(t, first))
	if _, ticked := box.attrs["checked"]; ticked || box.attrs["name"] != "remember" || box.attrs["value"] != "true" {
		t.Errorf("the box is %v", box.attrs)
	}
	form := fill(t, first, "carol", "wrong-password-1")
	if form.Has("remember") {
		t.Error("a box that is not ticked is sent")
	}
	again := submit(w.handler, with(form, "remember", "true"))
	if again.Code == http.StatusOK {
		t.Fatal("logged in with a wrong password")
	}
	if _, ticked := checkbox(t, checkPage(t, again)).attrs["checked"]; !ticked {
		t.Error("the box was ticked")
	}
	carol, err := events.ParseID(w.vars["carol-id"])
	if err != nil {
		t.Fatal(err)
	}
	for remember, want := range map[string]time.Duration{"true": 30 * 24 * time.Hour, "-": 24 * time.Hour} {
		form := with(fill(t, ask(w.handler, authorization()), "carol", carolPassword), "remember", remember)
		got := answered(t, submit(w.handler, form), appRedirect)
		expect(t, redeem(w.handler, with(obtained, "code", got.Get("code"))), http.StatusOK)
		sessions, err := w.node.UserSessions(carol)
		if err != nil || len(sessions) == 0 {
			t.Fatal(sessions, err)
		}
		s := sessions[0]
		if got := s.Expires.Sub(s.Started); s.Remember != (remember == "true") || got != want {
			t.Errorf("remember %s: %v, ends after %v, want %v", remember, s.Remember, got, want)
		}
	}
	expect(t, submit(w.handler, with(form, "remember", "yes")), http.StatusBadRequest)
	w.checkLog(t)
}

// obtained is what a code is redeemed with, without the code.
var obtained = with(url.Values{},
	"grant_type", "authorization_code", "redirect_uri", appRedirect, "client_id", "app", "code_verifier", testVerifier)

// checkbox returns the only check box of a page, whose label says what it does.
func checkbox(t *testing.T, p page) element {
	t.Helper()
	var boxes []element
	for _, in := range p.find("input") {
		if in.attrs["type"] == "checkbox" {
			boxes = append(boxes, in)
		}
	}
	if len(boxes) != 1 {
		t.Fatalf("%d check boxes", len(boxes))
	}
	for _, l := range p.find("label") {
		if l.attrs["for"] == boxes[0].attrs["id"] && strings.Contains(l.text, "Stay logged in") {
			return boxes[0]
		}
	}
	t.Error("no label says what the box does")
	return boxes[0]
}
