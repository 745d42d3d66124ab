package token

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// members returns the JSON text of each claim of a good token.
func members() map[string]string {
	return map[string]string{
		"iss": `"https://login.example.com"`, "sub": `"user"`, "aud": `"https://api.example.com"`, "client_id": `"web"`,
		"scope": `"a b"`, "roles": `["r","s"]`, "exp": "1800000600", "iat": "1799999700", "nbf": "1799999700",
		"auth_time": "1799999700", "jti": `"id"`, "sid": `"aebagbaaaaaaaaaaaaaaaaaaae"`,
		"epoch": `"beeaoaaaaaaaaaaaaaaaaaaaaa"`, "start_seq": "5", "seq": "6",
	}
}

func object(m map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name] != "" {
			list = append(list, fmt.Sprintf("%q:%s", name, m[name]))
		}
	}
	return "{" + strings.Join(list, ",") + "}"
}

// TestVerifyClaims changes one claim of a correctly signed token. "" as a value leaves it out.
func TestVerifyClaims(t *testing.T) {
	s := testSigner(1)
	v := testVerifier(s)
	for _, c := range []struct {
		name, value string
		want        error
	}{
		{"scope", "", nil}, {"roles", "", nil}, {"nbf", "", nil}, {"auth_time", "", nil},
		{"client_id", `""`, nil},
		{"aud", `["x","https://api.example.com"]`, nil},
		{"sub", `"a\\b\"c"`, nil},
		{"exp", "1800000001", nil},
		{"iat", "1800000060", nil},
		{"nbf", "1800000060", nil},
		{"new", `{"a":[1,true,false,null,"x\n\/",{}],"b":{}}`, nil},

		{"iss", `"https://login.example.com/"`, ErrIssuer},
		{"iss", `"HTTPS://login.example.com"`, ErrIssuer},
		{"aud", `"https://api.example.com.evil.example"`, ErrAudience},
		{"aud", `["https://api.example.co","m"]`, ErrAudience},
		{"exp", "1800000000", ErrExpired},
		{"exp", "1", ErrExpired},
		{"iat", "1800000061", ErrNotYet},
		{"nbf", "1800000061", ErrNotYet},

		{"iss", "", ErrMalformed}, {"sub", "", ErrMalformed}, {"aud", "", ErrMalformed}, {"exp", "", ErrMalformed},
		{"iat", "", ErrMalformed}, {"jti", "", ErrMalformed}, {"client_id", "", ErrMalformed}, {"sid", "", ErrMalformed},
		{"epoch", "", ErrMalformed}, {"start_seq", "", ErrMalformed}, {"seq", "", ErrMalformed},
		{"iss", `""`, ErrMalformed}, {"sub", `""`, ErrMalformed}, {"jti", `""`, ErrMalformed},
		{"sub", "null", ErrMalformed}, {"sub", "1", ErrMalformed}, {"sub", `["user"]`, ErrMalformed},
		{"sub", `"\u0061"`, ErrMalformed}, {"sub", `"a\nb"`, ErrMalformed}, {"sub", "\"a\nb\"", ErrMalformed},
		{"sub", "\"\xff\"", ErrMalformed}, {"sub", "\"\xed\xa0\x80\"", ErrMalformed}, {"sub", `"open`, ErrMalformed},
		{"sub", `"a\`, ErrMalformed}, {"sub", "\"\x7f\"", ErrMalformed},
		{"aud", "[]", ErrMalformed}, {"aud", `""`, ErrMalformed}, {"aud", `[""]`, ErrMalformed}, {"aud", "null", ErrMalformed},
		{"aud", `["https://api.example.com",]`, ErrMalformed}, {"aud", `["https://api.example.com"`, ErrMalformed},
		{"aud", `["https://api.example.com",1]`, ErrMalformed}, {"aud", `[["https://api.example.com"]]`, ErrMalformed},
		{"roles", "[]", ErrMalformed}, {"roles", `"r"`, ErrMalformed}, {"roles", `[""]`, ErrMalformed}, {"roles", "{}", ErrMalformed},
		{"scope", `" a"`, ErrMalformed}, {"scope", `"a "`, ErrMalformed}, {"scope", `"a  b"`, ErrMalformed},
		{"scope", `["a"]`, ErrMalformed}, {"scope", `" "`, ErrMalformed},
		{"exp", `"1800000600"`, ErrMalformed}, {"exp", "1800000600.0", ErrMalformed}, {"exp", "1.8e9", ErrMalformed},
		{"exp", "1e400", ErrMalformed}, {"exp", "-1800000600", ErrMalformed}, {"exp", "01800000600", ErrMalformed},
		{"exp", "4294967296", ErrMalformed}, {"exp", "18446744073709551617", ErrMalformed}, {"exp", "0", ErrMalformed},
		{"exp", strings.Repeat("9", 300), ErrMalformed}, {"exp", "null", ErrMalformed}, {"exp", "true", ErrMalformed},
		{"exp", "[1800000600]", ErrMalformed}, {"exp", "+1800000600", ErrMalformed}, {"exp", " 1800000600", ErrMalformed},
		{"exp", "1800000600 ", ErrMalformed}, {"exp", "0x6b49d200", ErrMalformed}, {"exp", "1_800_000_600", ErrMalformed},
		{"iat", "0", ErrMalformed}, {"iat", "-1", ErrMalformed}, {"nbf", "-1", ErrMalformed}, {"nbf", "4294967296", ErrMalformed},
		{"start_seq", "0", ErrMalformed}, {"start_seq", "7", ErrMalformed}, {"seq", "9007199254740992", ErrMalformed},
		{"seq", `"6"`, ErrMalformed}, {"seq", "6.5", ErrMalformed},
		{"sid", `"aaaaaaaaaaaaaaaaaaaaaaaaaa"`, ErrMalformed}, {"epoch", `"aaaaaaaaaaaaaaaaaaaaaaaaaa"`, ErrMalformed},
		{"sid", `"AEBAGBAAAAAAAAAAAAAAAAAAAE"`, ErrMalformed}, {"sid", `"aebagbaaaaaaaaaaaaaaaaaaab"`, ErrMalformed},
		{"sid", `"aebagbaaaaaaaaaaaaaaaaaaa"`, ErrMalformed}, {"sid", `"aebagbaaaaaaaaaaaaaaaaaaaea"`, ErrMalformed},
		{"sid", `"aebagbaaaaaaaaaaaaaaaaaa1e"`, ErrMalformed}, {"sid", `"aebagbaaaaaaaaaaaaaaaaaa======"`, ErrMalformed},
		{"new", strings.Repeat("[", 9) + strings.Repeat("]", 9), ErrMalformed}, {"new", "1.5", ErrMalformed},
		{"new", `{"a":1,}`, ErrMalformed}, {"new", "[1,]", ErrMalformed}, {"new", "nul", ErrMalformed}, {"new", "[", ErrMalformed},
		{"new", `"\u0000"`, ErrMalformed}, {"new", `"\x"`, ErrMalformed}, {"new", "\"\xff\"", ErrMalformed},
		{"ne\u00fc", "1", ErrMalformed}, {"n\u0001", "1", ErrMalformed},
	} {
		m := members()
		m[c.name] = c.value
		got, err := v.Verify(sealed(s, headerOf(s), object(m)), now)
		if !errors.Is(err, c.want) || (got != nil) != (c.want == nil) {
			t.Errorf("%s = %s: %+v, %v; want %v", c.name, c.value, got, err, c.want)
		}
	}
}

// TestVerifyPayload has whole payloads, correctly signed.
func TestVerifyPayload(t *testing.T) {
	s := testSigner(1)
	v := testVerifier(s)
	good := object(members())
	bad := map[string]string{
		"empty object": "{}", "null": "null", "list": "[" + good + "]", "text": `"x"`, "two": good + good,
		"space before": " " + good, "line break after": good + "\n", "comma": good[:len(good)-1] + ",}", "cut": good[:len(good)-1],
		"comments": "/**/" + good, "byte order mark": "\ufeff" + good, "nested token": sealed(s, headerOf(s), good),
		"no names": `{:1}`, "single quotes": strings.ReplaceAll(good, `"`, "'"),
		"escaped name":        strings.Replace(good, `"exp"`, `"\u0065xp"`, 1),
		"name in other case":  strings.Replace(good, `"exp"`, `"EXP"`, 1),
		"escaped second name": good[:len(good)-1] + `,"\u0065xp":9999999999}`,
		"unknown twice":       good[:len(good)-1] + `,"x":1,"y":2,"x":1}`,
		"many unknown":        good[:len(good)-1] + manyMembers(17) + "}",
	}
	for name, value := range members() {
		bad[name+" twice"] = good[:len(good)-1] + fmt.Sprintf(",%q:%s}", name, value)
	}
	for name, payload := range bad {
		if got, err := v.Verify(sealed(s, headerOf(s), payload), now); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, payload := range map[string]string{"good": good, "some unknown": good[:len(good)-1] + manyMembers(16) + "}"} {
		if _, err := v.Verify(sealed(s, headerOf(s), payload), now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"x%d":%d`, i, i)
	}
	return b.String()
}

// agree fails unless golang-jwt accepts text too and reads the same.
func agree(t *testing.T, s *Signer, text string, c *Claims) {
	t.Helper()
	p := jwt.NewParser(jwt.WithValidMethods([]string{s.Key().Algorithm()}), jwt.WithTimeFunc(func() time.Time { return time.Unix(now, 0) }),
		jwt.WithJSONNumber(), jwt.WithStrictDecoding(), jwt.WithExpirationRequired(), jwt.WithIssuer(c.Issuer),
		jwt.WithAudience("https://api.example.com"), jwt.WithLeeway(DefaultSkew*time.Second))
	got := jwt.MapClaims{}
	if _, err := p.ParseWithClaims(text, got, func(tok *jwt.Token) (any, error) {
		if tok.Header["kid"] != s.KeyID() {
			return nil, errors.New("kid")
		}
		return s.Key().public, nil
	}); err != nil {
		t.Fatalf("golang-jwt refuses %s: %v", text, err)
	}
	list := func(v any) (list []string) {
		switch v := v.(type) {
		case string:
			return []string{v}
		case []any:
			for _, e := range v {
				list = append(list, e.(string))
			}
		}
		return list
	}
	id := func(b [16]byte) string { return base32ID.EncodeToString(b[:]) }
	want := map[string]any{
		"iss": c.Issuer, "sub": c.Subject, "client_id": c.ClientID, "jti": c.ID, "sid": id(c.Session), "epoch": id(c.Epoch),
		"exp": fmt.Sprint(c.Expires), "iat": fmt.Sprint(c.IssuedAt), "start_seq": fmt.Sprint(c.Start), "seq": fmt.Sprint(c.Issued),
	}
	for name, v := range want {
		if fmt.Sprint(got[name]) != v {
			t.Fatalf("%s: golang-jwt has %v, we have %v", name, got[name], v)
		}
	}
	for name, v := range map[string]int64{"nbf": c.NotBefore, "auth_time": c.AuthTime} {
		if has, ok := got[name]; ok && fmt.Sprint(has) != fmt.Sprint(v) || !ok && v != 0 {
			t.Fatalf("%s: golang-jwt has %v, we have %v", name, has, v)
		}
	}
	scope, _ := got["scope"].(string)
	if scope != c.Scope || !slices.Equal(strings.Fields(scope), c.Scopes) || !slices.Equal(list(got["aud"]), c.Audience) ||
		!slices.Equal(list(got["roles"]), c.Roles) {
		t.Fatalf("golang-jwt has %v, we have %+v", got, c)
	}
}
