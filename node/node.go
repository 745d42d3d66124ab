package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/internal/revoke"
	"github.com/knell-auth/knell/internal/token"
)

// Node is one replica. All methods are safe for concurrent use.
type Node struct {
	cfg   Config
	log   *slog.Logger
	clock clock
	life  life

	hot     hot
	keeping keeping
	signing signing
	hasher  *password.Hasher
	clients remembered // secrets of OAuth clients
	recent  recentRefreshes
	room    room
	jobs    chan func(context.Context) // background work that may be shed: attempts, rehashes

	// mu guards state: written by the apply loop alone, read by commands and first-seen verifications.
	mu    sync.RWMutex
	state *state

	wait   waiters
	ctx    context.Context // of all background work
	cancel context.CancelFunc
	work   crew
	closed sync.Once
	fenced chan struct{}
}

// life is one run of a replica over its directory.
type life struct {
	inc   events.ID // names this life
	prev  events.ID // the life before it in the same directory
	lock  *os.File
	level uint32 // newest schema level that it knows: events.Level, except in tests
	ids   sealer // of its events
}

// hot is what a verification reads: atomics and lock-free structures only. watches are the verifications that go on.
type hot struct {
	lease   atomic.Pointer[fence.Lease]
	sample  atomic.Bool // the next verification is to be timed
	cache   *token.Cache
	words   *revoke.Words
	access  *revoke.Words // flags of API keys and of users
	logTime atomic.Int64  // Unix seconds
	applied atomic.Uint64
	basic   remembered // user names and passwords; has a lock
	watches watches
	feed    feed
	index   index
	tiles   tileKeeper

	deliveries deliveries // to webhooks; each write of theirs is a verification
	counts     counts
}

// signing is what this replica makes and checks tokens with.
type signing struct {
	with    atomic.Pointer[signer] // nil unless every live replica knows these keys and they were not revoked; written under Node.mu
	revoked chan struct{}          // has an element when the keys were revoked
	gate    token.Verifier
}

// ready reports whether this replica may issue tokens.
func (s *signing) ready() bool { return s.with.Load() != nil }

// Start replays the log, from the newest snapshot on if there is one, joins, publishes this replica's signing keys and returns when it holds a lease and may issue
// tokens. ctx serves construction only. On error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Node, error) { return startAt(ctx, cfg, events.Level) }

// startAt is Start of a build that knows the schema level.
func startAt(ctx context.Context, cfg Config, level uint32) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n, err := prepare(cfg, level)
	if err != nil {
		return nil, err
	}
	if err := n.start(ctx); err != nil {
		n.keeping.fail(err) // unless something else failed first
		n.stop()
		if cause := n.fatalCause(); !errors.Is(err, cause) {
			err = cause
		}
		return nil, fmt.Errorf("node %s: %w", cfg.Name, err)
	}
	return n, nil
}

// prepare builds a node from its directory; nothing runs yet.
func prepare(cfg Config, level uint32) (*Node, error) {
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	id, err := loadIdentity(cfg.Dir, cfg.Alg)
	if err == nil {
		err = id.tooNew(level)
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger.With("node", cfg.Name), clock: newClock(faultsOf(cfg.Name)),
		life:   life{inc: events.NewID(), prev: id.previous(lock), lock: lock, level: level},
		hasher: password.New(cfg.Password), state: newState(), fenced: make(chan struct{}),
		jobs: make(chan func(context.Context), 256),
	}
	n.life.ids.init(id)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.cfg.Log = n.clock.faults.disturb(cfg.Log)
	n.hot.cache = token.NewCache(cfg.CacheTokens)
	n.hot.words, n.hot.access = n.state.words, n.state.access.live
	n.signing.revoked = make(chan struct{}, 1)
	n.signing.gate = token.Verifier{Issuer: cfg.Issuer, Audience: cfg.Audience, Key: n.accessKey}
	n.clients.key, n.hot.basic.key = newKey(), newKey()
	n.keeping.init(n, id)
	n.wait.init()
	n.hot.feed.init()
	n.hot.deliveries.init(n.ctx)
	n.hot.tiles.poke = make(chan struct{}, 1)
	n.state.leaves.unbound = cfg.Break&fence.UnboundLeaf != 0
	// The file names this life before the log does: the next life can then say which one it replaces, whatever happens.
	id.Incarnation, id.Lock = n.life.inc.String(), inode(lock)
	if err := id.save(cfg.Dir); err != nil {
		lock.Close()
		return nil, err
	}
	return n, nil
}

