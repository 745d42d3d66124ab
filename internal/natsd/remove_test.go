package natsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// TestRemoveMember: one that is gone for good is taken out, and another one, under a name of its own and with an empty directory, takes over
// its copy of the log. One with the same name and an empty directory takes its place without more ado.
func TestRemoveMember(t *testing.T) {
	c := startCluster(t, nil)
	a := c.servers[0]
	ctx := testContext(t)
	for _, name := range []string{"n1", "n2", "n9"} {
		if err := a.RemoveMember(ctx, name); !errors.Is(err, ErrMember) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.servers[2].Kill()
	same := c.cfgs[2]
	same.Dir = t.TempDir()
	c.servers[2] = startTest(t, same)
	c.awaitWhole(t)

	c.servers[2].Kill()
	retry(t, func(context.Context) error { return a.RemoveMember(ctx, "n3") }) // the end of a link may come a moment later
	if list := a.Members(); slices.Contains(list, "n3") {
		t.Errorf("members are %v", list)
	}
	// It has another address: the others get to know it one after the other.
	routes := []string{c.cfgs[0].Cluster.Listen, c.cfgs[1].Cluster.Listen, freeAddrs(t, 1)[0]}
	for i := range c.cfgs {
		cluster := *c.cfgs[i].Cluster
		cluster.Listen, cluster.Routes = routes[i], routes
		c.cfgs[i].Cluster = &cluster
	}
	c.cfgs[2].Dir, c.cfgs[2].Name = t.TempDir(), "n4"
	for i, cfg := range c.cfgs {
		if i < 2 {
			if err := c.servers[i].Stop(ctx); err != nil {
				t.Fatal(err)
			}
		}
		c.servers[i] = startTest(t, cfg)
		c.append(t, i)
	}
	a = c.servers[0]
	retry(t, func(ctx context.Context) error {
		holders, err := a.holders(ctx)
		if err == nil && !slices.Equal(slices.Sorted(slices.Values(holders)), []string{"n1", "n2", "n4"}) {
			err = fmt.Errorf("copies are at %v", holders)
		}
		return err
	})
	c.awaitWhole(t)
	// Now one of the others may go.
	c.servers[1].Kill()
	c.append(t, 0)
}

// append returns when a server has appended to the log.
func (c *testCluster) append(t *testing.T, i int) {
	t.Helper()
	nc := connectTest(t, c.servers[i])
	defer nc.Close()
	retry(t, func(ctx context.Context) error {
		_, err := publish(ctx, nc, "knell.event.session.1")
		return err
	})
}
