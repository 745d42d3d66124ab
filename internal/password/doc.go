// Package password owns the hashing and checking of passwords and client secrets, the policy for new ones, and the cap
// on how many hashes are computed at a time, in other processes where there are some, so that a flood of logins cannot take the processor
// from token verification.
//
// New hashes are argon2id (RFC 9106) in PHC string form. Imported argon2id, bcrypt, scrypt (RFC 7914) and PBKDF2 (RFC 8018)
// hashes are accepted within bounds on their cost. The package does not know users, clients, storage, rate limits per user or address, or HTTP. No error
// and no String of it contains a password or a hash.
package password
