package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/knell-auth/knell/internal/natsd"
)

// externalFlags are the settings of NATS servers that somebody else runs.
type externalFlags struct {
	NatsURL          []string `name:"nats-url" env:"KNELL_NATS_URL" placeholder:"URL" help:"Keep the log on these NATS servers instead of here: nats://host:port or tls://host:port."`
	NatsCreds        string   `env:"KNELL_NATS_CREDS" placeholder:"FILE" help:"Credentials file (JWT and seed) for them."`
	NatsNkey         string   `env:"KNELL_NATS_NKEY" placeholder:"FILE" help:"File with the seed of an NKey for them."`
	NatsUserFile     string   `env:"KNELL_NATS_USER_FILE" placeholder:"FILE" help:"File whose first line is user:password for them."`
	NatsCA           string   `name:"nats-ca" env:"KNELL_NATS_CA" placeholder:"FILE" help:"Authority of their certificates; turns TLS on. Default: the system's, with tls:// URLs."`
	NatsSyncAttested bool     `env:"KNELL_NATS_SYNC_ATTESTED" help:"State that they run with jetstream { sync_interval: always }; nobody can see that from outside."`
	LogCopies        int      `env:"KNELL_LOG_COPIES" default:"0" help:"Copies of the log there: 1, 3 or 5. Default: 3."`
}

// What /status says about the log's writes.
const (
	syncAlways      = "always"
	syncAttested    = "attested"
	syncNotAttested = "not attested"
)

// check checks the settings that go with --nats-url.
func (f *externalFlags) check(k *clusterFlags) []error {
	if len(f.NatsURL) == 0 {
		return nil
	}
	secure := f.NatsCA != "" || k.NatsCert != ""
	var errs []error
	for _, u := range f.NatsURL {
		if err := natsd.CheckURL(u, secure); err != nil {
			errs = append(errs, fmt.Errorf("--nats-url %w", err))
		}
	}
	ways := 0
	for _, file := range []struct{ flag, path string }{
		{"nats-creds", f.NatsCreds}, {"nats-nkey", f.NatsNkey}, {"nats-user-file", f.NatsUserFile}, {"nats-ca", f.NatsCA},
	} {
		if file.path == "" {
			continue
		}
		if file.flag != "nats-ca" {
			ways++
		}
		if _, err := os.ReadFile(file.path); err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", file.flag, err))
		}
	}
	return append(errs,
		unless(ways <= 1, "--nats-creds, --nats-nkey and --nats-user-file are alternatives: give one of them"),
		unless(f.LogCopies == 0 || f.LogCopies == 1 || f.LogCopies == 3 || f.LogCopies == 5, "--log-copies %d: want 1, 3 or 5", f.LogCopies))
}

// config returns the settings of package natsd.
func (f *externalFlags) config(k *clusterFlags) (*natsd.ExternalConfig, error) {
	c := &natsd.ExternalConfig{URLs: f.NatsURL, CredsFile: f.NatsCreds, NkeyFile: f.NatsNkey,
		CAFile: f.NatsCA, CertFile: k.NatsCert, KeyFile: k.NatsKey}
	if f.NatsUserFile == "" {
		return c, nil
	}
	data, err := os.ReadFile(f.NatsUserFile)
	if err != nil {
		return nil, usagef("--nats-user-file: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	user, password, ok := strings.Cut(strings.TrimRight(line, "\r"), ":")
	if !ok || user == "" || password == "" {
		return nil, usagef("--nats-user-file %s: want user:password in its first line", f.NatsUserFile)
	}
	c.User, c.Password = user, password
	return c, nil
}

// copies returns how many copies of the log there are.
func (f *externalFlags) copies() int {
	if f.LogCopies == 0 {
		return 3
	}
	return f.LogCopies
}

// sync returns what is known of the servers' writes.
func (f *externalFlags) sync() string {
	switch {
	case len(f.NatsURL) == 0:
		return syncAlways
	case f.NatsSyncAttested:
		return syncAttested
	}
	return syncNotAttested
}

// warn says once what nobody can check from here.
func (f *externalFlags) warn(log *slog.Logger) {
	if f.sync() == syncNotAttested {
		log.Warn("the NATS servers may lose acknowledged logouts at a power failure: set jetstream { sync_interval: always } there, " +
			"and say so here with --nats-sync-attested")
	}
}
