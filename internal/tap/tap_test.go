package tap

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nkeys"
)

// doors is a listener whose connections are pipes, for which time is that of a bubble.
type doors struct {
	conns  chan net.Conn
	closed chan struct{}
}

// Accept implements net.Listener.
func (d *doors) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (d *doors) Close() error {
	close(d.closed)
	return nil
}

// Addr implements net.Listener.
func (*doors) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// knock connects.
func (d *doors) knock(t *testing.T) net.Conn {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	d.conns <- theirs
	return ours
}

// opened runs f in a bubble with a tap that lets everybody in who has a key; the server behind it answers each PING.
func opened(t *testing.T, f func(t *testing.T, d *doors)) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{
			Stream: "KNELL", Inbox: "_EVENTS.", API: "$JS.API.",
			Admit: func(ctx context.Context, key string) (Pass, error) {
				return Pass{Grant: key, Consumer: "c", Context: ctx, Check: func() error { return nil }, Stop: func() {}}, nil
			},
			Dial: func(bool) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					defer theirs.Close()
					for in := bufio.NewReader(theirs); ; {
						if _, err := in.ReadString('\n'); err != nil {
							return
						}
						if _, err := io.WriteString(theirs, "PONG\r\n"); err != nil {
							return
						}
					}
				}()
				return ours, nil
			},
			Rewind: func(context.Context, string) error { return nil },
		})
		d := &doors{make(chan net.Conn), make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- s.Serve(d) }()
		f(t, d)
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if len(s.strangers) > 0 {
			t.Errorf("%d strangers are left", len(s.strangers))
		}
		for grant, g := range s.readers {
			if len(g.list) > 0 {
				t.Errorf("%d connections of %s are left", len(g.list), grant)
			}
		}
	})
}

// enter proves a key and waits for the answer to a PING.
func enter(conn net.Conn, key nkeys.KeyPair) error {
	if err := conn.SetDeadline(time.Now().Add(4 * time.Second)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	var info struct{ Nonce string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil {
		return err
	}
	public, _ := key.PublicKey()
	sig, err := key.Sign([]byte(info.Nonce))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, `CONNECT {"headers":true,"nkey":%q,"sig":%q}`+"\r\nPING\r\n", public, base64.RawURLEncoding.EncodeToString(sig)); err != nil {
		return err
	}
	if line, err = in.ReadString('\n'); err == nil && line != "PONG\r\n" {
		err = fmt.Errorf("told %q", line)
	}
	return err
}

// ended reports whether the other side has hung up.
func ended(conn net.Conn) bool {
	_ = conn.SetDeadline(time.Now().Add(time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	return err == io.EOF
}

// TestStrangers: however many connect and say nothing, who has a key gets in, at once.
func TestStrangers(t *testing.T) {
	opened(t, func(t *testing.T, d *doors) {
		key, _ := nkeys.CreateUser()
		first := d.knock(t)
		if err := enter(first, key); err != nil {
			t.Fatal(err)
		}
		for range 1100 {
			d.knock(t)
		}
		began := time.Now()
		if err := enter(d.knock(t), key); err != nil || time.Since(began) > time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if ended(first) {
			t.Error("who had come in has been sent away")
		}
	})
}

// TestOneReaderDoesNotTakeAll: the oldest connections of a grant make room for new ones of it, and for nobody else's; one that comes again
// and again has to wait.
func TestOneReaderDoesNotTakeAll(t *testing.T) {
	opened(t, func(t *testing.T, d *doors) {
		greedy, _ := nkeys.CreateUser()
		modest, _ := nkeys.CreateUser()
		other := d.knock(t)
		if err := enter(other, modest); err != nil {
			t.Fatal(err)
		}
		var list []net.Conn
		began := time.Now()
		for range beginBurst + 20 {
			c := d.knock(t)
			if err := enter(c, greedy); err != nil {
				t.Fatal(err)
			}
			list = append(list, c)
		}
		if took := time.Since(began); took < 19*beginEach {
			t.Errorf("%d connections within %v", len(list), took)
		}
		for i, c := range list {
			if ended(c) != (i < len(list)-maxEach) {
				t.Errorf("connection %d of %d has ended: %v", i, len(list), ended(c))
			}
		}
		if ended(other) {
			t.Error("the other reader has been sent away")
		}
	})
}
