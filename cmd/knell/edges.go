package main

import (
	"fmt"

	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/replica"
)

// edgeFlags are the settings of what stands between HTTP and its clients.
type edgeFlags struct {
	TLSCert    string   `name:"tls-cert" env:"KNELL_TLS_CERT" type:"path" placeholder:"FILE" help:"Serve HTTPS with this certificate and its chain (PEM). Read again when the file changes, and on SIGHUP."`
	TLSKey     string   `name:"tls-key" env:"KNELL_TLS_KEY" type:"path" placeholder:"FILE" help:"Its key (PEM)."`
	CORSOrigin []string `name:"cors-origin" env:"KNELL_CORS_ORIGIN" placeholder:"ORIGIN" help:"Origin whose pages may call the endpoints for browsers, such as https://app.example.com. Default: none."`
}

func (f *edgeFlags) check() (list []error) {
	list = append(list, unless((f.TLSCert == "") == (f.TLSKey == ""), "--tls-cert and --tls-key belong together"))
	for _, o := range f.CORSOrigin {
		if err := httpapi.CheckOrigin(o); err != nil {
			list = append(list, fmt.Errorf("--cors-origin %w", err))
		}
	}
	if f.TLSCert != "" && f.TLSKey != "" {
		if _, err := replica.LoadPair(f.TLSCert, f.TLSKey); err != nil {
			list = append(list, fmt.Errorf("--tls-cert, --tls-key: %w", err))
		}
	}
	return list
}
