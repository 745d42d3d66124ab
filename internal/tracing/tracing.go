// Package tracing makes OpenTelemetry spans and sends them by OTLP over HTTP. It owns the exporter and its goroutines, and what
// crosses a process as a traceparent (W3C Trace Context); what a span is made of is said by those who call it. It knows no events.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says where spans go. The environment variables of OpenTelemetry's SDK and OTLP exporter that name none of it (sampler, headers,
// certificates, batches, limits) count as well.
type Config struct {
	Endpoint string       // URL of an OTLP receiver; without a path, /v1/traces is asked
	Service  string       // service.name; "": knell, or as OTEL_SERVICE_NAME says
	Instance string       // service.instance.id: the replica's name
	Version  string       // service.version
	Client   *http.Client // nil: the exporter's own
	Logger   *slog.Logger // is told what could not be sent, once a minute at most; nil: nobody is
}

// CheckEndpoint returns an error unless s is a URL that spans can be sent to.
func CheckEndpoint(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("want http://host:port or https://host:port; what the receiver wants to know goes into OTEL_EXPORTER_OTLP_HEADERS")
	}
	return nil
}

// Tracer makes spans and sends them in the background. Methods are safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	w3c      propagation.TraceContext
}

// New returns a Tracer, which has to be closed. It connects to nothing yet.
func New(ctx context.Context, cfg Config) (*Tracer, error) {
	if err := CheckEndpoint(cfg.Endpoint); err != nil {
		return nil, err
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(u.String())}
	if cfg.Client != nil {
		options = append(options, otlptracehttp.WithHTTPClient(cfg.Client))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	about, err := describe(ctx, cfg)
	if err != nil {
		return nil, err
	}
	t := &Tracer{provider: sdk.NewTracerProvider(sdk.WithBatcher(&quiet{SpanExporter: exporter, log: cfg.Logger}), sdk.WithResource(about))}
	t.tracer = t.provider.Tracer("github.com/knell-auth/knell", trace.WithInstrumentationVersion(cfg.Version))
	return t, nil
}

// describe returns what all spans say of their process. What the environment says (OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME) counts
// more.
func describe(ctx context.Context, cfg Config) (*resource.Resource, error) {
	if cfg.Service == "" {
		cfg.Service = "knell"
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", cfg.Service), attribute.String("service.instance.id", cfg.Instance),
		attribute.String("service.version", cfg.Version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("tracing: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return about, nil
}

// Close sends what is left, until ctx ends, and stops.
func (t *Tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Parent returns the traceparent of the span that ctx is in, "" when that is not recorded.
func (t *Tracer) Parent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	t.w3c.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// Record makes a span that has ended, below the span that parent names, with attributes as pairs of key and value. Where the parent is
// not recorded it does nothing.
func (t *Tracer) Record(parent, name string, began, ended time.Time, attributes ...string) {
	ctx := t.w3c.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	pairs := make([]attribute.KeyValue, 0, len(attributes)/2)
	for i := 0; i+1 < len(attributes); i += 2 {
		pairs = append(pairs, attribute.String(attributes[i], attributes[i+1]))
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(began), trace.WithAttributes(pairs...))
	span.End(trace.WithTimestamp(ended))
}

// Request begins the span of a request and returns a context that is in it. The span that its traceparent names is its parent, and decides
// whether it is recorded, if the one who sent it is believed. Otherwise a trace begins here, by our own sampler, and is linked to that span.
// method is a known one, and route the pattern, not the path: nothing that a client made up. What is returned ends it.
func (t *Tracer) Request(r *http.Request, method, route string, believed bool) (ctx context.Context, end func(status int)) {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", method), attribute.String("http.route", route))}
	ctx = r.Context()
	if parent := t.w3c.Extract(ctx, propagation.HeaderCarrier(r.Header)); believed {
		ctx = parent
	} else if link := trace.LinkFromContext(parent); link.SpanContext.IsValid() {
		options = append(options, trace.WithLinks(link))
	}
	ctx, span := t.tracer.Start(ctx, method+" "+route, options...)
	return ctx, func(status int) {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= 500 {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// ID returns the trace that ctx is in, "" when there is none.
func (t *Tracer) ID(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); c.HasTraceID() {
		return c.TraceID().String()
	}
	return ""
}

// quiet is an exporter that tells the log what it could not send, instead of the process's standard error, and not each time.
type quiet struct {
	sdk.SpanExporter
	log  *slog.Logger
	told time.Time // the batcher's, which sends one batch at a time
}

// ExportSpans implements sdk.SpanExporter. Spans that could not be sent are lost: nothing rests on them.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	if err != nil && q.log != nil && time.Since(q.told) > time.Minute {
		q.told = time.Now()
		q.log.Warn("spans could not be sent and are lost", "spans", len(spans), "error", err)
	}
	return nil
}
