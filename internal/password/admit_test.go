package password

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// A call is admitted when its turn has come, and no worker waits for that.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow(t, Config{Workers: 1, Queue: 1})
		asked := 0
		admitted := make(chan error)
		guess := s.Admitting(func() error {
			asked++
			return <-admitted
		})
		results := make(chan error, 8)
		try := func() {
			s.calls.Go(func() { results <- guess.VerifyUnknown(context.Background(), "password") })
			synctest.Wait()
		}
		for range 4 {
			try()
		}
		var busy *BusyError
		if err := <-results; !errors.As(err, &busy) || asked != 2 {
			t.Fatalf("%v; %d calls were asked for before one had left", err, asked)
		}
		admitted <- nil
		synctest.Wait()
		if st := s.Stats(); st.Running != 1 || s.Checks() != 1 || asked != 2 {
			t.Errorf("%+v after one admission, %d checks, %d asked", st, s.Checks(), asked)
		}
		// The second is refused while the first computes: it costs nothing, and the third comes up.
		admitted <- errors.New("refused")
		synctest.Wait()
		if err := <-results; err == nil || s.Checks() != 1 || asked != 3 {
			t.Errorf("%v; %d checks, %d asked", err, s.Checks(), asked)
		}
		admitted <- nil
		s.finishOne()
		s.finishOne()
		s.calls.Wait()
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if st := s.Stats(); st.Running+st.Queued != 0 || st.Rejected != 1 || s.Checks() != 2 {
			t.Errorf("left behind: %+v, %d checks", st, s.Checks())
		}
	})
}

// No kind of hash is looked at before it is admitted.
func TestEveryHashIsAdmitted(t *testing.T) {
	h := New(Config{Params: cheap})
	refused := errors.New("refused")
	guess := h.Admitting(func() error { return refused })
	for _, encoded := range []string{vectors[0].encoded, goodBcrypt, phcKDF, django} {
		if r, err := guess.Verify(t.Context(), encoded, "password"); r.OK || !errors.Is(err, refused) {
			t.Errorf("%s: %+v, %v", encoded, r, err)
		}
	}
	if err := guess.VerifyUnknown(t.Context(), "password"); !errors.Is(err, refused) {
		t.Errorf("an unknown account: %v", err)
	}
	if n := h.Checks(); n != 0 {
		t.Errorf("%d secrets were compared", n)
	}
}
