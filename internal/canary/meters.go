package canary

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// meters are the metrics of a canary. Each series is there from the start, so that the first leak is an increase.
type meters struct {
	registry *prometheus.Registry
	rounds   *prometheus.CounterVec
	probes   *prometheus.CounterVec
	leaks    *prometheus.CounterVec
	failures *prometheus.CounterVec
	logout   prometheus.Histogram
	success  prometheus.Gauge
}

// logoutBounds are the upper bounds of a logout's duration, in seconds.
var logoutBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 6, 10, 20}

func newMeters(targets []string) *meters {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &meters{
		registry: prometheus.NewRegistry(),
		rounds:   counter("knell_canary_rounds_total", "Rounds by how they ended: ok, failed, leak.", "outcome"),
		probes:   counter("knell_canary_probes_total", "Answers, yes or no, to the question for a token whose logout had returned.", "replica"),
		leaks:    counter("knell_canary_leaks_total", "Of these, those that accepted the token. There must be none.", "replica"),
		failures: counter("knell_canary_failures_total", "Requests without the answer that is due, by the part of the round.", "replica", "stage"),
		logout: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "knell_canary_logout_duration_seconds", Help: "Time that a logout took, tries at other replicas included.", Buckets: logoutBounds,
		}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "knell_canary_last_success_timestamp_seconds", Help: "End of the newest round in which everything was as it must be.",
		}),
	}
	for _, outcome := range []string{"ok", "failed", "leak"} {
		m.rounds.WithLabelValues(outcome)
	}
	for _, t := range targets {
		m.probes.WithLabelValues(t)
		m.leaks.WithLabelValues(t)
		for _, stage := range []string{stageLogin, stageVerify, stageLogout, stageProbe} {
			m.failures.WithLabelValues(t, stage)
		}
	}
	m.registry.MustRegister(m.rounds, m.probes, m.leaks, m.failures, m.logout, m.success)
	return m
}

func (m *meters) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}
