package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/knell-auth/knell/cluster-test/wire"
)

// network is a bridge for clients in the namespace of this process, a switch for routes (package wire), and one namespace
// for each replica with a link to both. All of it ends with the processes that hold the namespaces and the switch.
type network struct {
	places  []place
	holders []*exec.Cmd // each keeps one namespace
	routes  *wire.Switch
	ca      *authority
}

// The bridge and the networks. They are in a namespace of their own: nothing outside of the sandbox can meet them.
const (
	clientBridge = "kn-clients"
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
	if err := errors.Join(n.bridge(), n.wire(replicas)); err != nil {
		return nil, errors.Join(err, n.close())
	}
	for i := range replicas {
		if err := n.join(i); err != nil {
			return nil, errors.Join(err, n.close())
		}
	}
	return n, nil
}

func (n *network) bridge() error {
	return errors.Join(
		run("ip", "link", "add", clientBridge, "type", "bridge", "forward_delay", "0"),
		run("ip", "link", "set", clientBridge, "up"),
		run("ip", "addr", "add", fmt.Sprintf("%s%d/24", clientNet, hostNumber), "dev", clientBridge),
	)
}

// wire makes the links between replicas.
func (n *network) wire(replicas int) (err error) {
	var names []string
	var addrs []netip.Addr
	for i := range replicas {
		names = append(names, routeLink(i))
		addrs = append(addrs, netip.MustParseAddr(fmt.Sprintf("%s%d", routeNet, firstReplica+i)))
	}
	n.routes, err = wire.Open(names, addrs, uint64(replicas))
	return err
}

// join makes the namespace of replica i and links it to the bridge and to the switch.
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
	err := errors.Join(
		run("ip", "link", "add", clientLink(i), "type", "veth", "peer", "name", "clients", "netns", pid),
		run("ip", "link", "set", clientLink(i), "master", clientBridge, "up"),
		run("ip", "link", "set", routeLink(i), "netns", pid),
		inside("ip", "addr", "add", fmt.Sprintf("%s%d/24", clientNet, firstReplica+i), "dev", "clients"),
		inside("ip", "addr", "add", fmt.Sprintf("%s%d/24", routeNet, firstReplica+i), "dev", routeLink(i)),
		inside("ip", "link", "set", "clients", "up"),
		inside("ip", "link", "set", routeLink(i), "up"),
	)
	if err != nil {
		return err
	}
	n.places = append(n.places, place{
		http:  fmt.Sprintf("%s%d:8080", clientNet, firstReplica+i),
		route: fmt.Sprintf("%s%d:6222", routeNet, firstReplica+i),
		enter: enter,
	})
	return nil
}

func clientLink(i int) string { return fmt.Sprintf("kn-c%d", i) }
func routeLink(i int) string  { return fmt.Sprintf("kn-r%d", i) }

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

// close ends the switch and the namespaces, and with them the links, and removes the bridge.
func (n *network) close() error {
	var errs []error
	if n.routes != nil {
		errs = append(errs, n.routes.Close())
	}
	for i := range n.places { // at once: the kernel takes its time with the namespaces, and the next network needs the names
		errs = append(errs, run("ip", "link", "del", clientLink(i)))
	}
	for _, h := range n.holders {
		_ = h.Process.Kill()
		_ = h.Wait() // says that it was killed
	}
	return errors.Join(append(errs, run("ip", "link", "del", clientBridge))...)
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
