package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/knell-auth/knell/internal/natsd"
)

// serverCount is the number of NATS servers that keep the log of an external cluster.
const serverCount = 3

// buildTimeout bounds the compilation of nats-server.
const buildTimeout = 5 * time.Minute

// servers prepares NATS servers as an operator would run them, and returns the arguments that lead replicas to them.
func (c *Cluster) servers() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	binary, err := buildNATS(ctx, c.cfg.Dir)
	if err != nil {
		return nil, err
	}
	const each = 3
	ports, err := natsd.LoopbackRoutes(each * serverCount)
	if err != nil {
		return nil, err
	}
	var urls, routes []string
	for i := range serverCount {
		urls, routes = append(urls, "nats://"+ports[each*i]), append(routes, "nats://"+ports[each*i+1])
	}
	password := rand.Text()
	for i := range serverCount {
		s := c.process(fmt.Sprintf("n%d", i), binary, nil)
		s.URL, s.probe = "http://"+ports[each*i+2], "/healthz"
		config := s.Data + ".conf"
		s.args = []string{"--config", config}
		text := fmt.Sprintf(serverConfig, s.Name, ports[each*i], ports[each*i+2], ports[each*i+1], strings.Join(routes, ", "), s.Data, password)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, err
		}
		c.Servers = append(c.Servers, s)
	}
	file := filepath.Join(c.cfg.Dir, "nats-user")
	if err := os.WriteFile(file, []byte("knell:"+password+"\n"), 0o600); err != nil {
		return nil, err
	}
	return []string{"--nats-url", strings.Join(urls, ","), "--nats-user-file", file, "--nats-sync-attested"}, nil
}

// serverConfig is the configuration of one server. Times are those of the replicas' logs.
const serverConfig = `server_name: %s
listen: %q
http: %q
logtime_utc: true
cluster { name: nats, listen: %q, routes: [%s] }
jetstream { store_dir: %q, sync_interval: always }
system_account: SYS
accounts { SYS: {}, KNELL: { jetstream: enabled, users: [{ user: knell, password: %q }] } }
`
