package main

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestSignals: the first signal stops, one right after it is the same one, and one after that ends the process.
func TestSignals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, done, events := make(chan os.Signal), make(chan struct{}), make(chan string, 3)
		go func() {
			followSignals(c, done, func() { events <- "stop" }, func(s os.Signal) { events <- "force " + s.String() })
			events <- "end"
		}()
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			got := "nothing"
			select {
			case got = <-events:
			default:
			}
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		time.Sleep(time.Minute)
		expect("nothing")
		c <- syscall.SIGTERM
		expect("stop")
		time.Sleep(signalPair / 2)
		c <- syscall.SIGTERM
		expect("nothing")
		time.Sleep(signalPair)
		c <- syscall.SIGINT
		expect("force interrupt")
		expect("end")

		go func() {
			followSignals(c, done, func() { events <- "stop" }, nil)
			events <- "end"
		}()
		c <- syscall.SIGTERM
		expect("stop")
		time.Sleep(signalPair + 1) // from now on the default effect has to be back
		expect("end")

		go func() {
			followSignals(c, done, func() { events <- "stop" }, nil)
			events <- "end"
		}()
		close(done)
		expect("end")
	})
}
