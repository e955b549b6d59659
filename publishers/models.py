"""Who publishes which shards: the leases of the relays."""

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

    def __str__(self) -> str:
        return self.owner
