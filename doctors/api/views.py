"""The resources of the domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError as ModelValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from doctors import models
from doctors.api import filters, serializers
from doctors.api.pagination import Pages
from doctors.api.permissions import ChangePermission, ModelPermissions
from doctors.api.strictness import StrictFilterBackend, refusal

WRITES_OF_ONE = frozenset({"update", "partial_update", "destroy"})


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

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows, locked where they are about to be written: a save writes every column."""
        rows = super().get_queryset()
        return rows.select_for_update(of=("self",)) if self.action in WRITES_OF_ONE else rows

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Insert a row and its links together."""
        return _written(lambda: super(Resource, self).create(request, *args, **kwargs))

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Update a row and its links together."""
        return _written(lambda: super(Resource, self).update(request, *args, **kwargs))

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a row and what belongs to it together."""
        return _written(lambda: super(Resource, self).destroy(request, *args, **kwargs))


def _written(write: Callable[[], Response]) -> Response:
    """
    Write in one transaction; once more, if another one that committed meanwhile was in the way.

    The second time validation sees the other row, and can say which field it is about.
    """
    try:
        return _once(write)
    except IntegrityError:
        try:
            return _once(write)
        except IntegrityError as exc:
            raise Conflict from exc


def _once(write: Callable[[], Response]) -> Response:
    try:
        with transaction.atomic():
            return write()
    except ModelValidationError as exc:
        raise refusal(exc) from exc
    except ProtectedError as exc:
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
    search=extend_schema(
        summary="Find doctors by words, the best match first",
        responses=serializers.DoctorSerializer(many=True),
        filters=True,
    ),
    activate=extend_schema(summary="Let the doctor be booked", request=None),
    deactivate=extend_schema(summary="Let the doctor not be booked any more", request=None),
)
class DoctorViewSet(Resource):
    """Doctors."""

    queryset = models.Doctor.objects.prefetch_related("departments", "specialties").order_by("pk")
    serializer_class = serializers.DoctorSerializer
    filterset_class = filters.DoctorFilter

    @action(detail=False, filterset_class=filters.DoctorSearchFilter)
    def search(self, request: Request) -> Response:
        """Return the doctors of whom each word begins a word."""
        return self.list(request)

    @action(detail=True, methods=["post"], permission_classes=[ChangePermission])
    def activate(self, request: Request, pk: int) -> Response:  # noqa: ARG002 - the router's signature
        """Record that the doctor may be booked from now on; safe to repeat."""
        doctor = self.get_object()
        doctor.activate()
        return Response(self.get_serializer(doctor).data)

    @action(detail=True, methods=["post"], permission_classes=[ChangePermission])
    def deactivate(self, request: Request, pk: int) -> Response:  # noqa: ARG002
        """Record that the doctor may not be booked any more; safe to repeat."""
        doctor = self.get_object()
        doctor.deactivate()
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


@extend_schema_view(
    create=extend_schema(summary="Book an appointment"),
    cancel=extend_schema(
        summary="Cancel an appointment",
        request=serializers.CancellationSerializer,
        responses=serializers.AppointmentSerializer,
    ),
)
class AppointmentViewSet(Resource):
    """Appointments."""

    queryset = models.Appointment.objects.order_by("pk")
    serializer_class = serializers.AppointmentSerializer
    filterset_class = filters.AppointmentFilter

    @action(detail=True, methods=["post"], permission_classes=[ChangePermission])
    def cancel(self, request: Request, pk: int) -> Response:  # noqa: ARG002 - the router's
        """Give the doctor's time back; safe to repeat."""
        asked = serializers.CancellationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        appointment = self.get_object()
        return _written(lambda: self._cancelled(appointment, **asked.validated_data))

    def _cancelled(self, appointment: models.Appointment, *, reason: str) -> Response:
        appointment.cancel(reason=reason)
        return Response(self.get_serializer(appointment).data)
