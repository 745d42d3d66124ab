package replica

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crowdOrder makes this test binary a crowd of clients, in a process of its own: what they take of processors and memory is not the
// replica's. It is the crowd's order in JSON.
const crowdOrder = "KNELL_TEST_CROWD"

func TestMain(m *testing.M) {
	if order := os.Getenv(crowdOrder); order != "" {
		if err := runCrowd(order); err != nil {
			fmt.Fprintln(os.Stderr, "crowd:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// order is what a crowd has to do.
type order struct {
	Address, Token string
	Clients        int
	Timed          bool // note how late each event is, at every tenth client
}

// summary is what a crowd says at its end. Times are in milliseconds.
type summary struct {
	P50, P99, Max float64
	CPU           time.Duration // of the crowd
	Reads         int64
}

// crowd is many clients of a stream on one thread, as cheap as they can be: each reads when there is something, and counts.
type crowd struct {
	order
	poll    int
	clients []crowdClient
	byFD    map[int32]*crowdClient
	buf     []byte
	late    []time.Duration
	reads   int64
}

type crowdClient struct {
	fd    int
	timed bool
	count int64
	kept  [16]byte // the end of what was read: a mark may be cut in two
	n     int
}

// runCrowd opens the streams and says "ready"; then it says how many events the one has that is behind most, whenever that has changed,
// and at the end of its input the summary.
func runCrowd(text string) error {
	c := &crowd{buf: make([]byte, 256<<10), byFD: map[int32]*crowdClient{}}
	if err := json.Unmarshal([]byte(text), &c.order); err != nil {
		return err
	}
	var err error
	if c.poll, err = unix.EpollCreate1(0); err != nil {
		return err
	}
	c.clients = make([]crowdClient, c.Clients)
	for i := range c.clients {
		c.clients[i].timed = c.Timed && i%10 == 0
		if err := c.open(&c.clients[i]); err != nil {
			return err
		}
	}
	if err := unix.EpollCtl(c.poll, unix.EPOLL_CTL_ADD, 0, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		return err
	}
	fmt.Println("ready")
	if err := c.follow(); err != nil {
		return err
	}
	s := summary{CPU: processorTime(), Reads: c.reads}
	if len(c.late) > 0 {
		slices.Sort(c.late)
		at := func(share float64) float64 {
			return float64(c.late[int(share*float64(len(c.late)-1))].Microseconds()) / 1000
		}
		s.P50, s.P99, s.Max = at(0.5), at(0.99), at(1)
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

// open begins a stream and reads the head of the answer.
func (c *crowd) open(k *crowdClient) (err error) {
	to, err := netip.ParseAddrPort(c.Address)
	if err != nil {
		return err
	}
	if k.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
		return err
	}
	if err := unix.Connect(k.fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return err
	}
	request := fmt.Sprintf("GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nAccept: text/event-stream\r\n\r\n", c.Token)
	if _, err := unix.Write(k.fd, []byte(request)); err != nil {
		return err
	}
	n, err := unix.Read(k.fd, c.buf)
	if err != nil || !bytes.HasPrefix(c.buf[:max(n, 0)], []byte("HTTP/1.1 200")) {
		return fmt.Errorf("%w: %.200s", err, c.buf[:max(n, 0)])
	}
	c.byFD[int32(k.fd)] = k
	return unix.EpollCtl(c.poll, unix.EPOLL_CTL_ADD, k.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(k.fd)})
}

// follow reads until the input ends.
func (c *crowd) follow() error {
	ready := make([]unix.EpollEvent, 256)
	said := int64(0)
	for {
		n, err := unix.EpollWait(c.poll, ready, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		for _, r := range ready[:n] {
			if r.Fd == 0 {
				return nil
			}
			if err := c.read(c.byFD[r.Fd]); err != nil {
				return err
			}
		}
		if c.Timed && n == len(ready) {
			continue
		}
		least := c.clients[0].count
		for i := range c.clients {
			least = min(least, c.clients[i].count)
		}
		if least != said {
			said = least
			fmt.Println(least)
		}
	}
}

var timeMark = []byte(`"time":"`)

func (c *crowd) read(k *crowdClient) error {
	copy(c.buf, k.kept[:k.n])
	n, err := unix.Read(k.fd, c.buf[k.n:])
	if err != nil || n == 0 {
		return fmt.Errorf("a stream ended: %v", err)
	}
	c.reads++
	all := c.buf[:k.n+n]
	k.count += int64(bytes.Count(all, dataMark))
	if k.timed {
		c.time(all[k.n:])
	}
	k.n = copy(k.kept[:len(dataMark)-1], all[max(0, len(all)-len(dataMark)+1):])
	return nil
}

// time notes how old the events are of a part that was read.
func (c *crowd) time(part []byte) {
	for {
		i := bytes.Index(part, timeMark)
		if i < 0 {
			return
		}
		part = part[i+len(timeMark):]
		if end := bytes.IndexByte(part, '"'); end > 0 {
			if at, err := time.Parse(time.RFC3339Nano, string(part[:end])); err == nil {
				c.late = append(c.late, time.Since(at))
			}
		}
	}
}

// following is a crowd that is at work.
type following struct {
	b     *testing.B
	cmd   *exec.Cmd
	stop  io.Closer
	lines *bufio.Scanner
}

// crowd starts clients, and returns when each has its stream.
func (a *benchAudit) crowd(clients int, timed bool) *following {
	return a.crowdAt(a.address, clients, timed)
}

// crowdAt does the same at another server.
func (a *benchAudit) crowdAt(address string, clients int, timed bool) *following {
	text, err := json.Marshal(order{address, a.token, clients, timed})
	if err != nil {
		a.b.Fatal(err)
	}
	f := &following{b: a.b, cmd: exec.Command(os.Args[0])}
	f.cmd.Env = append(os.Environ(), crowdOrder+"="+string(text), "GOMAXPROCS=1")
	f.cmd.Stderr = os.Stderr
	in, err := f.cmd.StdinPipe()
	if err != nil {
		a.b.Fatal(err)
	}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		a.b.Fatal(err)
	}
	f.stop, f.lines = in, bufio.NewScanner(out)
	if err := f.cmd.Start(); err != nil {
		a.b.Fatal(err)
	}
	if f.line() != "ready" {
		a.b.Fatal("no crowd")
	}
	return f
}

func (f *following) line() string {
	if !f.lines.Scan() {
		f.b.Fatalf("the crowd has ended: %v", f.lines.Err())
	}
	return f.lines.Text()
}

// await waits until each client has count events.
func (f *following) await(count int64) {
	for least := int64(0); least < count; {
		var err error
		if least, err = strconv.ParseInt(f.line(), 10, 64); err != nil {
			f.b.Fatal(err)
		}
	}
}

// end ends the crowd and returns what it has to say.
func (f *following) end() (s summary) {
	f.stop.Close()
	text := f.line()
	for !strings.HasPrefix(text, "{") {
		text = f.line()
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		f.b.Fatal(err)
	}
	if err := f.cmd.Wait(); err != nil {
		f.b.Fatal(err)
	}
	return s
}
