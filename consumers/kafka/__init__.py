"""The Kafka side of the consumer: the only package beside the relay's that knows the client."""

from consumers.kafka.errors import QUIET_SECONDS, ErrorReport
from consumers.kafka.partitioner import partition_of
from consumers.kafka.reader import TopicReader
from consumers.kafka.source import PROPERTIES, Source, membership
from consumers.kafka.writer import NotWritten, TopicWriter

__all__ = [
    "PROPERTIES",
    "QUIET_SECONDS",
    "ErrorReport",
    "NotWritten",
    "Source",
    "TopicReader",
    "TopicWriter",
    "membership",
    "partition_of",
]
