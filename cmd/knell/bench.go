package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/fault"
	"github.com/knell-auth/knell/cluster-test/load"
	"github.com/knell-auth/knell/cluster-test/report"
)

// benchCmd holds the settings of a load test. What a load is, and what it shows, is said in docs/bench.md.
type benchCmd struct {
	Load   loadFlags   `embed:"" group:"Load:"`
	Issuer issuerFlags `embed:"" group:"An installation to test; without --target, knell starts a cluster:"`
	Own    ownFlags    `embed:"" group:"A cluster of its own:"`
	Report reportFlags `embed:"" group:"Report:"`
}

// loadFlags say what is sent.
type loadFlags struct {
	Login      rate          `default:"5/s" help:"Logins, at all replicas together."`
	Verify     rate          `default:"200/s" help:"Checks of access tokens."`
	Refresh    rate          `default:"5/s" help:"Refreshes."`
	Logout     rate          `default:"10/s" help:"Logouts; each is checked at every replica when it returns."`
	For        time.Duration `default:"30s" help:"How long to measure."`
	Warmup     time.Duration `default:"2s" help:"How long to send the load before that."`
	Seed       uint64        `default:"1" help:"Seed of the schedule, of what is chosen, and of faults at random."`
	Arrivals   string        `default:"poisson" enum:"poisson,uniform" help:"How instants lie: poisson or uniform."`
	Sessions   int           `placeholder:"N" help:"Sessions to make at the start. Default: as many as the logouts take beyond what logins bring, and some."`
	InFlight   int           `default:"256" help:"Operations of one kind at one replica that may be under way; what cannot be sent in time is counted."`
	Timeout    time.Duration `default:"20s" help:"When a request without an answer is given up."`
	TraceEvery int           `default:"5" help:"One logout in so many is watched at every replica from before it is asked for; 0: none."`
	TraceAfter time.Duration `default:"2s" help:"How long such a logout is watched after its return at most."`
}

// issuerFlags say what is tested.
type issuerFlags struct {
	Targets          []string `name:"target" sep:"none" placeholder:"URL" help:"URL of a replica; once for each. Knell's endpoints are the default."`
	TokenURL         string   `name:"token-url" placeholder:"URL" help:"Token endpoint (RFC 6749): a URL, or a path on each target. Default: /token."`
	LogoutURL        string   `name:"logout-url" placeholder:"URL" help:"Ends the session of a bearer token. Default: /logout."`
	RevokeURL        string   `name:"revoke-url" placeholder:"URL" help:"Revocation endpoint (RFC 7009), instead of --logout-url."`
	RevokeRefresh    bool     `help:"Revoke the refresh token instead of the access token."`
	CheckURL         string   `name:"check-url" placeholder:"URL" help:"Resource that needs a bearer token. Default: /verify."`
	IntrospectURL    string   `name:"introspect-url" placeholder:"URL" help:"Introspection endpoint (RFC 7662), instead of --check-url."`
	Grant            string   `default:"password" enum:"password,client_credentials" help:"How to log in: password or client_credentials."`
	Scope            string   `help:"Scope to ask for."`
	ClientID         string   `name:"client-id" env:"KNELL_BENCH_CLIENT_ID" placeholder:"ID" help:"OAuth client."`
	ClientSecretFile string   `placeholder:"FILE" help:"File whose first line is its secret. Default: the environment variable KNELL_BENCH_CLIENT_SECRET."`
	User             string   `env:"KNELL_BENCH_USER" placeholder:"NAME" help:"User that logs in."`
	PasswordFile     string   `placeholder:"FILE" help:"File whose first line is the password. Default: the environment variable KNELL_BENCH_PASSWORD."`
}

