// Package structure holds tests only. They read the source of the whole repository and fail on what its design does not
// allow: an import against the arrows, a file, function or struct that has grown too large, an exported identifier or a
// package without a doc comment, a test that sleeps, a dependency that docs/dependencies.md does not name. They parse and
// do not type-check, so they take well under a second. The package knows nothing of what the code does.
package structure
