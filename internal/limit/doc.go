// Package limit counts failed guesses and says how long the next one has to wait. It owns the arithmetic of growing delays, of
// forgetting, and of bounded memory. It knows neither clock nor log: whoever calls it says what time it is, so that equal calls
// give equal tables. A Table is not safe for concurrent use.
package limit
