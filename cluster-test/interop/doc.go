// Package interop holds the tests with programs that nobody here wrote: proxies that ask /verify by the example configurations of
// deploy/, OAuth 2 clients in Go and other languages, a reader of exported Parquet files, and a Docker engine that runs
// docker-compose.yml. All but the last run against three replicas as processes of their own, and they run only with the build tag interop:
//
//	go test -tags interop ./cluster-test/interop
//
// What the machine lacks is named and skipped. Debian has the proxies and the Python libraries: apt-get install nginx-light caddy
// haproxy python3-authlib python3-requests-oauthlib docker.io docker-compose. The engine runs in namespaces of its own, as root, and pulls no
// image: programs of this machine stand in for those of registries. The libraries for Node.js are installed by npm, at the versions of
// testdata/node/package.json and testdata/parquet/package.json, and those of the client in Go by go at the versions of testdata/zitadel/go.mod. The nats command
// is built by go install where there is none.
package interop
