"""Reads audit events with nats-py: twice without an acknowledgement, then with one, then what follows."""
import asyncio
import json
import sys

import nats


async def take(servers, seed, inbox, consumer, count, ack):
    nc = await nats.connect(servers.split(","), nkeys_seed=seed, inbox_prefix=inbox.encode())
    sub = await nc.jetstream().pull_subscribe_bind(durable=consumer, stream="KNELL")
    events = []
    while len(events) < count:
        for m in await sub.fetch(count - len(events), timeout=5):
            events.append((m.metadata.sequence.stream, json.loads(m.data)["id"]))
    if ack:
        await m.ack_sync()
    await nc.close()
    return events


async def main():
    where = sys.argv[1:5]
    first = await take(*where, 5, False)
    again = await take(*where, 5, True)
    then = await take(*where, 1, True)
    if first != again or then[0][0] <= first[-1][0]:
        sys.exit(f"{first}\n{again}\n{then}")
    print(len(first), "events, the same again, then others")


asyncio.run(main())
