package replica

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/metrics"
	"github.com/knell-auth/knell/internal/tracing"
	"github.com/knell-auth/knell/node"
)

// telemetry is what operators see of a replica. The zero telemetry shows nothing.
type telemetry struct {
	metrics *metrics.Metrics // nil: there is no private listener
	tracer  *tracing.Tracer  // nil: there are no traces
	private *http.Server
	serving sync.WaitGroup

	mu    sync.Mutex
	certs map[string]func() time.Time // when the certificate for something expires; guarded by mu
}

// watch begins to show the replica, before there is anything but its start to see.
func (r *Replica) watch() error {
	t := &r.telemetry
	if cfg := r.cfg.Tracing; cfg != nil {
		cfg := *cfg
		cfg.Instance, cfg.Version, cfg.Logger = r.cfg.Name, r.cfg.Node.Version, r.log
		var err error
		if t.tracer, err = tracing.New(context.Background(), cfg); err != nil {
			return err
		}
	}
	if r.cfg.Private == nil {
		return nil
	}
	t.metrics = metrics.New(metrics.Config{Version: r.cfg.Node.Version, Expires: t.expiries, CopyCurrent: r.copyNow})
	t.private = httpapi.Server("", r.privateSurface())
	t.private.WriteTimeout = profileTimeout
	t.private.ErrorLog = connectionLog(r.log, node.Recording{})
	t.serving.Go(func() {
		if err := t.private.Serve(r.cfg.Private); !errors.Is(err, http.ErrServerClosed) {
			r.fail(fmt.Errorf("serving %s: %w", r.cfg.Private.Addr(), err))
		}
	})
	return nil
}

// lastTimeout bounds the sending of the last spans: a receiver that does not answer delays no stop for longer.
const lastTimeout = 2 * time.Second

// profileTimeout bounds an answer of the private listener: a profile takes as long as it is asked for.
const profileTimeout = 5 * time.Minute

// privateSurface serves what is for operators only.
func (r *Replica) privateSurface() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", r.metrics.Handler())
	mux.Handle("GET /livez", &r.gate)
	mux.Handle("GET /readyz", &r.gate)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// observed returns the settings of a node and of its HTTP surface with what looks on.
func (t *telemetry) observed(n *node.Config, h *httpapi.Config) {
	if t.tracer != nil {
		n.Tracer, h.Tracer = t.tracer, t.tracer
	}
	if t.metrics != nil {
		h.Meter = t.metrics
	}
}

// attach has the metrics show the node.
func (t *telemetry) attach(n *node.Node) {
	if t.metrics != nil {
		t.metrics.Attach(n)
	}
}

// noteCertificate has the metrics show when a certificate expires.
func (t *telemetry) noteCertificate(use string, expires func() time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.certs == nil {
		t.certs = map[string]func() time.Time{}
	}
	t.certs[use] = expires
}

// expiries returns when the certificates in use expire.
func (t *telemetry) expiries() map[string]time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := make(map[string]time.Time, len(t.certs))
	for use, expires := range t.certs {
		m[use] = expires()
	}
	return m
}

// expires returns when the certificate in use expires.
func (p *pair) expires() time.Time { return p.current.Load().Leaf.NotAfter }

// close sends what spans are left and closes the private listener. It is the last thing that a replica does, so that its stop can be seen.
func (t *telemetry) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lastTimeout)
	defer cancel()
	var errs []error
	if t.tracer != nil {
		if err := t.tracer.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("the last spans: %w", err))
		}
	}
	if t.private != nil {
		if t.private.Shutdown(ctx) != nil {
			t.private.Close()
		}
		t.serving.Wait()
	}
	return errors.Join(errs...)
}

// PrivateAddr reports whether everybody who can reach an address is on this machine or in a private network (RFC 1918, RFC 4193, and
// link-local ones): what is served there is not for others.
func PrivateAddr(ip net.IP) bool {
	return ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast())
}
