"""Cards of doctors, out of the cache where there is one that all processes share."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from doctors import cards, models
from doctors.api.pagination import DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE
from doctors.api.permissions import ModelPermissions
from doctors.api.strictness import StrictSerializer

LAST_PAGE = 1_000_000


class CardSerializer(serializers.Serializer[Any]):
    """What everybody who works with doctors may see of one."""

    id = serializers.IntegerField()
    slug = serializers.CharField()
    npi = serializers.CharField(allow_null=True)
    first_name = serializers.CharField()
    last_name = serializers.CharField()
    credential = serializers.CharField()
    is_active = serializers.BooleanField()
    department = serializers.CharField(allow_null=True, help_text="The code of the department.")
    specialties = serializers.ListField(child=serializers.CharField())


@extend_schema_serializer(many=False)
class CardPageSerializer(serializers.Serializer[Any]):
    """Cards of one page, and how many there are in all."""

    count = serializers.IntegerField()
    results = CardSerializer(many=True)


class PageQuery(StrictSerializer):
    """Which page."""

    page = serializers.IntegerField(min_value=1, max_value=LAST_PAGE, default=1)
    page_size = serializers.IntegerField(min_value=1, max_value=LARGEST_PAGE_SIZE, default=DEFAULT_PAGE_SIZE)


class CardViewSet(viewsets.ViewSet):
    """Cards of doctors: nothing private, and nothing to change."""

    # Whose rights are asked for.
    queryset = models.Doctor.objects.none()
    permission_classes = [ModelPermissions]
    lookup_field = "slug"
    lookup_value_converter = "slug"

    @extend_schema(parameters=[PageQuery], responses=CardPageSerializer)
    def list(self, request: Request) -> Response:
        """Return a page of cards, in the order of the doctors' ids."""
        query = PageQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        return Response(cards.page(query.validated_data["page"], query.validated_data["page_size"]))

    @extend_schema(responses=CardSerializer)
    def retrieve(self, _request: Request, slug: str) -> Response:
        """Return the card of the doctor with this slug."""
        found = cards.card_of_slug(slug)
        if found is None:
            raise Http404
        return Response(found)

    @extend_schema(responses=CardSerializer(many=True))
    @action(detail=False, url_path="of-department/<int:department_id>")
    def of_department(self, _request: Request, department_id: int) -> Response:
        """Return the cards of the active doctors of a department, by name."""
        return Response(cards.cards_of_department(department_id))
