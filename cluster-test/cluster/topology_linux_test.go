package cluster

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// argument returns the value of a flag in the arguments of a replica, "" when it is not there.
func argument(r *Replica, flag string) string {
	if i := slices.Index(r.args, flag); i >= 0 {
		return r.args[i+1]
	}
	return ""
}

func TestJoinedReplicasComeLast(t *testing.T) {
	c, err := New(Config{Dir: t.TempDir(), Binary: "/bin/true", Replicas: 5, Joined: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Replicas) != 7 || c.cfg.Count() != 7 {
		t.Fatalf("%d replicas", len(c.Replicas))
	}
	var listen, routes []string
	for i, r := range c.Replicas {
		if joins := i >= 5; joins != (argument(r, "--join") != "") || joins == (argument(r, "--routes") != "") || joins == (argument(r, "--replicas") == "5") {
			t.Errorf("replica %d: %v", i, r.args)
		}
		listen, routes = append(listen, argument(r, "--join-listen")), append(routes, argument(r, "--cluster-listen"))
	}
	if got := argument(c.Replicas[6], "--join"); got != strings.Join(listen[:5], ",") {
		t.Errorf("joins %s, listening are %v", got, listen)
	}
	if got := argument(c.Replicas[0], "--routes"); got != strings.Join(routes[:5], ",") {
		t.Errorf("routes %s, listening are %v", got, routes)
	}

	if c.Attached(6) != -1 {
		t.Error("it is attached before it ran")
	}
	log := "time=2026-01-02T03:04:05.100Z level=DEBUG msg=\"nats-server: " + listen[1] + " - lid:7 - Leafnode connection created for account: KNELL \" server=r6\n" +
		"time=2026-01-02T03:04:06.100Z level=DEBUG msg=\"nats-server: " + listen[3] + " - lid:8 - Leafnode connection created for account: KNELL \" server=r6\n"
	if err := os.WriteFile(c.Replicas[6].logFile, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := c.Attached(6); got != 3 {
		t.Errorf("attached to %d, want 3", got)
	}
}

func TestExternalLeads(t *testing.T) {
	c := Cluster{cfg: Config{External: true}}
	for _, log := range []string{
		"[12] 2026/01/02 03:04:05.100000 [INF] JetStream cluster new stream leader for 'KNELL > KNELL'\n",
		"[13] 2026/01/02 03:04:06.100000 [INF] JetStream cluster new stream leader for 'KNELL > KNELL'\n[13] 2026/01/02 03:04:07.100000 [INF] Server is ready\n",
	} {
		s := shell(t, "exit")
		s.probe = "/healthz"
		if err := os.WriteFile(s.logFile, []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Servers = append(c.Servers, s)
	}
	if got := c.Leader(); got != 1 {
		t.Errorf("leader %d, want 1", got)
	}
}

func TestExternalAloneOnLoopback(t *testing.T) {
	if _, err := New(Config{Dir: t.TempDir(), External: true, Joined: 1}); err == nil {
		t.Error("a replica joins servers elsewhere")
	}
}
