package wire

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Open makes a network interface in the namespace of this process for each name, and connects them. They can be moved to
// other namespaces; there, each has to get its address. Packets go by their destination, without Ethernet around them.
func Open(names []string, addrs []netip.Addr, seed uint64) (*Switch, error) {
	var ports []io.ReadWriteCloser
	for _, name := range names {
		p, err := tun(name)
		if err != nil {
			for _, p := range ports {
				err = errors.Join(err, p.Close())
			}
			return nil, fmt.Errorf("wire: interface %s: %w", name, err)
		}
		ports = append(ports, p)
	}
	return newSwitch(ports, addrs, seed), nil
}

func tun(name string) (*os.File, error) {
	fd, err := unix.Open(Device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: Device, Err: err}
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), Device), nil
}

// Supported returns why this process cannot make a switch, nil when it can.
func Supported() error {
	s, err := Open([]string{"kn-probe"}, []netip.Addr{{}}, 0)
	if err != nil {
		return err
	}
	return s.Close()
}
