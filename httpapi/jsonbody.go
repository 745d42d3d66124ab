package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/knell-auth/knell/events"
)

// maxJSON is the size in bytes up to which a JSON body is read.
const maxJSON = 64 << 10

// members maps the members that an object may have to pointers at what they set: *string, *bool or *[]string, or **string, **bool
// or **int64, which stay as they are when the member is not there.
type members map[string]any

// readJSON sets m from the body of r, which is one JSON object. Unknown members, members that occur twice, wrong types,
// null, anything behind the object and the absence of a required member are errors that name the member.
func readJSON(w http.ResponseWriter, r *http.Request, m members, required ...string) error {
	types := r.Header["Content-Type"]
	if len(types) != 1 || !isMediaType(types[0], "application/json") {
		return errUnsupportedMedia
	}
	body, err := readBody(w, r, maxJSON)
	if err != nil {
		return err
	}
	return decodeObject(body, m, required...)
}

// decodeObject sets m from the JSON object in body. The members in required must be there. encoding/json alone would
// accept members twice or in another case.
func decodeObject(body []byte, m members, required ...string) error {
	if !utf8.Valid(body) {
		return badRequest("the body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return badRequest("the body must be one JSON object")
	}
	seen, err := decodeMembers(dec, m)
	if err != nil {
		return err
	}
	if _, err := dec.Token(); err != nil {
		return badRequest("the body is not well-formed JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest("there is something behind the JSON object")
	}
	for _, name := range required {
		if !seen[name] {
			return badRequest("member %q is missing", name)
		}
	}
	return nil
}

// decodeMembers reads members up to the end of the object and returns the names of those that were there.
func decodeMembers(dec *json.Decoder, m members) (map[string]bool, error) {
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, badRequest("the body is not well-formed JSON")
		}
		target, known := m[name]
		switch {
		case !known:
			return nil, badRequest("member %q is unknown", shorten(name))
		case seen[name]:
			return nil, badRequest("member %q occurs more than once", name)
		}
		seen[name] = true
		if err := decodeMember(dec, name, target); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// decodeMember sets target from the next value of dec. Null is an error here, also inside of a list, where encoding/json
// would read it as "".
func decodeMember(dec *json.Decoder, name string, target any) error {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return badRequest("member %q is not well-formed JSON", name)
	}
	var err error
	want := "a string"
	switch target := target.(type) {
	case *string:
		if err = unmarshalSet(raw, target); err == nil {
			err = checkText(*target)
		}
		if err == nil && name == "reason" && len(*target) > events.MaxReason { // in the log it would be cut
			err = errLong
		}
	case **string:
		var s string
		if err = unmarshalSet(raw, &s); err == nil {
			err = checkText(s)
		}
		*target = &s
	case *bool:
		want = "true or false"
		err = unmarshalSet(raw, target)
	case **bool:
		want = "true or false"
		*target = new(bool)
		err = unmarshalSet(raw, *target)
	case **int64:
		want = "a whole number"
		*target = new(int64)
		err = unmarshalSet(raw, *target)
	case *[]string:
		want = "a list of strings"
		var items []*string
		if err = unmarshalSet(raw, &items); err == nil {
			*target, err = allSet(items)
		}
	case *int64:
		want = "a whole number"
		err = unmarshalSet(raw, target)
	default:
		panic("httpapi: member of an unsupported type")
	}
	switch {
	case errors.Is(err, errLong):
		return badRequest("member %q is longer than %d bytes", name, events.MaxReason)
	case errors.Is(err, errHalfPair):
		return badRequest("member %q has U+FFFD or half of a surrogate pair in it", name)
	case err != nil:
		return badRequest("member %q must be %s", name, want)
	}
	return nil
}

var (
	errHalfPair = errors.New("half of a surrogate pair")
	errLong     = errors.New("too long")
)

// checkText refuses U+FFFD. encoding/json reads every half of a surrogate pair as that character: passwords that differ would
// be one.
func checkText(s string) error {
	if strings.ContainsRune(s, utf8.RuneError) {
		return errHalfPair
	}
	return nil
}

var errNull = errors.New("null")

func unmarshalSet[T any](raw json.RawMessage, target *T) error {
	if string(raw) == "null" {
		return errNull
	}
	return json.Unmarshal(raw, target)
}

func allSet(items []*string) ([]string, error) {
	values := make([]string, 0, len(items))
	for _, item := range items {
		if item == nil {
			return nil, errNull
		}
		if err := checkText(*item); err != nil {
			return nil, err
		}
		values = append(values, *item)
	}
	return values, nil
}
