"""Mail: an SMTP server where EMAIL_HOST names one; on a developer's machine files in a folder; else none is sent."""

from __future__ import annotations

from settings.env import env

EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.integer("EMAIL_PORT", default=25, minimum=1, maximum=65_535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
# `starttls`: encrypted after a greeting in the clear, usually on port 587; `tls`: from the first byte, on 465.
_SECURITY = env.choice("EMAIL_SECURITY", options=("none", "starttls", "tls"), default="none")
EMAIL_USE_TLS, EMAIL_USE_SSL = _SECURITY == "starttls", _SECURITY == "tls"
# For each step of the conversation with the server.
EMAIL_TIMEOUT = env.integer("EMAIL_TIMEOUT_SECONDS", default=10, minimum=1, maximum=300)
DEFAULT_FROM_EMAIL = env.matching(
    "DEFAULT_FROM_EMAIL",
    r"[^\r\n]+@[A-Za-z0-9.-]+>?",
    default="Clinic <clinic@localhost>",
    expectation="an address, such as Clinic <clinic@example.org>",
)
# Where mails go as files if there is no server.
EMAIL_FILE_PATH = env.text("EMAIL_DIR")
# Whether doctors get mails at all.
MAILS_ENABLED = bool(EMAIL_HOST or EMAIL_FILE_PATH)
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'filebased'}.EmailBackend"
