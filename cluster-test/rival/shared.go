package rival

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// sharedKey is a sorted set of all ended sessions by the second in which each may be forgotten.
const sharedKey = "revocations"

// load returns the ended sessions that the store knows.
func load(ctx context.Context, store *redis.Client) (map[string]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	members, err := store.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{
		Key: sharedKey, ByScore: true, Start: time.Now().Unix(), Stop: "+inf",
	}).Result()
	if err != nil {
		return nil, err
	}
	until := make(map[string]time.Time, len(members))
	for _, m := range members {
		if id, ok := m.Member.(string); ok {
			until[id] = time.Unix(int64(m.Score), 0)
		}
	}
	return until, nil
}

// save adds an ended session to the store, forgets there what has expired, and does also in the same transaction.
func save(ctx context.Context, store *redis.Client, id string, until time.Time, also func(redis.Pipeliner)) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, err := store.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAdd(ctx, sharedKey, redis.Z{Score: float64(until.Unix()), Member: id})
		p.ZRemRangeByScore(ctx, sharedKey, "-inf", "("+strconv.FormatInt(time.Now().Unix(), 10))
		also(p)
		return nil
	})
	return err
}
