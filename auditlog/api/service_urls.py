"""Addresses of the service itself: the OpenAPI document and its browser. Probes are a middleware's."""

from __future__ import annotations

from typing import Any

from django.urls import path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

# Public: they say what the source says.
PUBLIC: dict[str, Any] = {"permission_classes": [], "authentication_classes": []}

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="api-docs")),
    path("api/schema/", SpectacularAPIView.as_view(**PUBLIC), name="api-schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(**PUBLIC, url_name="api-schema"), name="api-docs"),
]
