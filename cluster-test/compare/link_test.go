package compare

import (
	"bufio"
	"net"
	"testing"
	"time"
)

// echo answers each line with itself.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with l, its connections with their clients
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				lines := bufio.NewReader(c)
				for {
					line, err := lines.ReadBytes('\n')
					if err != nil {
						return
					}
					if _, err := c.Write(line); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// said is what comes over a connection.
func said(t *testing.T, c net.Conn) <-chan string {
	lines := make(chan string, 10)
	go func() { // ends with c
		defer close(lines)
		for s := bufio.NewScanner(c); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

func TestLink(t *testing.T) {
	k, err := newLink(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", k.addr())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	write := func(c net.Conn, text string) {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	hears := func(lines <-chan string, want string) {
		t.Helper()
		if got := <-lines; got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	before := dial()
	heard := said(t, before)
	write(before, "one\n")
	hears(heard, "one")

	k.cut()
	write(before, "two\n")
	during := dial()
	heardLater := said(t, during)
	write(during, "three\n")
	// That nothing comes cannot be awaited; a deadline that has passed shows that nothing has come and nothing was reset.
	select {
	case line, open := <-heard:
		t.Errorf("heard %q through a cut link (open %v)", line, open)
	case line, open := <-heardLater:
		t.Errorf("heard %q through a cut link (open %v)", line, open)
	case <-time.After(20 * time.Millisecond):
	}
	k.mend()
	hears(heard, "two")
	hears(heardLater, "three")

	if err := k.close(); err != nil {
		t.Error(err)
	}
	if line, open := <-heard; open {
		t.Errorf("heard %q after the end", line)
	}
}

// Who connects to a dead store is told so.
func TestLinkToNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	k, err := newLink(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	c, err := net.Dial("tcp", k.addr())
	if err != nil {
		t.Fatal(err)
	}
	if line, open := <-said(t, c); open {
		t.Errorf("heard %q from nobody", line)
	}
}
