package scenario

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
)

func webhooks() []Scenario {
	return []Scenario{{
		Name: "webhook-kill",
		Proves: "a webhook gets every event in order, and again only with the same id, when its target, the replica that delivers and the " +
			"leader of the log are killed",
		Cluster: func(c *cluster.Config) { c.Arguments = append(c.Arguments, "--webhook-allow-private", "127.0.0.0/8") },
		Check:   check.Options{Logout: logoutBound},
		run:     killWebhook,
	}}
}

// hookName is the webhook's, and hookSecret what its deliveries are signed with.
const (
	hookName   = "siem"
	hookSecret = "whsec_a25lbGwgY2x1c3Rlci10ZXN0IHNpZ25pbmcga2V5"
)

// hookTarget is a server that takes deliveries and can be killed: with it go its port and its connections, in the middle of whatever.
type hookTarget struct {
	address string

	mu     sync.Mutex
	got    []check.Delivery
	wrong  []string
	server *http.Server
	done   chan struct{}
}

// start begins to take deliveries, at the same port each time.
func (h *hookTarget) start() error {
	l, err := net.Listen("tcp", h.address)
	if err != nil {
		return err
	}
	h.address = l.Addr().String()
	h.server, h.done = &http.Server{Handler: h}, make(chan struct{})
	go func() { // ends with the server, which kill closes
		defer close(h.done)
		_ = h.server.Serve(l)
	}()
	return nil
}

// kill ends it without a word to anybody, also in the middle of an answer.
func (h *hookTarget) kill() {
	h.server.Close()
	<-h.done
}

// ServeHTTP takes a delivery. It counts when it has been read, whether or not the sender hears of it.
func (h *hookTarget) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	d, err := delivery(body)
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(r.Header.Get("Webhook-Id") + "." + r.Header.Get("Webhook-Timestamp") + "." + string(body)))
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil:
		h.wrong = append(h.wrong, fmt.Sprintf("%v in %s", err, body))
	case d.ID != r.Header.Get("Webhook-Id"):
		h.wrong = append(h.wrong, fmt.Sprintf("event %d has the id %s and came as %s", d.Seq, d.ID, r.Header.Get("Webhook-Id")))
	case r.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)):
		h.wrong = append(h.wrong, fmt.Sprintf("the signature of event %d is not good", d.Seq))
	}
	h.got = append(h.got, d)
}

// delivery reads what a target, or a reader, is told of an event.
func delivery(text []byte) (check.Delivery, error) {
	var e struct{ ID, Sequence, Void string }
	if err := json.Unmarshal(text, &e); err != nil {
		return check.Delivery{}, err
	}
	seq, err := strconv.ParseUint(e.Sequence, 10, 64)
	return check.Delivery{Seq: seq, ID: e.ID, Void: e.Void}, err
}

// reached reports whether an event has come.
func (h *hookTarget) reached(seq uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.got {
		if d.Seq == seq {
			return true
		}
	}
	return false
}

// killWebhook kills, again and again, the target of a webhook, the replica that delivers, and the leader of the log.
func killWebhook(ctx context.Context, x *experiment) (err error) {
	h := &hookTarget{address: "127.0.0.1:0"}
	if err := h.start(); err != nil {
		return err
	}
	defer func() { h.kill() }()
	first := x.Cluster.Replicas[0]
	secret := filepath.Join(filepath.Dir(first.Data), "hook-secret")
	if err := os.WriteFile(secret, []byte(hookSecret+"\n"), 0o600); err != nil {
		return err
	}
	err = first.Run(ctx, "webhook", "add", hookName, "http://"+h.address+"/in", "--allow-private", "--after", "0", "--secret-file", secret, "--data", first.Data)
	if err != nil {
		return err
	}
	for range x.repeat(2, 10) {
		h.kill()
		x.Logf("kill: the target")
		if err := x.wait(ctx, 2*time.Second); err != nil {
			return err
		}
		if err := errors.Join(h.start(), x.wait(ctx, 2*time.Second)); err != nil {
			return err
		}
		// Another one takes over when the lease of the dead has ended.
		if err := x.kill(ctx, x.deliverer, x.lease+x.lease/3); err != nil {
			return err
		}
		if err := x.kill(ctx, x.leader, 2*time.Second); err != nil {
			return err
		}
	}
	return x.judgeDeliveries(ctx, h)
}

// deliverer returns the replica that delivers.
func (x *experiment) deliverer(ctx context.Context) (int, error) {
	for begin := time.Now(); time.Since(begin) < patience; {
		for _, r := range x.Cluster.Replicas {
			var w struct{ Delivery struct{ Replica string } }
			err := ask(ctx, r, "/webhooks/"+hookName, func(body io.Reader) error { return json.NewDecoder(body).Decode(&w) })
			for i, other := range x.Cluster.Replicas {
				if err == nil && other.Name == w.Delivery.Replica && other.Ready(ctx) {
					return i, nil
				}
			}
		}
		if err := x.wait(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("no replica that is ready delivers")
}

// judgeDeliveries compares what has come with what readers get, once all of that has come.
func (x *experiment) judgeDeliveries(ctx context.Context, h *hookTarget) error {
	truth, err := readEvents(ctx, x.Cluster.Replicas[0])
	if err != nil {
		return err
	}
	last := truth[len(truth)-1].Seq
	for begin := time.Now(); !h.reached(last) && time.Since(begin) < patience; {
		if err := x.wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	wrong, again := check.Deliveries(truth, h.got)
	x.Logf("%d events came, %d of them again", len(h.got), again)
	if wrong = append(wrong, h.wrong...); len(wrong) > 0 {
		return fmt.Errorf("webhook: %d violations, such as: %s", len(wrong), strings.Join(wrong[:min(len(wrong), 5)], "; "))
	}
	return nil
}

// readEvents reads all public events in pages.
func readEvents(ctx context.Context, r *cluster.Replica) (all []check.Delivery, err error) {
	for after, more := "0", true; more; {
		resp, err := sendFor(ctx, r, http.MethodGet, "/events?limit=1000&after="+after, "application/x-ndjson")
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() && err == nil {
			var d check.Delivery
			d, err = delivery(lines.Bytes())
			all = append(all, d)
		}
		after, more = resp.Header.Get("X-Knell-Cursor"), resp.Header.Get("Link") != ""
		if err = errors.Join(err, lines.Err(), resp.Body.Close()); err != nil || after == "" {
			return nil, fmt.Errorf("reading events: %s: %w", resp.Status, err)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there are no events")
	}
	return all, nil
}
