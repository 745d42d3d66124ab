package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// eventGrant is a grant as the administration shows it.
type eventGrant struct {
	Name        string       `json:"name"`
	NKey        string       `json:"nkey"`
	Stream      string       `json:"stream"`
	Consumer    string       `json:"consumer"`
	Inbox       string       `json:"inbox_prefix"`
	After       uint64       `json:"after"`
	Granted     time.Time    `json:"granted"`
	Outside     bool         `json:"outside"`
	Connections int          `json:"connections_here"`
	LogFirst    uint64       `json:"log_first"`
	Behind      bool         `json:"behind_log"`
	Reader      *eventReader `json:"reader"`
}

// eventReader is how far the reader of a grant is.
type eventReader struct {
	Acked       uint64     `json:"acknowledged"`
	AckedAt     *time.Time `json:"acknowledged_at"`
	Delivered   uint64     `json:"delivered"`
	Pending     uint64     `json:"pending"`
	Unacked     int        `json:"unacknowledged"`
	Redelivered int        `json:"redelivered"`
	Waiting     int        `json:"waiting"`
}

type eventsGrantCmd struct {
	dataFlags  `embed:""`
	Grant      string `arg:"" help:"What the grant is called: 1 to 32 of a-z, 0-9 and -."`
	NKey       string `name:"nkey" placeholder:"PUBLIC" help:"Public NKey of the reader, who keeps the seed. Default: one is made, and its seed is shown once."`
	After      uint64 `default:"0" help:"Begin after this sequence. Default: with all that the log has."`
	Since      string `placeholder:"TIME" help:"Begin at this time (RFC 3339), or so long ago (24h)."`
	Reason     string `help:"Why; it goes into the event."`
	Out        string `type:"path" placeholder:"FILE" help:"Write the seed, or the credentials, into this new file instead of standard output."`
	AccountKey string `type:"path" placeholder:"FILE" help:"With --nats-url, servers with JWTs: the seed of the account, or of a signing key of it, with which credentials are signed. The account must not be that of the log."`
	Account    string `placeholder:"PUBLIC" help:"With a signing key: the account that it belongs to."`
}

// Run makes the grant. The seed never leaves this process but for where it is written.
func (c *eventsGrantCmd) Run(ctx context.Context, t *terminal) error {
	in := map[string]any{"name": c.Grant, "nkey": c.NKey, "after": c.After, "reason": c.Reason}
	if c.Since != "" {
		since, err := parseSince(c.Since, time.Now())
		if err != nil {
			return err
		}
		in["since"] = since.UTC().Format(time.RFC3339)
	}
	account, err := readAccountKey(c.AccountKey)
	if err != nil {
		return err
	}
	var seed []byte
	if c.NKey == "" {
		if in["nkey"], seed, err = newReaderKey(); err != nil {
			return err
		}
	}
	out, err := newSecretFile(c.Out)
	if err != nil {
		return err
	}
	var g eventGrant
	err = c.with(ctx, t, openIt, func(a *admin) error {
		return a.call(ctx, http.MethodPost, "/event-grants", in, &g)
	})
	if err == nil && account != nil && !g.Outside {
		fmt.Fprintln(t.err, "--account-key is not used: readers come to the replicas")
	}
	if err != nil {
		out.discard()
		return fmt.Errorf("granting %q: %w", c.Grant, err)
	}
	secret := seed
	if g.Outside && account != nil {
		if secret, err = credentials(&g, account, c.Account, seed); err != nil {
			out.discard()
			return err
		}
	}
	return errors.Join(out.write(t, secret), explainGrant(t, &g, cmp.Or(c.Out, "FILE"), account != nil))
}

// parseSince reads a time, or a length of time before now.
func parseSince(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, usagef("--since %q: want a time such as 2026-01-02T15:04:05Z, or how long ago, such as 24h", text)
	}
	return now.Add(-ago), nil
}

// newReaderKey makes an NKey.
func newReaderKey() (public string, seed []byte, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", nil, err
	}
	if seed, err = pair.Seed(); err != nil {
		return "", nil, err
	}
	public, err = pair.PublicKey()
	return public, seed, err
}

// readAccountKey reads the seed of an account, nil without a file.
func readAccountKey(file string) (nkeys.KeyPair, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("--account-key: %w", err)
	}
	pair, err := nkeys.FromSeed(bytes.TrimSpace(text))
	if err != nil {
		return nil, usagef("--account-key %s: no seed of an NKey", file)
	}
	if public, err := pair.PublicKey(); err != nil || !nkeys.IsValidPublicAccountKey(public) {
		return nil, usagef("--account-key %s: the seed is not that of an account", file)
	}
	return pair, nil
}

// credentials returns what NATS clients read from a .creds file, or the JWT alone if the seed is not known.
func credentials(g *eventGrant, key nkeys.KeyPair, account string, seed []byte) ([]byte, error) {
	claims := jwt.NewUserClaims(g.NKey)
	claims.Name = g.Name
	claims.IssuerAccount = account
	claims.Pub.Allow.Add(g.requests(readerAPI)...)
	claims.Sub.Allow.Add(g.Inbox + ".>")
	token, err := claims.Encode(key)
	if err != nil {
		return nil, fmt.Errorf("signing the credentials: %w", err)
	}
	if seed == nil {
		return []byte(token), nil
	}
	return jwt.FormatUserConfig(token, seed)
}

