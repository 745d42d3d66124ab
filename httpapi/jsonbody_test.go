package httpapi

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

type sample struct {
	Name     string   `json:"name"`
	Roles    []string `json:"roles"`
	Disabled bool     `json:"disabled"`
}

func decodeSample(body string) (sample, error) {
	var s sample
	err := decodeObject([]byte(body), members{"name": &s.Name, "roles": &s.Roles, "disabled": &s.Disabled}, "name")
	return s, err
}

func TestDecodeObject(t *testing.T) {
	for body, want := range map[string]string{ // want: part of the error, "" for none
		`{"name":"a"}`: "",
		` { "roles" : [ "x" , "y" ] , "name":"\u00e9", "disabled":true } `: "",
		`{"name":"a","roles":[]}`:        "",
		``:                               "one JSON object",
		`[]`:                             "one JSON object",
		`"name"`:                         "one JSON object",
		`null`:                           "one JSON object",
		`{}`:                             `"name" is missing`,
		`{"name":"a"`:                    "not well-formed",
		`{"name":"a",}`:                  "not well-formed",
		`{"name" "a"}`:                   "not well-formed",
		`{name:"a"}`:                     "not well-formed",
		`{"name":"a"}}`:                  "behind",
		`{"name":"a"} {}`:                "behind",
		`{"name":"a"} x`:                 "behind",
		`{"name":"a","name":"b"}`:        `"name" occurs more than once`,
		`{"name":"a","n\u0061me":"b"}`:   `"name" occurs more than once`,
		`{"Name":"a"}`:                   `"Name" is unknown`,
		`{"name":"a","admin":true}`:      `"admin" is unknown`,
		`{"name":1}`:                     `"name" must be a string`,
		`{"name":null}`:                  `"name" must be a string`,
		`{"name":["a"]}`:                 `"name" must be a string`,
		`{"name":{"a":1}}`:               `"name" must be a string`,
		`{"name":"a","disabled":"true"}`: `"disabled" must be true or false`,
		`{"name":"a","disabled":1}`:      `"disabled" must be true or false`,
		`{"name":"a","roles":"x"}`:       `"roles" must be a list of strings`,
		`{"name":"a","roles":[1]}`:       `"roles" must be a list of strings`,
		`{"name":"a","roles":[null]}`:    `"roles" must be a list of strings`,
		`{"name":"a","roles":null}`:      `"roles" must be a list of strings`,
		"{\"name\":\"\xff\"}":            "UTF-8",
		"{\"name\":\"a\nb\"}":            `"name" is not well-formed`,
		"\ufeff" + `{"name":"a"}`:        "one JSON object",
		`{"` + strings.Repeat("x", 100) + `":"a"}`:    strings.Repeat("x", 40) + `..." is unknown`,
		`{"name":` + strings.Repeat("[", 30000) + `}`: `"name" is not well-formed`,
	} {
		_, err := decodeSample(body)
		switch {
		case want == "" && err != nil:
			t.Errorf("%.60q: %v", body, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%.60q: %v, want %s", body, err, want)
		}
	}
}

// FuzzDecodeObject compares with encoding/json: whatever is accepted means the same there.
func FuzzDecodeObject(f *testing.F) {
	for _, s := range []string{`{"name":"a","roles":["x"],"disabled":true}`, `{"name":"a"}{`, `{"name":null}`, `{"name":"\ud800"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := decodeSample(body)
		if err != nil {
			return
		}
		var want sample
		dec := json.NewDecoder(bytes.NewReader([]byte(body)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q is accepted, but not by encoding/json: %v", body, err)
		}
		if got.Name != want.Name || got.Disabled != want.Disabled || !slices.Equal(got.Roles, want.Roles) {
			t.Errorf("%q: %+v, for encoding/json %+v", body, got, want)
		}
	})
}
