"""A producer as other languages have it: names headers with any bytes, which Python's client cannot."""

from __future__ import annotations

import ctypes
from pathlib import Path

from django.conf import settings

TIMEOUT_MILLISECONDS = 30_000
# Of rdkafka.h: kinds of arguments of rd_kafka_producev, and the flag that copies the value.
END, TOPIC, PARTITION, VALUE, FLAGS, HEADERS = 0, 1, 3, 4, 7, 10
COPY = 2
PRODUCER = 0


def produce(topic: str, value: bytes, *, header: bytes) -> None:
    """Append a record with a header of this name to partition 0, and wait for the broker."""
    library = _library()
    errors = ctypes.create_string_buffer(512)
    configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
    for name, setting in settings.KAFKA_CONNECTION.items():
        assert library.rd_kafka_conf_set(configuration, name.encode(), setting.encode(), errors, len(errors)) == 0
    producer = ctypes.c_void_p(library.rd_kafka_new(PRODUCER, configuration, errors, len(errors)))
    assert producer.value, errors.value
    headers = ctypes.c_void_p(library.rd_kafka_headers_new(1))
    library.rd_kafka_header_add(headers, header, ctypes.c_ssize_t(len(header)), b"", ctypes.c_ssize_t(0))
    where = (TOPIC, topic.encode(), PARTITION, ctypes.c_int32(0))
    what = (VALUE, value, ctypes.c_size_t(len(value)), FLAGS, COPY, HEADERS, headers)
    assert library.rd_kafka_producev(producer, *where, *what, END) == 0
    assert library.rd_kafka_flush(producer, TIMEOUT_MILLISECONDS) == 0
    library.rd_kafka_destroy(producer)


def _library() -> ctypes.CDLL:
    """Return the C library that Python's client has loaded, whatever it is called."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    library = ctypes.CDLL(next(line.split()[-1] for line in maps if "librdkafka" in line))
    for function in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(library, function).restype = ctypes.c_void_p
    return library
