"""
Validates manifests: Kubernetes' own kinds against its JSON schemas, which a package brings, others against small ones.

The schemas of custom resources below are ours, closed, and have the fields that the chart uses: they catch a field in
the wrong place, not a change of the operator.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import jsonschema
from kubernetes_validate.utils import all_versions, major_minor, schema_contents
from referencing import Registry, Resource

from tests.helm.rendering import Manifest

OLDEST = (1, 30)
TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
LIST, MAP = {"type": "array"}, {"type": "object"}
DURATION = {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"}


def closed(required: str = "", **properties: Any) -> dict[str, Any]:
    """Return the schema of an object with these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def many(items: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list that is not empty."""
    return {"type": "array", "items": items, "minItems": 1}


RULE = closed(
    "alert expr labels annotations",
    alert=TEXT,
    expr=TEXT,
    labels={"type": "object", "required": ["severity"], "additionalProperties": TEXT},
    annotations={
        "type": "object",
        "required": ["summary", "description", "runbook_url"],
        "additionalProperties": TEXT,
    },
    **{"for": DURATION},
)
SECRET_TARGET = closed("parameter name key", parameter=TEXT, name=TEXT, key=TEXT)
# Metadata of a trigger is text throughout: KEDA refuses numbers.
TRIGGER = closed(
    "type metadata",
    type={"enum": ["kafka", "postgresql"]},
    metadata={"type": "object", "additionalProperties": TEXT},
    authenticationRef=closed("name", name=TEXT),
)
SPECS: dict[str, dict[str, Any]] = {
    "monitoring.coreos.com/v1/PodMonitor": closed(
        "selector podMetricsEndpoints",
        namespaceSelector=closed("matchNames", matchNames=many(TEXT)),
        selector=closed("matchLabels", matchLabels=MAP, matchExpressions=LIST),
        podMetricsEndpoints=many(
            closed(
                "port interval scrapeTimeout",
                port=TEXT,
                interval=DURATION,
                scrapeTimeout=DURATION,
                relabelings=LIST,
                metricRelabelings=LIST,
            )
        ),
    ),
    "monitoring.coreos.com/v1/PrometheusRule": closed(
        "groups", groups=many(closed("name rules", name=TEXT, rules=many(RULE)))
    ),
    "keda.sh/v1alpha1/TriggerAuthentication": closed("secretTargetRef", secretTargetRef=many(SECRET_TARGET)),
    "keda.sh/v1alpha1/ScaledObject": closed(
        "scaleTargetRef minReplicaCount maxReplicaCount triggers",
        scaleTargetRef=closed("name", kind=TEXT, name=TEXT),
        minReplicaCount=NUMBER,
        maxReplicaCount=NUMBER,
        pollingInterval=NUMBER,
        advanced=closed(
            "horizontalPodAutoscalerConfig", horizontalPodAutoscalerConfig=closed("behavior", behavior=MAP)
        ),
        triggers=many(TRIGGER),
    ),
    "gateway.networking.k8s.io/v1/HTTPRoute": closed(
        "parentRefs hostnames rules",
        parentRefs=many(closed("name", name=TEXT, namespace=TEXT, sectionName=TEXT)),
        hostnames=many(TEXT),
        rules=many(
            closed(
                "matches backendRefs", matches=many(MAP), backendRefs=many(closed("name port", name=TEXT, port=NUMBER))
            )
        ),
    ),
}


def supported_versions() -> list[str]:
    """Return the minor versions of Kubernetes from the chart's floor to the newest one known."""
    minors = {major_minor(version) for version in all_versions()}
    return sorted((v for v in minors if tuple(map(int, v.split("."))) >= OLDEST), key=lambda v: int(v.split(".")[1]))


def problems(manifest: Manifest, *, version: str) -> list[str]:
    """Return what is wrong with a manifest in a version of Kubernetes."""
    return [
        f"{manifest['kind']}/{manifest['metadata']['name']} {error.json_path}: {error.message[:300]}"
        for error in _validator(manifest["apiVersion"], manifest["kind"], version).iter_errors(manifest)
    ]


@cache
def _validator(api_version: str, kind: str, version: str) -> Any:
    spec = SPECS.get(f"{api_version}/{kind}")
    if spec is not None:
        metadata = closed("name namespace labels", name=TEXT, namespace=TEXT, labels=MAP, annotations=MAP)
        return jsonschema.Draft202012Validator(
            closed("apiVersion kind metadata spec", apiVersion=TEXT, kind=TEXT, metadata=metadata, spec=spec)
        )
    full = next(v for v in all_versions() if major_minor(v) == version)
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    folder = f"kubernetes-json-schema/v{full}-local-strict"
    schema = schema_contents(f"{folder}/{kind.lower()}-{group}.json", version)
    registry = Resource.from_contents(schema) @ _definitions(folder, version)
    return jsonschema.Draft202012Validator(schema, registry=registry)


@cache
def _definitions(folder: str, version: str) -> Registry[Any]:
    definitions: Registry[Any] = Registry()
    return Resource.from_contents(schema_contents(f"{folder}/_definitions.json", version)) @ definitions
