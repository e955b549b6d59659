"""What all environments share: applications, middleware, and the modules of this package put together."""

from __future__ import annotations

from pathlib import Path

from settings.access import *  # noqa: F403
from settings.audit import *  # noqa: F403
from settings.background import *  # noqa: F403
from settings.cache import *  # noqa: F403
from settings.databases import ANSWER_SECONDS, BEHIND_PGBOUNCER, database_settings
from settings.directory import *  # noqa: F403
from settings.env import env
from settings.kafka import *  # noqa: F403
from settings.logs import logging_settings
from settings.mail import *  # noqa: F403
from settings.processes import *  # noqa: F403
from settings.rest import *  # noqa: F403
from settings.tracing import *  # noqa: F403

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = env.text("DJANGO_SECRET_KEY", default="" if env.production else "local-only-not-a-secret", required=True)
ALLOWED_HOSTS = env.words("DJANGO_ALLOWED_HOSTS", default=() if env.production else ("*",), required=True)
CSRF_TRUSTED_ORIGINS = env.origins("DJANGO_CSRF_TRUSTED_ORIGINS")
DEBUG = False

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_tasks",
    "django_tasks_db",
    "auditlog",
    "publishers",
    "consumers",
    "doctors",
]

MIDDLEWARE = [
    "auditlog.api.probes.ProbeMiddleware",
    "auditlog.api.tracing.TracingMiddleware",
    "auditlog.api.request_log.RequestLogMiddleware",
    "auditlog.api.timing.TimingMiddleware",
    "auditlog.api.edge.EdgeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "auditlog.api.edge.SlashMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "auditlog.middleware.AuditlogMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

ROOT_URLCONF = "settings.urls"
WSGI_APPLICATION = "settings.wsgi.application"
ASGI_APPLICATION = "settings.asgi.application"

DATABASES = database_settings()
DATABASE_BEHIND_PGBOUNCER = BEHIND_PGBOUNCER
DATABASE_ANSWER_SECONDS = ANSWER_SECONDS
DATABASE_ROUTERS = ["auditlog.routers.AuditRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# Outside production, static files are served out of the packages; nothing needs to be collected.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not env.production
MEDIA_URL = "media/"
MEDIA_ROOT = env.text("MEDIA_ROOT", default=str(BASE_DIR / ".devstack" / "media"))
# Bodies over this size are refused with 413 before they are parsed; bytes.
DATA_UPLOAD_MAX_MEMORY_SIZE = env.integer("DATA_UPLOAD_MAX_MEMORY_BYTES", default=2_621_440, minimum=1_024)

LOGGING = logging_settings()

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "auditlog.api.handlers.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
