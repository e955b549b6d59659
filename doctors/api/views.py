"""The resources of the domain."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Model, ProtectedError
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from doctors import models, services
from doctors.api import filters, serializers
from doctors.api.pagination import Pages
from doctors.api.permissions import ChangePermission, ModelPermissions
from doctors.api.strictness import StrictFilterBackend


class Conflict(APIException):
    """The row collides with one that was written in the meantime, or is still referred to."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "The change collides with another one that was made in the meantime: read again and repeat."
    default_code = "conflict"


class Resource(viewsets.ModelViewSet[Any]):
    """CRUD on one model, each request one transaction."""

    permission_classes = [ModelPermissions]
    filter_backends = [StrictFilterBackend]
    pagination_class = Pages
    lookup_value_converter = "int"

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        """Insert the row and its links together."""
        self._save(serializer)

    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        """Update the row and its links together."""
        self._save(serializer)

    def perform_destroy(self, instance: Model) -> None:
        """Delete the row and what belongs to it together."""
        try:
            with transaction.atomic():
                instance.delete()
        except (ProtectedError, IntegrityError) as exc:
            raise Conflict from exc

    def _save(self, serializer: BaseSerializer[Any]) -> None:
        try:
            with transaction.atomic():
                serializer.save()
        except IntegrityError as exc:
            raise Conflict from exc


class DepartmentViewSet(Resource):
    """Departments and affiliated hospitals."""

    queryset = models.Department.objects.order_by("pk")
    serializer_class = serializers.DepartmentSerializer
    filterset_class = filters.DepartmentFilter


class SpecialtyViewSet(Resource):
    """Fields of medicine."""

    queryset = models.Specialty.objects.order_by("pk")
    serializer_class = serializers.SpecialtySerializer
    filterset_class = filters.SpecialtyFilter


@extend_schema_view(
    activate=extend_schema(summary="Let the doctor be booked", request=None),
    deactivate=extend_schema(summary="Let the doctor not be booked any more", request=None),
)
class DoctorViewSet(Resource):
    """Doctors."""

    queryset = models.Doctor.objects.prefetch_related("departments", "specialties").order_by("pk")
    serializer_class = serializers.DoctorSerializer
    filterset_class = filters.DoctorFilter

    @action(detail=True, methods=["post"], permission_classes=[ChangePermission])
    def activate(self, request: Request, pk: int) -> Response:  # noqa: ARG002 - the router's signature
        """Record that the doctor may be booked from now on; safe to repeat."""
        doctor = self.get_object()
        services.activate(doctor)
        return Response(self.get_serializer(doctor).data)

    @action(detail=True, methods=["post"], permission_classes=[ChangePermission])
    def deactivate(self, request: Request, pk: int) -> Response:  # noqa: ARG002
        """Record that the doctor may not be booked any more; safe to repeat."""
        doctor = self.get_object()
        services.deactivate(doctor)
        return Response(self.get_serializer(doctor).data)


class DoctorProfileViewSet(Resource):
    """What doctors tell patients."""

    queryset = models.DoctorProfile.objects.order_by("pk")
    serializer_class = serializers.DoctorProfileSerializer
    filterset_class = filters.DoctorProfileFilter


class PracticeLocationViewSet(Resource):
    """Addresses of doctors."""

    queryset = models.PracticeLocation.objects.order_by("pk")
    serializer_class = serializers.PracticeLocationSerializer
    filterset_class = filters.PracticeLocationFilter


class PatientViewSet(Resource):
    """Patients."""

    queryset = models.Patient.objects.order_by("pk")
    serializer_class = serializers.PatientSerializer
    filterset_class = filters.PatientFilter


class AppointmentViewSet(Resource):
    """Appointments."""

    queryset = models.Appointment.objects.order_by("pk")
    serializer_class = serializers.AppointmentSerializer
    filterset_class = filters.AppointmentFilter
