"""Refuses what it does not know: a misspelt field or filter must not be taken for a successful request."""

from __future__ import annotations

import copy
import math
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS
from django.core.exceptions import ValidationError as ModelValidationError
from django.db.models import Model, QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.views import APIView

# Query parameters of the framework itself.
PAGING_PARAMETERS = frozenset({"page", "page_size"})


def refusal(error: ModelValidationError) -> serializers.ValidationError:
    """Return what the API says when a model refuses a value; what names no field speaks of the whole body."""
    errors = serializers.as_serializer_error(error)
    names: dict[Any, Any] = {NON_FIELD_ERRORS: api_settings.NON_FIELD_ERRORS_KEY}
    return serializers.ValidationError({names.get(name, name): details for name, details in errors.items()})


class StrictSerializer(serializers.Serializer[Any]):
    """Names unknown fields, what is no text, and text that is too long."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated values of a body that holds nothing unknown, and text where text belongs."""
        if isinstance(data, dict) and (errors := self._strangers(data)):
            raise serializers.ValidationError(errors)
        return super().to_internal_value(data)

    def _strangers(self, data: dict[Any, Any]) -> dict[str, list[ErrorDetail]]:
        errors = {}
        for name, value in data.items():
            field = self.fields.get(name)
            if field is None:
                errors[str(name)] = [ErrorDetail("This field is not known.", code="unknown_field")]
            # The framework would store a number as its digits.
            elif isinstance(field, serializers.CharField) and not isinstance(value, str | None):
                errors[name] = [ErrorDetail("Not a valid string.", code="invalid")]
            # The framework would count without the spaces around it, which is not what the document says.
            elif isinstance(field, serializers.CharField) and len(value or "") > (field.max_length or math.inf):
                text = f"Ensure this field has no more than {field.max_length} characters."
                errors[name] = [ErrorDetail(text, code="max_length")]
        return errors


class StrictModelSerializer(StrictSerializer, serializers.ModelSerializer[Any]):
    """Checks the database's constraints before the database does, too."""

    def validate(self, attrs: Any) -> Any:
        """Return the values if the row that they lead to keeps the model's constraints."""
        model: type[Model] = self.Meta.model
        candidate = copy.copy(self.instance) if isinstance(self.instance, Model) else model()
        links = {field.name for field in model._meta.many_to_many}
        for name, value in attrs.items():
            if name not in links:
                setattr(candidate, name, value)
        try:
            candidate.validate_constraints(exclude=self._made_by_the_database(model))
        except ModelValidationError as exc:
            raise refusal(exc) from exc
        return attrs

    def _made_by_the_database(self, model: type[Model]) -> set[str]:
        """Fields without a value yet, which no constraint can judge."""
        return {field.name for field in model._meta.local_concrete_fields if not field.editable}


class StrictFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """Filters of the view's filter set; a parameter that is none of them, a repeated and an empty one are errors."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        """Return the filtered rows."""
        filters = self.get_filterset_class(view, queryset)
        known = PAGING_PARAMETERS | set(filters.base_filters if filters else ())
        errors = {
            name: [ErrorDetail("This filter is not known.", code="unknown_filter")]
            for name in sorted(set(request.query_params) - known)
        }
        for name in sorted(set(request.query_params) & known):
            values = request.query_params.getlist(name)
            if len(values) > 1:
                errors[name] = [ErrorDetail("This filter is given more than once.", code="repeated_filter")]
            # The library would leave the filter out, and every row would be found.
            elif not values[0]:
                errors[name] = [ErrorDetail("The value is empty.", code="invalid_value")]
        if errors:
            raise serializers.ValidationError(errors)
        rows: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return rows
