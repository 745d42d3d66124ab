// hyparquet reads an export in Parquet, and finds what the same export has in NDJSON: every event, in order, each column in its type.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } from "hyparquet";
import { compressors } from "hyparquet-compressors";

const [, , parquet, ndjson] = process.argv;
const events = readFileSync(ndjson, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
const file = await asyncBufferFromFile(parquet);
const metadata = await parquetMetadataAsync(file);
const rows = await parquetReadObjects({ file, metadata, compressors });

assert.equal(Number(metadata.num_rows), events.length);
assert.equal(rows.length, events.length);
const columns = parquetSchema(metadata).children.map((c) => c.element);
const type = Object.fromEntries(columns.map((c) => [c.name, `${c.type} ${c.logical_type?.type ?? c.converted_type ?? ""} ${c.repetition_type}`.replace(/ +/g, " ")]));
for (const [name, want] of Object.entries({
  sequence: "INT64 INTEGER REQUIRED", time: "INT64 TIMESTAMP OPTIONAL", type: "BYTE_ARRAY STRING REQUIRED", level: "INT32 INTEGER REQUIRED",
  actor: "BYTE_ARRAY STRING OPTIONAL", void: "BYTE_ARRAY STRING OPTIONAL", data: "BYTE_ARRAY JSON REQUIRED",
})) assert.equal(type[name], want, name);

const texts = ["id", "source", "type", "subject", "epoch", "actor", "clientaddress", "useragent", "requestid", "reason", "void", "username", "actorname"];
rows.forEach((row, i) => {
  const event = events[i];
  assert.equal(row.sequence, BigInt(event.sequence));
  assert.equal(row.level, event.level);
  assert.equal(row.time.getTime(), Math.floor(Date.parse(event.time)), event.time);
  assert.deepEqual(row.data, event.data);
  for (const name of texts) assert.equal(row[name] ?? undefined, event[name], `${name} of ${event.sequence}`);
});
console.log(`${rows.length} events, ${metadata.row_groups.length} row groups, by ${metadata.created_by}`);
