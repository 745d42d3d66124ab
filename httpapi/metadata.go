package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// metadata is the authorization server's description of itself: RFC 8414 section 2 and OpenID Connect Discovery 1.0 section 3,
// which agree where they overlap.
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	Scopes                []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgorithms     []string `json:"id_token_signing_alg_values_supported"`
	CodeChallengeMethods  []string `json:"code_challenge_methods_supported"`
	metadataAuth
	metadataFlags
}

// metadataAuth says how clients authenticate themselves.
type metadataAuth struct {
	Token         []string `json:"token_endpoint_auth_methods_supported"`
	Revocation    []string `json:"revocation_endpoint_auth_methods_supported"`
	Introspection []string `json:"introspection_endpoint_auth_methods_supported"`
}

// metadataFlags are what is there (RFC 9207 section 3), and what is not but would be without a word.
type metadataFlags struct {
	ResponseIssuer   bool `json:"authorization_response_iss_parameter_supported"`
	RequestParameter bool `json:"request_parameter_supported"`
	RequestURI       bool `json:"request_uri_parameter_supported"`
}

// newMetadata returns the document of an issuer, nil for one that is no URL: clients could not find its endpoints.
func newMetadata(issuer string, passwords bool) []byte {
	u, err := url.Parse(issuer)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil
	}
	base := strings.TrimSuffix(issuer, "/")
	secret := []string{"client_secret_basic", "client_secret_post"}
	m := metadata{
		Issuer: issuer, AuthorizationEndpoint: base + "/authorize", TokenEndpoint: base + "/token", UserinfoEndpoint: base + "/userinfo",
		JWKSURI: base + "/.well-known/jwks.json", RevocationEndpoint: base + "/revoke", IntrospectionEndpoint: base + "/introspect",
		Scopes: []string{"openid", "profile", "email"}, ResponseTypes: []string{"code"}, ResponseModes: []string{"query"},
		GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"}, SubjectTypes: []string{"public"},
		IDTokenAlgorithms:    []string{"EdDSA", "ES256", "RS256"}, // each replica signs with one of them
		CodeChallengeMethods: []string{"S256"},
		metadataAuth: metadataAuth{
			Token: append(slices.Clone(secret), "none"), Revocation: append(slices.Clone(secret), "none"),
			Introspection: append(slices.Clone(secret), "Bearer"),
		},
		metadataFlags: metadataFlags{ResponseIssuer: true},
	}
	if passwords {
		m.GrantTypes = append(m.GrantTypes, "password")
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and booleans
	}
	return body
}

// serverMetadata serves GET /.well-known/oauth-authorization-server (RFC 8414) and /.well-known/openid-configuration. It says
// nothing that depends on the state, so it needs no lease.
func (a *api) serverMetadata(w http.ResponseWriter, r *http.Request) {
	if a.metadata == nil {
		writeProblem(w, r, http.StatusNotFound, "the issuer of this installation is not a URL, so there is nothing to be discovered")
		return
	}
	writeDocument(w, "application/json", 300, a.metadata)
}
