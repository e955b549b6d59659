"""Topics as the brokers have them: what there is, made and altered one by one, so that one refusal stops no other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from publishers.kafka import BrokersUnavailable, ErrorReport

VISIBLE_SECONDS = 30.0
# Of one request; the client asks again by itself within it.
REQUEST_SECONDS = 30.0
# That the client could not ask any broker; anything else is a broker's answer about one topic.
UNREACHABLE = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN})


@dataclass(frozen=True, slots=True)
class Found:
    """A topic that exists; `settings` is None where brokers do not tell them."""

    partitions: int
    replication: int
    settings: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Shape:
    """How a topic is made."""

    partitions: int
    replication: int
    settings: Mapping[str, str]


class Brokers:
    """
    The cluster, for those who administer topics.

    :raises BrokersUnavailable: from every method, if no broker answers.
    """

    def __init__(self, *, connection: Mapping[str, Any], timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._report = ErrorReport()
        properties: dict[str, Any] = {**connection, "log_level": 2, "error_cb": self._report}
        self._admin = AdminClient(properties, logger=logging.getLogger("publishers.kafka.client"))

    def names(self) -> set[str]:
        """Return the topics that exist."""
        return set(self._listed())

    def find(self, names: Collection[str]) -> dict[str, Found]:
        """Return those of these topics that exist; asks for none by name, which could create it."""
        listed = {name: topic for name, topic in self._listed().items() if name in names}
        settings = self._settings(listed)
        return {
            name: Found(
                partitions=len(topic.partitions),
                replication=min((len(part.replicas) for part in topic.partitions.values()), default=0),
                settings=settings.get(name),
            )
            for name, topic in listed.items()
        }

    def create(self, shapes: Mapping[str, Shape]) -> dict[str, str]:
        """
        Make topics and wait until they can be seen; returns why not, for those that the brokers refuse.

        One that somebody else made meanwhile is left as it is.
        """
        wanted = [
            NewTopic(name, shape.partitions, shape.replication, config=dict(shape.settings))
            for name, shape in shapes.items()
        ]
        if not wanted:
            return {}
        refused = self._refused(self._admin.create_topics(wanted, request_timeout=REQUEST_SECONDS), str)
        there = {name for name, error in refused.items() if error.code() == KafkaError.TOPIC_ALREADY_EXISTS}
        reasons = {name: said(error) for name, error in refused.items() if name not in there}
        self._await(shapes.keys() - reasons.keys())
        return reasons

    def alter(self, changes: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Change settings of topics, and no others; returns why not, for those that the brokers refuse."""
        if not changes:
            return {}
        resources = [_altered(name, settings) for name, settings in changes.items()]
        futures = self._admin.incremental_alter_configs(resources, request_timeout=REQUEST_SECONDS)
        return {name: said(error) for name, error in self._refused(futures, _name).items()}

    def _settings(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return the settings of topics, without those that this client may not see."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        futures = self._admin.describe_configs(resources, request_timeout=REQUEST_SECONDS)
        refused = self._refused(futures, _name)
        return {
            resource.name: {entry.name: entry.value for entry in future.result().values()}
            for resource, future in futures.items()
            if resource.name not in refused
        }

    def _refused(self, futures: Mapping[Any, Future[Any]], name_of: Callable[[Any], str]) -> dict[str, KafkaError]:
        refused = {}
        for key, future in futures.items():
            try:
                future.result()
            except KafkaException as exc:
                if exc.args[0].code() in UNREACHABLE:
                    raise self._report.unavailable(exc) from exc
                refused[name_of(key)] = exc.args[0]
        return refused

    def _await(self, names: Collection[str]) -> None:
        deadline = time.monotonic() + VISIBLE_SECONDS
        while unseen := set(names).difference(self._listed()):
            if time.monotonic() >= deadline:
                raise BrokersUnavailable(f"Created, but not to be seen: {', '.join(sorted(unseen))}")
            time.sleep(0.1)

    def _listed(self) -> dict[str, Any]:
        try:
            return dict(self._admin.list_topics(timeout=self._timeout_seconds).topics)
        except KafkaException as exc:
            self._admin.poll(0)  # the cause is reported there
            raise self._report.unavailable(exc) from exc


def said(error: KafkaError) -> str:
    """Return a broker's refusal: its name, and its words where it has any."""
    return f"{error.name()}: {error.str()}"


def _altered(name: str, settings: Mapping[str, str]) -> ConfigResource:
    entries = [
        ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET) for setting, value in settings.items()
    ]
    return ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)


def _name(resource: ConfigResource) -> str:
    return str(resource.name)
