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

handler400 = "auditlog.api.problems.bad_request"
handler403 = "auditlog.api.problems.permission_denied"
handler404 = "auditlog.api.problems.not_found"
handler500 = "auditlog.api.problems.server_error"
