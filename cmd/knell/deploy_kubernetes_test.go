package main

import (
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/go-yaml"

	"github.com/knell-auth/knell/events"
)

// Of Kubernetes' objects, what deploy/kubernetes uses. A field that is not here fails the test, a misspelt one as well.
type (
	object struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   meta
		Spec       yaml.Node
		Data       map[string]string
	}
	meta struct {
		Name, Namespace string
		Labels          map[string]string
	}
	labels struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	workload struct {
		ServiceName         string `yaml:"serviceName"`
		Replicas            int
		PodManagementPolicy string `yaml:"podManagementPolicy"`
		MinReadySeconds     int    `yaml:"minReadySeconds"`
		Strategy            any
		Selector            labels
		Template            struct {
			Metadata meta
			Spec     pod
		}
		Claims []struct {
			Metadata meta
			Spec     struct {
				AccessModes []string `yaml:"accessModes"`
				Resources   struct{ Requests map[string]string }
			}
		} `yaml:"volumeClaimTemplates"`
	}
	pod struct {
		Token      bool `yaml:"automountServiceAccountToken"`
		Grace      int  `yaml:"terminationGracePeriodSeconds"`
		Security   any  `yaml:"securityContext"`
		Affinity   any
		Spread     any `yaml:"topologySpreadConstraints"`
		Containers []container
		Volumes    []struct {
			Name     string
			Secret   any
			EmptyDir any `yaml:"emptyDir"`
		}
	}
	container struct {
		Name, Image string
		Args        []string
		EnvFrom     []struct {
			ConfigMapRef struct{ Name string } `yaml:"configMapRef"`
		} `yaml:"envFrom"`
		Env []struct {
			Name, Value string
			From        struct {
				Field struct {
					Path string `yaml:"fieldPath"`
				} `yaml:"fieldRef"`
			} `yaml:"valueFrom"`
		}
		Ports []struct {
			Name string
			Port int `yaml:"containerPort"`
		}
		Readiness probe `yaml:"readinessProbe"`
		Liveness  probe `yaml:"livenessProbe"`
		Resources any
		Security  any `yaml:"securityContext"`
		Mounts    []struct {
			Name     string
			Path     string `yaml:"mountPath"`
			ReadOnly bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	probe struct {
		HTTP     struct{ Path, Port string } `yaml:"httpGet"`
		Period   int                         `yaml:"periodSeconds"`
		Timeout  int                         `yaml:"timeoutSeconds"`
		Failures int                         `yaml:"failureThreshold"`
	}
	service struct {
		ClusterIP string `yaml:"clusterIP"`
		NotReady  bool   `yaml:"publishNotReadyAddresses"`
		Selector  map[string]string
		Ports     []struct {
			Name   string
			Port   int
			Target string `yaml:"targetPort"`
		}
	}
	policy struct {
		PodSelector labels   `yaml:"podSelector"`
		Types       []string `yaml:"policyTypes"`
		Ingress     []struct {
			From []struct {
				PodSelector labels `yaml:"podSelector"`
			}
			Ports []struct{ Port string }
		}
	}
	budget struct {
		MaxUnavailable int `yaml:"maxUnavailable"`
		Selector       labels
	}
)

// objects returns what is in deploy/kubernetes, by kind and name.
func objects(t *testing.T) map[string]object {
	t.Helper()
	var k struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Namespace  string
		Resources  []string
	}
	decode(t, "kustomization.yaml", deployed(t, "deploy/kubernetes/kustomization.yaml"), &k)
	files, err := filepath.Glob("../../deploy/kubernetes/*.yaml")
	if err != nil || len(files) != len(k.Resources)+1 {
		t.Errorf("%d files, of which the kustomization names %d: %v", len(files), len(k.Resources), err)
	}
	all := map[string]object{}
	for _, name := range k.Resources {
		d := yaml.NewDecoder(strings.NewReader(deployed(t, "deploy/kubernetes/"+name)))
		d.KnownFields(true)
		for {
			var o object
			err := d.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if o.Kind != "Namespace" && o.Metadata.Namespace != k.Namespace {
				t.Errorf("%s: %s is in the namespace %q", name, o.Metadata.Name, o.Metadata.Namespace)
			}
			all[o.Kind+" "+o.Metadata.Name] = o
		}
	}
	return all
}

// spec decodes the specification of an object.
func spec[T any](t *testing.T, o object) (s T) {
	t.Helper()
	text, err := yaml.Marshal(&o.Spec)
	if err != nil {
		t.Fatal(err)
	}
	decode(t, o.Kind+" "+o.Metadata.Name, string(text), &s)
	return s
}

// started returns what the container is started with in the pod of a name.
func (c *container) started(t *testing.T, all map[string]object, name, identity string) *started {
	t.Helper()
	image, _ := dockerfile(t)
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		o, ok := all["ConfigMap "+from.ConfigMapRef.Name]
		if !ok {
			t.Fatalf("no ConfigMap %s", from.ConfigMapRef.Name)
		}
		maps.Copy(env, o.Data)
	}
	for _, v := range c.Env {
		if v.From.Field.Path == "metadata.name" {
			v.Value = name
		}
		env[v.Name] = strings.ReplaceAll(v.Value, "$(KNELL_NAME)", env["KNELL_NAME"])
	}
	return &started{args: c.Args, image: image, env: env, identity: identity}
}

