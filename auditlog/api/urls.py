"""Addresses of the audit API."""

from __future__ import annotations

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from auditlog.api.views import access_log, events, objects, statistics


class KeyConverter(StringConverter):
    """A primary key as text: it may hold anything, slashes and line breaks too."""

    regex = r"[\s\S]+"


register_converter(KeyConverter, "key")

urlpatterns = [
    path("access-log/", access_log.AccessLog.as_view(), name="audit-access-log"),
    path("events/", events.EventList.as_view(), name="audit-events"),
    path("events/search/", events.EventSearch.as_view(), name="audit-search"),
    path("events/<str:event_id>/", events.EventDetail.as_view(), name="audit-event"),
    path("events/<str:event_id>/values/<str:sha256>/", events.EventValue.as_view(), name="audit-value"),
    path("objects/<str:model>/<key:object_pk>/timeline/", objects.ObjectTimeline.as_view(), name="audit-timeline"),
    path("stats/histogram/", statistics.EventHistogram.as_view(), name="audit-histogram"),
    path("stats/top/", statistics.TopValues.as_view(), name="audit-top"),
    path("stats/facets/", statistics.EventFacets.as_view(), name="audit-facets"),
]
