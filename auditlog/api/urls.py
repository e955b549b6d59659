"""Addresses of the audit API."""

from __future__ import annotations

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from auditlog.api import views


class KeyConverter(StringConverter):
    """A primary key as text: it may hold anything, slashes and line breaks too."""

    regex = r"[\s\S]+"


register_converter(KeyConverter, "key")

urlpatterns = [
    path("events/", views.EventList.as_view(), name="audit-events"),
    path("events/<str:event_id>/", views.EventDetail.as_view(), name="audit-event"),
    path("events/<str:event_id>/values/<str:sha256>/", views.EventValue.as_view(), name="audit-value"),
    path("objects/<str:model>/<key:object_pk>/timeline/", views.ObjectTimeline.as_view(), name="audit-timeline"),
]