// TestKubernetes: the manifests fit each other and what knell takes.
func TestKubernetes(t *testing.T) {
	all := objects(t)
	dir, hosts := identities(t, documented(t, "knell-0=")...)
	pods := map[string][]string{} // ports by component
	for kind, names := range map[string][]string{
		"StatefulSet knell":       {"knell-0", "knell-1", "knell-2"},
		"Deployment knell-joined": {"knell-joined-7d9c8f6b5d-x2x4z"},
	} {
		t.Run(kind, func(t *testing.T) {
			w := spec[workload](t, all[kind])
			if !maps.Equal(w.Selector.MatchLabels, w.Template.Metadata.Labels) {
				t.Errorf("pods have the labels %v", w.Template.Metadata.Labels)
			}
			c := &w.Template.Spec.Containers[0]
			ports := map[string]int{}
			for _, p := range c.Ports {
				ports[p.Name] = p.Port
			}
			pods[w.Selector.MatchLabels["app.kubernetes.io/component"]] = slices.Collect(maps.Keys(ports))
			mounted := dir
			if kind == "Deployment knell-joined" {
				mounted = filepath.Join(dir, "joined") // that one Secret is mounted at /identity
			}
			for _, name := range names {
				s := c.started(t, all, name, mounted).serves(t)
				stops(t, s, time.Duration(w.Template.Spec.Grace)*time.Second)
				listens(t, ports, "http", s.Listen)
				listens(t, ports, "routes", s.Cluster.ClusterListen)
				listens(t, ports, "join", s.Cluster.JoinListen)
				for _, a := range slices.Concat(s.Cluster.Routes, s.Cluster.Join) {
					if !slices.Contains(hosts, host(a)) {
						t.Errorf("%s has no certificate", a)
					}
				}
				if s.Name != name || len(w.Claims) > 0 && !fits(t, s.Cluster.LogMaxBytes, w.Claims[0].Spec.Resources.Requests["storage"]) {
					t.Errorf("%s: a log of %d bytes does not fit the claim", s.Name, s.Cluster.LogMaxBytes)
				}
			}
			for path, p := range map[string]probe{"/livez": c.Liveness, "/readyz": c.Readiness} {
				if p.HTTP.Path != path || ports[p.HTTP.Port] == 0 || p.Period == 0 || p.Failures == 0 {
					t.Errorf("probe %+v", p)
				}
			}
			volumes(t, &w)
		})
	}
	t.Run("around them", func(t *testing.T) { around(t, all, pods) })
}

// listens fails the test unless the container's port is where knell listens.
func listens(t *testing.T, ports map[string]int, name string, at address) {
	t.Helper()
	want := ""
	if p := ports[name]; p != 0 {
		want = "0.0.0.0:" + strconv.Itoa(p)
	}
	if string(at) != want {
		t.Errorf("%s: the container says %q, knell listens at %q", name, want, at)
	}
}

// fits reports whether a log and what comes with it (internal/replica) have room in a claim.
func fits(t *testing.T, log size, claim string) bool {
	t.Helper()
	var room size
	if err := room.UnmarshalText([]byte(claim + "B")); err != nil {
		t.Fatal(err)
	}
	return int64(log+log/8)+events.SnapshotBytes(int64(log)) < int64(room)
}

// volumes fails the test unless what is mounted is there.
func volumes(t *testing.T, w *workload) {
	t.Helper()
	var have, want []string
	for _, v := range w.Template.Spec.Volumes {
		have = append(have, v.Name)
	}
	for _, c := range w.Claims {
		have = append(have, c.Metadata.Name)
	}
	for _, m := range w.Template.Spec.Containers[0].Mounts {
		want = append(want, m.Name)
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("volumes %v, mounted are %v", have, want)
	}
}

// around checks what selects pods: services, budgets and policies.
func around(t *testing.T, all map[string]object, pods map[string][]string) {
	selected := func(where string, selector map[string]string) []string {
		if selector["app.kubernetes.io/name"] != "knell" {
			t.Errorf("%s selects others", where)
		}
		component, one := selector["app.kubernetes.io/component"]
		if !one {
			return pods["joined"] // all have what those have
		}
		if pods[component] == nil {
			t.Errorf("%s selects nothing", where)
		}
		return pods[component]
	}
	seen := 0
	for where, o := range all {
		seen++
		switch o.Kind {
		case "Service":
			s := spec[service](t, o)
			ports := selected(where, s.Selector)
			for _, p := range s.Ports {
				if !slices.Contains(ports, p.Target) {
					t.Errorf("%s: no pod has the port %s", where, p.Target)
				}
			}
		case "NetworkPolicy":
			s := spec[policy](t, o)
			ports := selected(where, s.PodSelector.MatchLabels)
			for _, in := range s.Ingress {
				for _, from := range in.From {
					selected(where, from.PodSelector.MatchLabels)
				}
				for _, p := range in.Ports {
					if !slices.Contains(ports, p.Port) {
						t.Errorf("%s: no pod has the port %s", where, p.Port)
					}
				}
			}
		case "PodDisruptionBudget":
			s := spec[budget](t, o)
			selected(where, s.Selector.MatchLabels)
			if s.MaxUnavailable != 1 {
				t.Errorf("%s: %d may be gone", where, s.MaxUnavailable)
			}
		}
	}
	if peers := spec[workload](t, all["StatefulSet knell"]); peers.ServiceName != "knell-peers" || peers.Replicas != 3 || seen != 11 {
		t.Errorf("%d objects, %d replicas of %s", seen, peers.Replicas, peers.ServiceName)
	}
}
