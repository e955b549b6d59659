"""Every pod that the chart makes: hardening, credentials, probes, scaling."""

from __future__ import annotations

from typing import Any

import pytest

from auditlog.heartbeat import RunLoop
from consumers.kafka import PROPERTIES
from consumers.kafka.source import GROUP_SUFFIX
from tests.helm.rendering import NAMESPACE, SHAPES, Manifest, changed, render, rendered, values_of
from tests.helm.schemas import problems

PODS = [(shape, name) for shape in SHAPES for name in rendered(shape).pods()]


def pod(shape: str, name: str) -> Manifest:
    found: Manifest = rendered(shape).pods()[name]["spec"]
    return found


def test_all_workloads_are_looked_at() -> None:
    assert {name.partition("demo-auditlog-")[2] for shape, name in PODS if shape == "production"} == {
        "api", "relay", "consumer", "reconciler", "worker", "migrations", "topics", "partitions", "rollups",
        "reconcile", "bypass", "test"
    }  # fmt: skip


@pytest.mark.parametrize(("shape", "name"), PODS)
def test_every_pod_keeps_the_restricted_standard(shape: str, name: str) -> None:
    spec = pod(shape, name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert ("runAsUser" in security) == (shape != "restricted")
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all(
        volume.keys() & {"emptyDir", "secret", "persistentVolumeClaim", "configMap"} for volume in spec["volumes"]
    )
    for each in [*spec["containers"], *spec.get("initContainers", [])]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize(("shape", "name"), PODS)
def test_every_pod_asks_for_resources_and_has_a_limit_of_memory_and_none_of_cpu(shape: str, name: str) -> None:
    resources = pod(shape, name)["containers"][0]["resources"]
    assert resources["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
    assert resources["limits"].keys() == {"memory"}


@pytest.mark.parametrize(("shape", "name"), PODS)
def test_every_pod_can_write_in_tmp_alone(shape: str, name: str) -> None:
    spec = pod(shape, name)
    mounts = spec["containers"][0]["volumeMounts"]
    writable = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
    assert "/tmp" in writable
    assert writable <= {"/tmp", "/var/lib/auditlog/media"}
    assert {mount["name"] for mount in mounts} <= {volume["name"] for volume in spec["volumes"]}


def test_a_job_before_the_release_uses_no_service_account_of_the_release() -> None:
    assert "serviceAccountName" not in pod("production", "Job/demo-auditlog-migrations")
    assert pod("production", "Job/demo-auditlog-topics")["serviceAccountName"] == "demo-auditlog"
    shown = render(changed("production", {"migrations.useHelmHooks": False}), revision=7)
    job = shown.one("Job", "migrations-7")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "demo-auditlog"
    assert "helm.sh/hook" not in job["metadata"]["annotations"]
    assert job["spec"]["ttlSecondsAfterFinished"] > 0


def test_a_cron_job_runs_as_its_values_say() -> None:
    said = {"schedule": "1 2 * * *", "timeZone": "Europe/Vienna", "suspend": True, "startingDeadlineSeconds": 77,
            "successfulJobsHistoryLimit": 4, "failedJobsHistoryLimit": 5}  # fmt: skip
    of_the_job = {"backoffLimit": 6, "activeDeadlineSeconds": 88}
    values = {**said, **of_the_job, "args": ["--json"]}
    commands = {"partitions": ["audit_partitions"], "rollups": ["audit_rollups", "compact"],
                "reconcile": ["audit_reconcile"], "bypass": ["audit_bypass"]}  # fmt: skip
    for name, command in commands.items():
        shown = render(changed("production", {f"cronJobs.{name}.{key}": value for key, value in values.items()}))
        spec = shown.one("CronJob", name)["spec"]
        assert {key: spec[key] for key in said} == said
        assert {key: spec["jobTemplate"]["spec"][key] for key in of_the_job} == of_the_job
        assert shown.container("CronJob", name)["args"] == ["manage.py", *command, "--json"]


def test_jobs_end_and_do_not_overlap() -> None:
    shown = rendered("production")
    for job in shown.of_kind("Job"):
        assert job["spec"]["activeDeadlineSeconds"] > 0
        assert job["spec"]["backoffLimit"] == 3
        assert job["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    for cron in shown.of_kind("CronJob"):
        assert cron["spec"]["concurrencyPolicy"] == "Forbid"
        assert cron["spec"]["timeZone"] == "Etc/UTC"
        assert cron["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0


def test_a_further_cron_job_has_the_command_and_roles_that_it_names_and_is_otherwise_as_the_others() -> None:
    proof = {"args": ["audit_reconcile", "--chains"], "schedule": "0 5 * * 0", "database": "reader", "audit": "reader",
             "activeDeadlineSeconds": 7200}  # fmt: skip
    shown = render(changed("production", {"extraCronJobs": {"chains": proof}}))
    cron, own = shown.one("CronJob", "chains")["spec"], shown.one("CronJob", "partitions")["spec"]
    assert cron["schedule"] == "0 5 * * 0"
    assert cron["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 7200
    assert {key for key in cron | own if cron.get(key) != own.get(key)} == {"schedule", "jobTemplate"}
    assert shown.container("CronJob", "chains")["args"] == ["manage.py", "audit_reconcile", "--chains"]
    assert shown.secret_of("CronJob", "chains", "DATABASE_URL") == ("auditlog-database", "reader-url")
    assert shown.secret_of("CronJob", "chains", "AUDIT_DATABASE_URL") == ("auditlog-read-model", "reader-url")
    assert shown.one("NetworkPolicy", "chains")["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert [problem for manifest in shown.manifests for problem in problems(manifest, version="1.30")] == []


def test_no_probe_asks_kafka_and_no_liveness_asks_a_server() -> None:
    api = rendered("production").container("Deployment", "api")
    assert {kind: api[kind]["httpGet"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        "startupProbe": {"path": "/livez", "port": "http"},
        "livenessProbe": {"path": "/livez", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }
    for loop in RunLoop:
        found = rendered("production").container("Deployment", loop)
        for kind in ("startupProbe", "livenessProbe"):
            assert found[kind]["exec"]["command"] == ["python", "manage.py", "healthcheck", f"--{loop}"]
        assert "readinessProbe" not in found
    assert RunLoop.CONSUMER.max_age_seconds * 1000 > PROPERTIES["max.poll.interval.ms"]


def test_a_pod_has_more_time_to_end_than_it_needs() -> None:
    shown = rendered("production")
    api, relay = pod("production", "Deployment/demo-auditlog-api"), pod("production", "Deployment/demo-auditlog-relay")
    sleep = shown.container("Deployment", "api")["lifecycle"]["preStop"]["sleep"]["seconds"]
    graceful = int(shown.environment("Deployment", "api")["API_GRACEFUL_SECONDS"])
    assert api["terminationGracePeriodSeconds"] > sleep + graceful
    drain = int(shown.environment("Deployment", "relay")["RELAY_DRAIN_SECONDS"])
    assert relay["terminationGracePeriodSeconds"] > drain


def test_nothing_counts_the_replicas_twice() -> None:
    counted = {
        name: "replicas" in rendered("production").one("Deployment", name)["spec"]
        for name in (*RunLoop, "api", "worker")
    }
    assert counted == {"relay": False, "consumer": False, "reconciler": True, "api": False, "worker": True}
    assert all("replicas" in m["spec"] for m in rendered("smallest").of_kind("Deployment"))
    scaled = {m["spec"]["scaleTargetRef"]["name"] for m in rendered("production").of_kind("ScaledObject")}
    scaled |= {m["spec"]["scaleTargetRef"]["name"] for m in rendered("production").of_kind("HorizontalPodAutoscaler")}
    assert scaled == {"demo-auditlog-api", "demo-auditlog-relay", "demo-auditlog-consumer"}


def test_the_consumer_is_scaled_by_its_own_groups_lag_with_its_own_credentials() -> None:
    shown = rendered("production")
    (trigger,) = shown.one("ScaledObject", "consumer")["spec"]["triggers"]
    variables = shown.environment("Deployment", "consumer")
    assert trigger["metadata"]["consumerGroup"] == variables["KAFKA_CONSUMER_GROUP"]
    assert trigger["metadata"]["bootstrapServers"] == variables["KAFKA_BOOTSTRAP_SERVERS"]
    assert trigger["metadata"]["excludePersistentLag"] == "true"
    assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha512", "enable")
    targets = shown.one("TriggerAuthentication", "consumer")["spec"]["secretTargetRef"]
    assert {"parameter": "password", "name": "auditlog-kafka", "key": "password"} in targets
    assert {"parameter": "ca", "name": "auditlog-kafka-tls", "key": "ca.crt"} in targets


@pytest.mark.parametrize(("protocol", "group"), [("classic", "auditlog"), ("consumer", "auditlog.consumer")])
def test_the_consumer_is_scaled_by_the_lag_of_the_group_that_it_joins(protocol: str, group: str) -> None:
    shown = render(changed("production", {"kafka.groupProtocol": protocol}))
    variables = shown.environment("Deployment", "consumer")
    assert variables["KAFKA_CONSUMER_GROUP"] + GROUP_SUFFIX[variables["KAFKA_GROUP_PROTOCOL"]] == group
    (trigger,) = shown.one("ScaledObject", "consumer")["spec"]["triggers"]
    assert trigger["metadata"]["consumerGroup"] == group


def test_a_budget_exists_only_where_more_than_one_pod_runs() -> None:
    assert rendered("smallest").of_kind("PodDisruptionBudget") == []
    budgets = {m["metadata"]["name"]: m["spec"] for m in rendered("production").of_kind("PodDisruptionBudget")}
    assert budgets.keys() == {f"demo-auditlog-{name}" for name in ("api", "relay", "consumer", "worker")}
    for spec in budgets.values():
        assert spec["maxUnavailable"] == 1
        assert "minAvailable" not in spec
        assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_replicas_are_spread_by_their_own_labels() -> None:
    for manifest in rendered("production").of_kind("Deployment"):
        spec = manifest["spec"]["template"]["spec"]
        for constraint in spec["topologySpreadConstraints"]:
            assert constraint["labelSelector"]["matchLabels"] == manifest["spec"]["selector"]["matchLabels"]
        assert spec["priorityClassName"] == "business-critical"
        assert spec["tolerations"] == [{"key": "audit", "operator": "Exists", "effect": "NoSchedule"}]


def test_a_workloads_own_value_wins_and_templates_in_values_are_rendered() -> None:
    spread = {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
    where = {"name": "WHERE", "value": "{{ .Release.Namespace }}"}
    own = {"tolerations": [{"key": "own"}], "extraEnv": [where], "topologySpreadConstraints": [spread]}
    shown = render(changed("production", {f"relay.{key}": value for key, value in own.items()}))
    relay = shown.pods()["Deployment/demo-auditlog-relay"]["spec"]
    assert relay["tolerations"] == [{"key": "own"}]
    assert [constraint["topologyKey"] for constraint in relay["topologySpreadConstraints"]] == ["rack"]
    assert shown.environment("Deployment", "relay")["WHERE"] == NAMESPACE
    assert shown.environment("Deployment", "api")["AUDITLOG_CE_SOURCE"] == "/demo"
    assert shown.pods()["Deployment/demo-auditlog-api"]["metadata"]["annotations"]["release"] == "demo"


def test_a_digest_wins_over_a_tag_and_the_tag_falls_back_to_the_applications_version() -> None:
    digest = values_of("production")["image"]["digest"]
    assert (
        rendered("production").container("Deployment", "api")["image"]
        == f"registry.example.org/audit/auditlog@{digest}"
    )
    assert rendered("smallest").container("Deployment", "api")["image"] == "auditlog:1.0.0"
    own = render(changed("smallest", {"image.registry": "registry.example.org:5000", "image.tag": "2"}))
    assert own.container("Deployment", "api")["image"] == "registry.example.org:5000/auditlog:2"


def test_metrics_are_on_no_service_and_no_way_in() -> None:
    shown = rendered("production")
    (service,) = shown.of_kind("Service")
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    assert shown.environment("Deployment", "api")["API_METRICS_PORT"] == "9464"
    ports = {p["name"]: p["containerPort"] for p in shown.container("Deployment", "api")["ports"]}
    assert ports == {"http": 8000, "metrics": 9464}
    (ingress,), (route,) = shown.of_kind("Ingress"), shown.of_kind("HTTPRoute")
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": service["metadata"]["name"], "port": {"name": "http"}}
    assert route["spec"]["rules"][0]["backendRefs"] == [{"name": service["metadata"]["name"], "port": 80}]


def test_the_api_answers_to_every_name_by_which_it_is_reached() -> None:
    variables = rendered("production").environment("Deployment", "api")
    assert {"audit.example.org", "audit.gateway.example.org", "demo-auditlog-api.audit.svc"} <= set(
        variables["DJANGO_ALLOWED_HOSTS"].split(",")
    )
    origins = "https://audit.example.org,https://audit.gateway.example.org"
    assert variables["DJANGO_CSRF_TRUSTED_ORIGINS"] == origins
    assert "audit.internal" in rendered("restricted").environment("Deployment", "api")["DJANGO_ALLOWED_HOSTS"]


def test_a_forwarded_address_is_believed_only_where_a_proxy_is_in_front() -> None:
    two = render(changed("production", {"django.trustedProxies": 2}))
    shown = (rendered("smallest"), rendered("production"), two)
    assert [each.environment("Deployment", "api")["AUDITLOG_TRUSTED_PROXIES"] for each in shown] == ["0", "1", "2"]


def test_tokens_are_accepted_of_the_issuer_that_is_named_and_else_of_none() -> None:
    values = {"issuer": "https://id.example.org", "audience": "auditlog", "labelsClaim": "departments"}
    named = {f"oidc.{name}": value for name, value in values.items()}
    shown = render(changed("smallest", {**named, "oidc.jwksUrl": "https://id.example.org/keys"}))
    variables = shown.environment("Deployment", "api")
    assert {name: value for name, value in variables.items() if name.startswith("AUDIT_OIDC_")} == {
        "AUDIT_OIDC_ISSUER": "https://id.example.org",
        "AUDIT_OIDC_AUDIENCE": "auditlog",
        "AUDIT_OIDC_JWKS_URL": "https://id.example.org/keys",
        "AUDIT_OIDC_LABELS_CLAIM": "departments",
        "AUDIT_OIDC_ALGORITHMS": "RS256,ES256",
        "AUDIT_OIDC_SUBJECT_CLAIM": "sub",
        "AUDIT_OIDC_NAME_CLAIM": "preferred_username",
        "AUDIT_OIDC_SCOPES_CLAIM": "scope",
        "AUDIT_OIDC_LEEWAY_SECONDS": "30",
        "AUDIT_OIDC_TIMEOUT_SECONDS": "3",
        "AUDIT_OIDC_REFETCH_SECONDS": "30",
        "AUDIT_OIDC_KEYS_SECONDS": "3600",
    }
    assert not any(name.startswith("AUDIT_OIDC_") for name in rendered("smallest").environment("Deployment", "api"))


def test_a_network_policy_lets_in_and_out_what_is_needed() -> None:
    policies = {
        m["metadata"]["labels"]["app.kubernetes.io/component"]: m["spec"]
        for m in rendered("production").of_kind("NetworkPolicy")
    }
    assert policies.keys() == {name.partition("demo-auditlog-")[2] for shape, name in PODS if shape == "production"} - {
        "test"
    }
    assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in policies.values())
    reached = {
        name: {port["port"] for rule in spec["egress"] for port in rule["ports"]} - {53, 443, 6379}
        for name, spec in policies.items()
    }
    kafka = {"relay", "consumer", "topics"}
    assert reached == {name: {5432, 9092, 9093, 9094} if name in kafka else {5432} for name in policies}
    opened = {
        name: {port["port"] for rule in spec["ingress"] for port in rule["ports"]} for name, spec in policies.items()
    }
    assert {name: ports for name, ports in opened.items() if ports} == {
        "api": {"http", "metrics"}, "relay": {"metrics"}, "consumer": {"metrics"}, "worker": {"metrics"},
        "reconciler": {"metrics"}
    }  # fmt: skip
    assert rendered("restricted").of_kind("NetworkPolicy") == []


def test_a_network_policy_names_who_may_come_and_where_to() -> None:
    policies = {
        m["metadata"]["labels"]["app.kubernetes.io/component"]: m["spec"]
        for m in rendered("production").of_kind("NetworkPolicy")
    }
    cache = [{"ipBlock": {"cidr": "10.3.0.0/16"}}]
    cached = render(changed("production", {"networkPolicy.cacheTo": cache})).one("NetworkPolicy", "worker")["spec"]
    assert targets(policies["relay"]) == {
        53: None, 5432: [{"ipBlock": {"cidr": "10.1.0.0/16"}}], 9092: [{"ipBlock": {"cidr": "10.2.0.0/16"}}],
        6379: None, 443: None,
    }  # fmt: skip
    assert targets(cached)[6379] == cache
    from_ingress, from_monitoring = policies["api"]["ingress"]
    assert from_ingress["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
    monitoring = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert from_monitoring["from"] == policies["relay"]["ingress"][0]["from"] == monitoring


def targets(policy: Manifest) -> dict[int, Any]:
    """Return where each first port leads; None: anywhere."""
    return {rule["ports"][0]["port"]: rule.get("to") for rule in policy["egress"]}


def test_a_restricted_cluster_gets_no_custom_resource_and_nothing_of_the_whole_cluster() -> None:
    assert {m["apiVersion"] for m in rendered("restricted").manifests} == {"v1", "apps/v1", "batch/v1", "policy/v1"}
    for shape in SHAPES:
        assert not {m["kind"] for m in rendered(shape).manifests} & {
            "ClusterRole",
            "ClusterRoleBinding",
            "Role",
            "Namespace",
        }
        ours = [m for m in rendered(shape).manifests if m["metadata"]["name"] != "demo-extra"]
        assert {m["metadata"]["namespace"] for m in ours} == {NAMESPACE}
