#!/usr/bin/env python
"""Django's command line; the settings default to a developer's machine."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured


def main() -> int:
    """Run the command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.local")
    from django.conf import settings
    from django.core.management import execute_from_command_line

    try:
        # Django postpones this error and would call the command unknown instead.
        _ = settings.INSTALLED_APPS
    except ImproperlyConfigured as exc:
        sys.stderr.write(f"Configuration error. {exc}\n")
        return 2
    execute_from_command_line(sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
