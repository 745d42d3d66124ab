package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/go-yaml"
)

// deployed reads a file of the repository.
func deployed(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decode reads the YAML document in text, in which there may be nothing that out has no field for.
func decode(t *testing.T, name, text string, out any) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// identities makes what knell cluster init makes when it is called so, in a directory of the test's own, and returns that and the hosts that
// certificates are for.
func identities(t *testing.T, args ...string) (dir string, hosts []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "made")
	if len(args) < 3 || args[0] != "cluster" || args[1] != "init" {
		t.Fatalf("knell %s makes no identities", strings.Join(args, " "))
	}
	c := &(&started{args: slices.Replace(slices.Clone(args), 2, 3, dir)}).parse(t).Cluster.Init
	if err := c.Run(&terminal{in: os.Stdin, out: io.Discard, err: io.Discard}); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Replica {
		hosts = append(hosts, host(address(m.Address)))
	}
	return dir, hosts
}

// named is identities for five years, as docs/deploy.md says, in a directory in which they have the name that the arguments give.
func named(t *testing.T, args []string) (dir string, hosts []string) {
	t.Helper()
	if c := (&started{args: args}).parse(t); c.Cluster.Init.Days != 5*365 {
		t.Errorf("certificates for %d days", c.Cluster.Init.Days)
	}
	own, hosts := identities(t, args...)
	dir = filepath.Dir(own)
	if err := os.Rename(own, filepath.Join(dir, filepath.Base(args[2]))); err != nil {
		t.Fatal(err)
	}
	return dir, hosts
}

// documented are the arguments of the first such command of docs/deploy.md that has a text in it.
func documented(t *testing.T, with string) []string {
	t.Helper()
	for line := range strings.Lines(deployed(t, "docs/deploy.md")) {
		if command, found := strings.CutPrefix(line, "knell cluster init"); found && strings.Contains(command, with) {
			command, _, _ = strings.Cut(command, "#")
			return append([]string{"cluster", "init"}, strings.Fields(command)...)
		}
	}
	t.Fatalf("docs/deploy.md makes no identities with %s", with)
	return nil
}

// started is what a knell is started with somewhere.
type started struct {
	args       []string
	image, env map[string]string // variables of the image, and others; KNELL_* only count
	identity   string            // where /identity is
}

// parse reads the command line as knell does, and fails the test unless each flag and variable is one of that command.
func (s *started) parse(t *testing.T) *cli {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KNELL_") {
			t.Setenv(name, "") // puts it back afterwards
			os.Unsetenv(name)
		}
	}
	for _, env := range []map[string]string{s.image, s.env} {
		for name, value := range env {
			if strings.HasPrefix(name, "KNELL_") {
				t.Setenv(name, strings.ReplaceAll(value, "/identity", s.identity))
			}
		}
	}
	var c cli
	parser, err := newParser(&c, &terminal{in: os.Stdin, out: io.Discard, err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := parser.Parse(s.args)
	if err != nil {
		t.Fatalf("knell %s: %v", strings.Join(s.args, " "), err)
	}
	var known []string
	for _, f := range ctx.Flags() {
		known = append(known, f.Envs...)
	}
	for name := range s.env {
		if strings.HasPrefix(name, "KNELL_") && !slices.Contains(known, name) {
			t.Errorf("knell %s reads no %s", s.args[0], name)
		}
	}
	return &c
}

// serves checks the settings of a replica as far as knell does before it starts anything, and returns them.
func (s *started) serves(t *testing.T) *serveCmd {
	t.Helper()
	c := &s.parse(t).Serve
	if _, err := c.config(); err != nil {
		t.Errorf("knell %s: %v", strings.Join(s.args, " "), err)
	}
	return c
}

// stops fails the test unless a replica that is stopped has the time to finish before it is killed.
func stops(t *testing.T, c *serveCmd, grace time.Duration) {
	t.Helper()
	if need := c.Drain + stopTimeout; grace <= need {
		t.Errorf("killed after %v, but a stop may take %v", grace, need)
	}
}

// dockerfile returns the variables, the entry point and the command that images have.
func dockerfile(t *testing.T) (env map[string]string, command []string) {
	t.Helper()
	env = map[string]string{}
	for line := range strings.Lines(deployed(t, "Dockerfile")) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "ENV":
			for pair := range strings.FieldsSeq(rest) {
				name, value, _ := strings.Cut(pair, "=")
				env[name] = value
			}
		case "CMD":
			decode(t, "CMD", rest, &command)
		}
	}
	return env, command
}

// TestDockerfile: an image runs by itself.
func TestDockerfile(t *testing.T) {
	env, command := dockerfile(t)
	s := started{args: command, env: env}
	if c := s.serves(t); c.Data != "/data" || c.Listen != "0.0.0.0:8080" {
		t.Errorf("data in %s, listens at %s", c.Data, c.Listen)
	}
}

// composeFile is as much of the Compose specification as is used.
type composeFile struct {
	Extensions map[string]any `yaml:",inline"`
	Services   map[string]struct {
		Image       string
		Build       string
		Entrypoint  []string
		Command     []string
		Environment map[string]string
		Profiles    []string
		Ports       []string
		Volumes     []string
		Networks    any
		NetworkMode string `yaml:"network_mode"`
		DependsOn   any    `yaml:"depends_on"`
		Restart     string
		Grace       string   `yaml:"stop_grace_period"`
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Healthcheck map[string]any
	}
	Networks map[string]any
	Volumes  map[string]any
}

