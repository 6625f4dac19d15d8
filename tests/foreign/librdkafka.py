"""Drives librdkafka against a broker: an idempotent producer, and a group of two consumers.

  librdkafka.py BOOTSTRAP TOPIC GROUP ASSIGNOR RECORDS

Produces RECORDS records to the topic's four partitions, shares them between two members of which
one leaves, commits what was consumed, and prints what it saw as one line of JSON.
"""
import json
import sys
import threading
import time

from confluent_kafka import Consumer, Producer, libversion

LIMIT = 60

bootstrap, topic, group, assignor, records = sys.argv[1:]
records = int(records)
errors = []


def late(what):
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


class Member(threading.Thread):
    """A consumer on a thread of its own: librdkafka sends commits behind its JoinGroup on the same
    connection, so that one member's commit may wait for the other member's poll."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.owned, self.most, self.error = set(), 0, None
        self.leaving = threading.Event()
        self.consumer = Consumer({
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "client.id": name,
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": 100,
            "partition.assignment.strategy": assignor,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "error_cb": errors.append,
        })
        self.start()

    def run(self):
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked)
        while not self.leaving.is_set():
            message = self.consumer.poll(0.05)
            if message is None:
                continue
            if message.error():
                self.error = message.error()
                return
            with lock:
                seen.append((message.partition(), message.offset()))
        # Commits what was consumed.
        self.consumer.close()

    def assigned(self, _, partitions):
        self.owned |= {p.partition for p in partitions}
        self.most = max(self.most, len(self.owned))

    def revoked(self, _, partitions):
        self.owned -= {p.partition for p in partitions}

    def leave(self):
        self.leaving.set()
        self.join(LIMIT)
        if self.is_alive():
            late("closing")


def wait(what, condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        failed = [str(member.error) for member in members if member.error]
        if failed or time.monotonic() > deadline:
            late(f"{what} ({failed})")
        time.sleep(0.01)


delivered = produce()
lock, seen = threading.Lock(), []
stays = Member("stays")
members = [stays]
wait("the first assignment", lambda: len(stays.owned) == 4)
leaves = Member("leaves")
members.append(leaves)
wait("sharing", lambda: len(stays.owned) == len(leaves.owned) == 2)
leaves.leave()
wait("the last record", lambda: len(set(seen)) == records)
wait("taking over", lambda: len(stays.owned) == 4)
stays.leave()
print(json.dumps({
    "version": libversion()[0],
    "delivered": len(set(delivered)),
    "distinct": len(set(seen)),
    "most": [stays.most, leaves.most],
    "errors": [str(error) for error in errors],
}))
