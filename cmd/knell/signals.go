package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// signalPair is the time in which a second signal counts as the first one: timeout(1) and some supervisors signal a process
// and then its group, which it is part of.
const signalPair = 200 * time.Millisecond

// untilSignal returns a context that ends at the first of the signals. A later one calls force, or has its default effect,
// which ends the process at once, when force is nil. release has to be called at the end.
func untilSignal(ctx context.Context, force func(os.Signal), signals ...os.Signal) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancel(ctx)
	c := make(chan os.Signal, 4)
	signal.Notify(c, signals...)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		defer signal.Stop(c)
		followSignals(c, done, cancel, force)
	})
	return ctx, func() {
		close(done)
		watch.Wait()
		cancel()
	}
}

// followSignals calls stop at the first signal and force, unless it is nil, at the first one that is not that again. It
// returns when there is nothing more to do or done is closed.
func followSignals(c <-chan os.Signal, done <-chan struct{}, stop func(), force func(os.Signal)) {
	select {
	case <-c:
		stop()
	case <-done:
		return
	}
	for pair := time.After(signalPair); pair != nil; {
		select {
		case <-c:
		case <-pair:
			pair = nil
		case <-done:
			return
		}
	}
	if force == nil {
		return
	}
	select {
	case s := <-c:
		force(s)
	case <-done:
	}
}

// onHangup calls reload at each SIGHUP until release is called. Then the signal ends the process again.
func onHangup(reload func()) (release func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		defer signal.Stop(c)
		for {
			select {
			case <-c:
				reload()
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		watch.Wait()
	}
}
