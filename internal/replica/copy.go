package replica

import (
	"context"
	"time"
)

// copyGrace is how long a message may take to the copy that this replica has applied: it arrives on another way.
const copyGrace = 250 * time.Millisecond

// copyPatience is how long a replica that starts gives its copy to come as far as the replica is, before it looks how far that is now:
// under load a slow disk is behind all the time, and counts for the majority.
const copyPatience = 3 * time.Second

// awaitCopy closes whole when this replica's copy of the log has what the replica has applied, or there is none to hold. Whoever restarts
// one replica after the other takes its /readyz for the word that the next one may go: two of three copies would be away if it came
// before. So it comes however late; meanwhile the replica answers all else, and people are told.
func (r *Replica) awaitCopy(ctx context.Context, whole chan<- struct{}) {
	began, next := time.Now(), time.Duration(0)
	for !r.copyCurrent(ctx, copyPatience) {
		if ctx.Err() != nil {
			return
		}
		if elapsed := time.Since(began); elapsed >= next {
			end, _ := r.server.CopyEnd()
			r.log.Warn("this replica's copy of the log is behind: it serves, and /readyz stays red until the copy is whole; do not stop another replica before",
				"copy", end, "applied", r.node.Status().Applied, "since", elapsed.Round(time.Second))
			next = elapsed + repeatEvery
		}
	}
	if next > 0 {
		r.log.Info("this replica's copy of the log is whole", "after", time.Since(began).Round(time.Second))
	}
	close(whole)
}

// copyCurrent reports whether this replica's copy of the log has all that the replica has applied, or there is none to hold. It waits
// for that.
func (r *Replica) copyCurrent(ctx context.Context, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return r.server.AwaitCopy(ctx, r.node.Status().Applied)
}

// copyNow is copyCurrent, for who wants to know at once.
func (r *Replica) copyNow(ctx context.Context) bool { return r.copyCurrent(ctx, copyGrace) }

// logCopy says how this replica's copy of the log stands: "current"; "behind", so that the others may not be able to do without one
// more; or "" when there is none.
func (r *Replica) logCopy() string {
	_, open := r.server.CopyEnd()
	switch {
	case !open:
		return ""
	case r.copyNow(r.requests.ctx):
		return "current"
	}
	return "behind"
}
