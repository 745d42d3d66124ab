package password

import (
	"errors"
	"strings"
	"testing"
)

const (
	rfc7914 = "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw"
	phcKDF  = "$pbkdf2-sha256$i=1000$c2FsdHNhbHRzYWx0c2FsdA$BBs+1+PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM"
	django  = "pbkdf2_sha256$1000$seasalt2seasalt2$8MkvgctZalT3B1nT7NulxO1ihsB4FzTmepbHRG1ngO0="
)

// Sources: RFC 7914 section 12; the documentation of passlib, for scrypt and for PBKDF2 with 1212 rounds; Python's hashlib,
// which is OpenSSL.
var importedVectors = []struct{ encoded, password string }{
	{rfc7914, "pleaseletmein"},
	{"$scrypt$ln=4,r=8,p=2$c2FsdHNhbHRzYWx0c2FsdA$N/xVigXISrC2014X0g9Vd7Bxvzb0tmaBHmkzOObyCF8", "correct horse"},
	{"$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E", "password"},
	{"$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ", "password"},
	{"$pbkdf2-sha512$1212$RHY0Fr3IDMSVO/RSZyb5ow$eNLfBK.eVozomMr.1gYa17k9B7KIK25NOEshvhrSX.esqY3s.FvWZViXz4KoLlQI.BzY/YTNJOiKc5gBYFYGww", "password"},
	{"$pbkdf2-sha256$1200$8PHy8/T19vf4.fr7/P3./w$I/961ZKMI5nsgmBSH2lKpP0r2dFqYBBWDHaP2Du5akg", "wörter"},
	{phcKDF, "correct horse"},
	{strings.Replace(phcKDF, "i=1000", "i=1000,l=32", 1), "correct horse"},
	{"$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0c2FsdA$EHLBej+uEvxlmr0QnHnceg1vM6h1wbwSP5XErh3SmizNDWZsIi28RPGARe0EssjGRoiACzxgHjNvqwJY1zxKig", "correct horse"},
	{django, "correct horse"},
}

// Every kind opens with its password, and with no other: not with one that HMAC would read as the same.
func TestImportedVectors(t *testing.T) {
	h := New(Config{Params: cheap})
	for _, v := range importedVectors {
		if err := CheckEncoded(v.encoded); err != nil {
			t.Errorf("CheckEncoded(%s) = %v", v.encoded, err)
		}
		if r, err := h.Verify(t.Context(), v.encoded, v.password); !r.OK || !r.Rehash || err != nil {
			t.Errorf("Verify(%s, %q) = %+v, %v, want OK and a rehash", v.encoded, v.password, r, err)
		}
		for _, wrong := range few("x"+v.password, "", v.password+"x", v.password+"\x00", strings.Repeat("x", MaxBytes+1)) {
			if r, err := h.Verify(t.Context(), v.encoded, wrong); r != (Result{}) || err != nil {
				t.Errorf("Verify(%s, %q) = %+v, %v, want zero", v.encoded, wrong, r, err)
			}
		}
	}
}

