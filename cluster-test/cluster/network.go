package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// network is two bridges in the namespace of this process, one for clients and one for routes, and one namespace for each
// replica with a link to each bridge. All of it ends with the processes that hold the namespaces.
type network struct {
	places  []place
	holders []*exec.Cmd // each keeps one namespace
	ca      *authority
}

// The bridges and their networks. They are in a namespace of their own: nothing outside of the sandbox can meet them.
const (
	clientBridge = "kn-clients"
	routeBridge  = "kn-routes"
	clientNet    = "10.201.0."
	routeNet     = "10.202.0."
	hostNumber   = 1
	firstReplica = 11
)

func newNetwork(replicas int) (*network, error) {
	if !Sandboxed() {
		return nil, errors.New("cluster: namespaces are made in a sandbox only")
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	n := &network{ca: ca}
	if err := n.bridges(); err != nil {
		return nil, errors.Join(err, n.close())
	}
	for i := range replicas {
		if err := n.join(i); err != nil {
			return nil, errors.Join(err, n.close())
		}
	}
	return n, nil
}

func (n *network) bridges() error {
	for _, b := range []string{clientBridge, routeBridge} {
		if err := run("ip", "link", "add", b, "type", "bridge", "forward_delay", "0"); err != nil {
			return err
		}
		if err := run("ip", "link", "set", b, "up"); err != nil {
			return err
		}
	}
	return run("ip", "addr", "add", fmt.Sprintf("%s%d/24", clientNet, hostNumber), "dev", clientBridge)
}

// join makes the namespace of replica i and links it to both bridges.
func (n *network) join(i int) error {
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = namespaceAttributes()
	if err := holder.Start(); err != nil {
		return fmt.Errorf("cluster: namespace of replica %d: %w", i, err)
	}
	n.holders = append(n.holders, holder)
	pid := fmt.Sprint(holder.Process.Pid)
	enter := []string{"nsenter", "--target", pid, "--net"}
	inside := func(args ...string) error { return run(append(append([]string(nil), enter...), args...)...) }
	if err := inside("ip", "link", "set", "lo", "up"); err != nil {
		return err
	}
	for _, l := range []struct{ outer, inner, bridge, net string }{
		{clientLink(i), "clients", clientBridge, clientNet},
		{routeLink(i), "routes", routeBridge, routeNet},
	} {
		err := errors.Join(
			run("ip", "link", "add", l.outer, "type", "veth", "peer", "name", l.inner, "netns", pid),
			run("ip", "link", "set", l.outer, "master", l.bridge, "up"),
			inside("ip", "addr", "add", fmt.Sprintf("%s%d/24", l.net, firstReplica+i), "dev", l.inner),
			inside("ip", "link", "set", l.inner, "up"),
		)
		if err != nil {
			return err
		}
	}
	n.places = append(n.places, place{
		http:  fmt.Sprintf("%s%d:8080", clientNet, firstReplica+i),
		route: fmt.Sprintf("%s%d:6222", routeNet, firstReplica+i),
		join:  fmt.Sprintf("%s%d:7422", routeNet, firstReplica+i),
		enter: enter,
	})
	return nil
}

func clientLink(i int) string { return fmt.Sprintf("kn-c%d", i) }
func routeLink(i int) string  { return fmt.Sprintf("kn-r%d", i) }

// cut takes the route link of replica i off its bridge. Both ends stay up: packets vanish, as behind a broken switch.
func (n *network) cut(i int) error { return run("ip", "link", "set", routeLink(i), "nomaster") }

func (n *network) mend(i int) error {
	return run("ip", "link", "set", routeLink(i), "master", routeBridge)
}

// certificate writes certificate, key and CA for a server at the given route address into dir and returns the arguments
// that name them.
func (n *network) certificate(dir, route string) ([]string, error) {
	host, _, err := net.SplitHostPort(route)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	cert, key, err := n.ca.issue(net.ParseIP(host))
	if err != nil {
		return nil, err
	}
	var args []string
	for _, f := range []struct {
		flag string
		pem  []byte
	}{{"route-cert", cert}, {"route-key", key}, {"route-ca", n.ca.pem}} {
		path := filepath.Join(dir, f.flag+".pem")
		if err := os.WriteFile(path, f.pem, 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--"+f.flag, path)
	}
	return args, nil
}

// close removes the bridges and ends the namespaces, and with them the links.
func (n *network) close() error {
	for _, h := range n.holders {
		_ = h.Process.Kill()
		_ = h.Wait() // says that it was killed
	}
	return errors.Join(run("ip", "link", "del", clientBridge), run("ip", "link", "del", routeBridge))
}

// run runs a command of the system.
func run(args ...string) error {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cluster: %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// mountDisk mounts an empty file system in memory of the given size at dir.
func mountDisk(dir string, bytes int64) error {
	if !Sandboxed() {
		return errors.New("cluster: disks are mounted in a sandbox only")
	}
	return run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=700", bytes), "knell-disk", dir)
}

func unmount(dir string) error { return run("umount", dir) }
