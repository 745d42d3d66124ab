//go:build interop

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/internal/balance"
)

// Accounts of the tests. The passwords are the users' names and this.
const passwordTail = "-has-a-long-password"

// users are the accounts and the flags that they are made with.
var users = map[string][]string{
	"alice": {"--scope", "profile,notes,openid", "--role", "reader"},
	"bob":   {"--scope", "profile"}, // no roles
	"root":  {"--scope", "profile,admin,audit", "--role", "admin"},
}

const (
	clientID       = "interop"
	clientSecret   = "a-secret-of-the-tests-0123456789"
	clientRedirect = "http://127.0.0.1:9/callback" // nobody is there: the scripts read the address only
	audience       = "https://api.knell.test"
)

var (
	replicas *cluster.Cluster
	issuer   string // the URL of a balancer before them
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run runs the tests on three replicas. KNELL_BINARY names a knell that is built already.
func run(m *testing.M) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "knell-interop")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary := os.Getenv("KNELL_BINARY")
	if binary == "" {
		if binary, err = cluster.Build(ctx, dir, ""); err != nil {
			return 0, err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "c"), 0o700); err != nil {
		return 0, err
	}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	issuer = "http://" + front.Addr().String()
	replicas, err = cluster.New(cluster.Config{
		Binary: binary, Dir: filepath.Join(dir, "c"), Lease: 5 * time.Second, Readers: true,
		Arguments: []string{"--issuer", issuer, "--audience", audience, "--trusted-proxies", "127.0.0.1", "--password-grant", "--basic",
			"--webhook-allow-private", "127.0.0.0/8"},
	})
	if err != nil {
		return 0, err
	}
	defer replicas.Close()
	if err := replicas.Start(ctx); err != nil {
		return 0, err
	}
	balancer, err := balance.New(balance.Config{Replicas: replicas.Targets()})
	if err != nil {
		return 0, err
	}
	defer balancer.Close()
	server := &http.Server{Handler: balancer}
	go server.Serve(front)
	defer server.Close()
	if err := populate(ctx, dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func populate(ctx context.Context, dir string) error {
	first := replicas.Replicas[0]
	for name, flags := range users {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(name+passwordTail+"\n"), 0o600); err != nil {
			return err
		}
		args := append([]string{"user", "add", name, "--data", first.Data, "--password-file", file}, flags...)
		if err := first.Run(ctx, args...); err != nil {
			return err
		}
	}
	body := fmt.Sprintf(`{"id":%q,"secret":%q,"scopes":["openid","notes","jobs","audit"],"redirect_uris":[%q]}`, clientID, clientSecret, clientRedirect)
	req, err := http.NewRequestWithContext(ctx, "POST", first.URL+"/clients", strings.NewReader(body))
	if err != nil {
		return err
	}
	token, err := login(first.URL, "root")
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("creating the client: %d %s", resp.StatusCode, text)
	}
	return nil
}

// login returns an access token that a user gets at base.
func login(base, user string) (string, error) {
	resp, err := http.PostForm(base+"/token", url.Values{
		"grant_type": {"password"}, "username": {user}, "password": {user + passwordTail},
	})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&body); err != nil || body.Token == "" {
		return "", fmt.Errorf("logging in: %d %s", resp.StatusCode, text)
	}
	return body.Token, nil
}
