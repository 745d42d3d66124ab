package extauthz

import (
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec of all other messages
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// checkRequest is what matters of an envoy.service.auth.v3.CheckRequest.
type checkRequest struct {
	header     http.Header // without pseudo headers and what may pass for a header of Knell
	identity   []string    // names of the latter, as the client wrote them
	host       string
	remote     string     // host:port of the client of the proxy; "" when it is no IP address
	extensions url.Values // context_extensions
}

// checkResponse is what is said of an envoy.service.auth.v3.CheckResponse.
type checkResponse struct {
	code    codes.Code
	status  int         // HTTP status of a denial
	headers http.Header // to be set: in the request when it may pass, else in the answer
	remove  []string    // headers to be removed from a request that may pass
	body    string
}

// isIdentity reports whether a service behind the proxy may take name for a header of Knell: interfaces like CGI make one
// character of whatever is neither a letter nor a digit.
func isIdentity(name string) bool {
	const prefix = "x-knell-"
	if len(name) < len(prefix) {
		return false
	}
	plain := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, name[:len(prefix)])
	return strings.EqualFold(plain, prefix)
}

// codec encodes the two messages above, and leaves all others to the codec that gRPC has for them.
type codec struct{}

// Name implements encoding.CodecV2.
func (codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if out, ok := v.(*checkResponse); ok {
		return mem.BufferSlice{mem.SliceBuffer(out.encode())}, nil
	}
	return encoding.GetCodecV2("proto").Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*checkRequest)
	if !ok {
		return encoding.GetCodecV2("proto").Unmarshal(data, v)
	}
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	return in.decode(b.ReadOnlyData())
}

var errMalformed = errors.New("extauthz: malformed message")

// fields calls visit for each field of a message that has a length; v is a part of b. Others, and those that it does not know, it
// leaves out: number says what is known.
func fields(b []byte, visit func(number protowire.Number, v []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return errMalformed
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		if err := visit(number, v); err != nil {
			return err
		}
	}
	return nil
}

// in reads a message of which one field at most is of interest, which is a message too.
func in(b []byte, number protowire.Number, visit func(protowire.Number, []byte) error) error {
	return fields(b, func(n protowire.Number, v []byte) error {
		if n != number {
			return nil
		}
		return fields(v, visit)
	})
}

// decode reads a CheckRequest. The numbers are those of attribute_context.proto.
func (r *checkRequest) decode(b []byte) error {
	r.header, r.extensions = http.Header{}, url.Values{}
	const attributes, source, request, extension = 1, 1, 4, 10
	return in(b, attributes, func(number protowire.Number, v []byte) error {
		switch number {
		case source:
			return r.decodeSource(v)
		case request:
			const http = 2
			return in(v, http, r.decodeHTTP)
		case extension:
			key, value, err := pair(v)
			r.extensions.Add(key, value)
			return err
		}
		return nil
	})
}

// decodeHTTP reads a field of an HttpRequest.
func (r *checkRequest) decodeHTTP(number protowire.Number, v []byte) error {
	const headers, host, headerMap = 3, 5, 13
	switch number {
	case headers:
		return r.addHeader(v)
	case host:
		r.host = string(v)
	case headerMap:
		return fields(v, func(_ protowire.Number, v []byte) error { return r.addHeader(v) })
	}
	return nil
}

func (r *checkRequest) addHeader(v []byte) error {
	name, value, err := pair(v)
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(name, ":"):
	case isIdentity(name):
		r.identity = append(r.identity, name)
	default:
		name = textproto.CanonicalMIMEHeaderKey(name)
		r.header[name] = append(r.header[name], value)
	}
	return nil
}

// decodeSource reads the address of a Peer.
func (r *checkRequest) decodeSource(b []byte) error {
	const address, socket, ip, port = 1, 1, 2, 3
	return in(b, address, func(number protowire.Number, v []byte) error {
		if number != socket {
			return nil
		}
		var host string
		err := fields(v, func(number protowire.Number, v []byte) error {
			if number == ip {
				host = string(v)
			}
			return nil
		})
		r.remote = net.JoinHostPort(host, strconv.FormatUint(varint(v, port), 10))
		return err
	})
}

// varint returns the field of a well-formed message, 0 if it is not there.
func varint(b []byte, number protowire.Number) (value uint64) {
	for len(b) > 0 {
		n, kind, tag := protowire.ConsumeTag(b)
		length := protowire.ConsumeFieldValue(n, kind, b[max(tag, 0):])
		if tag < 0 || length < 0 {
			return 0
		}
		if n == number && kind == protowire.VarintType {
			value, _ = protowire.ConsumeVarint(b[tag:])
		}
		b = b[tag+length:]
	}
	return value
}

// pair reads an entry of a map of strings, or a HeaderValue, whose third field is the value where it is no text.
func pair(b []byte) (key, value string, err error) {
	err = fields(b, func(number protowire.Number, v []byte) error {
		switch number {
		case 1:
			key = string(v)
		case 2, 3:
			value = string(v)
		}
		return nil
	})
	return key, value, err
}

// encode writes a CheckResponse. The numbers are those of external_auth.proto.
func (r *checkResponse) encode() []byte {
	const status, denied, ok = 1, 2, 3
	var code []byte
	if r.code != codes.OK { // 0 is left out
		code = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(r.code))
	}
	b := appendMessage(make([]byte, 0, 512), status, code)
	if r.code == codes.OK {
		const headers, remove = 2, 5
		m := appendHeaders(nil, headers, r.headers)
		for _, name := range r.remove {
			m = appendMessage(m, remove, []byte(strings.ToLower(name)))
		}
		return appendMessage(b, ok, m)
	}
	const httpStatus, headers, body = 1, 2, 3
	s := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(r.status))
	m := appendHeaders(appendMessage(nil, httpStatus, s), headers, r.headers)
	return appendMessage(b, denied, appendMessage(m, body, []byte(r.body)))
}

// appendHeaders appends a HeaderValueOption for each value of a header but Content-Length, which Envoy computes. The first one
// replaces what is there of the same name. "append" says so in Envoys of all versions, if it is there: its successor means something
// else where it is not known.
func appendHeaders(b []byte, number protowire.Number, h http.Header) []byte {
	const header, add, key, value = 1, 2, 1, 2
	yes := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	for name, values := range h {
		if name == "Content-Length" {
			continue
		}
		var more []byte // false
		for _, v := range values {
			m := appendMessage(nil, key, []byte(strings.ToLower(name)))
			m = appendMessage(m, value, []byte(v))
			b = appendMessage(b, number, appendMessage(appendMessage(nil, header, m), add, more))
			more = yes
		}
	}
	return b
}

// appendMessage appends a field that has a length.
func appendMessage(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}
