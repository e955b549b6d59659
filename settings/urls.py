"""All addresses of the service."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/audit/v1/", include("auditlog.api.urls")),
    path("api/", include("doctors.api.urls")),
    path("", include("auditlog.api.service_urls")),
]

handler400 = "auditlog.api.handlers.bad_request"
handler403 = "auditlog.api.handlers.permission_denied"
handler404 = "auditlog.api.handlers.not_found"
handler500 = "auditlog.api.handlers.server_error"
