# syntax=docker/dockerfile:1

# One image, all roles: API, relay, consumer, worker and jobs differ by their command.
# The base by its digest, for all platforms, as docker-library/repo-info lists it: Python 3.11.16, of 2026-08-25. Renew it
# with every release, for the fixes of Debian and Python: docker buildx imagetools inspect python:3.11-slim-bookworm
ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b

# Dependencies, by hash. No compiler: all of them are wheels. REQUIREMENTS=otel: with OpenTelemetry, for AUDITLOG_TRACING.
FROM ${PYTHON_IMAGE} AS dependencies
ARG REQUIREMENTS=base
RUN python -m venv /opt/venv
COPY requirements/${REQUIREMENTS}.txt /tmp/requirements.txt
RUN /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r /tmp/requirements.txt \
    && /opt/venv/bin/python -m pip uninstall --yes pip setuptools

# The application, its static files, and a look at whether it starts at all.
FROM dependencies AS application
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY manage.py ./
COPY auditlog auditlog
COPY consumers consumers
COPY doctors doctors
COPY publishers publishers
COPY settings settings
RUN export DJANGO_SETTINGS_MODULE=settings.production DJANGO_ALLOWED_HOSTS=build.invalid KAFKA_BOOTSTRAP_SERVERS=build.invalid:9092 \
        DATABASE_URL=postgres://build@build.invalid/build \
        DJANGO_SECRET_KEY=for-the-build-only-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFG \
    && python -m compileall -q . \
    && python manage.py collectstatic --no-input --verbosity 0 \
    && python manage.py check --deploy --fail-level WARNING \
    && for command in audit_migrate audit_partitions run_relay run_consumer run_worker healthcheck; \
       do python manage.py "$command" --help >/dev/null || exit 1; done

FROM ${PYTHON_IMAGE} AS runtime
ARG VERSION=1.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="auditlog" \
      org.opencontainers.image.description="Audit trail and change data capture for Django on PostgreSQL and Kafka" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    DJANGO_SETTINGS_MODULE=settings.production \
    HEARTBEAT_DIR=/tmp \
    MEDIA_ROOT=/var/lib/auditlog/media
RUN groupadd --gid 10001 auditlog \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin auditlog \
    && install --directory --owner=10001 --group=10001 /var/lib/auditlog/media
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=application /app /app
WORKDIR /app
USER 10001:10001
EXPOSE 8000 9464
STOPSIGNAL SIGTERM
# In exec form: the process is number 1 and gets the signal itself.
CMD ["python", "-m", "gunicorn", "--config", "python:settings.server", "settings.wsgi"]
