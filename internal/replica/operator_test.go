package replica

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

// operators are the keys of whoever runs a NATS server in operator mode: identities are JWTs, and the server knows the operator only.
type operators struct {
	t                 *testing.T
	operator, account nkeys.KeyPair
}

// issuer is what JWTs can be made of.
type issuer interface {
	Encode(nkeys.KeyPair) (string, error)
}

func (o *operators) sign(c issuer, by nkeys.KeyPair) string {
	o.t.Helper()
	text, err := c.Encode(by)
	if err != nil {
		o.t.Fatal(err)
	}
	return text
}

// key makes a key, and returns its public part as well.
func (o *operators) key(make func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	o.t.Helper()
	k, err := make()
	if err != nil {
		o.t.Fatal(err)
	}
	public, err := k.PublicKey()
	if err != nil {
		o.t.Fatal(err)
	}
	return k, public
}

// start runs the server and returns its URL.
func (o *operators) start() string {
	o.t.Helper()
	var operator, account, system string
	o.operator, operator = o.key(nkeys.CreateOperator)
	o.account, account = o.key(nkeys.CreateAccount)
	_, system = o.key(nkeys.CreateAccount)
	a := jwt.NewAccountClaims(account)
	a.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit, MemoryStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	s := &server.Options{NoSigs: true, NoLog: true}
	err := s.ProcessConfigString(fmt.Sprintf("listen: \"127.0.0.1:-1\"\njetstream { store_dir: %q, sync_interval: always }\noperator: %s\n"+
		"system_account: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\n", o.t.TempDir(), o.sign(jwt.NewOperatorClaims(operator), o.operator),
		system, account, o.sign(a, o.operator), system, o.sign(jwt.NewAccountClaims(system), o.operator)))
	if err != nil {
		o.t.Fatal(err)
	}
	return run(o.t, s)
}

// credentials writes the file of the replica r1 with the documented rights, which change may alter.
func (o *operators) credentials(change func(*jwt.UserClaims)) string {
	o.t.Helper()
	seed, public := o.key(nkeys.CreateUser)
	rights := documentedRights(o.t, "r1")
	u := jwt.NewUserClaims(public)
	u.Pub.Allow, u.Pub.Deny, u.Sub.Allow = rights.Publish.Allow, rights.Publish.Deny, rights.Subscribe.Allow
	change(u)
	secret, err := seed.Seed()
	if err != nil {
		o.t.Fatal(err)
	}
	data, err := jwt.FormatUserConfig(o.sign(u, o.account), secret)
	if err != nil {
		o.t.Fatal(err)
	}
	file := filepath.Join(o.t.TempDir(), "r1.creds")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return file
}

// TestExternalOperatorMode: a replica with a credentials file, on a server that knows its operator only.
func TestExternalOperatorMode(t *testing.T) {
	o := &operators{t: t}
	url := o.start()
	with := func(creds string) Config {
		cfg := externalTo(t, url, "r1")
		cfg.External = &natsd.ExternalConfig{URLs: []string{url}, CredsFile: creds}
		return cfg
	}
	for _, c := range []struct {
		name, want string
		change     func(*jwt.UserClaims)
	}{
		{"expired", "refuses the credentials", func(u *jwt.UserClaims) { u.Expires = time.Now().Add(-time.Hour).Unix() }},
		{"of another account", "refuses the credentials", func(u *jwt.UserClaims) { _, u.IssuerAccount = o.key(nkeys.CreateAccount) }},
		{"without secrets", "publish to knell.secret.>", func(u *jwt.UserClaims) { u.Pub.Deny.Add("knell.secret.>") }},
	} {
		if err := failing(t, with(o.credentials(c.change))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	r := start(t, with(o.credentials(func(u *jwt.UserClaims) { u.Expires = time.Now().Add(time.Hour).Unix() })))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := r.Node().CreateUser(ctx, node.NewUser{Name: "alice", Password: "wonderland-1865"}, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	tokens, err := r.Node().Login(ctx, node.LoginRequest{Name: "alice", Password: "wonderland-1865"})
	if err == nil {
		err = r.Node().Logout(ctx, tokens.AccessToken, node.Origin{})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Node().Verify(ctx, tokens.AccessToken); err == nil {
		t.Error("a token is accepted after its logout returned")
	}
}
