package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/knell-auth/knell/node"
)

// askTimeout bounds the questions to the log's leader of one scrape.
const askTimeout = 3 * time.Second

// view is what a replica says of itself at one moment.
type view struct {
	node.Status
	stats node.Stats
}

// single is a metric without labels.
type single struct {
	name, help string
	kind       prometheus.ValueType
	value      func(v *view) float64
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// singles are the metrics without labels. Where a time is meant, 0 says that there was none.
var singles = []single{
	{"knell_ready", "1 while the replica may answer: it holds a lease and can sign.", gauge, func(v *view) float64 { return number(v.Ready) }},
	{"knell_fenced", "1 when the replica has fenced itself for good: it has to be started again.", gauge,
		func(v *view) float64 { return number(v.Fenced != "") }},
	{"knell_lease_length_seconds", "Length of a lease (--lease).", gauge, func(v *view) float64 { return v.stats.Lease.Length.Seconds() }},
	{"knell_lease_age_seconds", "Time since the beat that brought the lease was sent; 0 without a lease.", gauge,
		func(v *view) float64 { return v.stats.Lease.Age.Seconds() }},
	{"knell_lease_remaining_seconds", "For how long the replica may answer without another beat; 0 without a lease.", gauge,
		func(v *view) float64 { return v.Lease.Seconds() }},

	{"knell_log_applied_sequence", "Sequence of the newest message that the replica has applied.", gauge, func(v *view) float64 { return float64(v.Applied) }},
	{"knell_log_last_sequence", "Sequence of the newest message, as far as the replica has heard.", gauge,
		func(v *view) float64 { return float64(max(v.stats.Log.Last, v.Applied)) }},
	{"knell_log_first_sequence", "Sequence at which the log begins.", gauge, func(v *view) float64 { return float64(v.LogFirst) }},
	{"knell_log_lag_messages", "Messages of the log that the replica has heard of and not applied.", gauge,
		func(v *view) float64 { return float64(max(v.stats.Log.Last, v.Applied) - v.Applied) }},
	{"knell_log_beat_timestamp_seconds", "Time of the newest beat of any replica that was applied, by its author's clock.", gauge,
		func(v *view) float64 { return unix(v.stats.Log.Time) }},
	{"knell_log_size_bytes", "Size of the log.", gauge, func(v *view) float64 { return float64(v.LogBytes) }},
	{"knell_log_limit_bytes", "Limit of the log (--log-max-bytes); 0 while it is not known.", gauge, func(v *view) float64 { return float64(v.LogMaxBytes) }},
	{"knell_log_shed_level", "What is not appended any more: 0 nothing, 1 attempts, 2 logins, 3 accounts, 4 everything.", gauge,
		func(v *view) float64 { return float64(v.stats.Log.Shed) }},
	{"knell_log_leader_changes_total", "Changes of the server that leads the log, as the replica has seen them: it looks every 5 s.", counter,
		func(v *view) float64 { return float64(v.stats.Log.LeaderChanges) }},
	{"knell_barriers_pending", "Commands that wait until every replica follows them.", gauge, func(v *view) float64 { return float64(v.Pending) }},
	{"knell_peers", "Other replicas that may hold a lease.", gauge, func(v *view) float64 { return float64(live(v.Peers)) }},

	{"knell_hashing_running", "Passwords that are being hashed.", gauge, func(v *view) float64 { return float64(v.stats.Hashing.Running) }},
	{"knell_hashing_queued", "Passwords that wait for their turn.", gauge, func(v *view) float64 { return float64(v.stats.Hashing.Queued) }},
	{"knell_hashing_shed_total", "Passwords that were not hashed because the queue was full, or too slow.", counter,
		func(v *view) float64 { return float64(v.stats.Hashing.Rejected) }},

	{"knell_users", "Users.", gauge, func(v *view) float64 { return float64(v.Users) }},
	{"knell_clients", "OAuth clients.", gauge, func(v *view) float64 { return float64(v.stats.Clients) }},
	{"knell_api_keys", "API keys.", gauge, func(v *view) float64 { return float64(v.stats.APIKeys) }},
	{"knell_sessions", "Live sessions.", gauge, func(v *view) float64 { return float64(v.Sessions) }},
	{"knell_revocation_cache_entries", "Sessions that have ended and whose access tokens have not expired.", gauge,
		func(v *view) float64 { return float64(v.Revoked) }},

	{"knell_snapshot_sequence", "Sequence of the newest snapshot that most replicas have made; 0: none is known.", gauge,
		func(v *view) float64 { return float64(v.Snapshot) }},
	{"knell_snapshot_timestamp_seconds", "Log time of that snapshot, to the minute.", gauge, func(v *view) float64 { return unix(v.stats.Snapshot) }},
	{"knell_schema_level", "Schema level of the log.", gauge, func(v *view) float64 { return float64(v.stats.Level) }},
	{"knell_schema_level_known", "The newest schema level that this build knows.", gauge, func(v *view) float64 { return float64(v.stats.Known) }},
}

// desc returns the description of a metric.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Metrics with labels, histograms and summaries.
var (
	verifications = desc("knell_verify_sampled_duration_seconds",
		"Time of a verification by the node, without HTTP: of a sample that does not grow with the load, about twelve a second with --lease 5s.")
	refusals = desc("knell_verify_refusals_total", "Verifications that were refused, by reason.", "reason")
	logouts  = desc("knell_logout_duration_seconds", "Time from a revocation's call until no replica accepts what was revoked.")
	barriers = desc("knell_logout_barrier_wait_seconds",
		"The part of that from own apply on: the wait for the other replicas.")
	unfinished = desc("knell_logouts_unfinished_total",
		"Revocations whose caller was not told that they are complete: pending (in the log), or unknown.", "outcome")
	hashWait = desc("knell_hashing_wait_seconds", "Time that passwords have waited for their turn; those that did not wait are not counted.")
	steps    = desc("knell_clock_steps_total", "Steps of the wall clock against the monotonic one by a twentieth of a lease or more.", "direction")

	peerLag     = desc("knell_peer_lag_messages", "Messages that this replica has applied and another one has not reported.", "peer")
	peerHorizon = desc("knell_peer_horizon_seconds", "For how long another replica may still hold a lease: so long a logout waits for it if it is silent.", "peer")

	hookPaused  = desc("knell_webhook_paused", "1 when nothing is delivered until somebody resumes the webhook.", "webhook")
	hookLag     = desc("knell_webhook_lag_messages", "Messages of the log, asked for or not, that a webhook has not got past.", "webhook")
	hookFailing = desc("knell_webhook_failing_timestamp_seconds", "Since when deliveries fail; 0: they do not.", "webhook")
	hookSuccess = desc("knell_webhook_success_timestamp_seconds", "Newest delivery; 0: none yet.", "webhook")

	grantLag   = desc("knell_grant_lag_events", "Events that a reader over NATS has not acknowledged.", "grant")
	grantHere  = desc("knell_grant_connections", "Connections of a reader to this replica.", "grant")
	grantAcked = desc("knell_grant_acked_sequence", "Sequence up to which a reader has acknowledged.", "grant")
	logCopy    = desc("knell_log_copy_current", "1 while this replica's copy of the log has all that it has applied, or it keeps none; 0 while the copy is behind.")
	certExpiry = desc("knell_certificate_expiry_timestamp_seconds", "When a certificate in use expires, by what it is for.", "use")
)

// collector asks the replica when somebody scrapes.
type collector struct{ m *Metrics }

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, s := range singles {
		out <- desc(s.name, s.help)
	}
	for _, d := range []*prometheus.Desc{
		verifications, refusals, logouts, barriers, unfinished, hashWait, steps, peerLag, peerHorizon, hookPaused, hookLag, hookFailing, hookSuccess,
		grantLag, grantHere, grantAcked, certExpiry, logCopy,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector. Of a replica that has no node yet it shows that it is not ready.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	if c.m.cfg.Expires != nil {
		for use, at := range c.m.cfg.Expires() {
			out <- prometheus.MustNewConstMetric(certExpiry, gauge, unix(at), use)
		}
	}
	source := c.m.source.Load()
	if source == nil {
		out <- prometheus.MustNewConstMetric(desc(singles[0].name, singles[0].help), gauge, 0)
		return
	}
	v := &view{Status: (*source).Status(), stats: (*source).Stats()}
	for _, s := range singles {
		out <- prometheus.MustNewConstMetric(desc(s.name, s.help), s.kind, s.value(v))
	}
	out <- prometheus.MustNewConstMetric(logCopy, gauge, number(c.m.cfg.CopyCurrent == nil || c.m.cfg.CopyCurrent(context.Background())))
	v.collect(out)
	v.collectHooks(out, *source)
	v.collectGrants(out, *source)
}

// collect shows what has labels or buckets.
func (v *view) collect(out chan<- prometheus.Metric) {
	s := &v.stats
	out <- histogram(verifications, &s.Verifications)
	out <- histogram(logouts, &s.Logouts)
	out <- histogram(barriers, &s.Barriers)
	out <- prometheus.MustNewConstSummary(hashWait, s.Hashing.Waits, s.Hashing.Waited.Seconds(), nil)
	for reason, n := range s.Refusals {
		out <- prometheus.MustNewConstMetric(refusals, counter, float64(n), reason)
	}
	for outcome, n := range s.Unfinished {
		out <- prometheus.MustNewConstMetric(unfinished, counter, float64(n), outcome)
	}
	out <- prometheus.MustNewConstMetric(steps, counter, float64(s.StepsBack), "back")
	out <- prometheus.MustNewConstMetric(steps, counter, float64(s.StepsForward), "forward")
	newest := map[string]node.Peer{} // a replica that was started again is there twice for a while
	for _, p := range v.Peers {
		if known, ok := newest[p.Node]; !ok || p.Horizon > known.Horizon {
			newest[p.Node] = p
		}
	}
	for name, p := range newest {
		out <- prometheus.MustNewConstMetric(peerLag, gauge, float64(v.Applied-min(p.Applied, v.Applied)), name)
		out <- prometheus.MustNewConstMetric(peerHorizon, gauge, p.Horizon.Seconds(), name)
	}
}

// collectHooks shows the webhooks. Without a lease nothing is known of them.
func (v *view) collectHooks(out chan<- prometheus.Metric, source Source) {
	hooks, err := source.Webhooks()
	if err != nil {
		return
	}
	for _, h := range hooks {
		lag := v.Applied - min(h.Cursor, v.Applied)
		out <- prometheus.MustNewConstMetric(hookPaused, gauge, number(h.Paused != ""), h.Name)
		out <- prometheus.MustNewConstMetric(hookLag, gauge, float64(lag), h.Name)
		out <- prometheus.MustNewConstMetric(hookFailing, gauge, unix(h.Failing), h.Name)
		out <- prometheus.MustNewConstMetric(hookSuccess, gauge, unix(h.Success), h.Name)
	}
}

// collectGrants shows the readers over NATS, as the log's leader sees them; nothing when it does not answer.
func (v *view) collectGrants(out chan<- prometheus.Metric, source Source) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	grants, err := source.Grants(ctx)
	if err != nil {
		return
	}
	for _, g := range grants {
		out <- prometheus.MustNewConstMetric(grantHere, gauge, float64(g.Here), g.Name)
		if g.Reader == nil {
			continue
		}
		lag := g.Reader.Pending + uint64(max(g.Reader.Unacked, 0))
		out <- prometheus.MustNewConstMetric(grantLag, gauge, float64(lag), g.Name)
		out <- prometheus.MustNewConstMetric(grantAcked, gauge, float64(g.Reader.Acked), g.Name)
	}
}

// histogram shows a histogram of the node.
func histogram(d *prometheus.Desc, h *node.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var below uint64
	for i, bound := range h.Bounds {
		below += h.Counts[i]
		buckets[bound.Seconds()] = below
	}
	return prometheus.MustNewConstHistogram(d, h.Count(), h.Sum.Seconds(), buckets)
}

// live returns how many peers may hold a lease.
func live(peers []node.Peer) (n int) {
	for _, p := range peers {
		if p.Horizon > 0 {
			n++
		}
	}
	return n
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// unix returns t in Unix seconds, 0 for the zero Time.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}