// What begins the subjects of JetStream's API: at the log, and in the account of a reader on servers elsewhere, where the usual one leads to
// that account's own JetStream.
const (
	logAPI    = "$JS.API"
	readerAPI = "KNELL.API"
)

// requests returns the subjects that the reader publishes to, as they are behind a prefix of the API.
func (g *eventGrant) requests(api string) []string {
	of := g.Stream + "." + g.Consumer
	return []string{api + ".CONSUMER.MSG.NEXT." + of, api + ".CONSUMER.INFO." + of, api + ".CONSUMER.RESET." + of, "$JS.ACK." + of + ".>"}
}

// explainGrant says on standard error how to use a grant whose secret is in a file.
func explainGrant(t *terminal, g *eventGrant, file string, signed bool) error {
	var b strings.Builder
	flag, where, server := "--nkey "+file, ", at a replica with --nats-listen", "nats://REPLICA:PORT"
	if g.Outside {
		where, server = "", "nats://..."
	}
	switch {
	case signed && g.Outside:
		flag = "--creds " + file
		fmt.Fprintf(&b, "the account of these credentials has to import what the account of the log exports (docs/consumers.md):\n%s", exports(g, "the account's public key"))
	case g.Outside:
		fmt.Fprintf(&b, "for nats-server.conf, the account of the log:\n%s%s", exports(g, "EVENTS_"+g.Name), importing(g))
	}
	if g.Outside {
		flag += " --js-api-prefix " + readerAPI
	}
	fmt.Fprintf(&b, "to read%s:\n  nats --server %s %s --inbox-prefix %s consumer next %s %s --count 10 --ack\n",
		where, server, flag, g.Inbox, g.Stream, g.Consumer)
	_, err := fmt.Fprint(t.err, b.String())
	return err
}

// exports returns what the account of the log has to export to the account of a reader. A reader in the account of the log itself could
// have JetStream send what it asks for to any subject, the log's included.
func exports(g *eventGrant, account string) string {
	var b strings.Builder
	b.WriteString("  exports: [\n")
	for _, subject := range g.requests(logAPI) {
		fmt.Fprintf(&b, "    { service: %q, response_type: stream, accounts: [%q] }\n", subject, account)
	}
	b.WriteString("  ]\n")
	return b.String()
}

// importing returns the account of a reader.
func importing(g *eventGrant) string {
	var b strings.Builder
	fmt.Fprintf(&b, "and beside it, with KNELL for the name of that account:\n  EVENTS_%s: {\n    imports: [\n", g.Name)
	local := g.requests(readerAPI)
	for i, subject := range g.requests(logAPI) {
		fmt.Fprintf(&b, "      { service: { account: KNELL, subject: %q }, to: %q }\n", subject, local[i])
	}
	fmt.Fprintf(&b, "    ]\n    users: [ { nkey: %s, permissions: {\n      publish: { allow: [", g.NKey)
	for i, subject := range local {
		fmt.Fprintf(&b, "%s%q", [2]string{"", ", "}[min(i, 1)], subject)
	}
	fmt.Fprintf(&b, "] }\n      subscribe: { allow: [%q] }\n    } } ]\n  }\n", g.Inbox+".>")
	return b.String()
}

type eventsRevokeGrantCmd struct {
	dataFlags `embed:""`
	Grant     string `arg:"" help:"What the grant is called."`
}

// Run ends the grant.
func (c *eventsRevokeGrantCmd) Run(ctx context.Context, t *terminal) error {
	err := c.with(ctx, t, openIt, func(a *admin) error {
		return a.call(ctx, http.MethodDelete, "/event-grants/"+url.PathEscape(c.Grant), nil, nil)
	})
	if err == nil {
		_, err = fmt.Fprintf(t.out, "revoked %s\n", c.Grant)
	}
	return err
}

type eventsGrantsCmd struct {
	dataFlags `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Run lists the grants.
func (c *eventsGrantsCmd) Run(ctx context.Context, t *terminal) error {
	var list struct {
		Grants []eventGrant `json:"grants"`
	}
	err := c.with(ctx, t, openIt, func(a *admin) error { return a.call(ctx, http.MethodGet, "/event-grants", nil, &list) })
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t, list.Grants)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tCONSUMER\tREADING\tLAG\tUNACKNOWLEDGED\tSENT AGAIN\tACKNOWLEDGED\tAT\tSTATE")
	for i := range list.Grants {
		g := &list.Grants[i]
		if g.Reader == nil {
			fmt.Fprintf(w, "%s\t%s\t-\t-\t-\t-\t-\t-\tno consumer: repeat the grant with --nkey %s --after %d\n", g.Name, g.Consumer, g.NKey, g.After)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", g.Name, g.Consumer, g.reading(), g.Reader.Pending, g.Reader.Unacked,
			g.Reader.Redelivered, g.Reader.Acked, g.Reader.at(), g.state())
	}
	return w.Flush()
}

// reading says whether somebody reads: here, or anywhere by an open request.
func (g *eventGrant) reading() string {
	if g.Connections > 0 || g.Reader.Waiting > 0 {
		return "yes"
	}
	return "no"
}

// at says when the reader acknowledged last.
func (r *eventReader) at() string {
	if r.AckedAt == nil {
		return "-"
	}
	return r.AckedAt.UTC().Format(time.RFC3339)
}

func (g *eventGrant) state() string {
	if g.Behind {
		return fmt.Sprintf("behind the log's beginning: events before %d may have been missed", g.LogFirst)
	}
	return ""
}