// ownFlags say what cluster to start, and what happens to it.
type ownFlags struct {
	Replicas   int           `placeholder:"N" help:"Replicas: 3 or 5. Default: 3."`
	Lease      time.Duration `placeholder:"TIME" help:"Their lease. Default: 5s."`
	Dir        string        `type:"path" placeholder:"DIR" help:"Where a directory for data and logs is made. Default: the system's for temporary files."`
	Keep       bool          `help:"Leave data and logs there."`
	Faults     []string      `name:"fault" sep:"none" placeholder:"FAULT" help:"kind@begin:replica:duration, such as pause@10s:r1:3s. Kinds: pause, kill, cut. Replicas: r0, r1, ..., leader, any."`
	FaultEvery time.Duration `placeholder:"TIME" help:"A fault at random so often."`
	FaultKinds []string      `default:"pause,kill" placeholder:"KIND" help:"Kinds of these."`
	Binary     string        `type:"existingfile" placeholder:"FILE" help:"knell to run. Default: this one."`
}

// reportFlags say what to do with the result.
type reportFlags struct {
	FailIf   []string `sep:"none" placeholder:"LIST" help:"Exit with 1 when one of these is true, such as 'leaks>0,logout_p99>5ms'."`
	Metrics  bool     `help:"List the metrics that --fail-if knows and end."`
	JSON     string   `name:"json" type:"path" placeholder:"FILE" help:"Write the result as JSON."`
	HTML     string   `name:"html" type:"path" placeholder:"FILE" help:"Write the report as one HTML file."`
	Compare  string   `type:"path" placeholder:"FILE" help:"Compare with the result of a former run (its --json)."`
	Progress bool     `xor:"progress" help:"Show progress each second also where standard error is no terminal."`
	Quiet    bool     `short:"q" xor:"progress" help:"Show no progress."`
}

// rate is a number of operations a second.
type rate float64

// maxRate is more than one process can send, by far.
const maxRate = 100_000

// UnmarshalText implements encoding.TextUnmarshaler: it takes 20, 0.5, 20/s and 90/m.
func (r *rate) UnmarshalText(text []byte) error {
	digits, per, given := strings.Cut(string(text), "/")
	v, err := strconv.ParseFloat(digits, 64)
	if given && per == "m" {
		v /= 60
	}
	if err != nil || given && per != "s" && per != "m" || !(v >= 0 && v <= maxRate) {
		return fmt.Errorf("%q is not a rate from 0 to %d/s, such as 20/s or 90/m", text, maxRate)
	}
	*r = rate(v)
	return nil
}

// benchPlan is a load test whose settings have been checked.
type benchPlan struct {
	cfg        load.Config
	faults     fault.Plan
	thresholds []report.Threshold
	before     *load.Result // to compare with; nil: nothing
}

// plan checks all settings, and reads the files that they name. All its errors are usageErrors.
func (c *benchCmd) plan() (p benchPlan, err error) {
	if err := firstError(slices.Concat(c.Load.check(), c.Issuer.check(), c.Own.check(len(c.Issuer.Targets) > 0))...); err != nil {
		return p, err
	}
	p.cfg = c.Load.config()
	if len(c.Issuer.Targets) > 0 {
		if p.cfg.Issuer, err = c.Issuer.issuer(); err != nil {
			return p, err
		}
		for i, target := range c.Issuer.Targets {
			p.cfg.Replicas = append(p.cfg.Replicas, load.Replica{Name: fmt.Sprintf("t%d", i), URL: strings.TrimRight(target, "/")})
		}
	} else {
		p.cfg.Issuer = c.Issuer.urls() // who logs in is known once the cluster runs
	}
	if p.faults, err = c.Own.faults(c.Load.Seed, c.Load.For); err != nil {
		return p, usageError{err}
	}
	for _, text := range c.Report.FailIf {
		list, err := report.ParseThresholds(text)
		if err != nil {
			return p, usagef("--fail-if: %w", err)
		}
		p.thresholds = append(p.thresholds, list...)
	}
	if c.Report.Compare != "" {
		if p.before, err = report.ReadFile(c.Report.Compare); err != nil {
			return p, usagef("--compare: %w", err)
		}
	}
	return p, firstError(writable("json", c.Report.JSON), writable("html", c.Report.HTML))
}