// start runs the goroutines and joins.
func (n *Node) start(ctx context.Context) error {
	if err := n.load(ctx); err != nil {
		return err
	}
	stopListen, err := n.cfg.Log.Listen(n.hear)
	if err != nil {
		return err
	}
	context.AfterFunc(n.ctx, stopListen)
	n.work.Go(n.follow)
	n.work.Go(n.keepTiles)
	for range 2 {
		n.work.Go(n.runJobs)
	}
	if err := n.awaitEpoch(ctx); err != nil {
		return err
	}
	if err := n.checkEpoch(); err != nil {
		return err
	}
	joined := &events.NodeJoined{Incarnation: n.life.inc, Replaces: n.life.prev, Version: n.cfg.Version, Level: n.life.level,
		Issuer: n.cfg.Issuer, Audience: n.cfg.Audience, Signature: n.signGone(n.life.prev)}
	if _, err := n.commit(ctx, n.newEvent(joined, n.cfg.Name, Origin{Actor: "system"}), plain); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	n.work.Go(n.keep)
	n.work.Go(n.endInTime)
	n.work.Go(n.showEvents)
	if err := n.awaitLease(ctx); err != nil {
		return err
	}
	if err := n.obtainKeys(ctx); err != nil {
		return err
	}
	n.work.Go(n.renewKeys)
	n.work.Go(n.retain)
	if !n.cfg.Limits.Webhooks.Off {
		n.work.Go(n.superviseWebhooks)
	}
	return nil
}

// awaitEpoch returns when the log has begun; the first replica of a new log begins it.
func (n *Node) awaitEpoch(ctx context.Context) error {
	stat, err := n.firstStat(ctx)
	if err != nil {
		return err
	}
	if stat.Last == 0 {
		start := n.newEvent(&events.LogStarted{HashKey: newKey()}, "", Origin{Actor: "system"})
		start.Epoch = events.NewID()
		n.life.ids.seal(start)
		if _, err := n.write(ctx, start); err != nil {
			return fmt.Errorf("begin log: %w", err)
		}
	}
	if err := n.until(ctx, n.keeping.begun); err != nil {
		return err
	}
	// A log that was restored has another epoch at its end than at its beginning, and this replica is to join in that of its end.
	return n.until(ctx, n.wait.await(stat.Last, n.hot.applied.Load))
}

// statTimeout bounds one question for the state of the log: in an election it is dropped without an answer.
const statTimeout = 2 * time.Second

// firstStat asks the log what it holds, again while it does not know: a stream that was created a moment ago may not be known
// everywhere, and one that has just lost its leader does not answer.
func (n *Node) firstStat(ctx context.Context) (events.Stat, error) {
	for {
		try, cancel := context.WithTimeout(ctx, statTimeout)
		stat, err := n.cfg.Log.Stat(try)
		cancel()
		if err == nil {
			return stat, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return stat, fmt.Errorf("%w: %w", ErrNotCurrent, err)
		case <-n.ctx.Done():
			return stat, ErrClosed
		}
	}
}

// awaitLease returns when the first lease is held.
func (n *Node) awaitLease(ctx context.Context) error { return n.until(ctx, n.keeping.granted) }

// until waits for c, the end of ctx or the end of the node.
func (n *Node) until(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotCurrent, context.Cause(ctx))
	case <-n.ctx.Done():
		return ErrClosed
	}
}

// Close stops serving, tells the others that this life has ended, so that nobody waits for it, and awaits all
// goroutines. ctx bounds the telling. It is idempotent.
func (n *Node) Close(ctx context.Context) error {
	var err error
	n.closed.Do(func() {
		n.hot.deliveries.close()
		if n.fatalCause() == nil {
			n.writeProgress(ctx)
		}
		// First the lease, then the word: after node.left nobody waits for this replica any more.
		n.stopServing()
		if n.fatalCause() == nil {
			left := n.newEvent(&events.NodeLeft{Incarnation: n.life.inc, Signature: n.signGone(n.life.inc)}, n.cfg.Name, Origin{Actor: "system"})
			if _, e := n.write(ctx, left); e != nil {
				err = fmt.Errorf("node %s: leave: %w", n.cfg.Name, e)
			}
		}
		n.stop()
	})
	return err
}

// stop ends all goroutines and releases the directory.
func (n *Node) stop() {
	n.stopServing()
	n.cancel()
	n.hot.deliveries.close()
	n.work.wait()
	n.saveCheckpoint()
	n.life.lock.Close()
}

// fatal fences the node for good: it will not serve until it is restarted.
func (n *Node) fatal(cause error) {
	if !n.keeping.fail(cause) {
		return
	}
	n.log.Error("fenced for good", "cause", cause)
	n.stopServing()
	close(n.fenced)
	n.cancel()
}

// Fenced returns a channel that is closed when the node has fenced itself for good; Status says why.
func (n *Node) Fenced() <-chan struct{} { return n.fenced }

// fatalCause returns why the node was fenced for good, nil if it was not.
func (n *Node) fatalCause() error { return n.keeping.cause() }

// crew is the goroutines of a node. It takes on no more once it is waited for.
type crew struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// Go runs f in a goroutine, unless the crew is being awaited: then it returns false.
func (c *crew) Go(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Go(f)
	return true
}

// wait returns when all goroutines have ended.
func (c *crew) wait() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wg.Wait()
}

// runJobs carries out background work until the node ends. A job takes the node's context.
func (n *Node) runJobs() {
	for {
		select {
		case job := <-n.jobs:
			job(n.ctx)
		case <-n.ctx.Done():
			return
		}
	}
}

// later hands over background work, or drops it when there is too much: what is shed first is unauthenticated noise.
func (n *Node) later(job func(context.Context)) {
	select {
	case n.jobs <- job:
	default:
	}
}
