"""
Kafka: who we are to the brokers, and how we know that they are who they should be.

Certificates and host names are always verified; there is no setting that turns it off. What cannot work or would give
a password away is refused at start, by the name of the variable.
"""

from __future__ import annotations

from settings.env import env

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
# librdkafka property -> environment variable; only what is set is passed on.
SASL = {"sasl.username": "KAFKA_SASL_USERNAME", "sasl.password": "KAFKA_SASL_PASSWORD"}
SSL = {
    "ssl.ca.location": "KAFKA_SSL_CA_LOCATION",
    "ssl.certificate.location": "KAFKA_SSL_CERTIFICATE_LOCATION",
    "ssl.key.location": "KAFKA_SSL_KEY_LOCATION",
    "ssl.key.password": "KAFKA_SSL_KEY_PASSWORD",
}
# A client that connects to who it should: the defaults of today's library, said so that no other one changes them.
VERIFIED = {"enable.ssl.certificate.verification": "true", "ssl.endpoint.identification.algorithm": "https"}
# What to look at when brokers and we do not trust each other, by the client's name of the error.
HINTS = {
    "_AUTHENTICATION": "see KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD, KAFKA_SASL_MECHANISM and the user at the brokers",
    "SASL_AUTHENTICATION_FAILED": "see KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, and the user at the brokers",
    "_SSL": (
        "see KAFKA_SSL_CA_LOCATION (who signed the brokers' certificates), KAFKA_BOOTSTRAP_SERVERS (names that are in "
        "them), and KAFKA_SSL_CERTIFICATE_LOCATION with KAFKA_SSL_KEY_LOCATION (ours, and whether it has expired)"
    ),
}


def security() -> dict[str, str]:
    """Return the librdkafka properties, and note what does not go together."""
    protocol = env.choice("KAFKA_SECURITY_PROTOCOL", options=PROTOCOLS, default="PLAINTEXT")
    mechanism = env.choice("KAFKA_SASL_MECHANISM", options=MECHANISMS, default="")
    values = {variable: env.text(variable) for variable in (*SASL.values(), *SSL.values())}
    given = {name for name, value in {**values, "KAFKA_SASL_MECHANISM": mechanism}.items() if value}
    for name, problem in _problems(protocol, given).items():
        env.problems.setdefault(name, problem)
    properties = {"security.protocol": protocol}
    if mechanism:
        properties["sasl.mechanism"] = mechanism
    if protocol.endswith("SSL"):
        properties |= VERIFIED
    return properties | {name: values[variable] for name, variable in (SASL | SSL).items() if values[variable]}


def _problems(protocol: str, given: set[str]) -> dict[str, str]:
    """Return what is wrong about the variables that are given, by their names."""
    found: dict[str, str] = {}
    needs = {"KAFKA_SASL_MECHANISM", *SASL.values()}
    if protocol.startswith("SASL"):
        found |= dict.fromkeys(needs - given, f"is not set, and KAFKA_SECURITY_PROTOCOL={protocol} needs it")
    else:
        found |= dict.fromkeys(needs & given, f"has no effect with KAFKA_SECURITY_PROTOCOL={protocol}: SASL_SSL has")
    if not protocol.endswith("SSL"):
        tls = set(SSL.values()) & given
        found |= dict.fromkeys(tls, f"has no effect with KAFKA_SECURITY_PROTOCOL={protocol}: SSL and SASL_SSL have")
    certificate, key, password = SSL["ssl.certificate.location"], SSL["ssl.key.location"], SSL["ssl.key.password"]
    if certificate in given and key not in given:
        found.setdefault(key, f"is not set, and {certificate} is: a certificate needs its key")
    if key in given and certificate not in given:
        found.setdefault(certificate, f"is not set, and {key} is: a key needs its certificate")
    if password in given and key not in given:
        found.setdefault(key, f"is not set, and {password} is")
    if protocol == "SASL_PLAINTEXT" and env.production:
        found["KAFKA_SECURITY_PROTOCOL"] = "would send the password and every event in the clear: use SASL_SSL"
    return found
