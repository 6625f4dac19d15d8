"""Drives librdkafka against a broker: an idempotent producer, and a group of two consumers.

  librdkafka.py BOOTSTRAP TOPIC GROUP ASSIGNOR RECORDS

Produces RECORDS records, consumes them with two members of which one leaves half way, commits what
was consumed, and prints what it saw as one line of JSON.
"""
import json
import sys
import time

from confluent_kafka import Consumer, Producer, libversion

LIMIT = 60

bootstrap, topic, group, assignor, records = sys.argv[1:]
records = int(records)
deadline = time.monotonic() + LIMIT
errors = []


def late(what):
    if time.monotonic() > deadline:
        sys.exit(f"{what} took more than {LIMIT} s; errors: {errors}")


def produce():
    delivered = []

    def report(error, message):
        if error is not None:
            sys.exit(f"not delivered: {error}")
        delivered.append((message.partition(), message.offset()))

    producer = Producer({
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "compression.type": "lz4",
        "partitioner": "murmur2_random",
    })
    for number in range(records):
        producer.produce(topic, key=str(number), value=str(number), on_delivery=report)
        producer.poll(0)
    producer.flush(LIMIT)
    return delivered


class Member:
    def __init__(self, name):
        self.owned, self.most = set(), 0
        self.consumer = Consumer({
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "client.id": name,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "partition.assignment.strategy": assignor,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "error_cb": errors.append,
        })
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked)

    def assigned(self, _, partitions):
        self.owned |= {p.partition for p in partitions}
        self.most = max(self.most, len(self.owned))

    def revoked(self, _, partitions):
        self.owned -= {p.partition for p in partitions}

    def poll(self, seen):
        message = self.consumer.poll(0.05)
        if message is None:
            return
        if message.error():
            sys.exit(f"not consumed: {message.error()}")
        seen.append((message.partition(), message.offset()))
        self.consumer.commit(message, asynchronous=False)


delivered = produce()
stays, leaves = Member("stays"), Member("leaves")
seen = []
# Both must have partitions before one of them may go.
while not (stays.owned and leaves.owned and len(stays.owned) == len(leaves.owned)):
    late("the assignment")
    stays.poll(seen)
    leaves.poll(seen)
leaves.consumer.close()
while len(set(seen)) < records:
    late("consuming")
    stays.poll(seen)
stays.consumer.close()
print(json.dumps({
    "version": libversion()[0],
    "delivered": len(set(delivered)),
    "consumed": len(seen),
    "distinct": len(set(seen)),
    "most": [stays.most, leaves.most],
    "errors": [str(error) for error in errors],
}))
