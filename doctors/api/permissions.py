"""Who may do what: Django's model permissions, for reading too."""

from __future__ import annotations

from rest_framework.permissions import DjangoModelPermissions

CHANGE = ["%(app_label)s.change_%(model_name)s"]
VIEW = ["%(app_label)s.view_%(model_name)s"]


class ModelPermissions(DjangoModelPermissions):
    """`view` to read, `add`, `change` and `delete` to write; an action on one object is a change of it."""

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": VIEW,
        "HEAD": VIEW,
        "OPTIONS": VIEW,
    }


class ChangePermission(ModelPermissions):
    """For actions that are posted: they change an object and add none."""

    perms_map = {**ModelPermissions.perms_map, "POST": CHANGE}
