package token

// now is the time of all tests, Unix seconds.
const now = 1_800_000_000

func testSigner(n byte) *Signer {
	seed := make([]byte, 32)
	seed[0] = n
	s, err := NewSigner(EdDSA, seed)
	if err != nil {
		panic(err)
	}
	return s
}

// typical returns the claims of an ordinary token. n tells it from others.
func typical(s *Signer, n uint64) *Claims {
	c := &Claims{
		Issuer: "https://login.example.com", Subject: "k5x2m7q4z3n6w2y7a4b5c6d7ea", Audience: []string{"https://api.example.com"},
		ClientID: "", Scope: "profile notes", Scopes: []string{"profile", "notes"}, Roles: []string{"member"},
		ID: "q7x2m7q4z3n6w2y7a4b5c6d7ea", Expires: now + 600, IssuedAt: now - 300, AuthTime: now - 300,
		Session: [16]byte{1, 2, 3, 4}, Epoch: [16]byte{9, 8, 7}, Start: 123_456, Issued: 123_456 + n, KeyID: s.KeyID(),
	}
	c.Session[15] = byte(n)
	return c
}

func testVerifier(signers ...*Signer) *Verifier {
	return &Verifier{
		Issuer: "https://login.example.com", Audience: "https://api.example.com",
		Key: func(kid string) *Key {
			for _, s := range signers {
				if s.KeyID() == kid {
					return s.Key()
				}
			}
			return nil
		},
	}
}