func (f *loadFlags) check() []error {
	return []error{
		unless(f.Login+f.Verify+f.Refresh+f.Logout > 0, "--login, --verify, --refresh and --logout are all 0: there is nothing to send"),
		unless(f.For >= time.Second && f.For <= 24*time.Hour, "--for %v: want 1s to 24h", f.For),
		unless(f.Warmup >= 0 && f.Warmup <= time.Hour, "--warmup %v: want 0 to 1h", f.Warmup),
		unless(f.Sessions >= 0 && f.Sessions <= 10_000_000, "--sessions %d: want 0 to 10000000", f.Sessions),
		unless(f.InFlight >= 1 && f.InFlight <= 10_000, "--in-flight %d: want 1 to 10000", f.InFlight),
		unless(f.Timeout >= 100*time.Millisecond && f.Timeout <= 5*time.Minute, "--timeout %v: want 100ms to 5m", f.Timeout),
		unless(f.TraceEvery >= 0, "--trace-every %d: want 0 or more", f.TraceEvery),
		unless(f.TraceAfter > 0 && f.TraceAfter <= time.Hour, "--trace-after %v: want more than 0 and at most 1h", f.TraceAfter),
	}
}

func (f *loadFlags) config() load.Config {
	cfg := load.Config{
		Mix: load.Mix{Login: float64(f.Login), Verify: float64(f.Verify), Refresh: float64(f.Refresh), Logout: float64(f.Logout)},
		For: f.For, Warmup: f.Warmup, Seed: f.Seed, Sessions: f.Sessions, InFlight: f.InFlight, Timeout: f.Timeout,
		TraceEvery: f.TraceEvery, TraceAfter: f.TraceAfter,
	}
	if f.TraceEvery == 0 { // there, zero is the default
		cfg.TraceEvery = -1
	}
	if f.Arrivals == "uniform" {
		cfg.Arrivals = load.Uniform
	}
	return cfg
}

func (f *issuerFlags) check() []error {
	if len(f.Targets) == 0 {
		alone := func(flag, value string) error {
			return unless(value == "", "--%s is for an installation: it needs --target", flag)
		}
		return []error{
			alone("token-url", f.TokenURL), alone("logout-url", f.LogoutURL), alone("revoke-url", f.RevokeURL), alone("check-url", f.CheckURL),
			alone("introspect-url", f.IntrospectURL), alone("scope", f.Scope), alone("client-secret-file", f.ClientSecretFile),
			alone("password-file", f.PasswordFile),
			alone("client-id", f.ClientID),
			unless(!f.RevokeRefresh, "--revoke-refresh is for an installation: it needs --target"),
		}
	}
	checks := []error{
		unless(f.LogoutURL == "" || f.RevokeURL == "", "--logout-url and --revoke-url can't be used together"),
		unless(f.CheckURL == "" || f.IntrospectURL == "", "--check-url and --introspect-url can't be used together"),
		unless(!f.RevokeRefresh || f.RevokeURL != "", "--revoke-refresh needs --revoke-url"),
		unless(f.Grant != "client_credentials" || f.ClientID != "", "--grant client_credentials needs --client-id"),
		unless(f.Grant != "password" || f.User != "", "--user is required with --target: who is to log in?"),
		unless(f.ClientSecretFile == "" || f.ClientID != "", "--client-secret-file needs --client-id"),
	}
	for _, e := range []struct{ flag, ref string }{
		{"token-url", f.TokenURL}, {"logout-url", f.LogoutURL}, {"revoke-url", f.RevokeURL}, {"check-url", f.CheckURL}, {"introspect-url", f.IntrospectURL},
	} {
		if err := load.CheckEndpoint(e.ref); err != nil {
			checks = append(checks, fmt.Errorf("--%s %w", e.flag, err))
		}
	}
	for n, target := range f.Targets {
		if err := load.CheckURL(target); err != nil {
			checks = append(checks, fmt.Errorf("--target %w", err))
		}
		checks = append(checks, unless(!slices.Contains(f.Targets[:n], target), "--target %s is named twice", target))
	}
	return checks
}

// urls returns what the URLs say.
func (f *issuerFlags) urls() load.Issuer {
	return load.Issuer{
		Token: f.TokenURL, Logout: f.LogoutURL, Revoke: f.RevokeURL, RevokeRefresh: f.RevokeRefresh,
		Check: f.CheckURL, Introspect: f.IntrospectURL, Scope: f.Scope, ClientCredentials: f.Grant == "client_credentials",
	}
}

