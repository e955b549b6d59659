"""Addresses of the domain API."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from doctors.api import cards, views

router = SimpleRouter(use_regex_path=False)
router.register("doctors", views.DoctorViewSet, basename="doctor")
router.register("doctor-cards", cards.CardViewSet, basename="doctor-card")
router.register("departments", views.DepartmentViewSet, basename="department")
router.register("specialties", views.SpecialtyViewSet, basename="specialty")
router.register("practice-locations", views.PracticeLocationViewSet, basename="practice-location")
router.register("patients", views.PatientViewSet, basename="patient")
router.register("appointments", views.AppointmentViewSet, basename="appointment")
router.register("profiles", views.DoctorProfileViewSet, basename="profile")

urlpatterns = router.urls
