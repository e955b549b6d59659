"""Addresses of the service itself: probes, metrics, the OpenAPI document and its browser."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from auditlog.api import probes

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="api-docs")),
    path("livez", probes.livez),
    path("readyz", probes.readyz),
    path("metrics", probes.metrics),
    path("api/schema/", SpectacularAPIView.as_view(permission_classes=[]), name="api-schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(permission_classes=[], url_name="api-schema"), name="api-docs"),
]