// issuer returns all about the installation, secrets included.
func (f *issuerFlags) issuer() (i load.Issuer, err error) {
	i = f.urls()
	i.User.Name, i.Client.Name = f.User, f.ClientID
	if !i.ClientCredentials {
		if i.User.Secret, err = secret("password-file", f.PasswordFile, "KNELL_BENCH_PASSWORD"); err != nil {
			return i, err
		}
		if i.User.Secret == "" {
			return i, usagef("the password of %s is missing: use --password-file or KNELL_BENCH_PASSWORD", f.User)
		}
	}
	if f.ClientID != "" {
		i.Client.Secret, err = secret("client-secret-file", f.ClientSecretFile, "KNELL_BENCH_CLIENT_SECRET")
	}
	return i, err
}

// secret returns the first line of a file or, when none is named, an environment variable. It never comes from the command
// line, which every user of the machine can read.
func secret(flag, path, variable string) (string, error) {
	if path == "" {
		return os.Getenv(variable), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", usagef("--%s: %w", flag, err)
	}
	defer f.Close()
	return firstLine(f, path)
}

func (f *ownFlags) check(target bool) []error {
	own := func(flag string, unused bool) error {
		return unless(!target || unused, "--%s is for a cluster that knell starts itself; it can't be used with --target", flag)
	}
	return []error{
		own("fault", len(f.Faults) == 0), own("fault-every", f.FaultEvery == 0), own("replicas", f.Replicas == 0), own("lease", f.Lease == 0),
		own("dir", f.Dir == ""), own("keep", !f.Keep), own("binary", f.Binary == ""),
		unless(slices.Contains([]int{0, 3, 5}, f.Replicas), "--replicas %d: want 3 or 5", f.Replicas),
		unless(f.Lease == 0 || f.Lease >= minLease && f.Lease <= maxLease, "--lease %v: want %v to %v", f.Lease, minLease, maxLease),
		unless(f.FaultEvery == 0 || f.FaultEvery >= time.Second, "--fault-every %v: want at least 1s", f.FaultEvery),
		unless(f.FaultEvery == 0 || len(f.FaultKinds) > 0, "--fault-kinds: name at least one"),
	}
}

// faults returns the plan of what happens to the cluster. Faults at random last for half a lease to one and a half: some
// are over before the lease is, some outlast it.
func (f *ownFlags) faults(seed uint64, length time.Duration) (p fault.Plan, err error) {
	if err := fault.ParseKinds(f.FaultKinds); err != nil {
		return p, fmt.Errorf("--fault-kinds: %w", err)
	}
	for _, text := range f.Faults {
		planned, err := fault.ParsePlanned(text)
		if err != nil {
			return p, fmt.Errorf("--fault %w", err)
		}
		p.Faults = append(p.Faults, planned)
	}
	if f.FaultEvery > 0 {
		p.Every, p.Kinds, p.Seed = f.FaultEvery, f.FaultKinds, seed
		p.Shortest, p.Longest = min(f.lease()/2, f.FaultEvery/2), min(f.lease()*3/2, f.FaultEvery)
	}
	var names []string
	for i := range f.replicas() {
		names = append(names, fmt.Sprintf("r%d", i))
	}
	if err := p.Check(names, length); err != nil {
		return p, fmt.Errorf("--fault: %w", err)
	}
	return p, nil
}

func (f *ownFlags) replicas() int {
	if f.Replicas == 0 {
		return 3
	}
	return f.Replicas
}

func (f *ownFlags) lease() time.Duration {
	if f.Lease == 0 {
		return defaultLease
	}
	return f.Lease
}

// writable returns an error unless the file of a flag can be written. What is in it stays.
func writable(flag, path string) error {
	if path == "" {
		return nil
	}
	_, err := os.Stat(path)
	isNew := errors.Is(err, os.ErrNotExist)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	f.Close()
	if isNew {
		os.Remove(path)
	}
	return nil
}
