"""Who publishes which shards, the leases of the relays; and which topics were moved."""

from __future__ import annotations

from django.db import models

SHARDS = 64


class ShardLease(models.Model):
    """The right of one relay to publish one shard, until a time of the database's clock."""

    shard = models.PositiveSmallIntegerField(primary_key=True)
    owner = models.TextField(null=True)
    # Grows with each change of owner: what an earlier owner still wants to delete carries an older one.
    epoch = models.BigIntegerField(default=0)
    until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.shard}: {self.owner} ({self.epoch})"


class RelayMember(models.Model):
    """A relay that lives; counted to find the fair share, also before it holds any shard."""

    owner = models.TextField(primary_key=True)
    until = models.DateTimeField()
    # The version of the routes that it follows, in everything that it has under way.
    followed = models.BigIntegerField(db_default=0)

    def __str__(self) -> str:
        return self.owner


class TopicRoute(models.Model):
    """Where the events of a topic go that was moved, or is being moved; a topic without a route goes to itself."""

    topic = models.TextField(primary_key=True)
    target = models.TextField()
    # As many as the target was made with; null before the first move is over.
    partitions = models.PositiveIntegerField(null=True)
    # While a move waits for the relays: until then, renewed by who moves, its events are held back.
    draining_until = models.DateTimeField(null=True)
    # Grows with each change of any route.
    version = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.topic} -> {self.target}"
