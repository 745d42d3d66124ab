package export

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// row is an event in Parquet: the attributes of its envelope by their names, and what happened to whom as JSON. Columns that an event does
// not have are null: pointers, because v0.32 of the library takes some zero values that are marked as optional for empty texts. Attributes
// that this version does not know are in NDJSON only.
type row struct {
	Sequence  int64   `parquet:"sequence,delta"`
	ID        string  `parquet:"id"`
	Type      string  `parquet:"type,dict"`
	Time      *int64  `parquet:"time,timestamp(microsecond)"` // UTC
	Source    string  `parquet:"source,dict"`
	Subject   *string `parquet:"subject"`
	Level     int32   `parquet:"level"`
	Epoch     string  `parquet:"epoch,dict"`
	Actor     *string `parquet:"actor,dict"`
	Address   *string `parquet:"clientaddress,dict"`
	UserAgent *string `parquet:"useragent,dict"`
	RequestID *string `parquet:"requestid"`
	Reason    *string `parquet:"reason,dict"`
	Void      *string `parquet:"void,dict"`
	UserName  *string `parquet:"username,dict"`
	ActorName *string `parquet:"actorname,dict"`
	Data      string  `parquet:"data,json"` // "null" if it has none: v0.32 panics at optional JSON
}

// rowGroup bounds how many rows are kept in memory, compressed, until they are written together.
const rowGroup = 1 << 16

// event is what is read of a line.
type event struct {
	seq       uint64
	Sequence  string          `json:"sequence"`
	Sealed    string          `json:"sealed"` // instead of all else
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Time      string          `json:"time"`
	Source    string          `json:"source"`
	Subject   string          `json:"subject"`
	Level     int32           `json:"level"`
	Epoch     string          `json:"epoch"`
	Actor     string          `json:"actor"`
	Address   string          `json:"clientaddress"`
	UserAgent string          `json:"useragent"`
	RequestID string          `json:"requestid"`
	Reason    string          `json:"reason"`
	Void      string          `json:"void"`
	UserName  string          `json:"username"`
	ActorName string          `json:"actorname"`
	Data      json.RawMessage `json:"data"`
}

// parse reads a line.
func parse(line []byte) (*event, error) {
	e := &event{}
	if err := json.Unmarshal(line, e); err != nil {
		return nil, fmt.Errorf("%.60q is no event: %w", line, err)
	}
	var err error
	if e.seq, err = strconv.ParseUint(e.Sequence, 10, 64); err != nil || e.Type == "" && e.Sealed == "" {
		return nil, fmt.Errorf("%.60q is no event of Knell", line)
	}
	return e, nil
}

func (e *event) row() row {
	r := row{
		Sequence: int64(e.seq), ID: e.ID, Type: e.Type, Source: e.Source, Subject: text(e.Subject), Level: e.Level, Epoch: e.Epoch,
		Actor: text(e.Actor), Address: text(e.Address), UserAgent: text(e.UserAgent), RequestID: text(e.RequestID), Reason: text(e.Reason),
		Void: text(e.Void), UserName: text(e.UserName), ActorName: text(e.ActorName), Data: cmp.Or(string(e.Data), "null"),
	}
	if t, err := time.Parse(time.RFC3339Nano, e.Time); err == nil {
		micros := t.UnixMicro()
		r.Time = &micros
	}
	return r
}

// text returns nil for "".
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// writeParquet makes a Parquet file of lines. progress is told how many bytes of them have been read.
func writeParquet(w io.Writer, lines *bufio.Reader, p Plan, progress func(int64)) error {
	out := parquet.NewGenericWriter[row](w,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}), parquet.MaxRowsPerRowGroup(rowGroup), parquet.CreatedBy("knell", "", ""),
		parquet.KeyValueMetadata("knell.query", p.Query), parquet.KeyValueMetadata("knell.epoch", p.Epoch),
		parquet.KeyValueMetadata("knell.after", strconv.FormatUint(p.After, 10)), parquet.KeyValueMetadata("knell.up_to", strconv.FormatUint(p.UpTo, 10)))
	var rows []row
	var done int64
	for {
		line, err := lines.ReadBytes('\n')
		if err == nil {
			done += int64(len(line))
			e, err := parse(bytes.TrimSuffix(line, []byte("\n")))
			if err != nil {
				return err
			}
			rows = append(rows, e.row())
		} else if err != io.EOF {
			return err
		}
		if len(rows) == 1000 || err == io.EOF {
			if _, err := out.Write(rows); err != nil {
				return err
			}
			rows = rows[:0]
			progress(done)
		}
		if err == io.EOF {
			return out.Close()
		}
	}
}
