// Package metrics shows a replica to Prometheus. It owns the names of the metrics and what they mean; where the values come from is what the
// node says of itself, asked when somebody scrapes, so that nothing here costs a verification anything. Labels hold names that operators
// have given (webhooks, grants, replicas), routes and reasons: nothing that clients send, and nobody's id.
package metrics

import (
	"context"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/knell-auth/knell/node"
)

// Source is a replica; *node.Node is one.
type Source interface {
	Status() node.Status
	Stats() node.Stats
	Webhooks() ([]node.Webhook, error)
	Grants(ctx context.Context) ([]node.GrantState, error)
}

// Config says what else there is to show.
type Config struct {
	Version string
	// Expires returns when the certificates in use expire, by what they are for. Nil: there are none.
	Expires func() map[string]time.Time
	// CopyCurrent reports whether the replica's copy of the log has what the Source says that it has applied. Nil: there is no copy.
	CopyCurrent func(ctx context.Context) bool
}

// Metrics are those of one replica. It is a Meter of package httpapi. Methods are safe for concurrent use.
type Metrics struct {
	cfg      Config
	registry *prometheus.Registry
	source   atomic.Pointer[Source]

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	verified prometheus.Counter // of requests: /verify, 2xx
}

// requestBounds are the upper bounds of a request's duration, in seconds: from an answer out of memory to the longest logout.
var requestBounds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// New returns the metrics of a replica that has no node yet.
func New(cfg Config) *Metrics {
	m := &Metrics{cfg: cfg, registry: prometheus.NewRegistry()}
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "knell_http_requests_total", Help: "Requests that were answered, by method, route and class of the status.",
	}, []string{"method", "route", "code"})
	m.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "knell_http_request_duration_seconds", Buckets: requestBounds,
		Help: "Time from a request to the end of its answer, by route and class of the status; /verify is not in it, streams are when they end.",
	}, []string{"route", "code"})
	m.verified = m.requests.WithLabelValues(http.MethodGet, "/verify", "2xx")
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "knell_build_info", Help: "1, with the version of knell and of Go.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.duration, build, &collector{m}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Attach has the metrics show a replica from now on.
func (m *Metrics) Attach(s Source) { m.source.Store(&s) }

// Handler serves the metrics, as OpenMetrics to whoever asks for that.
func (m *Metrics) Handler() http.Handler {
	return promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, Timeout: scrapeTimeout}))
}

// scrapeTimeout bounds a scrape; a Prometheus waits for 10 s by default.
const scrapeTimeout = 9 * time.Second

// Request counts a request that has been answered.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	class := classOf(status)
	m.requests.WithLabelValues(method, route, class).Inc()
	m.duration.WithLabelValues(route, class).Observe(took.Seconds())
}

// Verified counts an answer of /verify.
func (m *Metrics) Verified(status int) {
	if status == http.StatusOK {
		m.verified.Inc()
		return
	}
	m.requests.WithLabelValues(http.MethodGet, "/verify", classOf(status)).Inc()
}

// classOf returns the class of a status.
func classOf(status int) string {
	switch {
	case status < 200:
		return "1xx"
	case status < 300:
		return "2xx"
	case status < 400:
		return "3xx"
	case status < 500:
		return "4xx"
	}
	return "5xx"
}
