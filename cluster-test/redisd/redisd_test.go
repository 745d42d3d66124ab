package redisd

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
)

// What was written survives a crash of the server, which comes back at the same address.
func TestKillAndStart(t *testing.T) {
	s, err := New(t.Context(), t.TempDir())
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	if Version(t.Context()) == "" || s.PID() <= 0 {
		t.Errorf("version %q, process %d", Version(t.Context()), s.PID())
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Kill()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "k").Result(); err != nil || got != "v" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := New(t.Context(), t.TempDir()); !errors.Is(err, ErrMissing) {
		t.Errorf("error %v", err)
	}
	if v := Version(t.Context()); v != "" {
		t.Errorf("version %q", v)
	}
}