var interpolation = regexp.MustCompile(`\$\{(\w+):-([^}]*)\}`)

// TestCompose: what docker-compose.yml starts exists, and takes its settings.
func TestCompose(t *testing.T) {
	var file composeFile
	decode(t, "docker-compose.yml", interpolation.ReplaceAllString(deployed(t, "docker-compose.yml"), "$2"), &file)
	for name := range file.Extensions {
		if !strings.HasPrefix(name, "x-") {
			t.Errorf("unknown section %s", name)
		}
	}
	image, _ := dockerfile(t)
	peers, hosts := named(t, file.Services["identity"].Command)
	external, _ := named(t, file.Services["servers"].Command)
	targets := deployed(t, "deploy/prometheus/prometheus.yml")
	replicas := 0
	for name, s := range file.Services {
		t.Run(name, func(t *testing.T) {
			for _, v := range s.Volumes {
				source, _, _ := strings.Cut(v, ":")
				_, declared := file.Volumes[source]
				if strings.HasPrefix(source, ".") {
					deployedPath(t, source)
				} else if !declared && source != v {
					t.Errorf("the volume %s is not declared", source)
				}
			}
			if strings.HasPrefix(s.Image, "nats:") { // what its entrypoint copies
				if _, err := os.Stat(filepath.Join(external, "knell", s.Command[0], "nats.conf")); err != nil {
					t.Error(err)
				}
			}
			if s.Image != "knell" {
				return
			}
			run := started{args: s.Command, image: image, env: s.Environment, identity: external}
			if !slices.Contains(s.Profiles, "external") {
				run.identity = peers
			}
			if s.Command[0] != "serve" {
				run.parse(t)
				return
			}
			replicas++
			c := run.serves(t)
			grace, err := time.ParseDuration(s.Grace)
			if err != nil {
				t.Fatal(err)
			}
			stops(t, c, grace)
			if a := c.Seen.PrivateListen; a != "" && !strings.Contains(targets, `"`+string(a)+`"`) {
				t.Errorf("Prometheus does not look at %s", a)
			}
			for _, a := range slices.Concat(c.Cluster.Routes, c.Cluster.Join) {
				if !slices.Contains(hosts, host(a)) {
					t.Errorf("%s has no certificate", a)
				}
			}
			if test := s.Healthcheck["test"].([]any); test[0] != "CMD" || test[1] != "knell" {
				t.Errorf("health check %v", test)
			} else {
				var check started
				for _, arg := range test[2:] {
					check.args = append(check.args, arg.(string))
				}
				check.command(t)
			}
		})
	}
	if replicas != 7 {
		t.Errorf("%d replicas, want three, one that joins, and three on NATS servers", replicas)
	}
}

// command fails the test unless the command line is one of knell's.
func (s *started) command(t *testing.T) {
	t.Helper()
	parser, err := newParser(&cli{}, &terminal{in: os.Stdin, out: io.Discard, err: io.Discard})
	if err == nil {
		_, err = parser.Parse(s.args)
	}
	if err != nil {
		t.Errorf("knell %s: %v", strings.Join(s.args, " "), err)
	}
}

// deployedPath fails the test unless the file or directory is in the repository.
func deployedPath(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
		t.Error(err)
	}
}

// TestSystemd: the unit starts knell with the settings that docs/deploy.md proposes, and gives it the time to stop.
func TestSystemd(t *testing.T) {
	page := deployed(t, "docs/deploy.md")
	_, block, found := strings.Cut(page, "```ini\n# /etc/knell/knell.env\n")
	block, _, _ = strings.Cut(block, "```")
	if !found {
		t.Fatal("docs/deploy.md has no /etc/knell/knell.env")
	}
	dir, _ := identities(t, documented(t, "r1=10.")...)
	run := started{env: map[string]string{}, identity: filepath.Join(dir, "r1")}
	grace := time.Duration(0)
	for line := range strings.Lines(block + deployed(t, "deploy/systemd/knell.service")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case strings.HasPrefix(name, "KNELL_"):
			run.env[name] = strings.ReplaceAll(value, "/etc/knell/identity", "/identity")
		case name == "ExecStart":
			run.args = strings.Fields(value)[1:]
		case name == "TimeoutStopSec":
			seconds, err := time.ParseDuration(value + "s")
			if err != nil {
				t.Fatal(err)
			}
			grace = seconds
		}
	}
	stops(t, run.serves(t), grace)
}

// TestDefaultName: a replica that joins is called as its host is, if it can be.
func TestDefaultName(t *testing.T) {
	name := defaultName(joined)
	if full, err := os.Hostname(); err != nil || name != "" && !strings.HasPrefix(strings.ToLower(full), name) {
		t.Errorf("%q on %q: %v", name, full, err)
	}
	if defaultName(clustered) != "" || defaultName(standalone) != standaloneName {
		t.Error("others have no such name")
	}
}
