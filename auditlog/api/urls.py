"""Addresses of the audit API."""

from __future__ import annotations

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from auditlog.api.views import access_log, actors, events, feed, objects, statistics, units


class KeyConverter(StringConverter):
    """A primary key as text: it may hold anything, slashes and line breaks too."""

    regex = r"[\s\S]+"


register_converter(KeyConverter, "key")

urlpatterns = [
    path("access-log/", access_log.AccessLog.as_view(), name="audit-access-log"),
    path("feed/", feed.Feed.as_view(), name=feed.NAME),
    path("events/", events.EventList.as_view(), name="audit-events"),
    path("events/search/", events.EventSearch.as_view(), name="audit-search"),
    path("events/<str:event_id>/", events.EventDetail.as_view(), name="audit-event"),
    path("events/<str:event_id>/values/<str:sha256>/", events.EventValue.as_view(), name="audit-value"),
    path("objects/<str:model>/<key:object_pk>/timeline/", objects.ObjectTimeline.as_view(), name="audit-timeline"),
    path("stats/histogram/", statistics.EventHistogram.as_view(), name="audit-histogram"),
    path("stats/top/", statistics.TopValues.as_view(), name="audit-top"),
    path("stats/facets/", statistics.EventFacets.as_view(), name="audit-facets"),
    path("objects/<str:model>/<key:object_pk>/as-of/", objects.ObjectAsOf.as_view(), name="audit-as-of"),
    path("objects/<str:model>/<key:object_pk>/blame/", objects.ObjectBlame.as_view(), name="audit-blame"),
    path("objects/<str:model>/<key:object_pk>/diff/", objects.ObjectDiff.as_view(), name="audit-diff"),
    path("objects/<str:model>/<key:object_pk>/viewers/", objects.ObjectViewers.as_view(), name="audit-viewers"),
    path("actors/<key:actor_id>/activity/", actors.ActorActivity.as_view(), name="audit-activity"),
    path("requests/<key:request_id>/", units.RequestWork.as_view(), name="audit-request"),
    path("transactions/<key:transaction_id>/", units.TransactionWork.as_view(), name="audit-transaction"),
]
