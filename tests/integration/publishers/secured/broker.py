"""A broker that lets in only who shows a password or a certificate, and allows them only what they were granted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from devstack import ports
from devstack.kafka import Kafka
from tests.integration.publishers.secured.certificates import Authority, joined

HOST = "localhost"
TIMEOUT_SECONDS = 30
# Known to the broker as a super user, by each way in.
USER, PASSWORD = "relay", "correct-horse-battery"
# May do what it is granted.
NARROW, NARROW_PASSWORD = "narrow", "narrow-gate-staple"
PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{plain},SASL://{host}:{sasl},MTLS://{host}:{mtls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL://{host}:{sasl},MTLS://{host}:{mtls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MTLS:SSL
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
listener.name.mtls.ssl.client.auth=required
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user}
"""
MECHANISMS = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}


@dataclass(frozen=True, slots=True)
class SecuredBroker:
    """The broker's addresses, the authority of its certificate, and what a client of ours needs."""

    kafka: Kafka
    sasl: str
    mtls: str
    authority: Authority

    @contextmanager
    def _administered(self) -> Iterator[AdminClient]:
        """Make a client that may do everything and shows nothing, on a listener of its own; kept until it is done."""
        yield AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})

    def password(self, mechanism: str, password: str = PASSWORD, *, user: str = USER) -> dict[str, str]:
        """Return the environment of a client that shows a password."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.sasl,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": password,
            "KAFKA_SSL_CA_LOCATION": str(self.authority.certificate),
        }

    def certificate(self, *, days: int = 2) -> dict[str, str]:
        """Return the environment of a client that shows a certificate."""
        certificate, key = self.authority.sign(USER, days=days)
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.mtls,
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA_LOCATION": str(self.authority.certificate),
            "KAFKA_SSL_CERTIFICATE_LOCATION": str(certificate),
            "KAFKA_SSL_KEY_LOCATION": str(key),
        }

    def set_password(self, mechanism: str, password: str, *, user: str) -> None:
        """Make a user, or give them another password."""
        info = ScramCredentialInfo(MECHANISMS[mechanism], 4096)
        change = UserScramCredentialUpsertion(user, info, password.encode())
        with self._administered() as admin:
            admin.alter_user_scram_credentials([change])[user].result(TIMEOUT_SECONDS)

    def grant(self, user: str, operation: AclOperation, kind: ResourceType, name: str) -> None:
        """Allow a user one thing."""
        rule = AclBinding(*_rule(user, operation, kind, name))
        with self._administered() as admin:
            admin.create_acls([rule])[rule].result(TIMEOUT_SECONDS)

    def revoke(self, user: str, operation: AclOperation, kind: ResourceType, name: str) -> None:
        """Take it back."""
        rule = AclBindingFilter(*_rule(user, operation, kind, name))
        with self._administered() as admin:
            admin.delete_acls([rule])[rule].result(TIMEOUT_SECONDS)


def secured_broker(directory: Path) -> SecuredBroker:
    """Return a broker that is not started, with a certificate of an authority of its own."""
    authority = Authority(directory, "authority")
    certificate, key = authority.sign("broker", host=HOST)
    plain, controller, sasl, mtls = (ports.free_port() for _ in range(4))
    properties = PROPERTIES.format(
        host=HOST,
        plain=plain,
        controller=controller,
        sasl=sasl,
        mtls=mtls,
        keystore=joined(directory, key, certificate),
        truststore=authority.certificate,
        user=USER,
        password=PASSWORD,
    )
    scram = tuple(f"--add-scram={name}=[name={USER},password={PASSWORD}]" for name in MECHANISMS)
    lines = dict(line.split("=", 1) for line in properties.strip().splitlines())
    kafka = Kafka(directory, plain, controller, properties=lines, format_arguments=scram)
    return SecuredBroker(kafka, f"{HOST}:{sasl}", f"{HOST}:{mtls}", authority)


def _rule(user: str, operation: AclOperation, kind: ResourceType, name: str) -> tuple[Any, ...]:
    return kind, name, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, AclPermissionType.ALLOW