func TestImportedMalformed(t *testing.T) {
	salt, key := "c2FsdHNhbHRzYWx0c2FsdA", "BBs+1+PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM"
	h := New(Config{})
	for _, c := range []struct{ encoded, why string }{
		{"$scrypt$", "not 4 parts"},
		{rfc7914 + "$", "not 4 parts"},
		{rfc7914 + strings.Repeat("A", 256), "longer than"},
		{rfc7914 + "\n", "line break"},
		{"$scrypt$r=8,ln=14,p=1$" + salt + "$" + key, "costs are not"},
		{"$scrypt$ln=14,r=8$" + salt + "$" + key, "costs are not"},
		{"$scrypt$ln=014,r=8,p=1$" + salt + "$" + key, "not followed by a number"},
		{"$scrypt$ln=0,r=8,p=1$" + salt + "$" + key, "not ln of 1"},
		{"$scrypt$ln=22,r=1,p=1$" + salt + "$" + key, "not ln of 1"},
		{"$scrypt$ln=4294967295,r=8,p=1$" + salt + "$" + key, "not ln of 1"},
		{"$scrypt$ln=14,r=0,p=1$" + salt + "$" + key, "not ln of 1"},
		{"$scrypt$ln=14,r=65,p=1$" + salt + "$" + key, "not ln of 1"},
		{"$scrypt$ln=14,r=8,p=0$" + salt + "$" + key, "not ln of 1"},
		{"$scrypt$ln=19,r=8,p=1$" + salt + "$" + key, "memory"},
		{"$scrypt$ln=18,r=8,p=2$" + salt + "$" + key, "memory"},
		{"$scrypt$ln=15,r=64,p=64$" + salt + "$" + key, "memory"},
		{"$scrypt$ln=14,r=8,p=1$c2Fs$" + key, "salt is not of"},
		{"$scrypt$ln=14,r=8,p=1$" + salt + "$", "hash is not of"}, // would match every password
		{"$scrypt$ln=14,r=8,p=1$" + salt + "$" + key + "=", "hash is not unpadded"},
		{"$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn", "neither"},

		{"$pbkdf2-sha256$", "not 4 parts"},
		{"$pbkdf2-md5$i=1000$" + salt + "$" + key, "neither sha256"},
		{"$pbkdf2-sha256$i=$" + salt + "$" + key, "not followed by a number"},
		{"$pbkdf2-sha256$i=1000,l=31$" + salt + "$" + key, "not the length"},
		{"$pbkdf2-sha256$i=1000,x=32$" + salt + "$" + key, "costs are not"},
		{"$pbkdf2-sha256$i=1000,l=32,l=32$" + salt + "$" + key, "costs are not"},
		{"$pbkdf2-sha256$i=0$" + salt + "$" + key, "rounds not within"},
		{"$pbkdf2-sha256$i=4000001$" + salt + "$" + key, "rounds not within"},
		{"$pbkdf2-sha256$i=2000001$" + salt + "$" + strings.Repeat("A", 86), "rounds not within"}, // two blocks
		{"$pbkdf2-sha512$i=2000001$" + salt + "$" + key, "rounds not within"},
		{"$pbkdf2-sha256$4294967296$" + salt + "$" + key, "no number of rounds"},
		{"$pbkdf2-sha256$01000$" + salt + "$" + strings.ReplaceAll(key, "+", "."), "no number of rounds"},
		{"$pbkdf2-sha256$1000$" + salt + "$" + key, "hash is not unpadded"}, // passlib writes "." for "+"
		{"$pbkdf2$1000$" + salt + "$" + key, "neither"},                     // SHA-1

		{"pbkdf2_sha256$1000$seasalt2seasalt2", "not 4 parts"},
		{"pbkdf2_sha256$1e3$seasalt2seasalt2$" + key + "=", "no number of rounds"},
		{"pbkdf2_sha256$5000000$seasalt2seasalt2$" + key + "=", "rounds not within"},
		{"pbkdf2_sha256$1000$salt$" + key + "=", "salt is not of"},
		{"pbkdf2_sha256$1000$seasalt2seasalt2$" + key + "==", "hash is not unpadded"},
		{"pbkdf2_sha1$1000$seasalt2seasalt2$" + key, "neither"},
	} {
		err := CheckEncoded(c.encoded)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("CheckEncoded(%q) = %v, want %q", c.encoded, err, c.why)
			continue
		}
		if len(c.encoded) > 40 && strings.Contains(err.Error(), c.encoded[len(c.encoded)-8:]) {
			t.Errorf("CheckEncoded(%q) quotes it: %v", c.encoded, err)
		}
		if r, verr := h.Verify(t.Context(), c.encoded, "U*U"); r != (Result{}) || verr == nil || verr.Error() != err.Error() {
			t.Errorf("Verify(%q) = %+v, %v, want %v", c.encoded, r, verr, err)
		}
	}
}

// The dearest hashes that are accepted: nobody may hold a worker for seconds by what an import file says.
func BenchmarkDearest(b *testing.B) {
	salt, key := "c2FsdHNhbHRzYWx0c2FsdA", strings.Repeat("A", 43)
	for name, encoded := range map[string]string{
		"argon2id":      argon2id("m=262144,t=3,p=1"),
		"scrypt":        "$scrypt$ln=18,r=8,p=1$" + salt + "$" + key,
		"scrypt lanes":  "$scrypt$ln=12,r=8,p=64$" + salt + "$" + key,
		"pbkdf2-sha256": "$pbkdf2-sha256$i=4000000$" + salt + "$" + key,
		"pbkdf2-sha512": "$pbkdf2-sha512$i=2000000$" + salt + "$" + key,
	} {
		b.Run(name, func(b *testing.B) {
			h := New(Config{})
			for b.Loop() {
				if _, err := h.Verify(b.Context(), encoded, "a password"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
