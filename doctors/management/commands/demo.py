"""`manage.py demo`."""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils import timezone

from auditlog import api_keys
from doctors import demo
from doctors.clinicians.generator import write_file


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Import a generated file of clinicians, let several people change some of them, and print the credentials of "
        "two users: an auditor, who may read the audit log, and an administrator of the doctors. Repeating it makes "
        "further changes and replaces the passwords."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--rows", type=int, default=600, help="rows of the generated file (default: 600)")
        parser.add_argument("--seed", type=int, default=7, help="which file to generate (default: 7)")
        parser.add_argument("--json", action="store_true", help="print the credentials as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Import, live a little, report."""
        output = self.stderr if options["json"] else self.stdout
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "clinicians.csv"
            write_file(file, rows=options["rows"], seed=options["seed"])
            call_command("import_clinicians", str(file), stdout=output, stderr=self.stderr)
        users = demo.create_users(api_keys.issue)
        demo.live(now=timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps({"users": [user.members() for user in users]}))
            return
        for user in users:
            key = f", API key {user.api_key}" if user.api_key else ""
            self.stdout.write(f"{user.username}: password {user.password}{key}")
