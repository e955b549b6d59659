"""Addresses of the audit API."""

from __future__ import annotations

from django.urls import path

from auditlog.api import views

urlpatterns = [
    path("events/", views.EventList.as_view(), name="audit-events"),
    path("events/<str:event_id>/", views.EventDetail.as_view(), name="audit-event"),
    path("objects/<str:model>/<path:pk>/timeline/", views.ObjectTimeline.as_view(), name="audit-timeline"),
]
